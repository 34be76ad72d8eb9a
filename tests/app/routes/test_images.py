import io
import json
import re
import zipfile

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.routes import images
from app.settings import Settings
from tests.app.conftest import MAX_REQUEST_BYTES, spell, stored, upload, wait
from tests.integration.conftest import RandomEncoder


def zipped(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            # Of a fixed time: the bytes are part of the names of tests, which all processes must agree on.
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def test_waiting_has_an_end(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "WAIT_SECONDS", 0.2)  # and no worker indexes anything
    answer = upload(client, ("a.png", spell("one")), wait="true")
    assert (answer.status_code, answer.json()["items"][0]["status"]) == (202, "queued")


def test_upload_says_what_became_of_each_file_in_order(client: TestClient) -> None:
    first = upload(client, ("a.png", spell("one"))).json()["items"][0]["id"]
    answer = upload(client, ("b.png", spell("two")), ("bad.png", b"text"), ("again.png", spell("one")))
    assert answer.status_code == 202
    items = answer.json()["items"]
    assert [item["status"] for item in items] == ["queued", "rejected", "duplicate"]
    assert [item["name"] for item in items] == ["b.png", "bad.png", "again.png"]
    assert items[2]["id"] == first
    assert "not a picture" in items[1]["reason"]
    assert items[1]["id"] is None
    assert len(items[0]["sha256"]) == 64
    assert client.get(f"/jobs/{answer.json()['job']}").json()["rejected"] == 1


def test_nothing_of_a_rejected_file_is_stored(client: TestClient, settings: Settings) -> None:
    answer = upload(client, ("bad.png", b"text"), ("empty.jpg", b""))
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [item["status"] for item in answer.json()["items"]] == ["rejected", "rejected"]
    assert "empty" in answer.json()["items"][1]["reason"]
    assert stored(settings) == []
    assert client.get("/images").json() == {"items": [], "next": None}


def test_waiting_answers_when_the_photo_can_be_found(client: TestClient, working: None) -> None:
    items = upload(client, ("sign.png", spell("coffee shop")), wait="true").json()["items"]
    assert [item["status"] for item in items] == ["indexed"]
    assert client.get("/search", params={"q": "coffee"}).json()["hits"][0]["image"]["name"] == "sign.png"


def test_known_bytes_of_another_collection_are_not_indexed_again(client: TestClient, working: None) -> None:
    upload(client, ("a.png", spell("hotel")), wait="true")
    item = upload(client, ("b.png", spell("hotel")), collection="other").json()["items"][0]
    assert item["status"] == "indexed"
    assert client.get(f"/images/{item['id']}/proposals").json()["items"][0]["text"] == "hotel"


def test_collection_and_metadata_are_kept(client: TestClient) -> None:
    metadata = {"place": "Hôtel", "n": [1, None]}
    item = upload(client, ("a.png", spell("x")), collection="trip", metadata=json.dumps(metadata)).json()[
        "items"
    ][0]
    image = client.get(f"/images/{item['id']}").json()
    assert image["collection"] == "trip"
    assert image["metadata"] == metadata
    assert (image["width"], image["height"], image["status"], image["proposals"]) == (64, 8, "queued", 0)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"metadata": "[1]"}, "JSON object"),  # not an object
        ({"metadata": "{"}, "JSON object"),  # not JSON
        ({"metadata": '{"a": "\\u0000"}'}, "NUL"),  # Postgres refuses it
        ({"metadata": '{"a": "\\ud800"}'}, "JSON object"),  # half a character
        ({"metadata": '{"a": NaN}'}, "JSON object"),  # Python's JSON, nobody else's
        ({"metadata": "[" * 5000}, "JSON object"),  # deeper than Python can go
        ({"collection": ""}, "1 to 100"),  # no name
        ({"collection": "a\x00b"}, "control"),  # NUL
        ({"collection": "x" * 101}, "1 to 100"),  # too long
    ],
)
def test_bad_fields_are_refused_and_nothing_stored(
    client: TestClient, settings: Settings, fields: dict[str, str], reason: str
) -> None:
    answer = upload(client, ("a.png", spell("x")), **fields)
    assert answer.status_code == 422
    assert reason in answer.json()["detail"]
    assert stored(settings) == []


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("../../etc/passwd.png", "passwd.png"),  # folders go
        ("C:\\photos\\a.png", "a.png"),  # those of Windows too
        ("日本.png", "日本.png"),  # any script
        ("x" * 10_000, "x" * 255),  # cut
        ("..", ".."),  # harmless, as it is never a path
    ],
)
def test_names_are_cleaned(client: TestClient, sent: str, stored: str) -> None:
    assert upload(client, (sent, spell("x"))).json()["items"][0]["name"] == stored


