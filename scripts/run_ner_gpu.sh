#!/usr/bin/env bash
# Fine-tune and evaluate named entities on a GPU: scripts/run_ner.sh, which has paths and hyper-parameters, with its arguments.
#   bash scripts/run_ner_gpu.sh [DEVICE_ID] [--background] [--flag value]...
set -euo pipefail

exec bash "$(dirname "$0")/run_ner.sh" "$@" --device_target GPU
