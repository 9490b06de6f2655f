#!/usr/bin/env bash
# Fine-tune and evaluate answers to questions on many devices of one host. DEVICE_NUM: processes; default: the devices that are found.
# Add paths and hyper-parameters as lines below, or give flags, which win:
#   bash scripts/run_squad_distributed.sh [DEVICE_NUM] [--background] [--no_bind] [--dry_run] [--flag value]...
# `python run_squad.py --help` lists the flags, `python -m src.launch.local --help` those for several hosts.
# Log: squad_log.txt, and one of each process in LOG0/, LOG1/ and so on.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/launch.sh

launch_ranks --launcher msrun squad_log.txt run_squad.py \
    --device_target auto \
    --do_train true \
    --do_eval true \
    -- "$@"
