"""Predict the instances of a file with a bundle or a running server; writes one line of JSON for each, in the order of the file.

    python -m src.predict --bundle cola_bundle --input sentences.txt --output predictions.jsonl --top_k 2
    python -m src.predict --server http://127.0.0.1:8000/v1/models/cola --input sentences.txt --output predictions.jsonl

The file, plain or .gz, has one instance per line. In a .jsonl or .json file that is JSON, as a client would send it, and blank lines are
skipped; or the file is one array of instances. In any other it is a text, followed by a tab and a second text if the model takes pairs.
Questions may also be in SQuAD's format (.json); their answers then have the question's id.
"""

import json
import re
import time
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from src import encodings, signals
from src.cli import Parser, bad_input_exits
from src.files import GZIP, text_limit, written_whole
from src.log import logger, progress
from src.tasks.squad.file import MAX_CONTEXT_CHARS, read_squad
from src.text.json_rows import parse_values
from src.text.lines import read_lines

_SECONDS = 120  # time limit of a call to a server
_MAX_BATCH = 1_000_000  # instances
_TRIES = 20  # calls to a busy server
Predict = Callable[[list[Any], int | None], list[dict[str, Any]]]  # (instances, top_k) -> results


def main(argv: list[str] | None = None) -> None:
    """Parse, read, predict, write."""
    with bad_input_exits():
        options = _parse(argv)
        path = Path(options.input)
        started = time.perf_counter()
        count = 0
        path.stat()  # an absent file is named before a model is opened
        _check_output(Path(options.output), path)
        predict, takes_pairs = open_server(options.server) if options.server else open_bundle(options.bundle, options.graph)
        text_limit(options.max_text_mb << 20)
        encoding = encodings.check_encoding(options.encoding)
        instances, ids = read_instances(path, takes_pairs, encoding), None
        if _is_squad(path, encoding):
            instances, ids = _read_questions(path, encoding, options.max_context_chars)
        first = list(islice(instances, options.batch_size))
        if not first:
            raise ValueError(f"{path}: no instance in it")
        with written_whole(options.output) as temporary, open(temporary, "w", encoding="utf-8") as file:
            bar = progress(unit="rows")
            if not bar.disable:
                bar.total = len(ids) if ids else count_instances(path, encoding)
            for batch in chain([first], iter(lambda: list(islice(instances, options.batch_size)), [])):
                for number, result in enumerate(_ask(predict, batch, options.top_k, path, count, ids)):
                    result = {"id": ids[count + number], **result} if ids else result
                    file.write(json.dumps(result, ensure_ascii=False) + "\n")
                count += len(batch)
                bar.update(len(batch))
            bar.close()
    rate = count / (time.perf_counter() - started)
    logger.info(f"wrote {options.output} rows={count} rows_per_s={rate:.1f}")


def _parse(argv):
    parser = Parser(prog="python -m src.predict", description=__doc__)
    by = parser.add_mutually_exclusive_group(required=True)
    by.add_argument("--bundle", metavar="FOLDER", help="written by python -m src.export")
    by.add_argument("--server", metavar="URL", help="address of a served model, such as http://127.0.0.1:8000/v1/models/NAME")
    parser.add_argument("--input", required=True, metavar="FILE")
    parser.add_argument("--output", required=True, metavar="FILE", help="JSON lines")
    parser.add_argument("--top_k", type=int, metavar="K", help="number of classes or answers to report, the most probable first")
    parser.add_argument("--graph", choices=("onnx", "int8", "mindir"), help="which of the bundle's graphs to run; default: its first")
    parser.add_argument(
        "--max_text_mb", type=int, default=1024, metavar="N", help="largest size that a .gz file may unpack to [%(default)s]"
    )
    chars_help = "maximum length of a question's text in characters [%(default)s]"
    parser.add_argument("--max_context_chars", type=int, default=MAX_CONTEXT_CHARS, metavar="N", help=chars_help)
    parser.add_argument("--encoding", metavar="NAME", help=encodings.HELP)
    parser.add_argument("--batch_size", type=int, default=64, metavar="N", help="instances per call [%(default)s]")
    options = parser.parse_args(argv)
    for name in ("bundle", "server", "input", "output"):
        if getattr(options, name) == "":
            raise ValueError(f"--{name} is empty")
    if options.server and options.graph:
        raise ValueError("--graph is for --bundle; a server has chosen its own")
    if not 1 <= options.batch_size <= _MAX_BATCH:
        raise ValueError(f"--batch_size must be 1 to {_MAX_BATCH}")
    for name in ("top_k", "max_text_mb", "max_context_chars"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            raise ValueError(f"--{name} must be 1 or more")
    return options


def _check_output(output, path):
    """Check that results can be written to `output` without replacing the input."""
    if output.is_dir():
        raise ValueError(f"--output {output}: is a folder; a file is expected")
    if output.exists() and output.samefile(path):
        raise ValueError(f"--output {output}: is the input; give another file")


def _is_json(path, *endings):
    return path.name.removesuffix(".gz").lower().endswith(endings)


def _is_squad(path, encoding):
    """Whether a .json file has SQuAD's form, one object with "data", and not an instance a line or an array of them."""
    if not _is_json(path, ".json"):
        return False
    first = next((line for _, line in read_lines(path, encoding) if line.strip()), "")
    try:
        found = json.loads(first.rstrip().removesuffix(","))
    except (ValueError, RecursionError):  # an object of several lines, or damaged
        return first.lstrip().startswith("{")
    return isinstance(found, dict) and "data" in found


def _read_questions(path, encoding, max_context_chars):
    """The instances of a file in SQuAD's format, and the ids of its questions."""
    questions = read_squad(path, encoding, max_context_chars)
    return ({"question": each.text or "", "context": each.context or ""} for each in questions), [each.id for each in questions]


def read_instances(path: Path, takes_pairs: bool, encoding: str | None = None) -> Iterator[Any]:
    """The instance in each line of a file, or each element of a JSON array; blank lines of JSON are skipped.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not JSON, or in another encoding; with the line.
    """
    if _is_json(path, ".jsonl", ".json"):
        for number, _, instance in parse_values(path, read_lines(path, encoding)):
            _check_instance(path, number, instance)
            yield instance
        return
    for _, line in read_lines(path, encoding):
        if takes_pairs and "\t" in line:
            first, second = line.split("\t", 1)
            yield {"text_a": first, "text_b": second}
        else:
            yield line


def _check_instance(path, number, instance):
    try:
        json.dumps(instance, ensure_ascii=False, allow_nan=False).encode()  # raises on NaN or a lone surrogate, which no request can hold
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}:{number}: not JSON: {error}") from None


