#!/usr/bin/env bash
# PaddlePaddle's pretraining with recompute from the folder in which its page runs it: scripts/pretrain.sh, which describes the arguments.
#   sh pretrain.sh [arguments]
exec bash "$(dirname "$0")/scripts/pretrain.sh" "$@"
