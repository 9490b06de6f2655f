#!/usr/bin/env bash
# Pretrain on the CPU. Flags behind the paths win; `python run_pretrain.py --help` lists them. Log: pretraining_log.txt.
#   bash scripts/run_standalone_pretrain_cpu.sh 0 1 /path/cn-wiki-128 [SCHEMA_DIR] [--background] [--flag value]...
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/launch.sh

pretrain_standalone CPU 1 "$@" --enable_data_sink false
