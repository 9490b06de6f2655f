#!/usr/bin/env bash
# SQuAD 1.1 with BERT-large on one device, from NVIDIA's pretraining checkpoint. DATA_PATH holds
#   checkpoint/  one .pt, its vocab.txt, and for another network than BERT-large uncased its bert_config.json
#   squad/       train-v1.1.json, dev-v1.1.json
# Set it here or before the command; flags behind it win, and the recipe is `squad_gcu` in scripts/launch.sh:
#   DATA_PATH=/path bash scripts/run_squad_1gcu.sh [DEVICE_ID] [--background] [--amp] [--flag value]...
# Log: squad_log.txt.
set -euo pipefail
DATA_PATH="${DATA_PATH:-}"
cd "$(dirname "$0")/.."
source scripts/launch.sh

squad_gcu launch -- "$@"
