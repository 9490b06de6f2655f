#!/usr/bin/env bash
# Fine-tune and evaluate answers to questions. Add paths and hyper-parameters as lines below, or give flags, which win:
#   bash scripts/run_squad.sh [DEVICE_ID] [--background] [--flag value]...
# `python run_squad.py --help` lists the flags. Log: squad_log.txt. scripts/squad.sh is this file by its other name.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/launch.sh

launch squad_log.txt run_squad.py \
    --device_target auto \
    --do_train true \
    --do_eval true \
    -- "$@"
