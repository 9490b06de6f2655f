#!/usr/bin/env bash
# Fine-tune and evaluate named entities. Add paths and hyper-parameters as lines below, or give flags, which win:
#   bash scripts/run_ner.sh [DEVICE_ID] [--background] [--flag value]...
# `python run_ner.py --help` lists the flags. Log: ner_log.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/launch.sh

launch ner_log.txt run_ner.py \
    --device_target auto \
    --do_train true \
    --do_eval true \
    -- "$@"
