import hashlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from app.client import Client, Photo, ServiceError
from tests.app.conftest import spell


@pytest.fixture
def client(service_url: str) -> Iterator[Client]:
    with Client(service_url + "/") as client:  # a slash at the end is no mistake
        yield client


@pytest.fixture
def stranger() -> Iterator[str]:
    """A web server that is no glyphseek: it answers everything with 200, 404 for /search, and a page."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404 if self.path.startswith("/search") else 200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_photo_in_memory_is_the_same_as_one_on_disk(tmp_path: Path) -> None:
    data = spell("same")
    path = tmp_path / "a.png"
    path.write_bytes(data)
    for photo in (Photo("a.png", data), Photo("a.png", path)):
        assert photo.size_bytes == len(data)
        assert photo.sha256() == hashlib.sha256(data).hexdigest()


def test_photos_go_in_and_are_found(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "b.png"
    path.write_bytes(spell("hotel"))
    photos = [Photo("a.png", spell("coffee")), Photo("b.png", path), Photo("c.txt", b"no picture")]
    answer = client.upload(photos, collection="trip")
    assert [(item.name, item.status) for item in answer.items] == [
        ("a.png", "queued"),
        ("b.png", "queued"),
        ("c.txt", "rejected"),
    ]
    while not client.job(answer.job).done:
        pass
    while client.health().images != {"indexed": 2} or client.search("coffee").total < 2:
        pass
    found = client.search("hotel", limit=1, collection="trip")
    assert (found.query, found.total) == ("hotel", 2)
    assert [hit.image.name for hit in found.hits] == ["b.png"]
    assert client.file(found.hits[0].image.id) == path.read_bytes()
    assert client.search("hotel", min_score=0.99).total == 1
    moment = datetime(2020, 1, 1, tzinfo=UTC)
    assert client.search("hotel", match="exact", where=["width<=64", "bytes>1"]).total == 1
    assert client.search("hotel", min_score="suggested", taken_after=moment).total == 0
    assert [(each.text, each.photos) for each in client.suggest("hot")] == [("hotel", 1)]
    assert b"b.png" in client.export("hotel", limit=1, collection="trip")
    assert client.export("hotel", format="coco").startswith(b"{")
    by_photo = client.search_image(Photo("crop.png", spell("hotel")), limit=1, collection=None)
    assert [hit.image.name for hit in by_photo.hits] == ["b.png"]
    assert client.search("hotel", offset=1).hits == client.search("hotel").hits[1:]
    assert client.images(status="failed").items == []


def test_a_refused_upload_still_says_what_became_of_each_file(client: Client) -> None:
    items = client.upload([Photo("a.png", b""), Photo("b.png", b"x")]).items
    assert [item.status for item in items] == ["rejected", "rejected"]
    assert "empty" in str(items[0].reason)


def test_known_digests_are_asked_for_in_parts(client: Client) -> None:
    data = spell("known")
    client.upload([Photo("a.png", data)])
    digest = hashlib.sha256(data).hexdigest()
    many = [f"{number:064x}" for number in range(250)]
    assert client.known([*many, digest], "default") == {digest}
    assert client.known([*many, digest], "another") == set()
    assert client.known([], "default") == set()


def test_names_arrive_as_they_are(client: Client) -> None:
    names = ["日本.png", "a b;c.png", "100%.png", "ü.png"]
    answer = client.upload([Photo(name, spell("x")) for name in names])
    assert [item.name for item in answer.items] == names


@pytest.mark.parametrize(
    ("word", "options", "reason"),
    [
        ("", {}, "letter or a digit"),  # nothing to look for
        ("x" * 201, {}, "200 characters"),  # no word
        ("a", {"collection": "nowhere"}, "collection"),  # unknown
        ("a", {"limit": -1}, "limit"),  # negative
    ],
)
def test_the_reason_of_the_service_is_the_message(
    client: Client, word: str, options: dict[str, object], reason: str
) -> None:
    with pytest.raises(ServiceError, match=reason):
        client.search(word, **options)


def test_a_refused_collection_is_no_list_of_files(client: Client) -> None:
    with pytest.raises(ServiceError, match="1 to 100 characters"):
        client.upload([Photo("a.png", spell("a"))], collection="x" * 101)


def test_files_are_closed_when_nobody_answers(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(spell("a"))
    with (
        Client("http://127.0.0.1:1", retries=0) as client,
        pytest.raises(ServiceError, match="glyphseek serve"),
    ):
        client.upload([Photo("a.png", path)])  # a file left open would be a warning, hence an error


@pytest.mark.parametrize("url", ["", "nonsense", "http://", "http://a b", "ftp://127.0.0.1", "http://[::1"])
def test_not_a_url(url: str) -> None:
    with pytest.raises(ServiceError), Client(url) as client:
        client.health()


def test_another_web_server_is_recognised_as_such(stranger: str) -> None:
    with Client(stranger) as client:
        for call in (
            client.health,
            client.images,
            lambda: client.search("a"),
            lambda: client.job(1),
        ):
            with pytest.raises(ServiceError, match="is it a glyphseek"):
                call()


def test_collections_are_made_changed_and_dropped(client: Client) -> None:
    made = client.create_collection("a/b ü", quota_bytes=10_000)
    assert (made.name, made.quota_bytes, made.bytes_used) == ("a/b ü", 10_000, 0)
    assert client.rename_collection("a/b ü", "trip").name == "trip"
    assert client.set_quota("trip", None).quota_bytes is None
    client.upload([Photo("a.png", spell("a"))], collection="trip")
    assert [(each.name, sum(each.images.values())) for each in client.collections()] == [("trip", 1)]
    with pytest.raises(ServiceError, match="--with-photos"):
        client.drop_collection("trip")
    client.drop_collection("trip", with_photos=True)
    assert client.collections() == []


def test_a_photo_from_upload_to_deletion(client: Client) -> None:
    data = spell("coffee shop")
    answer = client.upload([Photo("a.png", data)], metadata={"place": "Rome"}, wait=True)
    image_id = answer.items[0].id
    assert image_id is not None
    assert answer.items[0].status == "indexed"
    image = client.image(image_id)
    assert (image.name, image.metadata, image.proposals) == ("a.png", {"place": "Rome"}, 2)
    assert [region.text for region in client.proposals(image_id).items] == ["coffee", "shop"]
    assert client.thumbnail(image_id).startswith(b"\xff\xd8")
    assert [each.query for each in client.search_many(["coffee", "shop"])] == ["coffee", "shop"]
    assert client.retry(image_id).status == "indexed"  # nothing to do
    client.delete_image(image_id)
    client.delete_image(image_id)
    with pytest.raises(ServiceError, match="no such photo"):
        client.image(image_id)


def test_images_are_paged(client: Client) -> None:
    client.upload([Photo(f"{number}.png", spell(str(number))) for number in range(5)])
    first = client.images(limit=3)
    assert first.next is not None
    rest = client.images(limit=3, cursor=first.next)
    assert [image.name for image in first.items + rest.items] == [f"{number}.png" for number in range(5)]
    assert rest.next is None


def test_progress_of_an_upload_ends_with_all_of_it(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "b.bin"
    path.write_bytes(bytes(300_000))
    seen: list[tuple[int, int]] = []
    photos = [Photo("a.png", spell("a")), Photo("b.bin", path), Photo("empty.png", b"")]
    client.upload(photos, progress=lambda sent, total: seen.append((sent, total)))
    total = len(spell("a")) + 300_000
    assert seen[0] == (len(spell("a")), total)
    assert seen[-1] == (total, total)
    assert len(seen) > 4
    assert seen == sorted(seen)


def test_words_are_found_in_a_photo_that_is_not_kept(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(spell("coffee shop"))
    for photo in (Photo("a.png", path), Photo("a.png", path.read_bytes())):
        answer = client.annotate(photo, ["shop", "coffee"])
        assert [(word.word, word.text) for word in answer.words] == [("shop", "shop"), ("coffee", "coffee")]
    assert client.images().items == []
    with pytest.raises(ServiceError, match="no words"):
        client.annotate(photo, [])
