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
