#!/usr/bin/env bash
# Pretrain on the Ascends of this server, with the flags of scripts/ascend_distributed_launcher/hyper_parameter_config.ini; flags
# behind the paths win. HCCL_JSON: rank table of all servers; without it one is made of all devices of this server.
#   bash scripts/run_distributed_pretrain_ascend.sh /path/cn-wiki-128 [/path/hccl.json] [--background] [--dry_run] [--flag value]...
# Log: pretraining_log.txt, and one of each process in LOG0/, LOG1/ and so on.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/launch.sh

take DATA_DIR HCCL_JSON "/path/cn-wiki-128 /path/hccl.json" "$@"
table="$optional"
[[ -n "$table" && " $* " == *" --dry_run "* ]] || need_device Ascend "run_distributed_pretrain_cpu.sh 2 ${taken[0]}"
ulimit -s 302400 2>/dev/null || true # the graph compiler recurses deeply

own=() # how the caller says which server this is
for ((i = 0; i < ${#rest[@]}; i++)); do
    case "${rest[i]}" in
    --server_ip | --hccn_config_file) own+=("${rest[i]}" "${rest[i + 1]:-}") ;;
    --server_ip=* | --hccn_config_file=*) own+=("${rest[i]}") ;;
    esac
done
if [ -z "$table" ]; then
    mapfile -t devices < <(compgen -G "/dev/davinci[0-9]*" | tr -dc '0-9\n' | sort -n)
    visible="$(IFS=,; echo "${devices[*]}")"
    table="$("$python" -m src.launch.rank_table generate --visible_devices "$visible" --device_num "[0,${#devices[@]})" "${own[@]}")"
    echo "rank table of this server: $table"
fi
"$python" -m src.launch.rank_table validate "$table" "${own[@]}" >&2 || exit 2
lines="$("$python" -m src.launch.hyper_parameters scripts/ascend_distributed_launcher/hyper_parameter_config.ini)"
mapfile -t settings <<<"$lines"
launch_ranks --rank_table "$table" pretraining_log.txt run_pretrain.py \
    --device_target Ascend \
    --data_dir "${taken[0]}" \
    "${settings[@]}" \
    -- "${rest[@]}"
