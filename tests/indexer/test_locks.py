import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from indexer.locks import ReadWriteLock

PATIENCE_SECONDS = 20


def test_readers_hold_it_together():
    lock, together = ReadWriteLock(), threading.Barrier(3)

    def read():
        with lock.read():
            together.wait(PATIENCE_SECONDS)

    with ThreadPoolExecutor(3) as pool:
        for future in [pool.submit(read) for _ in range(3)]:
            future.result(PATIENCE_SECONDS)


def wait_until(true):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_waiting_writer_goes_before_later_readers():
    lock, order = ReadWriteLock(), []

    def use(side):
        with getattr(lock, side)():
            order.append(side)

    with ThreadPoolExecutor(2) as pool:
        with lock.read():
            futures = [pool.submit(use, "write")]
            wait_until(lambda: lock._writing)
            futures.append(pool.submit(use, "read"))
            wait_until(lambda: lock._waiting_readers == 1)
        for future in futures:
            future.result(PATIENCE_SECONDS)
    assert order == ["write", "read"]


def test_writer_is_alone_and_nobody_starves():
    """With two readers and a writer that never pause, both sides get through."""
    lock, done = ReadWriteLock(), threading.Event()
    state = [0, 0]
    reads = [0, 0]

    def read(number):
        while not done.is_set():
            with lock.read():
                first, second = state
                assert first == second
            reads[number] += 1

    def write():
        try:
            while min(reads) < 50 or state[0] < 50:
                with lock.write():
                    state[0] += 1
                    state[1] += 1
        finally:
            done.set()

    with ThreadPoolExecutor(3) as pool:
        for future in [pool.submit(read, 0), pool.submit(read, 1), pool.submit(write)]:
            future.result(PATIENCE_SECONDS)
    assert min(reads) >= 50
    assert state[0] == state[1] >= 50


@pytest.mark.parametrize("side", ["read", "write"])
def test_an_error_inside_lets_go(side):
    lock = ReadWriteLock()
    with pytest.raises(KeyError), getattr(lock, side)():
        raise KeyError
    with lock.write():
        pass
    with lock.read():
        pass
