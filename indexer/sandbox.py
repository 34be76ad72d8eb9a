"""Reads pictures in processes of their own: one that hangs the decoder, or eats memory, costs itself alone.

A process is started when it is first needed (0.3 s), serves many pictures, and is replaced when it ends. The
kernel ends it when a picture takes too long and refuses it memory beyond its limit, whatever the decoder
does; it ends by itself when the program that started it is gone. This keeps the service alive, it is no
wall against a decoder that an attacker has taken over: the process may do what the service may.
"""

import mmap
import os
import pickle
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from queue import LifoQueue
from types import TracebackType
from typing import IO, Any, Self, TypeVar, cast

from indexer.errors import ImageRejected, NotReady

TIMEOUT_SECONDS = 20.0
# The dearest pictures take 16 bytes a pixel (transparent ones), and the libraries 140 MB.
BASE_BYTES, BYTES_A_PIXEL = 512 * 2**20, 24
# Then a process is replaced: what decoders leak must not add up to the limit.
CALLS_A_PROCESS = 500
# If the process has not ended by itself so long after its time, it is ended from here.
GRACE_SECONDS = 15.0

T = TypeVar("T")


class Sandbox:
    """A few processes that read pictures; for all threads; a context manager."""

    def __init__(
        self, *, max_pixels: int, processes: int = 2, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            max_pixels: Largest picture, width x height; the memory of a process follows from it.
            processes: How many pictures can be read at once.
            timeout_seconds: How long one picture may take.
        """
        self._timeout_seconds = timeout_seconds
        self._memory_bytes = BASE_BYTES + BYTES_A_PIXEL * max_pixels
        self._lock = threading.Lock()
        self._closed = False
        self._processes: set[_Process] = set()
        self._idle: LifoQueue[_Process | None] = LifoQueue()  # the last used first; None is yet to be started
        for _ in range(processes):
            self._idle.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(self, function: Callable[..., T], *arguments: object) -> T:
        """Call a function of a module with these arguments in one of the processes; wait until one is free.

        What it returns is copied; arrays come through shared memory.

        Raises:
            ImageRejected: It took too long, needed too much memory, or its process ended twice.
            NotReady: The sandbox is closed.
            Exception: Whatever the function raises.
        """
        task = pickle.dumps((function, arguments))
        process = self._idle.get()
        try:
            for _ in range(2):  # somebody may have ended the process by hand: one more try
                process = process or self._start()
                outcome = process.call(task)
                if outcome is not None:
                    return cast(T, _result(*outcome))
                timed_out, process = self._end(process), None
                if timed_out:
                    raise ImageRejected(f"reading the picture took more than {self._timeout_seconds:g} s")
            raise ImageRejected("the program that reads pictures ended while it read this one")
        finally:
            if process is not None and process.calls >= CALLS_A_PROCESS:
                self._end(process)
                process = None
            self._idle.put(process)

    def close(self) -> None:
        """End all processes, those at work too."""
        with self._lock:
            self._closed = True
            for running in self._processes:
                running.kill()
        for process in [self._idle.get() for _ in range(self._idle.qsize())]:
            if process is not None:
                self._end(process)
            self._idle.put(None)  # for those who wait for a free process

    def _start(self) -> "_Process":
        with self._lock:
            if self._closed:
                raise NotReady("the service is stopping")
            process = _Process(self._timeout_seconds, self._memory_bytes)
            self._processes.add(process)
            return process

    def _end(self, process: "_Process") -> bool:
        with self._lock:
            self._processes.discard(process)
            return process.end()


Outcome = tuple[bool, Any]  # whether the function returned, and what it returned or raised


def _result(succeeded: bool, result: Any) -> Any:
    if succeeded:
        return result
    raise result


class _Process:
    """The side of one process that lives in the service."""

    def __init__(self, timeout_seconds: float, memory_bytes: int) -> None:
        self.calls = 0
        self._timeout_seconds = timeout_seconds
        self._timed_out = False
        ours, theirs = socket.socketpair()
        arguments = [str(theirs.fileno()), str(timeout_seconds), str(memory_bytes)]
        with theirs:
            self._process = subprocess.Popen(
                # -P: a folder named `indexer` in the current folder must not stand in for ours.
                [sys.executable, "-P", "-m", "indexer.sandbox", *arguments],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=os.environ
                | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
                | _SINGLE_THREADED,
            )
        self._connection = Connection(ours.detach())

    def call(self, task: bytes) -> Outcome | None:
        """Return what became of the task; None if the process has ended."""
        self.calls += 1
        try:
            self._connection.send_bytes(task)
            if not self._connection.poll(self._timeout_seconds + GRACE_SECONDS):
                self._timed_out = True
                return None
            return _receive(self._connection)
        except (EOFError, OSError):
            return None

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> bool:
        """End the process, and return whether it was because of its time."""
        if self._connection.closed:
            return False
        self._connection.close()
        if self._process.poll() is None:
            self._process.kill()
        return self._process.wait() == -signal.SIGALRM or self._timed_out


# Threads of NumPy's libraries would only take address space, of which the process has little.
_SINGLE_THREADED = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}


def _receive(connection: Connection) -> Outcome:
    """Read an answer; arrays in it lie in memory that the other process has filled."""
    sizes, answer = pickle.loads(connection.recv_bytes())
    buffers = []
    if sizes:
        with open(recv_handle(connection), "rb") as file:
            length = sum(sizes)
            memory = memoryview(
                mmap.mmap(file.fileno(), length, access=mmap.ACCESS_COPY) if length else bytearray()
            )
        for size in sizes:
            buffers.append(memory[:size])
            memory = memory[size:]
    outcome: Outcome = pickle.loads(answer, buffers=buffers)
    return outcome


def _send(connection: Connection, outcome: Outcome) -> None:
    buffers: list[pickle.PickleBuffer] = []
    answer = pickle.dumps(outcome, protocol=5, buffer_callback=buffers.append)
    parts = [buffer.raw() for buffer in buffers]
    connection.send_bytes(pickle.dumps(([part.nbytes for part in parts], answer)))
    if parts:
        with _memory_file() as file:
            file.writelines(parts)
            file.flush()
            send_handle(connection, file.fileno(), 0)


def _memory_file() -> IO[bytes]:
    if sys.platform == "linux":
        return open(os.memfd_create("picture"), "wb")
    return tempfile.TemporaryFile()


def _serve(connection: Connection, timeout_seconds: float, memory_bytes: int) -> None:
    """Call what comes over the connection until its other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program that started this one
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process
    if sys.platform == "linux":  # macOS knows the limit but does not take it
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while True:
        try:
            task = connection.recv_bytes()
        except EOFError:
            return
        try:
            function, arguments = pickle.loads(
                task
            )  # the first one imports a module: not the picture's fault
            signal.setitimer(signal.ITIMER_REAL, timeout_seconds)
            outcome = True, function(*arguments)
        except MemoryError:
            outcome = False, ImageRejected("the picture needs more memory than it may have")
        except Exception as exc:
            outcome = False, exc
        _send(connection, outcome)
        signal.setitimer(signal.ITIMER_REAL, 0)


if __name__ == "__main__":
    _serve(Connection(int(sys.argv[1])), float(sys.argv[2]), int(sys.argv[3]))
