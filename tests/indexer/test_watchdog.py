import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from indexer import watchdog


def guard(*command: str, stop_signal: str = "SIGINT") -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(watchdog.__file__), stop_signal, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("exit 0", 0),
        ("exit 7", 7),  # passed on
        ("kill -9 $$", 1),  # has no status of its own
    ],
)
def test_ends_with_its_command(command: str, status: int) -> None:
    with guard("sh", "-c", command) as process:
        assert process.wait(timeout=10) == status


@pytest.mark.parametrize("signals", [0, 1])  # SIGTERM to the watchdog itself must not set the command free
@pytest.mark.parametrize("name", ["INT", "TERM"])
def test_stops_its_command_by_the_signal_asked_for(signals: int, name: str) -> None:
    script = f"trap 'echo interrupted; exit 3' {name}; echo started; while :; do sleep 0.05; done"
    with guard("sh", "-c", script, stop_signal=f"SIG{name}") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        for _ in range(signals):
            process.terminate()
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(timeout=0.3)
        started = time.monotonic()
        assert process.communicate(timeout=10)[0] == b"interrupted\n"  # closes the pipe
        assert process.returncode == 3
        assert time.monotonic() - started < 5


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of a parent's end")
def test_a_killed_watchdog_leaves_no_command_behind() -> None:
    script = "trap 'echo stopped; exit 3' TERM; echo started; while :; do sleep 0.05; done"
    with guard("sh", "-c", script, stop_signal="SIGTERM") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        process.kill()
        assert process.stdout.read() == b"stopped\n"  # to the end, which comes when the command is gone


def test_a_signal_that_is_ignored_all_around_stops_the_command_all_the_same() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = guard("sh", "-c", "trap 'exit 3' INT; echo started; while :; do sleep 0.05; done")
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        process.communicate(timeout=10)
        assert process.returncode == 3


def test_command_cannot_read_from_the_pipe() -> None:
    with guard("cat") as process:
        assert process.wait(timeout=10) == 0


def test_stubborn_command_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = Path(str(watchdog.__file__)).read_text()
    impatient = tmp_path / "watchdog.py"
    impatient.write_text(source.replace("9.0", "0.1").replace("3.0", "0.1").replace("5.0", "0.1"))
    script = "trap '' INT QUIT; echo started; while :; do sleep 0.05; done"
    command = [sys.executable, "-I", "-S", str(impatient), "SIGINT", "sh", "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        process.stdin.close()
        assert process.wait(timeout=10) == 1
