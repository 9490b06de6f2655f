#!/usr/bin/env bash
# Try an NVIDIA GPU: what MindSpore needs there, then three updates of a small network in each task beside the CPU's, whose losses must
# agree. Written from MindSpore's package and documents: it has not run on a GPU. CUDA's libraries are taken from the nvidia-*-cu11
# packages beside MindSpore, where they are installed, else from where the system looks. Takes some minutes; the logs of a failure stay.
#   bash scripts/try_gpu.sh               # DEVICE=CPU compares the CPU with itself, which tries this script
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/launch.sh

DEVICE="${DEVICE:-GPU}" STEPS=3
declare -A BOUNDS=([float32]=1e-3 [float16]=2e-2) # relative differences of losses: sums in another order, rounding to half precision
PACKAGES="nvidia-{cuda-runtime,cuda-nvrtc,cublas,cufft,curand,cusolver,cusparse}-cu11 'nvidia-cudnn-cu11<9'"

refuse() {
    echo "error: $1" >&2
    exit 2
}
version="$("$python" -c 'from importlib.metadata import version; print(version("mindspore"))' 2>/dev/null)" ||
    refuse "MindSpore is not installed; bash scripts/setup.sh does so"
library="$("$python" -c 'import importlib.util as u; print(u.find_spec("mindspore").submodule_search_locations[0])')/lib"

# The libraries that a plugin of MindSpore does not find.
find_missing() {
    LD_LIBRARY_PATH="$library:$library/plugin:$library/plugin/gpu:${LD_LIBRARY_PATH:-}" ldd "$1" | awk '/not found/ { print $1 }'
}

check_gpu() {
    local plugin missing usable=""
    [ "$(uname -m)" = x86_64 ] || refuse "$(uname -m): MindSpore's wheels have plugins for GPUs for x86_64 alone"
    command -v nvidia-smi >/dev/null || refuse "nvidia-smi is not on PATH: no NVIDIA GPU, or no driver of one"
    nvidia-smi --query-gpu=name,driver_version,compute_cap,memory.total --format=csv,noheader || refuse "nvidia-smi fails"
    for plugin in "$library"/plugin/libmindspore_gpu.so.*; do
        [ -f "$plugin" ] || refuse "MindSpore $version: no plugin for GPUs in $library/plugin"
        missing="$(find_missing "$plugin" | tr '\n' ' ')"
        echo "${plugin##*/}: ${missing:+not found: }${missing:-all its libraries are found}"
        [ -n "$missing" ] || usable="$plugin"
    done
    [ -n "$usable" ] || refuse "no plugin finds all its libraries; CUDA 11.6 and cuDNN 8.5 have them, so have the packages of $python -m pip install $PACKAGES"
}

# A vocabulary, a network's shape, and some rows of each task.
make_data() {
    "$python" - "$work" <<'PYTHON'
import json, random, sys
from pathlib import Path

folder, choice = Path(sys.argv[1]), random.Random(1)
words = "the a cat dog sat ran fast on mat tree big small red fun was who".split()
shape = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128, "max_position_embeddings": 64}
vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
shape |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "vocab_size": len(vocabulary)}
rows = [choice.choices(words, k=choice.randrange(6, 12)) for _ in range(64)]
questions = [
    {"context": " ".join(row), "qas": [{"id": str(number), "question": "who was", "answers": [{"text": row[0], "answer_start": 0}]}]}
    for number, row in enumerate(rows)
]
files = {
    "vocab.txt": "\n".join(vocabulary),
    "bert_config.json": json.dumps(shape),
    "text.txt": "\n\n".join("\n".join(map(" ".join, rows[start : start + 8])) for start in range(0, 64, 8)),
    "classifier.tsv": "\n".join(["label\ttext", *(f"{'fun' in row:d}\t{' '.join(row)}" for row in rows)]),
    "ner.txt": "\n\n".join("\n".join(f"{word} {'B-PET' if word in ('cat', 'dog') else 'O'}" for word in row) for row in rows),
    "squad.json": json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": questions}]}),
}
for name, text in files.items():
    (folder / name).write_text(text + "\n", encoding="utf-8")
PYTHON
    "$python" -m src.build_records --input_file "$work/text.txt" --output_file "$work/records/text.mindrecord" \
        --vocab_file "$work/vocab.txt" --max_seq_length 32 --max_predictions_per_seq 5 --workers 1 --file_format mindrecord
}

# `train TASK DEVICE COMPUTE_TYPE`: three updates, with log.jsonl in a folder of that name.
train() {
    local name="$1-$2-$3" flags=()
    case "$1" in
    pretrain) flags=(--data_dir "$work/records" --save_checkpoint_path "$work/$name" --cache_dir "$work/cache" --batch_size 8) ;;
    *) flags=(--do_train true --output_dir "$work/$name" --train_batch_size 8 --optimizer.warmup_steps 1 --optimizer.decay_steps 10) ;;
    esac
    case "$1" in
    classifier) flags+=(--task_name custom --columns "text_a=text,label=label" --train_data_file_path "$work/classifier.tsv" --seq_length 32) ;;
    ner) flags+=(--train_data_file_path "$work/ner.txt" --seq_length 32) ;;
    squad) flags+=(--train_data_file_path "$work/squad.json" --seq_length 32 --doc_stride 8 --max_query_length 8) ;;
    esac
    echo "$1 on the $2 in $3"
    "$python" "run_$1.py" --device_target "$2" --precision.compute_type "$3" --vocab_file_path "$work/vocab.txt" \
        --bert_config_file "$work/bert_config.json" --train_steps "$STEPS" --log_steps 1 --seed 1 "${flags[@]}" >"$work/$name.log" 2>&1 ||
        { tail -n 5 "$work/$name.log" >&2 && return 1; }
}

# `compare TASK COMPUTE_TYPE`: the losses of both devices; the CPU's in float32.
compare() {
    "$python" - "$work/$1-CPU-float32" "$work/$1-$DEVICE-$2" "${BOUNDS[$2]}" "$1, $2" <<'PYTHON'
import json, math, sys
from pathlib import Path

*folders, bound, title = sys.argv[1:]
entries = [[json.loads(line) for line in Path(folder, "log.jsonl").read_text().splitlines()] for folder in folders]
cpu, other = ([entry["loss"] for entry in lines if "loss" in entry] for lines in entries)
agree = len(cpu) == len(other) and all(math.isclose(a, b, rel_tol=float(bound)) for a, b in zip(cpu, other))
print(f"{title}: losses {other}, CPU's {cpu}: {'agree' if agree else 'DIFFER'} (bound {bound}, relative)")
sys.exit(not agree)
PYTHON
}

echo "MindSpore $version"
for folder in "$library"/../../nvidia/*/lib; do
    [ ! -d "$folder" ] || export LD_LIBRARY_PATH="$folder:${LD_LIBRARY_PATH:-}"
done
[ "$DEVICE" = CPU ] || check_gpu
work="$(mktemp -d)"
make_data >"$work/data.log" 2>&1 || { cat "$work/data.log" >&2 && exit 1; }
failed=0
for task in pretrain classifier ner squad; do
    train "$task" CPU float32 || failed=1
    for type in float32 float16; do
        if [ "$DEVICE-$type" != CPU-float32 ]; then train "$task" "$DEVICE" "$type" || failed=1; fi
        compare "$task" "$type" || failed=1
    done
done
if [ "$failed" = 0 ]; then rm -rf "$work"; else echo "logs: $work" >&2; fi
exit "$failed"
