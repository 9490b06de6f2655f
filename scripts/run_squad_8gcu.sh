#!/usr/bin/env bash
# SQuAD 1.1 with BERT-large on eight devices of one host, as scripts/run_squad_1gcu.sh on one: it says what DATA_PATH holds.
# Set both here or before the command; flags behind it win:
#   DATA_PATH=/path DEVICE_NUM=8 bash scripts/run_squad_8gcu.sh [--background] [--no_bind] [--dry_run] [--amp] [--flag value]...
# Log: squad_log.txt, and one of each process in LOG0/ to LOG7/.
set -euo pipefail
DATA_PATH="${DATA_PATH:-}"
DEVICE_NUM="${DEVICE_NUM:-8}"
cd "$(dirname "$0")/.."
source scripts/launch.sh

squad_gcu launch_ranks --launcher msrun --device_num "$DEVICE_NUM" -- "$@"
