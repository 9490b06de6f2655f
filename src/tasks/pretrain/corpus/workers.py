"""Worker processes that run tasks and return the results in order."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

Run = Callable[[Callable[..., Any], Iterable[tuple[Any, ...]]], Iterator[Any]]


@contextmanager
def open_workers(count: int) -> Iterator[Run]:
    """Yield `run(function, tasks)`, which yields function(*task) in the order of the tasks.

    It takes only a few more tasks ahead than there are workers. With one worker everything runs in this process.

    Raises:
        MemoryError: the system killed a worker.
    """
    if count == 1:
        yield lambda function, tasks: (function(*task) for task in tasks)
        return
    # fresh processes: a fork would copy the locks of threads of loaded libraries
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _start_worker)
    try:
        yield lambda function, tasks: _run(pool, function, tasks, 2 * count)
    except BrokenProcessPool:
        raise MemoryError("a worker process was killed; fewer --workers need less memory") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _run(pool, function, tasks, ahead):
    waiting: deque[Any] = deque()
    for task in tasks:
        waiting.append(pool.submit(function, *task))
        if len(waiting) == ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _start_worker():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent, which ends its workers
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent():
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
