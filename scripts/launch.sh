# Sourced by the launchers: `launch LOG SCRIPT DEFAULT_FLAGS... -- "$@"` runs SCRIPT with the flags, the caller's
# behind the defaults so that they win. Output goes to the terminal and to LOG; the exit code is the script's own.
# The caller's arguments: [DEVICE_ID] [--background] [--flag value]...

launch() {
    local log="$1" script="$2" python=python background=false defaults=() given=()
    shift 2
    while [ "$1" != -- ]; do
        defaults+=("$1")
        shift
    done
    shift
    if [[ "${1:-}" =~ ^[0-9]+$ ]]; then
        defaults+=(--device_id "$1")
        shift
    fi
    for argument in "$@"; do
        if [ "$argument" = --background ]; then background=true; else given+=("$argument"); fi
    done
    [ -x .venv/bin/python ] && python=.venv/bin/python
    set -- "$python" "$script" "${defaults[@]}" "${given[@]}"
    if [ "$background" = true ]; then
        nohup "$@" >"$log" 2>&1 </dev/null &
        echo "started process $!; its output goes to $log"
    else
        : >"$log"
        exec "$@" > >(tee -ia "$log") 2> >(tee -ia "$log" >&2) # in this process's place: signals reach it, its exit code is ours
    fi
}

# `pretrain_standalone TARGET SINK_STEPS "$@"`: the model zoo's pretraining on one device.
# The caller's arguments: DEVICE_ID EPOCH_SIZE DATA_DIR [SCHEMA_DIR] [--background] [--flag value]...
pretrain_standalone() {
    local target="$1" sink_steps="$2" script schema=()
    script="$(basename "$0")"
    shift 2
    if [ $# -lt 3 ] || [[ "$1$2$3" == *--* ]]; then
        echo "usage: bash scripts/$script DEVICE_ID EPOCH_SIZE DATA_DIR [SCHEMA_DIR] [--background] [--flag value]..." >&2
        echo "for example: bash scripts/$script 0 1 /path/cn-wiki-128" >&2
        exit 2
    fi
    if [ "$target" = Ascend ] && ! compgen -G "/dev/davinci*" >/dev/null ||
        [ "$target" = GPU ] && ! compgen -G "/dev/nvidia[0-9]*" >/dev/null; then
        echo "error: no $target device on this machine; on the CPU: bash scripts/run_standalone_pretrain_cpu.sh $*" >&2
        exit 2
    fi
    local device="$1" epochs="$2" data="$3"
    shift 3
    if [ $# -gt 0 ] && [[ "$1" != --* ]]; then
        schema=(--schema_dir "$1")
        shift
    fi
    launch pretraining_log.txt run_pretrain.py \
        --device_target "$target" \
        --device_id "$device" \
        --epoch_size "$epochs" \
        --data_dir "$data" "${schema[@]}" \
        --data_sink_steps "$sink_steps" \
        --save_checkpoint_steps 10000 \
        -- "$@"
}
