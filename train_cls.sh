#!/usr/bin/env bash
# PaddlePaddle's fine-tuning with recompute from the folder in which its page runs it: scripts/train_cls.sh, which describes the arguments.
#   sh train_cls.sh [arguments]
exec bash "$(dirname "$0")/scripts/train_cls.sh" "$@"
