# shellcheck shell=bash
# Sourced by the launchers, in the repository's root.

python=python
[ ! -x .venv/bin/python ] || python=.venv/bin/python

# `launch LOG SCRIPT DEFAULT_FLAGS... -- "$@"` runs SCRIPT with the flags, the caller's behind the defaults so that they win.
# Output goes to the terminal and to LOG; the exit code is the script's own.
# The caller's arguments: [DEVICE_ID] [--background] [--flag value]...
launch() {
    split "$@"
    if [[ "${rest[0]:-}" =~ ^[0-9]+$ ]]; then
        words+=(--device_id "${rest[0]}")
        rest=("${rest[@]:1}")
    fi
    run "${words[@]}" "${rest[@]}"
}

# `launch_ranks --option value... LOG SCRIPT DEFAULT_FLAGS... -- "$@"` does so in many processes, each with LOG in its LOG{rank}/
# too; options of src/launch/local.py. Without --device_num and --rank_table one process runs on each device found.
# The caller's arguments: [DEVICE_NUM] [--background] [--no_bind] [--dry_run] [--launcher msrun] [--num_hosts N] [--host_rank N]
# [--scheduler HOST:PORT] [--server_ip IP] [--hccn_config_file FILE] [--log_dir FOLDER] [--flag value]...
launch_ranks() {
    local options=() flags=() log output
    split "$@"
    while [[ "${words[0]}" == --* ]]; do
        options+=("${words[@]:0:2}")
        words=("${words[@]:2}")
    done
    if [[ "${rest[0]:-}" =~ ^[0-9]+$ ]]; then
        options+=(--device_num "${rest[0]}")
        rest=("${rest[@]:1}")
    elif [[ "${options[*]}" != *--device_num* && "${options[*]}" != *--rank_table* ]]; then
        options+=(--device_num "$(count_devices)")
    fi
    log="${words[0]}" output="${words[0]}"
    set -- "${rest[@]}"
    while [ $# -gt 0 ]; do
        case "${1%%=*}" in
        --no_bind) options+=("$1") ;;
        --dry_run)
            options+=("$1")
            output=/dev/null
            ;;
        --launcher | --num_hosts | --host_rank | --scheduler | --server_ip | --hccn_config_file | --log_dir)
            options+=("$1")
            if [[ "$1" != *=* ]] && [ $# -gt 1 ]; then
                options+=("$2")
                shift
            fi
            ;;
        *) flags+=("$1") ;;
        esac
        shift
    done
    run "$output" -m src.launch.local "${options[@]}" --log_name "$log" "${words[@]:1}" "${flags[@]}"
}

# `split WORDS... -- REST...`
split() {
    words=()
    while [ "$1" != -- ]; do
        words+=("$1")
        shift
    done
    rest=("${@:2}")
}

# `run LOG WORDS...`: python with the words; --background among them is for us.
run() {
    local log="$1" argument background=false given=()
    shift
    for argument in "$@"; do
        if [ "$argument" = --background ]; then background=true; else given+=("$argument"); fi
    done
    set -- "$python" "${given[@]}"
    if [ "$background" = true ]; then
        nohup "$@" >"$log" 2>&1 </dev/null &
        echo "started process $!; its output goes to $log"
    else
        : >"$log"
        # in this process's place: signals reach it, its exit code is ours; tee outlives a signal to all of the group, such as timeout's
        exec "$@" > >(trap '' INT TERM HUP && exec tee -a "$log") 2> >(trap '' INT TERM HUP && exec tee -a "$log" >&2)
    fi
}

