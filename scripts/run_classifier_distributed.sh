#!/usr/bin/env bash
# Fine-tune and evaluate a classifier on many devices of one host. DEVICE_NUM: processes; default: the devices that are found.
# Add paths and hyper-parameters as lines below, or give flags, which win:
#   bash scripts/run_classifier_distributed.sh [DEVICE_NUM] [--background] [--no_bind] [--dry_run] [--flag value]...
# `python run_classifier.py --help` lists the flags, `python -m src.launch.local --help` those for several hosts.
# Log: classfier_log.txt (the model zoo's spelling), and one of each process in LOG0/, LOG1/ and so on.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/launch.sh

launch_ranks --launcher msrun classfier_log.txt run_classifier.py \
    --device_target auto \
    --do_train true \
    --do_eval true \
    -- "$@"
