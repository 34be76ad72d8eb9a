"""Runs one command and stops it when the process that asked for it is gone.

`python watchdog.py SIGNAL COMMAND ...` with a pipe as standard input, whose other end the asking process
keeps open. The operating system closes that end however the process ends, kill -9 included, and the command
is then told to stop by the signal of that name. If the watchdog itself is killed, Linux sends SIGTERM to a
command that is stopped by it; a Postgres that is left behind is ended by the next start (`embedded`). Uses
the standard library alone, so that it starts in a few milliseconds.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial

PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


def stop_steps(first: signal.Signals) -> tuple[tuple[signal.Signals, float], ...]:
    """Signals that end a program, and how many seconds each may take.

    Args:
        first: the one that asks; the second means to Postgres to end at once, the third leaves no choice.
    """
    return (first, 9.0), (signal.SIGQUIT, 3.0), (signal.SIGKILL, 5.0)


def _stop_with_parent(command: subprocess.Popen[bytes], first: signal.Signals) -> None:
    """Wait for the parent's end, then send one stop signal after the other until this process ends too."""
    os.read(0, 1)  # nothing is ever written: this returns when the other end is closed
    for stop_signal, wait_seconds in stop_steps(first):
        command.send_signal(stop_signal)
        time.sleep(wait_seconds)


def _end_with(watchdog: int) -> None:
    """In the command's process, before it begins: ask the system for SIGTERM at the watchdog's end."""
    if prctl := getattr(ctypes.CDLL(None), "prctl", None):  # Linux
        prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM)
    if os.getppid() != watchdog:  # killed meanwhile
        os._exit(1)


def run(arguments: list[str]) -> int:
    """Run a command until it ends or standard input is closed.

    Args:
        arguments: name of the signal that stops the command (`SIGTERM`), program, its arguments.

    Returns:
        The command's exit status, 1 if a signal ended it.
    """
    stop_signal = signal.Signals[arguments[0]]
    # Whoever ends all processes of ours at once must not end this one before the command. A function and
    # not SIG_IGN, which the command would inherit, as it would from a shell that runs us in the background.
    for each in (signal.SIGTERM, stop_signal):
        signal.signal(each, lambda *_: None)
    before = partial(_end_with, os.getpid()) if stop_signal == signal.SIGTERM else None
    command = subprocess.Popen(arguments[1:], stdin=subprocess.DEVNULL, preexec_fn=before)
    threading.Thread(target=_stop_with_parent, args=(command, stop_signal), daemon=True).start()
    status = command.wait()
    return status if status >= 0 else 1


if __name__ == "__main__":
    os._exit(run(sys.argv[1:]))  # without waiting for the thread, which is still reading
