#!/usr/bin/env bash
# Try a command for Ascend on a machine without an NPU: MindSpore's own compiler selects the kernels and plans the memory, launches
# are skipped. Prints the kernels of each graph, launches, memory, and the operators without an Ascend kernel; docs/ascend.md.
#   bash scripts/try_ascend.sh [--json FILE] [--output_dir FOLDER] [--time_limit SECONDS] COMMAND...
#   bash scripts/try_ascend.sh python run_classifier.py --device_target Ascend --config_path configs/classifier_cola.yaml ...
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/launch.sh

[ ! -d .venv/bin ] || PATH="$PWD/.venv/bin:$PATH" # `python` in COMMAND is the one with MindSpore
exec "$python" -m src.report.ascend "$@"
