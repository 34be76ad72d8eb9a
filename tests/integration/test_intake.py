import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

import pytest
from PIL import Image as Pictures

from indexer.archives import Arrival, Refusal
from indexer.blobs import BlobStore
from indexer.errors import StorageFull
from indexer.intake import Receipt, take_in
from indexer.sandbox import Sandbox
from tests.integration.conftest import MAX_PIXELS, Gallery

Take = Callable[..., Receipt]


def picture(shade: int = 0, size: tuple[int, int] = (30, 20)) -> bytes:
    buffer = io.BytesIO()
    Pictures.new("RGB", size, (shade, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def arrive(blobs: BlobStore, data: bytes, name: str = "a.png") -> Arrival:
    path = blobs.temporary()
    path.write_bytes(data)
    return Arrival(path, name, sha256(data).hexdigest(), len(data))


@pytest.fixture
def take(gallery: Gallery, sandbox: Sandbox) -> Take:
    """Take a file in."""

    def take(arrival: Arrival | Refusal, collection: str = "default", **extra: Any) -> Receipt:
        options = {"metadata": {}, "max_pixels": MAX_PIXELS, **extra}
        return take_in(gallery.engine, gallery.blobs, sandbox, arrival, collection=collection, **options)

    return take


def test_a_new_photo_is_stored_and_queued(gallery: Gallery, take: Take) -> None:
    data = picture()
    arrival = arrive(gallery.blobs, data, "trip/a\x00.png")
    receipt = take(arrival, "trip", metadata={"place": "Rome"})
    assert (receipt.status, receipt.name, receipt.reason) == ("queued", "a\ufffd.png", None)
    image = gallery.image(receipt.id or 0)
    assert (image.sha256, image.media_type, image.size_bytes) == (arrival.sha256, "image/png", len(data))
    assert (image.width, image.height) == (30, 20)
    assert (image.collection.name, image.extra) == ("trip", {"place": "Rome"})
    assert gallery.blobs.path(arrival.sha256).read_bytes() == data
    assert not arrival.path.exists()


def test_known_bytes_are_a_duplicate_and_change_nothing(gallery: Gallery, take: Take) -> None:
    first = take(arrive(gallery.blobs, picture(), "first.png"), metadata={"n": 1})
    arrival = arrive(gallery.blobs, picture(), "second.png")
    again = take(arrival, metadata={"n": 2})
    assert (again.status, again.id) == ("duplicate", first.id)
    image = gallery.image(first.id or 0)
    assert (image.name, image.extra) == ("first.png", {"n": 1})
    assert not arrival.path.exists()


def test_bytes_indexed_in_another_collection_are_indexed_at_once(gallery: Gallery, take: Take) -> None:
    first = take(arrive(gallery.blobs, picture()))
    waiting = take(arrive(gallery.blobs, picture()), "before")
    gallery.index_all()
    reused = take(arrive(gallery.blobs, picture()), "after")
    assert (first.status, waiting.status, reused.status) == ("queued", "queued", "indexed")
    assert len({first.id, waiting.id, reused.id}) == 3


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"hello", "not a picture"),
        (picture()[:-30], "truncated"),
        (picture(size=(2000, 1000)), "limit"),
    ],
)
def test_what_is_refused_leaves_nothing(gallery: Gallery, take: Take, data: bytes, reason: str) -> None:
    arrival = arrive(gallery.blobs, data)
    receipt = take(arrival)
    assert (receipt.status, receipt.id) == ("rejected", None)
    assert reason in str(receipt.reason)
    assert gallery.statuses() == {}
    assert not arrival.path.exists()
    assert not gallery.blobs.exists(arrival.sha256)


def test_what_a_zip_refused_is_passed_on(take: Take) -> None:
    receipt = take(Refusal("x/a.jpg", "damaged"))
    assert receipt == Receipt(None, "a.jpg", None, "rejected", "damaged")


def test_a_full_disk_leaves_no_row_and_no_file(
    gallery: Gallery, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrival = arrive(gallery.blobs, picture())

    def full(*_: object) -> None:
        raise StorageFull

    monkeypatch.setattr(gallery.blobs, "put", full)
    with pytest.raises(StorageFull):
        take(arrival)
    assert gallery.statuses() == {}
    assert not arrival.path.exists()


def test_the_same_bytes_from_several_sides_at_once_are_one_photo(gallery: Gallery, take: Take) -> None:
    arrivals = [arrive(gallery.blobs, picture()) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(lambda arrival: take(arrival), arrivals))
    assert sorted(receipt.status for receipt in receipts) == ["duplicate"] * 7 + ["queued"]
    assert len({receipt.id for receipt in receipts}) == 1
    assert gallery.blobs.exists(arrivals[0].sha256)
