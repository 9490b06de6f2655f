#!/usr/bin/env bash
# Fine-tune and evaluate answers to questions on a GPU: scripts/run_squad.sh, which has paths and hyper-parameters, with its arguments.
#   bash scripts/run_squad_gpu.sh [DEVICE_ID] [--background] [--flag value]...
set -euo pipefail

exec bash "$(dirname "$0")/run_squad.sh" "$@" --device_target GPU
