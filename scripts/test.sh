#!/usr/bin/env bash
# Install what the tests need and run them; --all adds the slow parts (the quickstart as the README shows it).
# Other arguments go to pytest: bash scripts/test.sh tests/models
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh dev
all=()
if [ "${1:-}" = --all ]; then
    all=(--all)
    shift
fi
.venv/bin/ruff check .
# One file at a time to each of two processes of one thread: what the tests of a file share is made once. tests/conftest.py sorts the files.
export OMP_NUM_THREADS=1
exec .venv/bin/python -m pytest --quiet --numprocesses 2 --dist loadfile --no-loadscope-reorder "${all[@]}" "$@"
