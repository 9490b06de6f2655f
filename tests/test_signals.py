import signal
import subprocess
import sys

from conftest import ROOT

from src import signals

PROGRAM = """
import os, signal, time
from src import signals
signals.watch()
with signals.held:
    os.kill(os.getpid(), signal.{name})
    time.sleep(0.3)
    print("imported", flush=True)
for _ in range(100):
    time.sleep(0.1)
print("never")
"""


def test_a_signal_that_comes_during_an_import_waits_for_its_end():
    for name, code in (("SIGINT", 130), ("SIGTERM", 143)):
        run = subprocess.run([sys.executable, "-c", PROGRAM.format(name=name)], cwd=ROOT, capture_output=True, text=True, timeout=20)
        assert (run.stdout, run.returncode) == ("imported\n", code)


def test_sigterm_ends_a_wait_that_lets_no_thread_of_python_run():
    program = "import ctypes; from src import signals; signals.watch()\nwith signals.ended_by_sigterm():\n"
    program += "    print('waiting', flush=True); ctypes.PyDLL(None).pause()"
    waiting = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert waiting.stdout.readline() == "waiting\n"
    waiting.terminate()
    assert waiting.wait(timeout=10) == -signal.SIGTERM


def test_a_signal_that_the_framework_swallowed_still_ends_the_process():
    code = """
import os, signal, time
from src import signals
signals.watch()
try:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(5)
except SystemExit:
    pass
signals.leave_if_told()
print("went on")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (128 + signal.SIGTERM, "")


def test_a_wait_that_sigterm_may_end_blocks_nothing_afterwards():
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with signals.ended_by_sigterm():
        pass
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
