"""Check whether this machine, weights and a rank table are ready: `python -m src.doctor`.

Each line begins with ok, with note where something works less well than it could, or with "to do" where something will not work.
Exit code 0: nothing to do; 1: something; 2: bad flags.
"""

import os
import sys
from collections.abc import Iterator, Sequence

from src.cli import EXIT_CHECK_FAILED, Parser, bad_input_exits, printable
from src.doctor import framework, machine, rank_table
from src.doctor.finding import TO_DO, Finding


def main(argv: Sequence[str] | None = None) -> None:
    """Print each finding as it is made."""
    with bad_input_exits():
        parser = Parser(prog="python -m src.doctor", description=__doc__)
        parser.add_argument("--checkpoint", metavar="PATH", help="weights that a run would be given: a folder, or a file in any format")
        parser.add_argument("--rank_table_file", metavar="FILE", help="rank table; default: that of RANK_TABLE_FILE, if it is set")
        options = parser.parse_args(argv)
        kinds = []
        for kind, subject, text in _check(options.checkpoint, options.rank_table_file or os.environ.get("RANK_TABLE_FILE")):
            print(f"{kind:5}  {subject}: {printable(text)}", flush=True)
            kinds.append(kind)
    if TO_DO in kinds:
        sys.exit(EXIT_CHECK_FAILED)


def _check(checkpoint: str | None, table: str | None) -> Iterator[Finding]:
    yield machine.check_python()
    yield from machine.check_packages()
    yield machine.check_processor()
    yield machine.check_memory()
    yield from machine.check_disk()
    yield from framework.check_framework()
    if checkpoint:
        try:
            from src.doctor.weights import check_weights
        except ImportError as error:
            yield Finding(TO_DO, "weights", f"not checked: {error}")
        else:
            yield from check_weights(checkpoint)
    if table:
        yield rank_table.check_rank_table(table)


if __name__ == "__main__":
    main()
