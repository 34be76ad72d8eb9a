import os
import signal
import subprocess
import sys

import pytest

WAITING = "import sys, time; from app.stopping import {function}; "
ENDING = (
    WAITING
    + """
{function}()
try:
    print("begun", flush=True)
    time.sleep(60)
finally:
    print("tidied", flush=True)
    time.sleep(0.5)
    print("gone", flush=True)
"""
)
UNTIL = (
    WAITING
    + """
with {function}() as stop:
    print("begun", flush=True)
    stop.wait(60)
    print("gone", flush=True)
"""
)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("program", "function", "said"),
    [(ENDING, "end_at_signal", ["tidied", "gone"]), (UNTIL, "until_signal", ["gone"])],
)
def test_what_is_waited_for_ends_once(
    program: str, function: str, said: list[str], number: signal.Signals
) -> None:
    command = [sys.executable, "-c", program.format(function=function)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        os.kill(process.pid, number)
        lines = [process.stdout.readline().strip()]
        if function == "end_at_signal":
            os.kill(process.pid, number)  # a second one changes nothing
        lines += process.stdout.read().split()
        assert process.wait(10) == 0
    assert lines == said
