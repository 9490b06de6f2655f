#!/usr/bin/env bash
# Fine-tune BERT-base on XNLI with recompute in the largest batch that PaddlePaddle's example gives for a V100 of 32 GB: 178000 tokens,
# 1390 rows of 128. `sh` serves, too:
#   sh scripts/bert_base_max_batch_size.sh [DEVICE_ID] [--background] [--flag value]...
# Paths and BATCH_SIZE, in tokens, are set here or before the command, as scripts/train_cls.sh describes them; flags win.
# Log: classfier_log.txt.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@" # called with sh
set +o posix -euo pipefail
PRETRAINED_CKPT_PATH="${PRETRAINED_CKPT_PATH-uncased_L-12_H-768_A-12}"
DATA_PATH="${DATA_PATH-xnli}"
cd "$(dirname "$0")/.."
source scripts/launch.sh

recompute_xnli --batch_in_tokens true --seq_length 128 --train_batch_size "${BATCH_SIZE:-178000}" -- "$@"
