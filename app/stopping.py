"""SIGTERM and Ctrl-C for commands that start processes."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def end_at_signal() -> None:
    """Have SIGTERM and Ctrl-C end what is being done, wherever it waits; a second one changes nothing."""

    def end(*_: object) -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        sys.exit(0)

    for number in STOP_SIGNALS:
        signal.signal(number, end)


@contextmanager
def until_signal() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM and Ctrl-C set; a second Ctrl-C changes nothing."""
    stop = threading.Event()
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: stop.set())
    yield stop
