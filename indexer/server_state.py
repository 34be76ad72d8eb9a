"""What the folder of a Postgres server and the list of processes tell about the server."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import psutil

from indexer.watchdog import stop_steps


def is_ready(database_dir: Path) -> bool:
    """Return whether the server of this folder takes connections, by its own note of its state.

    The note outlives a server that was killed, so delete `postmaster.pid` before a start.
    """
    return [line.strip() for line in _note(database_dir)[7:8]] == [b"ready"]


def server_processes(database_dir: Path) -> list[psutil.Process]:
    """Return the living processes of the server of this folder, its helpers too; they all work inside it."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # gone meanwhile, or another user's
            if process.name() == "postgres" and os.path.samefile(process.cwd(), database_dir):
                found.append(process)
    return found


def stop_processes(database_dir: Path) -> None:
    """Stop every server process of this folder; kill -9 of a parent or of the server itself leaves some."""
    for stop_signal, wait_seconds in stop_steps(signal.SIGINT):
        processes = server_processes(database_dir)
        if not processes:
            return
        pid = b"".join(_note(database_dir)[:1])
        main = [process for process in processes if str(process.pid).encode() == pid]
        if stop_signal == signal.SIGINT and not main:
            continue  # it means something else to the helpers
        for process in main if stop_signal == signal.SIGINT else processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(stop_signal)
        psutil.wait_procs(processes, timeout=wait_seconds)


def _note(database_dir: Path) -> list[bytes]:
    """Lines of the file in which a server notes its process number (first) and state (eighth), if any."""
    try:
        return (database_dir / "postmaster.pid").read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
