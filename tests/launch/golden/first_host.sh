#!/usr/bin/env bash
# golden
cd /opt/bert || exit 2
unset -v OMPI_COMM_WORLD_SIZE OMPI_COMM_WORLD_RANK RANK_SIZE RANK_ID RANK_TABLE_FILE # another launcher's

# scheduler
MS_ROLE=MS_SCHED MS_WORKER_NUM=4 MS_SCHED_HOST=10.0.0.1 MS_SCHED_PORT=8118 \
    python run_pretrain.py '--data_dir=/data/cn wiki' --epoch_size=40 \
    >scheduler.log 2>&1 &
scheduler=$!

# ranks that start before the scheduler listens are slow to find it; 0A: listening
for _ in {1..120}; do
    grep -qiE ":1FB6 [0-9A-F]+:0000 0A" /proc/net/tcp /proc/net/tcp6 2>/dev/null && break
    sleep 0.5
done

# rank 0
mkdir -p LOG0
MS_ROLE=MS_WORKER MS_NODE_ID=0 DEVICE_ID=0 MS_WORKER_NUM=4 MS_SCHED_HOST=10.0.0.1 MS_SCHED_PORT=8118 HCCL_CONNECT_TIMEOUT=600 OMP_NUM_THREADS=48 \
    python run_pretrain.py '--data_dir=/data/cn wiki' --epoch_size=40 \
    >LOG0/pretraining_log.txt 2>&1 &
ranks[$!]='rank 0'

# rank 1
mkdir -p LOG1
MS_ROLE=MS_WORKER MS_NODE_ID=1 DEVICE_ID=1 MS_WORKER_NUM=4 MS_SCHED_HOST=10.0.0.1 MS_SCHED_PORT=8118 HCCL_CONNECT_TIMEOUT=600 OMP_NUM_THREADS=48 \
    python run_pretrain.py '--data_dir=/data/cn wiki' --epoch_size=40 \
    >LOG1/pretraining_log.txt 2>&1 &
ranks[$!]='rank 1'

# wait for all; when one fails, end the others and return its code
asked=0 code=0 deadline=
trap 'asked=143; kill -TERM "${!ranks[@]}"' TERM
trap 'asked=130; kill -INT "${!ranks[@]}"' INT
while [ "${#ranks[@]}" -gt 0 ]; do
    sleep 0.5
    for pid in "${!ranks[@]}"; do
        kill -0 "$pid" 2>/dev/null && continue
        wait "$pid"
        ended=$?
        [ "$ended" -eq 0 ] || echo "${ranks[pid]} ended with code $ended" >&2
        unset "ranks[$pid]"
        if [ "$ended" -ne 0 ] && [ "$code" -eq 0 ]; then
            code=$ended
            if [ "$asked" -eq 0 ]; then
                deadline=$((SECONDS + 10))
                kill "${!ranks[@]}" 2>/dev/null
            fi
        fi
    done
    [ -z "$deadline" ] || [ "$SECONDS" -lt "$deadline" ] || kill -KILL "${!ranks[@]}" 2>/dev/null
done
[ "$code" -ne 0 ] || wait "$scheduler" # ranks of other hosts may still need it
kill -KILL "$scheduler" 2>/dev/null
wait "$scheduler" 2>/dev/null
exit "$code"
