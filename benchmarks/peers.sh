#!/usr/bin/env bash
# Environments of the reference implementations, never mixed into .venv: .venv-torch; .venv-tf with `peers.sh tf`;
# .venv-nezha with `peers.sh nezha` (the last Transformers that has NEZHA).
set -euo pipefail
cd "$(dirname "$0")/.."
conversion=(pyyaml easydict scipy tokenizers google-crc32c) # what `python -m src.convert` needs
if [ "${1:-torch}" = tf ]; then
    [ -d .venv-tf ] || python3 -m venv .venv-tf
    .venv-tf/bin/pip install --quiet -r requirements-tf.txt "${conversion[@]}"
elif [ "${1:-}" = nezha ]; then
    [ -d .venv-nezha ] || python3 -m venv .venv-nezha
    .venv-nezha/bin/pip install --quiet torch==2.13.0 transformers==4.40.2 'numpy<2' safetensors "${conversion[@]}"
elif [ "${1:-torch}" != torch ]; then
    echo "error: unknown environment $1; there are torch, tf and nezha" >&2
    exit 2
else
    [ -d .venv-torch ] || python3 -m venv .venv-torch
    .venv-torch/bin/pip install --quiet torch==2.13.0 'transformers>=5,<6' 'numpy<2' safetensors scikit-learn pytorch-crf==0.7.2 seqeval==1.2.2 'sentence-transformers[train]>=5,<6' fastapi uvicorn httptools uvloop "${conversion[@]}"
fi
