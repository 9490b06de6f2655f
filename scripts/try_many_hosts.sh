#!/usr/bin/env bash
# Try training on two hosts, which are network namespaces of this machine, joined by a virtual cable, each with a folder of its own in
# the same place: no host sees the other's files. Two processes on the CPU, one on each host, must train as two on one host do: by
# src.launch.local; resumed, after SIGTERM to one host and after a rank died; and by the variables that mpirun sets.
# Needs root, iproute2 and util-linux. Takes about four minutes; nothing is left behind but, after a failure, the logs.
#   bash scripts/try_many_hosts.sh
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/launch.sh

STEPS=300 CLOSE=1e-5 # updates of a training, some seconds; bound of the difference of losses: sums may be in another order
PATIENCE=60          # seconds until a host must have noticed that the other's rank died: MindSpore's scheduler waits 30
ADDRESSES=(10.77.0.1 10.77.0.2)
SCHEDULER="${ADDRESSES[0]}:8118"
hosts=("try$$-0" "try$$-1") # of this run alone

refuse() {
    echo "error: $1" >&2
    exit 2
}
[ "$(id -u)" = 0 ] || refuse "only root makes network namespaces"
for program in ip unshare taskset; do
    command -v "$program" >/dev/null || refuse "$program is not on PATH; install iproute2 and util-linux"
done
python="$(realpath -s "$(command -v "$python")" 2>/dev/null)" || refuse "there is no python; bash scripts/setup.sh installs one"
work="$(mktemp -d)"

