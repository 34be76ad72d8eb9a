"""Functions that misbehave, called in the sandbox in place of a decoder."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from indexer import sandbox as module
from indexer.errors import ImageRejected, NotReady
from indexer.sandbox import Sandbox


def double(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return array * 2


def pid() -> int:
    return os.getpid()


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def spin() -> None:
    """Hang as a decoder does: in C, deaf to everything but the kernel."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    sum(iter(int, 1))


def devour() -> int:
    """Allocate for ever."""
    held = []
    while True:
        held.append(bytes(2**24))


def reject() -> None:
    raise ImageRejected("the picture is blue")


def die() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def die_once(path: Path) -> str:
    if path.exists():
        return "alive"
    path.touch()
    os._exit(1)


@pytest.fixture(scope="module")
def quick() -> Iterator[Sandbox]:
    """One process, in which a picture may take a second."""
    with Sandbox(max_pixels=1, processes=1, timeout_seconds=1) as sandbox:
        yield sandbox


def test_arrays_come_back_whole_and_can_be_written(quick: Sandbox) -> None:
    for shape in ((0, 4, 3), (3, 1, 3), (1000, 1000, 3)):
        array = np.random.default_rng(1).integers(0, 127, shape, np.uint8)
        found = quick.call(double, array)
        assert found.shape == shape
        assert (found == array * 2).all()
        found += 1


def test_one_process_serves_many_calls_and_is_replaced_at_last(
    quick: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = quick.call(pid)
    assert first not in (quick.call(double, np.zeros(1, np.uint8)), os.getpid())
    assert quick.call(pid) == first
    monkeypatch.setattr(module, "CALLS_A_PROCESS", 1)
    quick.call(pid)
    assert quick.call(pid) != first
    assert not psutil.pid_exists(first)


def test_errors_of_the_function_are_raised_here(quick: Sandbox) -> None:
    with pytest.raises(ImageRejected, match="blue"):
        quick.call(reject)
    with pytest.raises(ZeroDivisionError):
        quick.call(divmod, 1, 0)


@pytest.mark.parametrize(
    "hang",
    [
        (spin,),  # busy
        (sleep, 60),  # idle
    ],
)
def test_what_takes_too_long_is_ended_by_the_kernel(
    quick: Sandbox, hang: tuple[Callable[..., None], Any]
) -> None:
    process = quick.call(pid)
    started = time.monotonic()
    with pytest.raises(ImageRejected, match="more than 1 s"):
        quick.call(*hang)
    assert time.monotonic() - started < 4
    assert not psutil.pid_exists(process)
    assert quick.call(pid) != process  # the next one is served


def test_memory_is_limited(quick: Sandbox) -> None:
    before = psutil.Process().memory_info().rss
    with pytest.raises(ImageRejected, match="memory"):
        quick.call(devour)
    assert psutil.Process().memory_info().rss - before < 100e6
    assert quick.call(pid)


def test_a_process_that_ends_costs_one_more_try(quick: Sandbox, tmp_path: Path) -> None:
    assert quick.call(die_once, tmp_path / "died") == "alive"
    os.kill(quick.call(pid), signal.SIGKILL)  # while it is idle
    assert quick.call(pid)
    with pytest.raises(ImageRejected, match="ended while it read this one"):
        quick.call(die)


def test_a_hanging_picture_does_not_hold_up_the_others() -> None:
    with Sandbox(max_pixels=1, processes=2, timeout_seconds=1.5) as sandbox:

        def call() -> None:
            with suppress(ImageRejected):
                sandbox.call(spin)

        slow = threading.Thread(target=call)
        slow.start()
        served = 0
        while slow.is_alive():
            sandbox.call(abs, -1)
            served += 1
        assert served > 100


def test_closing_ends_what_is_at_work_and_what_waits() -> None:
    before = psutil.Process().children()
    sandbox = Sandbox(max_pixels=1, processes=1, timeout_seconds=60)
    errors = []

    def call() -> None:
        try:
            sandbox.call(sleep, 50)
        except NotReady as exc:
            errors.append(exc)

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    (child,) = set(psutil.Process().children()) - set(before)
    sandbox.close()
    for thread in threads:
        thread.join(5)
    assert len(errors) == 3
    assert not child.is_running()


PARENT = """
import os, sys, time
from indexer.sandbox import Sandbox
from tests.indexer.test_sandbox import pid
print(Sandbox(max_pixels=1, processes=1, timeout_seconds=2).call(pid), flush=True)
os.kill(os.getpid(), 9)
"""


def test_nothing_is_left_when_the_program_is_killed() -> None:
    found = subprocess.run(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    deadline = time.monotonic() + 5
    while psutil.pid_exists(int(found.stdout)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not psutil.pid_exists(int(found.stdout))
