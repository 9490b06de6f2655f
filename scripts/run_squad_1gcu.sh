#!/usr/bin/env bash
# SQuAD 1.1 with BERT-large on one device, from NVIDIA's pretraining checkpoint. DATA_PATH holds
#   checkpoint/  one .pt, its vocab.txt, and for another network than BERT-large uncased its bert_config.json
#   squad/       train-v1.1.json, dev-v1.1.json
# Set it here or before the command; flags behind it win:
#   DATA_PATH=/path bash scripts/run_squad_1gcu.sh [DEVICE_ID] [--background] [--amp] [--flag value]...
# Log: squad_log.txt.
set -euo pipefail
DATA_PATH="${DATA_PATH:-}"
[ -z "$DATA_PATH" ] || DATA_PATH="$(realpath -m "$DATA_PATH")"
cd "$(dirname "$0")/.."
source scripts/launch.sh

if [ ! -d "$DATA_PATH/checkpoint" ] || [ ! -d "$DATA_PATH/squad" ]; then
    echo "error: DATA_PATH=$DATA_PATH: a folder that holds checkpoint/ and squad/ is expected" >&2
    exit 2
fi
found=("$DATA_PATH"/checkpoint/*.pt)
if [ ${#found[@]} -ne 1 ] || [ ! -f "${found[0]}" ]; then
    echo "error: $DATA_PATH/checkpoint: one .pt is expected, here are: ${found[*]##*/}" >&2
    exit 2
fi
shape=()
if ! compgen -G "$DATA_PATH/checkpoint/*config.json" >/dev/null; then
    shape=(--bert_config_file configs/networks/bert_large.json)
fi

launch squad_log.txt run_squad.py \
    --device_target auto \
    --do_train \
    --do_eval \
    --do_predict \
    --init_checkpoint "${found[0]}" \
    "${shape[@]}" \
    --data_dir "$DATA_PATH/squad" \
    --do_lower_case \
    --max_seq_length 384 \
    --doc_stride 128 \
    --train_batch_size 8 \
    --eval_batch_size 8 \
    --num_train_epochs 2 \
    --optimizer.name AdamWeightDecay \
    --optimizer.schedule linear \
    --learning_rate 3e-5 \
    --weight_decay 0.01 \
    --seed 1 \
    --skip_steps 5 \
    --print_freq 20 \
    -- "$@"
