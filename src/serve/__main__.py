"""Serve a bundle over HTTP.

    python -m src.serve --bundle FOLDER --port 8000

POST /v1/models/NAME:predict with {"instances": [...]}; a page to try it at /, the interface at /docs, metrics at /metrics.
The first SIGTERM or Ctrl-C closes the server to new requests, finishes those it has accepted and ends with exit code 0;
the second ends it at once.
"""

import dataclasses
import gc
import sys
from collections.abc import Callable
from typing import Any

from src import signals
from src.cli import Parser, bad_input_exits
from src.log import logger
from src.serve.limits import Limits

_MAX_THREADS = 1024  # far more than useful; onnxruntime would start any number
_RECURSION = 1000  # Python's default, which MindSpore raises: clients may send deeply nested JSON


def main(argv: list[str] | None = None, open_bundle: Callable[..., Any] | None = None) -> None:
    """Open a bundle and serve it.

    Args:
        argv: command line, default sys.argv[1:].
        open_bundle: replaces Bundle in tests.
    """
    with bad_input_exits():
        options = _parse(argv)
        limits = Limits(**{field.name: getattr(options, field.name) for field in dataclasses.fields(Limits)})
        _serve(options, limits, open_bundle)


def _serve(options, limits, open_bundle):
    signals.watch()  # before any thread exists
    try:
        from src.serve.app import make_app  # after the options are checked: these imports take a second
        from src.serve.server import Server, open_socket
    except ImportError as error:
        raise ValueError(f"{error}: pip install -r requirements-serve.txt") from None

    if open_bundle is None:
        from src.bundle.model import Bundle

        open_bundle = Bundle
    listening = open_socket(options.host, options.port)
    bundle = open_bundle(options.bundle, options.graph, options.threads)
    sys.setrecursionlimit(_RECURSION)
    names = [name for part in options.allowed_hosts.split(",") if (name := part.strip())]
    app = make_app(bundle, limits, options.name, [*names, options.host])
    gc.collect()
    gc.freeze()  # or each full collection walks everything that was imported and stops all requests for 50 ms
    host, port = listening.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    name = bundle.name if options.name is None else options.name
    Server(app, lambda: logger.info("serving %s at %s graph=%s", name, url, bundle.graph)).run([listening])


def _parse(argv):
    parser = Parser(prog="python -m src.serve", description=__doc__)
    parser.add_argument("--bundle", required=True, metavar="FOLDER", help="written by python -m src.export")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for all [%(default)s]")
    hosts_help = (
        "names under which clients may call the server, besides addresses, localhost and this host's name; commas between, * for any"
    )
    parser.add_argument("--allowed_hosts", default="", metavar="NAMES", help=hosts_help)
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one [%(default)s]")
    parser.add_argument("--name", help="name of the model in the paths [the bundle's]")
    parser.add_argument("--graph", choices=("onnx", "int8", "mindir"), help="which of the bundle's graphs to run [its first]")
    parser.add_argument("--threads", type=int, default=0, help="threads of the compute engine; 0 takes one per core [%(default)s]")
    texts = {
        "max_batch_tokens": "tokens of a batch, padding included",
        "max_wait_ms": "milliseconds that a batch waits for incoming requests",
        "max_body_bytes": "size of a request's body; 413 above",
        "max_instances": "instances of a request; 422 above",
        "max_text_chars": "characters of a text; 422 above",
        "max_queue": "rows that wait; 429 above",
        "max_held_bytes": "size of the bodies of all requests in progress; 429 above",
    }
    for field in dataclasses.fields(Limits):
        parser.add_argument(f"--{field.name}", type=field.type, default=field.default, help=f"{texts[field.name]} [%(default)s]")
    options = parser.parse_args(argv)
    if not 0 <= options.threads <= _MAX_THREADS:
        raise ValueError(f"--threads {options.threads}: 0 to {_MAX_THREADS} is expected")
    return options


if __name__ == "__main__":
    main()
