"""One photo that comes with a request; the calls that take one are tested with their routes."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from app import single_photo
from app.problems import RequestError


def service() -> Any:
    return SimpleNamespace(looking=asyncio.Semaphore(1), upload_threads=None, uploads=asyncio.Semaphore(1))


def test_work_is_done_alone_and_the_next_is_sent_away() -> None:
    async def both() -> tuple[int, Any]:
        here = service()
        async with here.looking:  # another photo is at work
            (refused,) = await asyncio.gather(single_photo.run_alone(here, lambda: 1), return_exceptions=True)
        return await single_photo.run_alone(here, lambda: 2), refused

    done, refused = asyncio.run(both())
    assert done == 2
    assert (refused.status, str(refused)) == (503, "another photo is being looked at; try again in a moment")


def test_an_error_makes_room_for_the_next() -> None:
    def fail() -> None:
        raise ValueError("broken")

    async def fail_once() -> bool:
        here = service()
        with pytest.raises(ValueError, match="broken"):
            await single_photo.run_alone(here, fail)
        return bool(here.looking.locked())

    assert asyncio.run(fail_once()) is False


def test_nothing_is_received_while_a_photo_is_at_work() -> None:
    async def receive() -> None:
        here = service()
        async with here.looking, single_photo.received(None, here):  # type: ignore[arg-type]
            pass

    with pytest.raises(RequestError, match="being looked at"):
        asyncio.run(receive())
