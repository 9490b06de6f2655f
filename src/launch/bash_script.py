"""The processes of a host as a bash script that starts them and waits for them: what --dry_run prints."""

import os
import shlex
from signal import SIGINT, SIGTERM

_START = """\
#!/usr/bin/env bash
# {title}
cd {folder} || exit 2
unset -v {unset} # of another launcher
"""

_LISTENING = """
# ranks that come before the scheduler listens find it late; 0A: listening
for _ in {{1..120}}; do
    grep -qiE ":{port:04X} [0-9A-F]+:0000 0A" /proc/net/tcp /proc/net/tcp6 2>/dev/null && break
    sleep 0.5
done
"""

# a rank that hangs in a call of the framework does not act on SIGTERM
_WAIT = """
# waits for all; returns the first failing code; ends the others when one fails
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


def as_script(job, folder, title):
    """A runnable script.

    Args:
        job: a Job of src.launch.commands.
        folder: where paths start.
        title: one line for its head.
    """
    parts = [_START.format(title=title, folder=shlex.quote(str(folder)), unset=" ".join(job.unset))]
    if job.scheduler:
        parts += [_start(job.scheduler), "scheduler=$!\n", _LISTENING.format(port=job.port)]
    for process in job.ranks:
        parts += [_start(process), f"ranks[$!]={shlex.quote(process.name)}\n"]
    signals = job.ranks[0].signals
    term, interrupt = (signals.get(number, number).name.removeprefix("SIG") for number in (SIGTERM, SIGINT))
    parts.append(_WAIT.format(term=term, interrupt=interrupt))
    if signals:
        parts.append(_HIDDEN_CODES)
    if job.scheduler:
        parts += [_WAIT_FOR_OTHER_HOSTS] if job.serves_others else []
        parts.append(_END_SCHEDULER)
    return "".join([*parts, 'exit "$code"\n'])


def _start(process):
    """Lines that start one process in the background."""
    folder, words = os.path.dirname(process.log), shlex.join(process.command)
    variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in process.environment.items())
    lines = ["", f"# {process.name}"]
    if folder:
        lines.append(f"mkdir -p {shlex.quote(folder)}")
    if "$" in words:
        lines.append("# shellcheck disable=SC2016 # for the bash of each rank")
    return "\n".join([*lines, f"{variables} \\", f"    {words} \\", f"    >{shlex.quote(process.log)} 2>&1 &", ""])
