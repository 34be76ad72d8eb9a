"""Runs `glyphseek serve` or `demo` as its users do: as a program of its own, in a folder of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from app.client import Client
from indexer.errors import GlyphseekError

COMMAND = (sys.executable, "-P", "-m", "app")
START_SECONDS = 120.0  # for a machine that is busy with other things
STOP_SECONDS = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**variables: object) -> dict[str, str]:
    """Return this environment without settings, but for those given."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("GLYPHSEEK_", "PYTHON"))}
    return own | {f"GLYPHSEEK_{name.upper()}": str(value) for name, value in variables.items()}


class Service:
    """`glyphseek serve` in a folder; a context manager that leaves no process behind either."""

    def __init__(
        self, folder: Path, command: Sequence[str] = (*COMMAND, "serve"), **settings: object
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "serve.log"
        self._seen: set[psutil.Process] = set()
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(
                command,
                cwd=folder,
                env=environment(port=self.port, **settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def kill(self) -> None:
        """Kill everything at once."""
        for process in [psutil.Process(self._popen.pid), *self.processes()] if self.running else self._seen:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._popen.wait()

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    def wait_until_ready(self) -> float:
        """Return after how many seconds it was ready."""
        started = time.monotonic()
        with Client(self.url, timeout_seconds=10) as client:
            while True:
                try:
                    if client.health().status == "ok":
                        return time.monotonic() - started
                except GlyphseekError:
                    pass
                assert self.running, self.log.read_text()
                assert time.monotonic() < started + START_SECONDS, self.log.read_text()
                time.sleep(0.1)

    def processes(self) -> set[psutil.Process]:
        """Return everything that the service has started so far, however deep, also what has ended since."""
        self._seen.update(psutil.Process(self._popen.pid).children(recursive=True))
        return set(self._seen)

    def runs(self, program: str) -> bool:
        """Whether it runs a program of this name, or a part of ours."""
        return bool(self._named(program))

    def part(self, name: str) -> list[psutil.Process]:
        """Return the processes of `api`, `worker` or `postgres`, without the watchdogs over them."""
        return [process for process, command in self._named(name) if "watchdog" not in command]

    def _named(self, name: str) -> list[tuple[psutil.Process, str]]:
        """Return processes of a program or part of ours and the watchdogs over them, with their commands."""
        found = []
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                command = process.cmdline()
                if name in (process.name(), *command[-1:]):
                    found.append((process, " ".join(command)))
        return found

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the program alone, not to what it has started."""
        self.processes()
        self._popen.send_signal(number)

    def wait(self, seconds: float) -> int:
        """Wait until the program and all that it has started are gone; return its exit status."""
        deadline = time.monotonic() + seconds
        status = self._popen.wait(seconds)
        while left := [process for process in self._seen if _lives(process)]:
            assert time.monotonic() < deadline, f"left behind: {left}"
            time.sleep(0.05)
        return status


def _lives(process: psutil.Process) -> bool:
    """Whether it runs; nobody may be there to take note of the end of one whose parent was killed."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
