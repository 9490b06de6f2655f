#!/usr/bin/env bash
# Pretrain on the Ascends of this server, with the flags of scripts/ascend_distributed_launcher/hyper_parameter_config.ini; flags
# behind the paths win. HCCL_JSON: rank table of all servers; without it the ranks find each other by msrun's variables.
#   bash scripts/run_distributed_pretrain_ascend.sh /path/cn-wiki-128 [/path/hccl.json] [--background] [--dry_run] [--flag value]...
# Log: pretraining_log.txt, and one of each process in LOG0/, LOG1/ and so on.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/launch.sh

take DATA_DIR HCCL_JSON "/path/cn-wiki-128 /path/hccl.json" "$@"
table="$optional"
[[ -n "$table" && " $* " == *" --dry_run "* ]] || need_device Ascend "run_distributed_pretrain_cpu.sh 2 ${taken[0]}"
ulimit -s 302400 2>/dev/null || true # the graph compiler recurses deeply

how=()
if [ -n "$table" ]; then
    own=() # how the caller says which server this is
    for ((i = 0; i < ${#rest[@]}; i++)); do
        case "${rest[i]}" in
        --server_ip | --hccn_config_file) own+=("${rest[i]}" "${rest[i + 1]:-}") ;;
        --server_ip=* | --hccn_config_file=*) own+=("${rest[i]}") ;;
        esac
    done
    "$python" -m src.launch.rank_table validate "$table" "${own[@]}" >&2 || exit 2
    how=(--rank_table "$table")
fi
lines="$("$python" -m src.launch.hyper_parameters scripts/ascend_distributed_launcher/hyper_parameter_config.ini)"
mapfile -t settings <<<"$lines"
launch_ranks "${how[@]}" pretraining_log.txt run_pretrain.py \
    --device_target Ascend \
    --data_dir "${taken[0]}" \
    "${settings[@]}" \
    -- "${rest[@]}"
