from collections.abc import Iterator
from pathlib import Path

import pytest

from app import fetch, url_list
from app.client import Client
from app.url_list import ingest_urls, read_list
from indexer.errors import GlyphseekError
from tests.app.conftest import Run
from tests.app.webserver import WebServer


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    monkeypatch.setattr(fetch, "is_public", lambda address: str(address) == "127.0.0.1")
    with WebServer() as web:
        yield web


def test_lists_may_have_empty_lines_and_remarks(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("# from here\n\n http://example.org/a.png \r\nhttps://example.org/b.png?x=1#y\n")
    assert read_list(path) == ["http://example.org/a.png", "https://example.org/b.png?x=1#y"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("http://example.org/a.png\nexample.org/b.png", "line 2: this is not a http"),
        ("file:///etc/passwd", "line 1"),
        ("", "no address in"),
        ("# nothing", "no address in"),
        ("\xff", "line 1"),
    ],
)
def test_what_is_wrong_with_a_list_is_said(tmp_path: Path, text: str, part: str) -> None:
    path = tmp_path / "list.txt"
    path.write_text(text, "latin-1")
    with pytest.raises(GlyphseekError, match=part):
        read_list(path)


def test_photos_are_fetched_in_parts_and_found(
    service_url: str, web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(url_list, "FETCHED_AT_ONCE", 2)
    urls = [f"{web.url}/{name}" for name in ("coffee.png", "nowhere", "hotel.png", "page", "coffee.png")]
    steps: dict[str, tuple[int, int]] = {}

    def note(step: str, done: int, total: int) -> None:
        steps[step] = (done, total)

    with Client(service_url) as client:
        report = ingest_urls(client, urls, collection="web", progress=note)
        names = [image.name for image in client.images(collection="web").items]
    assert names == ["coffee.png", "hotel.png"]
    assert (report.found, report.indexed, report.known) == (5, 2, 1)
    assert [name for name, _ in report.refused] == [urls[1], "page"]
    assert steps["fetch"] == (5, 5)


def test_command(run: Run, service_url: str, web: WebServer, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"{web.url}/coffee.png\n{web.url}/nowhere\n")
    status, out, _ = run("ingest", "--urls", "list.txt", "--url", service_url)
    assert status == 1
    assert "2 photos: 1 indexed now, 0 known before, 1 refused" in out
    assert f"refused: {web.url}/nowhere: the server answered 404" in out