clean_up() {
    local code=$? host
    for host in "${hosts[@]}"; do
        ip netns pids "$host" 2>/dev/null | xargs -r kill -KILL 2>/dev/null || true
        ip netns delete "$host" 2>/dev/null || true # and with it the cable
    done
    if [ "$code" = 0 ]; then rm -rf "$work"; else echo "exit code $code; logs: $work/host0 and $work/host1" >&2; fi
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

make_hosts() {
    local number
    for number in 0 1; do
        mkdir -p "$work/host$number"
        ip netns add "${hosts[number]}"
        ip -n "${hosts[number]}" link set lo up
    done
    mkdir "$work/here"
    ip link add wire netns "${hosts[0]}" type veth peer name wire netns "${hosts[1]}"
    for number in 0 1; do
        ip -n "${hosts[number]}" address add "${ADDRESSES[number]}/24" dev wire
        ip -n "${hosts[number]}" link set wire up
    done
}

# A table to learn from, a vocabulary and the shape of a small network, as they would be copied to every host.
make_data() {
    "$python" - "$work/host0" "$work/host1" <<'PYTHON'
import json, random, sys
from pathlib import Path

words = "the a cat dog sat ran fast on mat tree big small red fun".split()
shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 32}
dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
for host in map(Path, sys.argv[1:]):
    choice = random.Random(1)
    rows = [" ".join(choice.choices(words, k=choice.randrange(3, 12))) for _ in range(53)]
    table = ["label\ttext", *(f"{'fun' in row:d}\t{row}" for row in rows)]
    (host / "train.tsv").write_text("\n".join(table) + "\n", encoding="utf-8")
    (host / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    (host / "bert_config.json").write_text(json.dumps({**shape, **dropout, "vocab_size": len(vocabulary)}), encoding="utf-8")
PYTHON
}

# `on HOST COMMAND...`: there, with that host's folder in $work/here.
on() {
    local script="mount --bind '$work/host$1' '$work/here' && for other in 0 1; do mount -t tmpfs none '$work/host'\$other; done"
    ip netns exec "${hosts[$1]}" unshare --mount bash -c "$script && exec \"\$@\"" bash "${@:2}"
}

# `classify NAME FLAGS...`: into `command` a training with its results in NAME of the host's folder.
classify() {
    command=(
        run_classifier.py --device_target CPU --task_name custom --columns "text_a=text,label=label" --do_train true --do_eval true
        --train_data_file_path "$work/here/train.tsv" --eval_data_file_path "$work/here/train.tsv" --vocab_file_path "$work/here/vocab.txt"
        --bert_config_file "$work/here/bert_config.json" --seq_length 16 --bucket_list 16 --train_batch_size 4
        --log_steps 1 --save_checkpoint_steps 20 --optimizer.learning_rate 1e-3 --optimizer.warmup_steps 2 --optimizer.decay_steps "$STEPS"
        --train_steps "$STEPS" --output_dir "$work/here/$1" "${@:2}"
    )
}

# `launch_on HOST NAME OPTIONS...`: `command` by the launcher, its logs in NAME-logs of the host's folder.
launch_on() {
    mkdir -p "$work/host$1/$2-logs"
    on "$1" env OMP_NUM_THREADS=1 "$python" -m src.launch.local --launcher msrun --log_dir "$work/here/$2-logs" "${@:3}" "${command[@]}" \
        >"$work/host$1/$2-logs/launcher.log" 2>&1
}

# `start_both NAME`: `command` by the launchers of both hosts, into `pids`.
start_both() {
    local number
    pids=()
    for number in 0 1; do
        launch_on "$number" "$1" --device_num 1 --num_hosts 2 --host_rank "$number" --scheduler "$SCHEDULER" &
        pids+=($!)
    done
}

# `collect CODES NAME`: wait for `pids`, which must end with these codes.
collect() {
    local pid code codes=()
    for pid in "${pids[@]}"; do
        code=0
        wait "$pid" || code=$?
        codes+=("$code")
    done
    [ "${codes[*]}" = "$1" ] || fail "$2: exit codes ${codes[*]} of host 0 and host 1, not $1"
}

# `signal_host_1 SIGNAL PROGRAM NAME`: once NAME has begun to train, to the process of `python PROGRAM` or `python -m PROGRAM`.
signal_host_1() {
    local limit=$((SECONDS + 60)) pid
    until grep -qs "step=30/" "$work/host0/$3-logs/LOG0/pretraining_log.txt"; do
        [ $SECONDS -lt $limit ] || fail "$3: no step 30 after a minute"
        sleep 0.1
    done
    for pid in $(ip netns pids "${hosts[1]}"); do
        if tr '\0' '\n' <"/proc/$pid/cmdline" | sed -n '2,3p' | grep -qFx -- "$2"; then kill -s "$1" "$pid"; fi
    done
}

# `resume NAME`: what has ended too early must end as if it had not.
resume() {
    classify "$1" --resume true
    start_both "$1"
    collect "0 0" "$1, resumed"
    grep -hq "resumed from " "$work/host0/$1-logs/LOG0/pretraining_log.txt" || fail "$1: host 0 has read no checkpoint"
    compare "$1"
}

fail() {
    echo "FAILED: $1" >&2
    exit 1
}

# `compare NAME`: the losses and the evaluation of NAME beside those of one host, and what host 1 was left with.
compare() {
    "$python" - "$work/host0/one" "$work/host0/$1" "$STEPS" "$CLOSE" <<'PYTHON' || fail "$1: not as on one host"
import json, sys
from pathlib import Path

def read(folder):
    records = map(json.loads, (Path(folder) / "log.jsonl").read_text(encoding="utf-8").splitlines())
    found = {f"loss of step {record['step']}": record["loss"] for record in records if "loss" in record and "step" in record}
    return found | {"evaluation's loss": json.loads((Path(folder) / "eval_results.json").read_text(encoding="utf-8"))["eval_loss"]}

one, two = map(read, sys.argv[1:3])
assert len(one) == int(sys.argv[3]) + 1, f"{sys.argv[1]} has only {sorted(one)}"
differing = [f"{name}: {one[name]:.8f} on one host, {two.get(name)} on two" for name in one]
distances = [abs(one[name] - two.get(name, float("inf"))) for name in one]
for text, distance in zip(differing, distances):
    if not distance <= float(sys.argv[4]):
        print(text, file=sys.stderr)
print(f"{Path(sys.argv[2]).name}: {len(one) - 1} losses and the evaluation's differ by {max(distances):.1e} at most")
sys.exit(not max(distances) <= float(sys.argv[4]))
PYTHON
    local found
    found="$(cd "$work/host1" && find "$1" -type f ! -path '*/cache/*' ! -name .lock 2>/dev/null || true)"
    [ -z "$found" ] || fail "$1: host 1 holds $found, where rank 0 alone writes results"
}

make_hosts
make_data

classify one
launch_on 0 one --device_num 2 || fail "one: exit code $?"
echo "one: two processes on one host: done"

classify two
start_both two
collect "0 0" two
compare two

classify stopped
start_both stopped
signal_host_1 TERM src.launch.local stopped
collect "143 143" stopped
resume stopped

classify killed
start_both killed
signal_host_1 KILL run_classifier.py killed
started=$SECONDS
collect "1 137" killed
seconds=$((SECONDS - started))
[ $seconds -le $PATIENCE ] || fail "killed: host 0 ended only after $seconds s"
echo "killed: rank 1 by SIGKILL on host 1; host 0 ended $seconds s later"
resume killed

classify mpirun
pids=()
for number in 0 1; do
    place=(OMPI_COMM_WORLD_SIZE=2 "OMPI_COMM_WORLD_RANK=$number" OMPI_COMM_WORLD_LOCAL_SIZE=1 OMPI_COMM_WORLD_LOCAL_RANK=0)
    on "$number" env "${place[@]}" OMP_NUM_THREADS=1 MS_SCHED_HOST="${ADDRESSES[0]}" "$python" "${command[@]}" \
        >"$work/host$number/mpirun.log" 2>&1 &
    pids+=($!)
done
collect "0 0" mpirun
compare mpirun
code=0
said="$(on 0 env "${place[@]}" "$python" "${command[@]}" 2>&1)" || code=$?
[ "$code" = 2 ] && [[ "$said" == *MS_SCHED_HOST* ]] || fail "mpirun without MS_SCHED_HOST: exit code $code: $said"
echo "mpirun without MS_SCHED_HOST: exit code 2, ${said##*error: }"
