#!/usr/bin/env bash
# Pretrain on one Ascend. Flags behind the paths win; `python run_pretrain.py --help` lists them. Log: pretraining_log.txt.
#   bash scripts/run_standalone_pretrain_ascend.sh 0 1 /path/cn-wiki-128 [SCHEMA_DIR] [--background] [--flag value]...
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/launch.sh

ulimit -s 102400 2>/dev/null || true # the graph compiler recurses deeply
pretrain_standalone Ascend 100 "$@"
