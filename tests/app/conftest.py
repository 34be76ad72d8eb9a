"""The application on a real Postgres, with a network of random numbers and a worker in a thread."""

import io
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from fastapi.testclient import TestClient
from httpx2 import Response
from PIL import Image

from app import cli
from app.client import Client
from app.main import create_app
from app.protocol import HttpProtocol
from app.settings import Settings
from indexer import worker
from indexer.blobs import BlobStore
from indexer.sandbox import Sandbox
from tests.integration.conftest import RandomEncoder

MAX_PIXELS = 1_000_000
MAX_REQUEST_BYTES = 2_000_000
Run = Callable[..., tuple[int, str, str]]


def spell(words: str, *, kind: str = "PNG") -> bytes:
    """Return a picture that the random network reads as these words."""
    pixels = np.zeros((8, 64, 3), np.uint8)
    letters = words.encode()
    pixels[0, : len(letters), 0] = np.frombuffer(letters, np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def upload(client: TestClient, *files: tuple[str, bytes], **options: object) -> Response:
    """Post files; `options` are query parameters and form fields."""
    params = {name: options.pop(name) for name in ("wait",) if name in options}
    parts = [("files", (name, data)) for name, data in files]
    return client.post("/images", files=parts, data=options, params=params)


def stored(settings: Settings) -> list[Path]:
    """Return the files of photos, whole or not."""
    return [path for path in settings.photos_dir.rglob("*") if path.is_file()]


def wait(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def connect(url: str, data: bytes = b"") -> socket.socket:
    """Return a connection to a server on which these bytes have been sent."""
    host, _, port = url.removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)), timeout=20)
    connection.sendall(data)
    return connection


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    """Settings of a small service."""
    return Settings(
        data_dir=tmp_path / "data",
        database_url=database_url,
        max_files=5,
        max_request_bytes=MAX_REQUEST_BYTES,
        max_pixels=MAX_PIXELS,
    )


@pytest.fixture
def client(settings: Settings, sandbox: Sandbox) -> Iterator[TestClient]:
    """A client of the running application, ready to search."""
    app = create_app(settings, RandomEncoder())
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        service = app.state.service
        assert service.follower.wait_until(0, timeout_seconds=10)
        own, service.sandbox = service.sandbox, sandbox
        yield client
        service.sandbox = own


@pytest.fixture
def working(settings: Settings) -> Iterator[None]:
    """A worker in a thread."""
    stop = threading.Event()
    blobs = BlobStore(settings.photos_dir)
    options = {"stop": stop, "max_pixels": MAX_PIXELS, "poll_seconds": 0.05}
    thread = threading.Thread(
        target=worker.run, args=(settings.database_url, RandomEncoder(), blobs), kwargs=options
    )
    thread.start()
    yield
    stop.set()
    thread.join()


@pytest.fixture
def service_url(settings: Settings, working: None) -> Iterator[str]:
    """Where the running application answers, ready to search, as other programs reach it."""
    app = create_app(settings, RandomEncoder())
    config = uvicorn.Config(app, port=0, http=HttpProtocol, log_config=None, ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    with Client(url) as client:
        while client.health().status != "ok":
            time.sleep(0.01)
    yield url
    server.should_exit = True
    thread.join()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run a command in this process, in an empty folder; return exit status, output and errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, **variables: object) -> tuple[int, str, str]:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["glyphseek", *map(str, arguments)])
            patch.setattr(cli.logs, "configure", lambda *_: None)  # logging is set up for all of the process
            for name, value in variables.items():
                patch.setenv(f"GLYPHSEEK_{name.upper()}", str(value))
            with pytest.raises(SystemExit) as ended:
                cli.main()
        written = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, written.out, written.err

    return run
