#!/usr/bin/env bash
# Pretrain BERT-large at 512 tokens with recompute, as the script of this name in PaddlePaddle's example does; `sh` serves, too:
#   sh scripts/pretrain.sh [DEVICE_ID] [--background] [--flag value]...
# Variables, set here or before the command, with paths relative to the caller:
#   TRAIN_DATA_DIR  records (python -m src.build_records); VALIDATION_DATA_DIR  others, to evaluate on
#   CONFIG_PATH  bert_config.json of another network; VOCAB_PATH  vocabulary of the records
#   BATCH_SIZE, LR_RATE, WEIGHT_DECAY, MAX_LEN, SAVE_STEPS; DEVICE_NUM  several processes, one for each device
# Flags win; `python run_pretrain.py --help` lists them. Checkpoints: ckpt_0/. Log: pretraining_log.txt.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@" # called with sh
set +o posix -euo pipefail
cd "$(dirname "$0")/.."
source scripts/launch.sh

paths=()
from_caller TRAIN_DATA_DIR VALIDATION_DATA_DIR CONFIG_PATH VOCAB_PATH
[ -z "${TRAIN_DATA_DIR:-}" ] || paths+=(--data_dir "$TRAIN_DATA_DIR")
[ -z "${VALIDATION_DATA_DIR:-}" ] || paths+=(--eval_data_dir "$VALIDATION_DATA_DIR" --train_with_eval true)
[ -z "${VOCAB_PATH:-}" ] || paths+=(--vocab_file_path "$VOCAB_PATH")
on_devices pretraining_log.txt run_pretrain.py \
    --device_target auto \
    --bert_config_file "${CONFIG_PATH:-configs/networks/bert_large.json}" \
    "${paths[@]}" \
    --batch_size "${BATCH_SIZE:-56}" \
    --seq_length "${MAX_LEN:-512}" \
    --train_steps 1000000 \
    --use_recompute true \
    --save_checkpoint_steps "${SAVE_STEPS:-10000}" \
    --enable_global_norm true \
    --optimizer AdamW \
    --learning_rate "${LR_RATE:-1e-4}" \
    --optimizer.schedule polynomial \
    --optimizer.power 1 \
    --optimizer.end_learning_rate 0 \
    --optimizer.warmup_steps 4000 \
    --weight_decay "${WEIGHT_DECAY:-0.01}" \
    --optimizer.eps 1e-8 \
    -- "$@"
