"""Requests that are not as HTTP has them, through real connections."""

from http.client import HTTPConnection, HTTPResponse
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.answers import check_error
from tests.app.conftest import connect, spell


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"GET /livez HTTP/1.1\r\n\r\n", {400}),  # no host
        (b"GET /livez HTTP/1.0\r\n\r\n", {421}),  # HTTP/1.0 needs none
        (b"GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", {400}),  # two hosts
        (b"GET http://evil.example/livez HTTP/1.1\r\nHost: localhost\r\n\r\n", {200, 404}),  # for a proxy
        (b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", {200, 400}),
        (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", {400, 404}),
        (b"GET /images/%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", {422}),
        (b"GET /images/\xff HTTP/1.1\r\nHost: localhost\r\n\r\n", {400}),
        (b"GET /images/%ff%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", {422}),
        (b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", {404}),
        (b"GET /page/..%2f..%2fsettings.py HTTP/1.1\r\nHost: localhost\r\n\r\n", {404}),
        (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", {404}),
        (b"POST /images HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", {400}),
        (b"POST /images HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", {400}),
        (b"POST /search HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: x\r\n\r\n", {400, 501}),
        (b"nonsense\r\n\r\n", {400}),
        (b"\x16\x03\x01\x02\x00\x01\x00", {400}),  # TLS
    ],
)
def test_odd_requests_are_refused(service_url: str, sent: bytes, expected: set[int]) -> None:
    with connect(service_url, sent) as connection:
        answer = HTTPResponse(connection)
        answer.begin()
        assert answer.status in expected
        if answer.status >= 400:
            check_error(answer.status, answer.headers["content-type"], answer.read())
    assert httpx2.get(f"{service_url}/livez", timeout=20).status_code == 200


def test_a_body_that_breaks_off_into_nonsense_is_a_problem_too(service_url: str) -> None:
    head = b"POST /images HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    kind = b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    with connect(service_url, head + kind + b"5\r\n--b\r\n\r\nnonsense\r\n") as connection:
        answer = HTTPResponse(connection)
        answer.begin()
        assert answer.status == 400
        check_error(answer.status, answer.headers["content-type"], answer.read())
        assert connection.recv(1) == b""  # there is no second answer


def test_nonsense_after_a_request_does_not_spoil_its_answer(service_url: str) -> None:
    files = {"files": ("a.png", spell("coffee"))}
    (item,) = httpx2.post(f"{service_url}/images", files=files, timeout=20).json()["items"]
    request = f"GET /images/{item['id']}/file HTTP/1.1\r\nHost: localhost\r\n\r\nnonsense\r\n\r\n"
    with connect(service_url, request.encode()) as connection:
        answer = HTTPResponse(connection)
        answer.begin()
        assert answer.read() == spell("coffee")


def test_head_gets_the_headers_alone_and_the_connection_goes_on(service_url: str) -> None:
    connection = HTTPConnection(urlsplit(service_url).netloc, timeout=20)
    for method in ("HEAD", "GET", "HEAD"):
        connection.request(method, "/")
        answer = connection.getresponse()
        length = int(answer.headers["content-length"])
        assert answer.status == 200
        assert len(answer.read()) == (length if method == "GET" else 0)
        assert not answer.will_close
    connection.close()
