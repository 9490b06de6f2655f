#!/usr/bin/env bash
# golden
cd /opt/bert || exit 2
unset -v MS_ROLE MS_WORKER_NUM MS_NODE_ID OMPI_COMM_WORLD_SIZE OMPI_COMM_WORLD_RANK RANK_SIZE RANK_ID RANK_TABLE_FILE DEVICE_ID # another launcher's

# mpirun
mkdir -p /var/log/bert
# shellcheck disable=SC2016 # for the bash of each rank
OMP_NUM_THREADS=12 \
    mpirun --allow-run-as-root -n 8 --bind-to none bash -c 'log=/var/log/bert/LOG$OMPI_COMM_WORLD_RANK/pretraining_log.txt
mkdir -p "${log%/*}"
cores=(0-11 12-23 24-35 36-47 48-59 60-71 72-83 84-95)
(trap "" USR1 USR2; trap - INT; exec taskset -c "${cores[OMPI_COMM_WORLD_LOCAL_RANK]}" python run_pretrain.py '"'"'--data_dir=/data/cn wiki'"'"' --epoch_size=40) >"$log" 2>&1 &
trap "asked=0; kill -TERM $!" USR1
trap "asked=0; kill -INT $!" USR2
wait $!; code=$?
while kill -0 $! 2>/dev/null; do wait $!; code=$?; done
[ "${asked:-$code}" = 0 ] || echo "rank $OMPI_COMM_WORLD_RANK ended with code $code; its log: $log" >&2
exit ${asked:-$code}' \
    >/var/log/bert/mpirun.log 2>&1 &
ranks[$!]=mpirun

# wait for all; when one fails, end the others and return its code
asked=0 code=0 deadline=
trap 'asked=143; kill -USR1 "${!ranks[@]}"' TERM
trap 'asked=130; kill -USR2 "${!ranks[@]}"' INT
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
[ "$code" -ne 0 ] || code=$asked # mpirun hides that its ranks were asked to stop
exit "$code"
