"""A lock that many may hold to read or one to write."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class ReadWriteLock:
    """Many readers or one writer at a time; who waits for the other kind is next, so neither side starves.

    Writers exclude each other by a lock of their own around `write`.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._readers = self._waiting_readers = self._writes = 0
        self._writing = False

    @contextmanager
    def read(self) -> Iterator[None]:
        """Hold the lock together with other readers."""
        with self._changed:
            if self._writing:
                self._waiting_readers += 1
                present = self._writes
                self._changed.wait_for(lambda: self._writes > present)
            else:
                self._readers += 1
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1
                self._changed.notify_all()

    @contextmanager
    def write(self) -> Iterator[None]:
        """Hold the lock alone."""
        with self._changed:
            self._writing = True
            self._changed.wait_for(lambda: self._readers == 0)
        try:
            yield
        finally:
            with self._changed:
                self._writing = False
                self._writes += 1
                # Counted in here, so that the next writer cannot come before them.
                self._readers += self._waiting_readers
                self._waiting_readers = 0
                self._changed.notify_all()
