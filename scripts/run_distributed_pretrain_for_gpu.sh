#!/usr/bin/env bash
# Pretrain on the GPUs of one host, by mpirun; `--launcher msrun` does without. Flags behind the paths win; `python run_pretrain.py
# --help` lists them.
#   bash scripts/run_distributed_pretrain_for_gpu.sh 8 40 /path/cn-wiki-128 [SCHEMA_DIR] [--background] [--dry_run] [--flag value]...
# or for 40 epochs on DEVICE_NUM GPUs, by default on all that are found (a dry run without any: 8):
#   bash scripts/run_distributed_pretrain_for_gpu.sh /path/cn-wiki-128 [SCHEMA_DIR] ...
# Log: pretraining_log.txt, and one of each process in LOG0/, LOG1/ and so on.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/launch.sh

if [[ "${1:-}" =~ ^[0-9]+$ ]]; then
    take "DEVICE_NUM EPOCH_SIZE DATA_DIR" SCHEMA_DIR "8 40 /path/cn-wiki-128" "$@"
else
    take DATA_DIR SCHEMA_DIR /path/cn-wiki-128 "$@"
    mapfile -t gpus < <(compgen -G "/dev/nvidia[0-9]*")
    [ ${#gpus[@]} -gt 0 ] || gpus=({1..8})
    taken=("${DEVICE_NUM:-${#gpus[@]}}" 40 "${taken[0]}")
fi
[[ " $* " == *" --dry_run "* ]] || need_device GPU "run_distributed_pretrain_cpu.sh 2 ${taken[2]}"
pretrain GPU 20 "${taken[@]}" launch_ranks --launcher mpirun
