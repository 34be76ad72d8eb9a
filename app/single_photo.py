"""One photo that comes with a request, is run through the network, and is not kept."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import numpy as np
from anyio.to_thread import run_sync
from fastapi import Request
from numpy.typing import NDArray

from app import uploads
from app.deps import Service
from app.problems import RequestError
from indexer import images

Answer = TypeVar("Answer")

# What the description of a call says of its form field.
PHOTO_FIELD: dict[str, Any] = {
    "type": "string",
    "format": "binary",
    "description": "One photo: JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF.",
}


@asynccontextmanager
async def received(request: Request, service: Service) -> AsyncIterator[uploads.Form]:
    """Yield the form of a request with its one photo, which is removed in the end.

    Raises:
        RequestError: Another photo is at work, or the upload is none with one photo.
    """
    check_free(service)
    async with uploads.place(service.uploads):
        form = await uploads.receive(
            request,
            service.blobs.temporary,
            max_files=1,
            max_request_bytes=service.settings.max_request_bytes,
        )
    try:
        if not form.files:
            raise RequestError(422, "there is no photo in the form field `files`")
        yield form
    finally:
        form.discard()


def check_free(service: Service) -> None:
    """Make sure that no other photo is at work.

    Raises:
        RequestError: One is.
    """
    if service.looking.locked():
        raise RequestError(503, "another photo is being looked at; try again in a moment")


async def run_alone(service: Service, work: Callable[[], Answer]) -> Answer:
    """Return what `work` returns, done in a thread while no other photo is at work.

    Raises:
        RequestError: Another one is.
    """
    check_free(service)
    async with service.looking:
        return await run_sync(work, limiter=service.upload_threads)


def decode(service: Service, form: uploads.Form) -> NDArray[np.uint8]:
    """Return the photo of a form, uint8 RGB (H, W, 3), upright; in a thread.

    Raises:
        ImageRejected: It is no picture, or too large.
    """
    return service.sandbox.call(images.decode, form.files[0].path, service.settings.max_pixels)
