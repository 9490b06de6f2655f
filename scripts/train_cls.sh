#!/usr/bin/env bash
# Fine-tune BERT on XNLI with recompute, as the script of this name in PaddlePaddle's example does; `sh` serves, too:
#   sh scripts/train_cls.sh [WEIGHTS [BERT_CONFIG [VOCAB [DATA]]]] [DEVICE_ID] [--background] [--flag value]...
# These four may also be variables, set here or before the command, with paths relative to the caller:
#   PRETRAINED_CKPT_PATH  Google's TensorFlow checkpoint or any other that loads, but PaddlePaddle's
#   bert_config_path, vocab_path  where they do not lie beside the weights
#   DATA_PATH  the folder that XNLI-1.0 and XNLI-MT-1.0 were unzipped in
#   CKPT_PATH  for checkpoints; BATCH_SIZE  rows; DEVICE_NUM  several processes, one for each device
# Flags win; `python run_classifier.py --help` lists them. Log: classfier_log.txt.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@" # called with sh
set +o posix -euo pipefail
cd "$(dirname "$0")/.."
source scripts/launch.sh

for name in PRETRAINED_CKPT_PATH bert_config_path vocab_path DATA_PATH; do
    if [ $# -eq 0 ] || [[ "$1" == --* || "$1" =~ ^[0-9]+$ ]]; then break; fi
    printf -v "$name" %s "$1"
    shift
done
recompute_xnli --seq_length 512 --train_batch_size "${BATCH_SIZE:-26}" -- "$@"
