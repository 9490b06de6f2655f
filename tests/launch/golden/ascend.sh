#!/usr/bin/env bash
# golden
cd /opt/bert || exit 2
unset -v MS_ROLE MS_WORKER_NUM MS_NODE_ID OMPI_COMM_WORLD_SIZE OMPI_COMM_WORLD_RANK # another launcher's

# rank 8
mkdir -p LOG8
RANK_ID=8 RANK_SIZE=12 DEVICE_ID=4 RANK_TABLE_FILE=/data/hccl_2s_12p.json HCCL_CONNECT_TIMEOUT=600 DEPLOY_MODE=0 GE_USE_STATIC_MEMORY=1 OMP_NUM_THREADS=24 \
    taskset -c 0-23 python run_pretrain.py '--data_dir=/data/cn wiki' --epoch_size=40 \
    >LOG8/pretraining_log.txt 2>&1 &
ranks[$!]='rank 8'

# rank 9
mkdir -p LOG9
RANK_ID=9 RANK_SIZE=12 DEVICE_ID=5 RANK_TABLE_FILE=/data/hccl_2s_12p.json HCCL_CONNECT_TIMEOUT=600 DEPLOY_MODE=0 GE_USE_STATIC_MEMORY=1 OMP_NUM_THREADS=24 \
    taskset -c 24-47 python run_pretrain.py '--data_dir=/data/cn wiki' --epoch_size=40 \
    >LOG9/pretraining_log.txt 2>&1 &
ranks[$!]='rank 9'

# rank 10
mkdir -p LOG10
RANK_ID=10 RANK_SIZE=12 DEVICE_ID=6 RANK_TABLE_FILE=/data/hccl_2s_12p.json HCCL_CONNECT_TIMEOUT=600 DEPLOY_MODE=0 GE_USE_STATIC_MEMORY=1 OMP_NUM_THREADS=24 \
    taskset -c 48-71 python run_pretrain.py '--data_dir=/data/cn wiki' --epoch_size=40 \
    >LOG10/pretraining_log.txt 2>&1 &
ranks[$!]='rank 10'

# rank 11
mkdir -p LOG11
RANK_ID=11 RANK_SIZE=12 DEVICE_ID=7 RANK_TABLE_FILE=/data/hccl_2s_12p.json HCCL_CONNECT_TIMEOUT=600 DEPLOY_MODE=0 GE_USE_STATIC_MEMORY=1 OMP_NUM_THREADS=24 \
    taskset -c 72-95 python run_pretrain.py '--data_dir=/data/cn wiki' --epoch_size=40 \
    >LOG11/pretraining_log.txt 2>&1 &
ranks[$!]='rank 11'

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
exit "$code"
