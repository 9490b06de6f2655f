"""The check of a rank table; it needs the standard library only."""

import subprocess
import sys

from src.doctor.finding import OK, TO_DO, Finding


def check_rank_table(path: str) -> Finding:
    """The findings of `python -m src.launch.rank_table validate`."""
    command = [sys.executable, "-m", "src.launch.rank_table", "validate", path]
    done = subprocess.run(command, capture_output=True, text=True)
    said = [*done.stdout.splitlines(), *done.stderr.splitlines()] or ["nothing is said"]
    return Finding(TO_DO if done.returncode else OK, "rank table", "; ".join(said))
