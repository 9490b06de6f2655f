#!/usr/bin/env bash
# Environments of the reference implementations, never mixed into .venv: .venv-torch, and .venv-tf with `peers.sh tf`.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${1:-torch}" = tf ]; then
    [ -d .venv-tf ] || python3 -m venv .venv-tf
    .venv-tf/bin/pip install --quiet -r requirements-tf.txt
else
    [ -d .venv-torch ] || python3 -m venv .venv-torch
    .venv-torch/bin/pip install --quiet torch==2.13.0 'transformers>=5,<6' 'numpy<2' safetensors scikit-learn
fi
