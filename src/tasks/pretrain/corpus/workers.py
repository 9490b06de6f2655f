"""Worker processes that take tasks and give results in order."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager


@contextmanager
def open_workers(count):
    """Yield `run(function, tasks)`, which yields function(*task) in the order of the tasks.

    At most a few tasks more than workers are taken ahead. With one worker all is done in this process.

    Raises:
        MemoryError: the system killed a worker.
    """
    if count == 1:
        yield lambda function, tasks: (function(*task) for task in tasks)
        return
    # fresh processes: a fork would copy the threads' locks of libraries that are loaded
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _start_worker)
    try:
        yield lambda function, tasks: _run(pool, function, tasks, 2 * count)
    except BrokenProcessPool:
        raise MemoryError("a worker process was killed; fewer --workers need less") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _run(pool, function, tasks, ahead):
    waiting = deque()
    for task in tasks:
        waiting.append(pool.submit(function, *task))
        if len(waiting) == ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _start_worker():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its workers
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent():
    multiprocessing.parent_process().join()
    os._exit(1)