# The number of devices; on a machine without any, two processes on the CPU.
count_devices() {
    local found
    mapfile -t found < <(compgen -G "/dev/davinci[0-9]*" || compgen -G "/dev/nvidia[0-9]*")
    if [ ${#found[@]} -eq 0 ]; then
        echo "no Ascend and no GPU found: 2 processes on the CPU" >&2
        found=(one two)
    fi
    echo ${#found[@]}
}

# `need_device TARGET LAUNCHER`: exit where there is none; LAUNCHER with its arguments is for the CPU.
need_device() {
    if [ "$1" = Ascend ] && ! compgen -G "/dev/davinci*" >/dev/null ||
        [ "$1" = GPU ] && ! compgen -G "/dev/nvidia[0-9]*" >/dev/null; then
        echo "error: no $1 device on this machine; on the CPU: bash scripts/$2" >&2
        exit 2
    fi
}

# `take NAMES OPTIONAL EXAMPLE "$@"`: as many arguments as NAMES has words into `taken`, one more, if it is no flag, into `optional`,
# the others into `rest`; with fewer, exit and say how it is used.
take() {
    local names name="$2" example="$3"
    read -ra names <<<"$1"
    shift 3
    if [ $# -lt ${#names[@]} ] || [[ "${*:1:${#names[@]}}" == *--* ]]; then
        echo "usage: bash scripts/$(basename "$0") ${names[*]} [$name] [--background] [--flag value]..." >&2
        echo "for example: bash scripts/$(basename "$0") $example" >&2
        exit 2
    fi
    taken=("${@:1:${#names[@]}}") optional="" rest=("${@:${#names[@]}+1}")
    if [[ "${rest[0]:---}" != --* ]]; then
        optional="${rest[0]}"
        rest=("${rest[@]:1}")
    fi
}

# `pretrain TARGET SINK_STEPS NUMBER EPOCH_SIZE DATA_DIR LAUNCH...`: by `launch` or `launch_ranks`, with what `take` left.
pretrain() {
    local schema=()
    [ -z "$optional" ] || schema=(--schema_dir "$optional")
    "${@:6}" pretraining_log.txt run_pretrain.py \
        --device_target "$1" \
        --epoch_size "$4" \
        --data_dir "$5" "${schema[@]}" \
        --data_sink_steps "$2" \
        --save_checkpoint_steps 10000 \
        -- "$3" "${rest[@]}"
}

# `pretrain_standalone TARGET SINK_STEPS "$@"`: the model zoo's pretraining on one device.
# The caller's arguments: DEVICE_ID EPOCH_SIZE DATA_DIR [SCHEMA_DIR] [--background] [--flag value]...
pretrain_standalone() {
    take "DEVICE_ID EPOCH_SIZE DATA_DIR" SCHEMA_DIR "0 1 /path/cn-wiki-128" "${@:3}"
    need_device "$1" "run_standalone_pretrain_cpu.sh ${*:3}"
    pretrain "$1" "$2" "${taken[@]}" launch
}

# `from_caller NAMES...`: the paths in these variables are relative to the caller, and from here on absolute.
from_caller() {
    local name
    for name in "$@"; do
        [ -z "${!name:-}" ] || printf -v "$name" %s "$(cd "$OLDPWD" && realpath -m "${!name}")"
    done
}

# `on_devices WORDS...`: by `launch`, or with DEVICE_NUM in that many processes.
on_devices() {
    if [ -n "${DEVICE_NUM:-}" ]; then
        launch_ranks --launcher msrun --device_num "$DEVICE_NUM" "$@"
    else
        launch "$@"
    fi
}

# `recompute_xnli DEFAULT_FLAGS... -- "$@"`: PaddlePaddle's fine-tuning with recompute, by the variables of its scripts.
recompute_xnli() {
    local paths=()
    split "$@"
    from_caller PRETRAINED_CKPT_PATH bert_config_path vocab_path DATA_PATH CKPT_PATH
    [ -z "${PRETRAINED_CKPT_PATH:-}" ] || paths+=(--load_pretrain_checkpoint_path "$PRETRAINED_CKPT_PATH")
    [ -z "${bert_config_path:-}" ] || paths+=(--bert_config_file "$bert_config_path")
    [ -z "${vocab_path:-}" ] || paths+=(--vocab_file_path "$vocab_path")
    [ -z "${DATA_PATH:-}" ] || paths+=(--data_dir "$DATA_PATH")
    [ -z "${CKPT_PATH:-}" ] || paths+=(--save_finetune_checkpoint_path "$CKPT_PATH")
    on_devices classfier_log.txt run_classifier.py \
        --device_target auto \
        --config_path configs/classifier_xnli.yaml \
        --do_train true \
        --do_eval true \
        --use_recompute true \
        --save_checkpoint_steps 1000 \
        "${paths[@]}" \
        "${words[@]}" \
        -- "${rest[@]}"
}

# `squad_gcu LAUNCH... -- "$@"`: Enflame's recipe by `launch` or `launch_ranks`, with the data in DATA_PATH, relative to the caller.
squad_gcu() {
    local how found shape=()
    split "$@"
    how=("${words[@]}")
    DATA_PATH="${DATA_PATH:-}"
    [ -z "$DATA_PATH" ] || DATA_PATH="$(cd "$OLDPWD" && realpath -m "$DATA_PATH")"
    if [ ! -d "$DATA_PATH/checkpoint" ] || [ ! -d "$DATA_PATH/squad" ]; then
        echo "error: DATA_PATH=$DATA_PATH: a folder that holds checkpoint/ and squad/ is expected" >&2
        exit 2
    fi
    found=("$DATA_PATH"/checkpoint/*.pt)
    if [ ${#found[@]} -ne 1 ] || [ ! -f "${found[0]}" ]; then
        echo "error: $DATA_PATH/checkpoint: one .pt is expected, here are: ${found[*]##*/}" >&2
        exit 2
    fi
    if ! compgen -G "$DATA_PATH/checkpoint/*config.json" >/dev/null; then
        shape=(--bert_config_file configs/networks/bert_large.json)
    fi
    "${how[@]}" squad_log.txt run_squad.py \
        --device_target auto \
        --do_train \
        --do_eval \
        --do_predict \
        --init_checkpoint "${found[0]}" \
        "${shape[@]}" \
        --data_dir "$DATA_PATH/squad" \
        --do_lower_case \
        --max_seq_length 384 \
        --doc_stride 128 \
        --train_batch_size 8 \
        --eval_batch_size 8 \
        --num_train_epochs 2 \
        --optimizer.name AdamWeightDecay \
        --optimizer.schedule linear \
        --learning_rate 3e-5 \
        --weight_decay 0.01 \
        --seed 1 \
        --skip_steps 5 \
        --print_freq 20 \
        -- "${rest[@]}"
}
