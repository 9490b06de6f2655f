#!/usr/bin/env bash
# PaddlePaddle's fine-tuning with recompute from the folder in which its page runs it, with the page's folders:
# scripts/train_cls.sh, which describes the arguments and variables.
#   sh train_cls.sh [arguments]
PRETRAINED_CKPT_PATH="${PRETRAINED_CKPT_PATH-uncased_L-24_H-1024_A-16}" DATA_PATH="${DATA_PATH-xnli}" \
    exec bash "$(dirname "$0")/scripts/train_cls.sh" "$@"
