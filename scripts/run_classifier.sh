#!/usr/bin/env bash
# Fine-tune and evaluate a classifier. Set paths and hyper-parameters here, or give flags, which win:
#   bash scripts/run_classifier.sh [DEVICE_ID] [--background] [--flag value]...
# `python run_classifier.py --help` lists the flags. Log: classfier_log.txt (the model zoo's spelling).
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/launch.sh

launch classfier_log.txt run_classifier.py \
    --device_target auto \
    --do_train true \
    --do_eval true \
    --epoch_num 3 \
    --train_data_shuffle true \
    --train_batch_size 32 \
    --eval_batch_size 32 \
    --save_finetune_checkpoint_path "" \
    --load_pretrain_checkpoint_path "" \
    --load_finetune_checkpoint_path "" \
    --train_data_file_path "" \
    --eval_data_file_path "" \
    --schema_file_path "" \
    -- "$@"
