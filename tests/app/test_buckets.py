"""A bucket on this machine that answers like S3."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest

from app import buckets
from app.client import Client
from app.fetch import NotFetched
from app.url_list import read_list
from indexer.errors import GlyphseekError
from tests.app.conftest import Run, spell
from tests.app.webserver import send

PAGE = 2  # names in one part of a listing
OBJECTS = {
    "trip/Coffee #1.png": spell("coffee"),
    "trip/day 2/hotel.png": spell("hotel"),
    "trip/notes.txt": b"no photo",
    "trip/broken.jpg": b"no photo either",
    "tripod.png": spell("tripod"),
}


class Handler(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        bucket, _, name = unquote(parts.path).lstrip("/").partition("/")
        if bucket == "closed":
            send(self, 403, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")
        elif bucket != "photos":
            send(self, 404, b"<Error><Code>NoSuchBucket</Code></Error>")
        elif name:
            headers = {"ETag": '"1"', "Last-Modified": "Mon, 05 Jan 2026 10:00:00 GMT"}
            send(self, 200 if name in OBJECTS else 404, OBJECTS.get(name, b""), **headers)
        else:
            send(self, 200, listing({key: values[0] for key, values in parse_qs(parts.query).items()}))

    def log_message(self, *_: object) -> None:
        pass


def listing(query: dict[str, str]) -> bytes:
    names = sorted(name for name in OBJECTS if name.startswith(query.get("prefix", "")))
    start = int(query.get("continuation-token", 0))
    more = start + PAGE < len(names)
    entries = "".join(
        f"<Contents><Key>{escape(name)}</Key><LastModified>2026-01-05T10:00:00.000Z</LastModified>"
        f"<ETag>1</ETag><Size>{len(OBJECTS[name])}</Size></Contents>"
        for name in names[start : start + PAGE]
    )
    token = f"<NextContinuationToken>{start + PAGE}</NextContinuationToken>" if more else ""
    flag = f"<IsTruncated>{str(more).lower()}</IsTruncated>"
    return f"<ListBucketResult>{flag}{token}{entries}</ListBucketResult>".encode()


@pytest.fixture(autouse=True)
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "name")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setattr(buckets, "RETRIES", 0)
    buckets.store.cache_clear()
    yield
    buckets.store.cache_clear()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("address", ["s3://photos/trip", "s3://photos/trip/"])
def test_photos_of_a_folder_and_its_folders_are_found_over_pages(address: str) -> None:
    names = ["Coffee #1.png", "broken.jpg", "day 2/hotel.png"]
    assert buckets.find(address) == [f"s3://photos/trip/{name}" for name in names]


def test_a_whole_bucket_and_a_single_photo_are_found() -> None:
    assert len(buckets.find("s3://photos")) == 4
    assert buckets.find("s3://photos/tripod.png") == ["s3://photos/tripod.png"]


def test_a_photo_is_fetched(tmp_path: Path) -> None:
    arrival = buckets.fetch("s3://photos/trip/Coffee #1.png", tmp_path / "1", max_bytes=10_000)
    assert (tmp_path / "1").read_bytes() == OBJECTS["trip/Coffee #1.png"]
    assert (arrival.name, arrival.size_bytes) == ("Coffee #1.png", len(OBJECTS["trip/Coffee #1.png"]))


def test_what_is_too_long_or_not_there_is_not_fetched(tmp_path: Path) -> None:
    with pytest.raises(NotFetched, match="more than 10 bytes"):
        buckets.fetch("s3://photos/tripod.png", tmp_path / "1", max_bytes=10)
    with pytest.raises(NotFetched, match=r"there is no s3://photos/gone\.png"):
        buckets.fetch("s3://photos/gone.png", tmp_path / "1", max_bytes=10)
    assert not (tmp_path / "1").exists()


@pytest.mark.parametrize(
    ("address", "part"),
    [
        ("s3://", "names no bucket"),
        ("s3:///trip", "names no bucket"),
        ("s3://other", "NoSuchBucket"),
        ("s3://photos/nothing", "no photos below"),
        ("s3://photos/trip/gone.png", "there is no"),
        ("s3://closed", "AWS_REGION"),
        ("s3://a b", "names no bucket"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(address: str, part: str) -> None:
    with pytest.raises(GlyphseekError, match=part) as error:
        buckets.find(address)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


def test_a_service_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(GlyphseekError, match="AWS_ENDPOINT_URL"):
        buckets.find("s3://photos")


def test_command(run: Run, service_url: str) -> None:
    status, out, _ = run("ingest", "s3://photos/trip", "--collection", "bucket", "--url", service_url)
    assert status == 1
    assert "3 photos: 2 indexed now, 0 known before, 1 refused" in out
    assert "refused: broken.jpg" in out
    with Client(service_url) as client:
        names = [image.name for image in client.images(collection="bucket").items]
    assert sorted(names) == ["Coffee #1.png", "hotel.png"]


def test_lists_may_name_folders_of_buckets(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("http://example.org/a.png\ns3://photos/trip/day 2\n")
    assert read_list(tmp_path / "list.txt") == [
        "http://example.org/a.png",
        "s3://photos/trip/day 2/hotel.png",
    ]
    (tmp_path / "list.txt").write_text("s3://other")
    with pytest.raises(GlyphseekError, match=r"line 1: s3://other: .*NoSuchBucket"):
        read_list(tmp_path / "list.txt")


def test_command_says_what_is_wrong(run: Run, service_url: str) -> None:
    status, _, err = run("ingest", "s3://other/x", "--url", service_url)
    assert status == 2
    assert "NoSuchBucket" in err
