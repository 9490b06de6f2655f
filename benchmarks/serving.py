"""Requests a second of the server and of one PyTorch call for each request behind FastAPI, by many clients at once, on real sentences.

    .venv/bin/python benchmarks/serving.py --bundle sst2/serving --checkpoint sst2 --rounds 3

Each request has one sentence of SST-2's development file ($BERT_TEST_DATA). Servers take turns; each may use cores 0 and 1, the
clients, one process, are pinned to core 1, and their CPU time is told. The peer, benchmarks/peer_serving.py in .venv-torch (with fastapi,
uvicorn, httptools and uvloop), gets the same weights by python -m src.convert. Figures are medians of the rounds. Prints one JSON line.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("BERT_TEST_DATA", ROOT.parent / "shared/data"))
TORCH = ROOT / ".venv-torch/bin/python"
FIRST_PORT, CORES, CLIENT_CORE = 8411, "0,1", 1


def read_bodies():
    """Requests as bytes, one for each sentence."""
    sentences = [line.split("\t")[0] for line in (DATA / "sst2/dev.tsv").read_text(encoding="utf-8").splitlines()[1:]]
    return [json.dumps({"instances": [sentence]}).encode() for sentence in sentences]


def start(command, port):
    """A server's process, which answers."""
    process = subprocess.Popen(["taskset", "-c", CORES, *map(str, command)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz").read()
            return process
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"no answer of {' '.join(map(str, command))}")


async def run_client(port, path, bodies, latencies):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for body in bodies:
        started = time.perf_counter()
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        )
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b" 200 " not in head[:20]:
            raise SystemExit(head.decode())
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length"))
        await reader.readexactly(length)
        latencies.append(time.perf_counter() - started)
    writer.close()


async def load(port, path, bodies, clients, requests):
    """Requests a second, latencies in ms, CPU seconds of the clients."""
    chosen, latencies = random.Random(1).choices(bodies, k=requests), []
    before, started = time.process_time(), time.perf_counter()
    await asyncio.gather(*(run_client(port, path, chosen[number::clients], latencies) for number in range(clients)))
    seconds = time.perf_counter() - started
    latencies.sort()
    quantile = {f"p{share}_ms": 1000 * latencies[len(latencies) * share // 100] for share in (50, 99)}
    return {"requests_per_s": requests / seconds, **quantile, "client_cpu_ms": 1000 * (time.process_time() - before) / requests}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", required=True, help="of a classifier of single texts, with int8 for that row")
    parser.add_argument("--checkpoint", required=True, help="folder of the same weights, for the peer")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    bodies, name = read_bodies(), json.loads((Path(options.bundle) / "bundle.json").read_text())["name"]
    graphs = json.loads((Path(options.bundle) / "bundle.json").read_text())["graphs"]
    with tempfile.TemporaryDirectory() as folder:
        convert = [
            sys.executable,
            "-m",
            "src.convert",
            "--from",
            "mindspore",
            "--to",
            "huggingface",
            "--input",
            options.checkpoint,
            "--output",
            folder,
        ]
        subprocess.run(convert, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        rows = {}
        for kind in graphs:
            command = [sys.executable, "-m", "src.serve", "--bundle", options.bundle, "--graph", kind, "--port"]
            rows[kind] = (command, f"/v1/models/{name}:predict")
        if TORCH.exists():
            for threads in (1, 2):  # of each call
                command = ["env", f"OMP_NUM_THREADS={threads}", TORCH, "benchmarks/peer_serving.py", folder]
                rows[f"pytorch, {threads} threads"] = (command, "/v1/models/peer:predict")
        os.sched_setaffinity(0, {CLIENT_CORE})
        found = {row: [] for row in rows}
        for number in range(options.rounds):
            for place, (row, (command, path)) in enumerate(rows.items()):
                port = FIRST_PORT + number * len(rows) + place
                process = start([*command, str(port)], port)
                asyncio.run(load(port, path, bodies, options.clients, options.requests // 10))  # warm
                found[row].append(asyncio.run(load(port, path, bodies, options.clients, options.requests)))
                process.terminate()
                process.wait()
    result = {row: {key: round(statistics.median(run[key] for run in runs), 2) for key in runs[0]} for row, runs in found.items()}
    peers = [figures["requests_per_s"] for row, figures in result.items() if row not in graphs]
    for row in graphs if peers else ():
        result[row]["times_pytorch"] = round(result[row]["requests_per_s"] / max(peers), 2)
    print(json.dumps({"clients": options.clients, "requests": options.requests, "rounds": options.rounds, **result}))


if __name__ == "__main__":
    main()
