"""Runs everything for one person on one machine: database, API and worker."""

import fcntl
import logging
import math
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from app.settings import LOCK_NAME, Settings
from indexer import watchdog
from indexer.database import migrate
from indexer.embedded import EmbeddedPostgres
from indexer.errors import DatabaseRefuses, DatabaseUnavailable, GlyphseekError

log = logging.getLogger(__name__)

PROCESSES = ("api", "worker")
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
SETTLED_SECONDS = 120.0
DATABASE_SECONDS = 30.0


class Supervisor:
    """Starts the processes, restarts those that end, and stops them all; a context manager.

    Each process runs under a watchdog, which ends it when this process is gone, however that comes about.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings.model_copy(update={"data_dir": settings.data_dir.resolve()})
        self._database: EmbeddedPostgres | None = None
        self._lock: IO[str] | None = None
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._next_start: dict[str, float] = dict.fromkeys(PROCESSES, 0.0)
        self._started: dict[str, float] = dict.fromkeys(PROCESSES, math.inf)
        self._pause: dict[str, float] = dict.fromkeys(PROCESSES, FIRST_PAUSE_SECONDS)

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where the service will answer."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.settings.host, self.settings.host)
        return (
            f"http://[{host}]:{self.settings.port}" if ":" in host else f"http://{host}:{self.settings.port}"
        )

    def run(self, stop: threading.Event) -> None:
        """Keep everything running until `stop` is set."""
        while not stop.wait(0.2):
            self.keep_running()

    def keep_running(self) -> None:
        """Start again what has ended."""
        if self._database is not None and not self._database.alive:
            log.warning("the database ended; starting it again", extra={"action": "supervise"})
            try:
                self._database.start()
            except GlyphseekError as exc:
                log.error("%s", exc, extra={"action": "supervise"})
                time.sleep(FIRST_PAUSE_SECONDS)
        for name in PROCESSES:
            process = self._processes.get(name)
            if process is not None and process.poll() is None:
                continue
            if process is not None:
                self._note_end(name, self._processes.pop(name))
            if time.monotonic() >= self._next_start[name]:
                self._started[name] = time.monotonic()
                self._processes[name] = self._spawn(name)

    def _note_end(self, name: str, process: subprocess.Popen[bytes]) -> None:
        _hang_up(process)
        extra = {"action": "supervise", "status": process.returncode}
        log.warning("%s ended; starting it again", name, extra=extra)
        if time.monotonic() - self._started[name] > SETTLED_SECONDS:  # it did not end for the same reason
            self._pause[name] = FIRST_PAUSE_SECONDS
        self._next_start[name] = time.monotonic() + self._pause[name]
        self._pause[name] = min(LONGEST_PAUSE_SECONDS, 2 * self._pause[name])

    def stop(self) -> None:
        """Stop API and worker, then the database; nothing is left behind."""
        for process in self._processes.values():
            _hang_up(process)
        for process in self._processes.values():
            process.wait()
        self._processes.clear()
        if self._database is not None:
            self._database.stop()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _begin(self) -> None:
        settings = self.settings
        try:
            settings.data_dir.mkdir(parents=True, exist_ok=True)
            self._lock = (settings.data_dir / LOCK_NAME).open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise GlyphseekError(f"another glyphseek is using the data folder {settings.data_dir}") from exc
        except OSError as exc:
            raise GlyphseekError(
                f"the data folder {settings.data_dir} cannot be used: {exc.strerror}"
            ) from exc
        _check_port(settings.host, settings.port)
        if settings.database_url is None:
            self._database = EmbeddedPostgres(settings.data_dir)
            self._database.start()
            self.settings = settings.model_copy(update={"database_url": self._database.url})
        _migrate(str(self.settings.database_url))
        self.keep_running()

    def _spawn(self, name: str) -> subprocess.Popen[bytes]:
        # -P: a folder named `app` in the current folder must not stand in for ours.
        command = [sys.executable, "-P", "-m", "app", name]
        environment = os.environ | {
            "GLYPHSEEK_DATABASE_URL": str(self.settings.database_url),
            "GLYPHSEEK_DATA_DIR": str(self.settings.data_dir),
            "GLYPHSEEK_LOG_LEVEL": self.settings.log_level,
        }
        return subprocess.Popen(
            # Unlike SIGINT, SIGTERM ends a Python that is still starting without a traceback.
            [sys.executable, "-I", "-S", str(Path(watchdog.__file__).resolve()), "SIGTERM", *command],
            stdin=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches this process alone, which stops the others in order
        )


def _hang_up(process: subprocess.Popen[bytes]) -> None:
    """Close the pipe to a watchdog, which then asks its command to stop, and insists."""
    if process.stdin is not None:
        process.stdin.close()


def _check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, UnicodeError) as exc:
            raise GlyphseekError(
                f"cannot listen on {host}:{port} ({exc}); choose another with GLYPHSEEK_PORT"
            ) from exc


def _migrate(url: str) -> None:
    """Bring the tables up to date; a database of somebody else may take a moment to start."""
    deadline = time.monotonic() + DATABASE_SECONDS
    while True:
        try:
            migrate(url)
            return
        except DatabaseRefuses:
            raise
        except DatabaseUnavailable as exc:
            if time.monotonic() > deadline:
                raise
            log.info("waiting for the database: %s", exc.in_full, extra={"action": "migrate"})
            time.sleep(1)
