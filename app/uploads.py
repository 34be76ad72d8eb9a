"""Receives multipart uploads piece by piece: files go straight to disk, memory stays small."""

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from fastapi import Request
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect

from app.problems import RequestError
from indexer.archives import Arrival
from indexer.blobs import reporting_full_disk
from indexer.errors import StorageFull

MAX_FIELDS = 20
MAX_FIELD_BYTES = 64 * 1024
MAX_HEADER_BYTES = 64 * 1024  # of one file: room for a name that is far too long
SPARE_BYTES = 64 * 2**20  # left free on the disk, for the database
# Whoever sends nothing for so long, or after that less than this on average, makes room for others.
IDLE_SECONDS = 30.0
MIN_BYTES_A_SECOND = 1000


def form_body(required: list[str], properties: dict[str, Any]) -> dict[str, Any]:
    """Return what the description of a call says of its form, from the schemas of the fields."""
    schema = {"type": "object", "required": required, "properties": properties}
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


@asynccontextmanager
async def place(places: asyncio.Semaphore) -> AsyncIterator[None]:
    """Hold one of the places for uploads.

    Raises:
        RequestError: All are taken.
    """
    if places.locked():
        raise RequestError(503, "too many uploads at the same time; try again in a moment")
    async with places:
        yield


@dataclass
class Form:
    """An upload: text fields by name, and the files in their order."""

    fields: dict[str, str] = field(default_factory=dict)
    files: list[Arrival] = field(default_factory=list)

    def discard(self) -> None:
        """Remove the files that nobody has taken."""
        for arrival in self.files:
            arrival.path.unlink(missing_ok=True)


class _FormWriter:
    """Callbacks of the parser; one part at a time is open."""

    def __init__(self, new_file: Callable[[], Path], max_files: int) -> None:
        self.form = Form()
        self.ended = False
        self._new_file = new_file
        self._max_files = max_files
        self._header = [b"", b""]
        self._headers: dict[bytes, bytes] = {}
        self._name = ""
        self._text: bytearray | None = None
        self._file: BinaryIO | None = None
        self._path = Path()
        self._file_name = ""
        self._digest = hashlib.sha256()
        self._size = 0

    def parser(self, boundary: bytes) -> MultipartParser:
        """Return a parser that feeds this form."""
        return MultipartParser(
            boundary,
            {
                "on_part_begin": self._headers.clear,
                "on_header_field": lambda data, start, end: self._add_header(0, data[start:end]),
                "on_header_value": lambda data, start, end: self._add_header(1, data[start:end]),
                "on_header_end": self._end_header,
                "on_headers_finished": self._begin_part,
                "on_part_data": lambda data, start, end: self._write(data[start:end]),
                "on_part_end": self._end_part,
                "on_end": self._end,
            },
            max_header_size=MAX_HEADER_BYTES,
        )

    def close(self) -> None:
        """Close the file that is open, if any, and remove it: it is not whole."""
        if self._file is not None:
            with suppress(OSError):  # what its buffer still holds may not fit on the disk
                self._file.close()
            self._path.unlink(missing_ok=True)
            self._file = None

    def _add_header(self, part: int, data: bytes) -> None:
        self._header[part] += data

    def _end_header(self) -> None:
        self._headers[self._header[0].lower()] = self._header[1]
        self._header = [b"", b""]

    def _begin_part(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._name = options.get(b"name", b"").decode(errors="replace")
        file_name = options.get(b"filename")
        if file_name is None:
            if len(self.form.fields) >= MAX_FIELDS:
                raise RequestError(413, f"a form may have {MAX_FIELDS} fields")
            self._text = bytearray()
            return
        if self._name != "files":
            raise RequestError(422, "files are sent in the form field `files`")
        if len(self.form.files) >= self._max_files:
            raise RequestError(413, f"the upload has more than {self._max_files} files")
        self._path, self._file_name = self._new_file(), file_name.decode(errors="replace")
        self._digest, self._size = hashlib.sha256(), 0
        self._file = self._path.open("wb")

    def _write(self, data: bytes) -> None:
        if self._file is not None:
            self._file.write(data)
            self._digest.update(data)
            self._size += len(data)
        elif self._text is not None:
            self._text += data
            if len(self._text) > MAX_FIELD_BYTES:
                raise RequestError(413, f"a form field may have {MAX_FIELD_BYTES:,} bytes")

    def _end_part(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            arrival = Arrival(self._path, self._file_name, self._digest.hexdigest(), self._size)
            self.form.files.append(arrival)
        elif self._text is not None:
            self.form.fields[self._name] = self._text.decode(errors="replace")
            self._text = None

    def _end(self) -> None:
        self.ended = True


async def receive(
    request: Request, new_file: Callable[[], Path], *, max_files: int, max_request_bytes: int
) -> Form:
    """Read an upload to its end.

    Args:
        request: A request whose body nobody has read.
        new_file: Gives an unused path on the disk where photos are kept.
        max_files: Most files.
        max_request_bytes: Most bytes of the body.

    Returns:
        The form; the caller removes its files with `discard`.

    Raises:
        RequestError: The body is too large, too slow, cut off or no form.
        StorageFull: No space left.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= 256:
        raise RequestError(415, "send the photos as multipart/form-data, in the field `files`")
    length = request.headers.get("content-length", "0")
    if len(length) > 20 or not length.isdecimal():
        raise RequestError(400, "the Content-Length is not a number")
    announced = int(length)
    _check_size(announced, max_request_bytes)
    if announced + SPARE_BYTES > shutil.disk_usage(new_file().parent).free:
        raise StorageFull
    writer = _FormWriter(new_file, max_files)
    try:
        with reporting_full_disk():
            await _feed(request, writer.parser(boundary), max_request_bytes)
        if not writer.ended:
            raise RequestError(400, "the upload ends in the middle")
    except BaseException as exc:
        writer.form.discard()
        raise _for_client(exc) from exc
    finally:
        writer.close()
    return writer.form


async def _feed(request: Request, parser: MultipartParser, max_request_bytes: int) -> None:
    received = 0
    clock = asyncio.get_running_loop().time
    first_deadline = clock() + IDLE_SECONDS
    async with asyncio.timeout_at(first_deadline) as limit:
        async for chunk in request.stream():
            received += len(chunk)
            _check_size(received, max_request_bytes)
            parser.write(chunk)
            limit.reschedule(min(clock() + IDLE_SECONDS, first_deadline + received / MIN_BYTES_A_SECOND))
    parser.finalize()


def _for_client(exc: BaseException) -> BaseException:
    """Return the error of an upload as the client should see it."""
    if isinstance(exc, FormParserError):
        return RequestError(400, "the body is not a valid multipart form")
    if isinstance(exc, ClientDisconnect):  # nobody will read it
        return RequestError(400, "the upload ends in the middle")
    if isinstance(exc, TimeoutError):
        return RequestError(408, "the upload is too slow")
    return exc


def _check_size(size_bytes: int, max_request_bytes: int) -> None:
    if size_bytes > max_request_bytes:
        raise RequestError(413, f"an upload may have {max_request_bytes:,} bytes; send the photos in several")
