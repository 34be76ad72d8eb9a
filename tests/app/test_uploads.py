import asyncio
import hashlib
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi import Request
from starlette.requests import ClientDisconnect

from app import uploads
from app.problems import RequestError
from app.uploads import Form
from indexer.errors import StorageFull

PHOTO = bytes(range(256)) * 40 + b"\r\n--b\r\r\n-"  # bytes that nearly end it


def field(name: str, value: bytes) -> bytes:
    return b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), value)


def file(name: str, data: bytes) -> bytes:
    head = f'--b\r\ncontent-disposition: form-data; name="files"; filename="{name}"\r\n'
    return head.encode() + b"Content-Type: image/png\r\n\r\n" + data + b"\r\n"


END = b"--b--\r\n"


def receive(
    folder: Path,
    body: bytes,
    *,
    chunk: int = 10**9,
    pause_seconds: float = 0,
    breaks: bool = False,
    announced: int | str = 0,
) -> Form:
    """Receive a body in chunks of so many bytes, pausing after each; then the client may go away."""
    numbers = count()

    async def stream() -> AsyncIterator[bytes]:
        for start in range(0, len(body), chunk):
            yield body[start : start + chunk]
            await asyncio.sleep(pause_seconds)
        if breaks:
            raise ClientDisconnect

    headers = {"content-type": "multipart/form-data; boundary=b", "content-length": str(announced)}
    request: Request = SimpleNamespace(headers=headers, stream=stream)  # type: ignore[assignment]
    received = uploads.receive(
        request, lambda: folder / str(next(numbers)), max_files=3, max_request_bytes=10**6
    )
    return asyncio.run(received)


@pytest.mark.parametrize("chunk", [1, 7, 64, 10**9])
def test_files_and_fields_are_whole_however_they_are_cut(tmp_path: Path, chunk: int) -> None:
    body = field("collection", "ü".encode()) + file("a.png", PHOTO) + file("b.png", b"") + END
    form = receive(tmp_path, body, chunk=chunk)
    assert form.fields == {"collection": "ü"}
    assert [arrival.name for arrival in form.files] == ["a.png", "b.png"]
    assert [arrival.size_bytes for arrival in form.files] == [len(PHOTO), 0]
    assert form.files[0].path.read_bytes() == PHOTO
    assert form.files[0].sha256 == hashlib.sha256(PHOTO).hexdigest()
    form.discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (file("a", PHOTO) + field("x", bytes(uploads.MAX_FIELD_BYTES + 1)) + END, 413),  # a long text
        (file("a", b"1") * 4 + END, 413),  # more files than are allowed
        (
            b"".join(field(f"f{number}", b"") for number in range(21)) + END,
            413,
        ),  # many fields, all of them empty
        (file("a", bytes(10**6)) + END, 413),  # too large, and not announced
        (file("a", b"1") + file("n" * uploads.MAX_HEADER_BYTES, b"1") + END, 400),  # an endless name
        (file("a", PHOTO) + b"--b", 400),  # without an end
        (file("a", PHOTO) + b"rubbish" + END, 400),  # not as forms are
    ],
)
def test_a_bad_form_leaves_no_file(tmp_path: Path, body: bytes, status: int) -> None:
    with pytest.raises(RequestError) as caught:
        receive(tmp_path, body, chunk=1000)
    assert caught.value.status == status
    assert list(tmp_path.iterdir()) == []


def test_a_client_that_goes_away_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="ends in the middle"):
        receive(tmp_path, file("a", PHOTO) + file("b", PHOTO)[:500], breaks=True)
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_fit_on_the_disk_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = uploads.SPARE_BYTES + 500_000
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    body = file("a", PHOTO) + END
    assert len(receive(tmp_path, body, announced=500_000).files) == 1
    with pytest.raises(StorageFull):
        receive(tmp_path, body, announced=500_001)


def test_a_client_that_sends_nothing_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "IDLE_SECONDS", 0.05)
    with pytest.raises(RequestError, match="too slow") as caught:
        receive(tmp_path, file("a", PHOTO), chunk=5000, pause_seconds=10)
    assert caught.value.status == 408
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("length", ["-1", "x", "1" * 30, "1.5"])
def test_a_length_that_is_no_number(tmp_path: Path, length: str) -> None:
    with pytest.raises(RequestError, match="Content-Length"):
        receive(tmp_path, END, announced=length)