def count_instances(path: Path, encoding: str | None = None) -> int | None:
    """The number of instances in a file of lines; None if it is compressed, a pipe, which can be read only once, or may be an array."""
    if not path.is_file() or _is_json(path, ".json"):
        return None
    with open(path, "rb") as file:
        if file.read(len(GZIP)) == GZIP:
            return None
    return sum(1 for _, line in read_lines(path, encoding) if path.suffix != ".jsonl" or line.strip())


def _ask(predict, batch, top_k, path, done, ids):
    try:
        return predict(batch, top_k)
    except (ValueError, FloatingPointError, RuntimeError) as error:  # the last two mean that the graph fails on these texts
        index = re.search(r"instances\[(\d+)\]", str(error))
        question = f", question {ids[done + int(index[1])]}" if ids and index else ""
        raise ValueError(f"{path}, instances {done} to {done + len(batch) - 1}{question}: {error}") from error


def open_bundle(folder: str, graph: str | None) -> tuple[Predict, bool]:
    """A function that predicts, and whether the model takes pairs."""
    from src.bundle.model import Bundle  # whose libraries a client of a server does not need

    bundle = Bundle(folder, graph)
    return lambda instances, top_k: bundle.predict(instances, top_k=top_k), bundle.settings.get("pairs", False)


def open_server(url: str) -> tuple[Predict, bool]:
    """A function that predicts, and whether the model takes pairs."""
    try:
        import httpx
    except ImportError:
        raise ValueError("--server: httpx is not installed: pip install -r requirements-serve.txt") from None

    url = url.rstrip("/")
    client = httpx.Client(timeout=_SECONDS)

    def ask(method: str, address: str, **body: Any) -> dict[str, Any]:
        for _ in range(_TRIES):
            try:
                answer = client.request(method, address, **body)
                content = answer.json()
            except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
                raise ValueError(f"{url}: no answer of a model, whose address is http://HOST:PORT/v1/models/NAME: {error}") from None
            if answer.status_code != httpx.codes.TOO_MANY_REQUESTS:
                break
            time.sleep(float(answer.headers.get("Retry-After", 1)))
        if answer.status_code != httpx.codes.OK or not isinstance(content, dict):
            reason = content.get("error", content) if isinstance(content, dict) else content
            raise ValueError(f"{url}: {answer.status_code}: {reason}")
        return content

    def predict(instances: list[Any], top_k: int | None) -> list[dict[str, Any]]:
        body = {"instances": instances} | ({"parameters": {"top_k": top_k}} if top_k else {})
        predictions = ask("POST", f"{url}:predict", json=body).get("predictions")
        if (
            not isinstance(predictions, list)
            or len(predictions) != len(instances)
            or not all(isinstance(each, dict) for each in predictions)
        ):
            raise ValueError(f"{url}: its answer does not have one prediction for each of {len(instances)} instances")
        return predictions

    return predict, ask("GET", url).get("pairs", False)


if __name__ == "__main__":
    signals.watch()
    main()
