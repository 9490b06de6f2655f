#!/usr/bin/env bash
# Evaluate pretrained weights on an Ascend. Add paths as lines below, or give flags, which win:
#   bash scripts/run_pretrain_eval_ascend.sh [DEVICE_ID] [--background] --eval_data_dir /path/records --eval_ckpt /path/ckpt_0
# `python pretrain_eval.py --help` lists the flags, with which it also runs on other devices. Log: pretrain_eval_log.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/launch.sh

launch pretrain_eval_log.txt pretrain_eval.py \
    --device_target Ascend \
    -- "$@"
