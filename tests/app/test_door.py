"""What comes from outside and is not as it should be: numbers, ids, names, pictures, addresses."""

import zlib
from http.client import HTTPResponse

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from app.settings import Settings
from tests.answers import check_error
from tests.app.conftest import MAX_PIXELS, connect, spell, stored, upload
from tests.indexer.test_images_refused import chunk, png

HUGE = "9" * 20


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/search?q=a", "limit"),
        ("/search?q=a", "offset"),
        ("/suggest?q=a", "limit"),
        ("/images?", "limit"),
        ("/images?", "cursor"),
    ],
)
def test_numbers_that_are_none(client: TestClient, path: str, name: str) -> None:
    for value in ("x", "-1", "1.5", HUGE, f"-{HUGE}", "%00", ""):
        answer = client.get(f"{path}&{name}={value}")
        assert (value, answer.status_code) == (value, 422)
        assert answer.json()["detail"].startswith(name)


@pytest.mark.parametrize("name", ["limit", "offset"])
def test_numbers_that_are_none_in_a_body(client: TestClient, name: str) -> None:
    for value in ("x", -1, 1.5, int(HUGE), None, [], True):
        answer = client.post("/search", json={"queries": ["a"], name: value})
        assert (value, answer.status_code) == (value, 422)
        assert answer.json()["detail"].startswith(name)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/images/{}"),
        ("DELETE", "/images/{}"),
        ("GET", "/images/{}/file"),
        ("GET", "/images/{}/thumbnail"),
        ("GET", "/images/{}/proposals"),
        ("POST", "/images/{}/retry"),
        ("GET", "/jobs/{}"),
    ],
)
def test_ids_that_are_none_or_unknown(client: TestClient, method: str, path: str) -> None:
    for wrong in ("0", "-1", "abc", str(2**63), HUGE, "1.5", "%00", "%ff", "%zz"):
        answer = client.request(method, path.format(wrong))
        assert (wrong, answer.status_code) == (wrong, 422)
        assert "_id must be " in answer.json()["detail"]
    # To delete what is not there is no error.
    assert client.request(method, path.format(999)).status_code == (204 if method == "DELETE" else 404)


NAMES = {
    b'filename="a\0b.png"': "a\N{REPLACEMENT CHARACTER}b.png",
    b'filename="a\xed\xa0\x80b.png"': "a" + "\N{REPLACEMENT CHARACTER}" * 3 + "b.png",  # half of a pair
    b'filename="a\xffb.png"': "a\N{REPLACEMENT CHARACTER}b.png",  # no UTF-8
    b'filename="a\x1b[31mb.png"': "a\N{REPLACEMENT CHARACTER}[31mb.png",  # colours a terminal
    b'filename=""': "unnamed",
    b'filename="\0"': "\N{REPLACEMENT CHARACTER}",
}


def answer_to(url: str, request: bytes) -> tuple[int, str]:
    """Send a request as it stands; return status and body of the answer, which is checked."""
    with connect(url, request) as connection:
        answer = HTTPResponse(connection)
        answer.begin()
        body = answer.read()
        if answer.status >= 400:
            check_error(answer.status, answer.headers["content-type"], body)
        return answer.status, body.decode()


def test_names_of_files_as_other_programs_send_them(service_url: str) -> None:
    for sent, kept in NAMES.items():
        part = b'--b\r\nContent-Disposition: form-data; name="files"; ' + sent + b"\r\n\r\n"
        body = part + spell("x") + b"\r\n--b--\r\n"
        head = (
            b"POST /images HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        )
        status, text = answer_to(service_url, head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert status == 202, text
        assert f'"name":"{kept}"' in text


BAD_FILES = {
    "empty": (b"", "the file is empty"),
    "text": (b"hello, I am a text\n" * 100, "not a picture"),
    "truncated": (spell("coffee")[:-30], "damaged"),
    "too many pixels": (png(20_000, 10_000, zlib.compress(bytes(1000))), f"the limit is {MAX_PIXELS:,}"),
    "bomb of text": (
        png(8, 8, zlib.compress(bytes(200))).replace(
            b"\0\0\0\0IEND", chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(200_000_000))) + b"\0\0\0\0IEND"
        ),
        "damaged",
    ),
}


def post(client: TestClient, path: str, data: bytes) -> Response:
    form = {"words": "coffee"} if path == "/annotate" else {}
    return client.post(path, files={"files": ("a.png", data)}, data=form)


@pytest.mark.parametrize("path", ["/images", "/search/image", "/annotate"])
def test_bad_files_are_refused_wherever_a_photo_can_be_sent(
    client: TestClient, settings: Settings, path: str
) -> None:
    for kind, (data, reason) in BAD_FILES.items():
        answer = post(client, path, data)
        assert (kind, answer.status_code) == (kind, 422)
        body = answer.json()
        assert reason in (body["items"][0]["reason"] if path == "/images" else body["detail"])
        assert stored(settings) == []
    assert client.get("/images").json()["items"] == []
    assert upload(client, ("a.png", spell("coffee"))).status_code == 202


ADDRESSES = {
    "GET /search?q=%zz": {200},  # as it stands, it holds two letters
    "GET /search?q=%ff": {422},
    "GET /search?q=%00": {422},
    "GET /search?q=caf%C3": {200},  # half a letter after three
    "GET /search?q=a&%ff=%fe": {200, 422},
    "GET /images?collection=%00": {422},
    "GET /images?collection=%ed%a0%80": {200},
    "DELETE /collections/%00": {422},
    "GET /%c0%ae%c0%ae/etc/passwd": {404},
    "GET /images/1%2ffile": {404, 422},
}


def test_addresses_that_are_badly_written(service_url: str) -> None:
    for line, statuses in ADDRESSES.items():
        status, text = answer_to(service_url, f"{line} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert status in statuses, (line, text)
