"""A bash script that starts a host's processes and waits for them, as --dry_run prints it."""

import os
import shlex
from pathlib import Path
from signal import SIGINT, SIGTERM

from src.launch.commands import Job, Process

_START = """\
#!/usr/bin/env bash
# {title}
cd {folder} || exit 2
unset -v {unset} # another launcher's
"""

_LISTENING = """
# ranks that start before the scheduler listens are slow to find it; 0A: listening
for _ in {{1..120}}; do
    grep -qiE ":{port:04X} [0-9A-F]+:0000 0A" /proc/net/tcp /proc/net/tcp6 2>/dev/null && break
    sleep 0.5
done
"""

# a rank that hangs in a framework call ignores SIGTERM, hence SIGKILL at the deadline
_WAIT = """
# wait for all; when one fails, end the others and return its code
asked=0 code=0 deadline=
trap 'asked=143; kill -{term} "${{!ranks[@]}}"' TERM
trap 'asked=130; kill -{interrupt} "${{!ranks[@]}}"' INT
while [ "${{#ranks[@]}}" -gt 0 ]; do
    sleep 0.5
    for pid in "${{!ranks[@]}}"; do
        kill -0 "$pid" 2>/dev/null && continue
        wait "$pid"
        ended=$?
        [ "$ended" -eq 0 ] || echo "${{ranks[pid]}} ended with code $ended" >&2
        unset "ranks[$pid]"
        if [ "$ended" -ne 0 ] && [ "$code" -eq 0 ]; then
            code=$ended
            if [ "$asked" -eq 0 ]; then
                deadline=$((SECONDS + 10))
                kill "${{!ranks[@]}}" 2>/dev/null
            fi
        fi
    done
    [ -z "$deadline" ] || [ "$SECONDS" -lt "$deadline" ] || kill -KILL "${{!ranks[@]}}" 2>/dev/null
done
"""

_HIDDEN_CODES = '[ "$code" -ne 0 ] || code=$asked # mpirun hides that its ranks were asked to stop\n'
_END_SCHEDULER = """\
kill -KILL "$scheduler" 2>/dev/null
wait "$scheduler" 2>/dev/null
"""
_WAIT_FOR_OTHER_HOSTS = '[ "$code" -ne 0 ] || wait "$scheduler" # ranks of other hosts may still need it\n'


def as_script(job: Job, folder: Path | str, title: str) -> str:
    """The script that runs a job.

    Args:
        folder: the folder that relative paths start from.
        title: one line for the script's head.
    """
    parts = [_START.format(title=title, folder=shlex.quote(str(folder)), unset=" ".join(job.unset))]
    if job.scheduler:
        parts += [_start(job.scheduler), "scheduler=$!\n", _LISTENING.format(port=job.port)]
    for process in job.ranks:
        parts += [_start(process), f"ranks[$!]={shlex.quote(process.name)}\n"]
    signals = job.ranks[0].signals
    term = signals.get(SIGTERM, SIGTERM).name.removeprefix("SIG")
    interrupt = signals.get(SIGINT, SIGINT).name.removeprefix("SIG")
    parts.append(_WAIT.format(term=term, interrupt=interrupt))
    if signals:
        parts.append(_HIDDEN_CODES)
    if job.scheduler:
        parts += [_WAIT_FOR_OTHER_HOSTS] if job.serves_others else []
        parts.append(_END_SCHEDULER)
    return "".join([*parts, 'exit "$code"\n'])


def _start(process: Process) -> str:
    """Lines that start one process in the background."""
    folder = os.path.dirname(process.log)
    words = shlex.join(process.command)
    variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in process.environment.items())
    lines = ["", f"# {process.name}"]
    if folder:
        lines.append(f"mkdir -p {shlex.quote(folder)}")
    if "$" in words:
        lines.append("# shellcheck disable=SC2016 # for the bash of each rank")
    return "\n".join([*lines, f"{variables} \\", f"    {words} \\", f"    >{shlex.quote(process.log)} 2>&1 &", ""])
