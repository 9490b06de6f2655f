#!/usr/bin/env bash
# Measure the ONNX graph of an exported classifier. Add paths as lines below, or give flags, which win:
#   bash scripts/run_eval_onnx.sh --export_file_name bert_classifier --eval_data_file_path /path/dev.tsv [--flag value]...
# `python run_eval_onnx.py --help` describes them. Log: eval_onnx_log.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/launch.sh

launch eval_onnx_log.txt run_eval_onnx.py -- "$@"