def test_zip_is_taken_apart(client: TestClient, settings: Settings) -> None:
    data = zipped(
        {
            "../evil.png": spell("evil"),
            "folder/": b"",
            "folder/a.png": spell("a"),
            "notes.txt": b"hello",
            "inner.zip": zipped({"b.png": spell("b")}),
            "__MACOSX/a.png": b"junk",
            ".DS_Store": b"junk",
        }
    )
    items = upload(client, ("all.zip", data)).json()["items"]
    assert [(item["name"], item["status"]) for item in items] == [
        ("evil.png", "queued"),
        ("a.png", "queued"),
        ("notes.txt", "rejected"),
        ("inner.zip", "rejected"),
    ]
    assert not list(settings.data_dir.rglob("evil*"))
    assert len(stored(settings)) == 2


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (zipped({f"{n}.png": b"x" for n in range(6)}), "limit is 5"),  # more files than an upload may have
        (zipped({"a.png": b"\0" * (5 * MAX_REQUEST_BYTES)}), "unpacks to more than"),  # a bomb
        (zipped({"a.png": b"\0" * MAX_REQUEST_BYTES}), "packed too tightly"),  # a small one
        (zipped({}), "zip is damaged|not a picture"),  # nothing in it
        (zipped({"a.png": spell("a")})[:-30], "damaged"),  # cut off
        (zipped({".hidden": b"x"}), "holds no files"),  # nothing to take
    ],
)
def test_hostile_zips_are_refused(client: TestClient, settings: Settings, data: bytes, reason: str) -> None:
    answer = upload(client, ("all.zip", data))
    assert answer.status_code == 422
    assert re.search(reason, answer.json()["items"][0]["reason"])
    assert stored(settings) == []


def test_too_many_files(client: TestClient, settings: Settings) -> None:
    answer = upload(client, *[(f"{n}.png", spell(str(n))) for n in range(6)])
    assert answer.status_code == 413
    assert "5 files" in answer.json()["detail"]
    assert stored(settings) == []


def test_files_in_zips_count_with_those_beside_them(client: TestClient) -> None:
    packed = zipped({"a.png": spell("a"), "b.png": spell("b")})
    photos = [(f"{n}.png", spell(str(n))) for n in range(4)]
    items = upload(client, ("all.zip", packed), *photos).json()["items"]
    assert [item["status"] for item in items] == ["rejected"] + ["queued"] * 4
    assert items[0]["reason"] == "the zip has 2 files, the limit is 1"


def test_too_large_a_body_announced_and_not(client: TestClient, settings: Settings) -> None:
    big = b"\0" * (MAX_REQUEST_BYTES + 1)
    announced = upload(client, ("a.png", big))
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    chunked = client.post("/images", content=iter([head, big]), headers=headers)
    for answer in (announced, chunked):
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/problem+json"
    assert stored(settings) == []


def part(disposition: str, body: str) -> bytes:
    return f"--b\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{body}".encode()


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"{}", 415),  # no form
        ("multipart/form-data", b"x", 415),  # no boundary
        ("multipart/form-data; boundary=b", b"garbage", 400),  # not what was announced
        ("multipart/form-data; boundary=b", b"", 400),  # nothing
        ("multipart/form-data; boundary=b", part('name="files"; filename="a"', "ab"), 400),  # cut off
        ("multipart/form-data; boundary=b", part('name="metadata"', "{}\r\n--b--\r\n"), 422),  # no file
        (
            "multipart/form-data; boundary=b",
            part('name="x"; filename="a"', "x\r\n--b--\r\n"),
            422,
        ),  # another field
    ],
)
def test_broken_forms(
    client: TestClient, settings: Settings, content_type: str, body: bytes, status: int
) -> None:
    answer = client.post("/images", content=body, headers={"Content-Type": content_type})
    assert answer.status_code == status
    assert answer.json()["status"] == status
    assert stored(settings) == []


def test_too_large_a_picture_is_rejected_with_both_numbers(client: TestClient) -> None:
    buffer = io.BytesIO()
    Image.new("L", (2000, 1000)).save(buffer, "PNG")
    reason = upload(client, ("a.png", buffer.getvalue())).json()["items"][0]["reason"]
    assert "2,000,000" in reason
    assert "1,000,000" in reason


