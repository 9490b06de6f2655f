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
exec .venv/bin/python -m pytest --quiet "${all[@]}" "$@"
