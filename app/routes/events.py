"""The state of the gallery as server-sent events, for the page."""

import asyncio
import time
from collections.abc import AsyncIterator

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from app.deps import Service, ServiceDep
from app.problems import RequestError
from app.routes.health import readyz

# Not in the schema: who reads the API's description has `/readyz`, which answers at once.
router = APIRouter(include_in_schema=False)

MAX_STREAMS = 100
POLL_SECONDS = 1.0
# A stream cannot know that the server wants to stop, and a stopping server waits for its streams. So they are
# short; browsers begin the next one by themselves, which also shows them that the service lives.
STREAM_SECONDS = 4.0
RETRY_MS = 200


class Pulse:
    """Reads the state once a second for all listeners together, and only while there are any."""

    def __init__(self) -> None:
        self.streams = 0
        self._reading = asyncio.Lock()
        self._state = ""
        self._next_read = 0.0

    async def state(self, service: Service) -> str:
        """Return what `/readyz` says, as JSON, at most a second old."""
        async with self._reading:
            if time.monotonic() >= self._next_read:
                health = await run_sync(readyz, service, Response())
                self._state = health.model_dump_json()
                self._next_read = time.monotonic() + POLL_SECONDS
            return self._state


@router.get("/events")
async def events(request: Request, service: ServiceDep) -> StreamingResponse:
    """Send the state of the gallery at once and whenever it changes, for a few seconds."""
    pulse: Pulse = request.app.state.pulse
    if pulse.streams >= MAX_STREAMS:
        raise RequestError(503, "too many pages are listening; try again in a moment")
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_stream(pulse, service), headers=headers, media_type="text/event-stream")


async def _stream(pulse: Pulse, service: Service) -> AsyncIterator[str]:
    pulse.streams += 1
    try:
        end = time.monotonic() + STREAM_SECONDS
        sent = None
        yield f"retry: {RETRY_MS}\n\n"
        while time.monotonic() < end and not service.stopping.is_set():
            state = await pulse.state(service)
            if state != sent:
                yield f"data: {state}\n\n"
                sent = state
            await asyncio.sleep(POLL_SECONDS / 4)
    finally:
        pulse.streams -= 1
