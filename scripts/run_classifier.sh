#!/usr/bin/env bash
# Fine-tune and evaluate a classifier. Add paths and hyper-parameters as lines below, or give flags, which win:
#   bash scripts/run_classifier.sh [DEVICE_ID] [--background] [--flag value]...
# `python run_classifier.py --help` lists the flags. Log: classfier_log.txt (the model zoo's spelling).
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/launch.sh

launch classfier_log.txt run_classifier.py \
    --device_target auto \
    --do_train true \
    --do_eval true \
    -- "$@"