def test_list_is_paged_and_filtered(client: TestClient) -> None:
    ids = [
        upload(client, (f"{n}.png", spell(str(n))), collection="ab"[n % 2]).json()["items"][0]["id"]
        for n in range(5)
    ]
    page = client.get("/images", params={"limit": 3}).json()
    rest = client.get("/images", params={"limit": 3, "cursor": page["next"]}).json()
    assert [item["id"] for item in page["items"] + rest["items"]] == ids
    assert rest["next"] is None
    assert [item["id"] for item in client.get("/images?collection=b").json()["items"]] == ids[1::2]
    assert client.get("/images?status=failed").json()["items"] == []
    digest = page["items"][1]["sha256"]
    assert [item["id"] for item in client.get("/images", params={"sha256": digest}).json()["items"]] == [
        ids[1]
    ]


def test_file_and_thumbnail_have_strong_tags(client: TestClient) -> None:
    data = spell("tagged", kind="BMP")
    image = upload(client, ("a.bmp", data)).json()["items"][0]
    answer = client.get(f"/images/{image['id']}/file")
    assert answer.content == data
    assert answer.headers["content-type"] == "image/bmp"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["etag"] == f'"{image["sha256"]}"'
    small = client.get(f"/images/{image['id']}/thumbnail")
    assert Image.open(io.BytesIO(small.content)).size == (64, 8)
    for path, tag in (("file", answer.headers["etag"]), ("thumbnail", small.headers["etag"])):
        again = client.get(f"/images/{image['id']}/{path}", headers={"If-None-Match": f'"x", {tag}'})
        assert again.status_code == 304
        assert again.content == b""


def test_proposals_show_what_was_found(client: TestClient, working: None) -> None:
    image_id = upload(client, ("a.png", spell("one two")), wait="true").json()["items"][0]["id"]
    items = client.get(f"/images/{image_id}/proposals").json()["items"]
    assert [item["text"] for item in items] == ["one", "two"]
    assert items[1]["box"] == [10, 0, 18, 4]
    assert items[1]["quad"] == [[10, 0], [18, 0], [18, 4], [10, 4]]


def test_delete_removes_everything_and_may_be_repeated(
    client: TestClient, settings: Settings, working: None
) -> None:
    image_id = upload(client, ("a.png", spell("gone")), wait="true").json()["items"][0]["id"]
    for _ in range(2):
        assert client.delete(f"/images/{image_id}").status_code == 204
    assert client.get(f"/images/{image_id}").status_code == 404
    assert stored(settings) == []
    assert client.get("/search?q=gone").json()["hits"] == []


REASON = "an error occurred while it was indexed"  # the log says more


@pytest.fixture
def failed(client: TestClient, working: None, monkeypatch: pytest.MonkeyPatch) -> int:
    """Id of a photo that could not be indexed, as long as nothing is undone."""

    def fail(*_: object) -> None:
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(RandomEncoder, "_read", fail)
    monkeypatch.setattr("indexer.queue.BACKOFF_SECONDS", ())  # no second attempt
    (item,) = upload(client, ("a.png", spell("coffee")), wait="true").json()["items"]
    assert (item["status"], item["reason"]) == ("failed", REASON)
    return int(item["id"])


def retry(client: TestClient, image_id: int) -> dict[str, object]:
    """Retry a photo and return what became of it."""
    answer = client.post(f"/images/{image_id}/retry")
    assert answer.status_code == 202
    assert (answer.json()["status"], answer.json()["reason"]) == ("queued", None)
    wait(lambda: client.get(f"/images/{image_id}").json()["status"] in ("indexed", "failed"))
    image: dict[str, object] = client.get(f"/images/{image_id}").json()
    return image


def test_failed_photo_is_indexed_by_a_retry(
    client: TestClient, failed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (listed,) = client.get("/images?status=failed").json()["items"]
    assert (listed["id"], listed["reason"]) == (failed, REASON)
    monkeypatch.undo()
    image = retry(client, failed)
    assert (image["status"], image["reason"], image["proposals"]) == ("indexed", None, 1)
    assert client.get("/images?status=failed").json()["items"] == []


def test_photo_that_fails_again_says_why_again(client: TestClient, failed: int) -> None:
    image = retry(client, failed)
    assert (image["status"], image["reason"]) == ("failed", REASON)


@pytest.mark.parametrize(
    "query",
    [
        "limit=-1",
        "limit=0",
        "limit=1001",
        "limit=x",
        "cursor=-1",
        f"cursor={2**63}",
        "status=lost",
        "sha256=xyz",
        "collection=",
    ],
)
def test_malformed_list_queries(client: TestClient, query: str) -> None:
    answer = client.get(f"/images?{query}")
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(query.partition("=")[0])
