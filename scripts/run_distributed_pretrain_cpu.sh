#!/usr/bin/env bash
# Pretrain in several processes on the CPU. WORLD: how many. Flags behind the paths win; `python run_pretrain.py --help` lists them.
#   bash scripts/run_distributed_pretrain_cpu.sh 2 /path/cn-wiki-128 [SCHEMA_DIR] [--background] [--dry_run] [--flag value]...
# Log: pretraining_log.txt, and one of each process in LOG0/, LOG1/ and so on.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/launch.sh

take "WORLD DATA_DIR" SCHEMA_DIR "2 /path/cn-wiki-128" "$@" --enable_data_sink false
pretrain CPU 1 "${taken[0]}" 1 "${taken[1]}" launch_ranks --launcher msrun
