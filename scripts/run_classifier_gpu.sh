#!/usr/bin/env bash
# Fine-tune and evaluate a classifier on a GPU: scripts/run_classifier.sh, which has paths and hyper-parameters, with its arguments.
#   bash scripts/run_classifier_gpu.sh [DEVICE_ID] [--background] [--flag value]...
set -euo pipefail

exec bash "$(dirname "$0")/run_classifier.sh" "$@" --device_target GPU
