import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.integration.conftest import RandomEncoder

PROBLEM = "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/images/", 404),  # no redirect
        ("PUT", "/images", 405),
        ("DELETE", "/search", 405),
    ],
)
def test_errors_of_the_framework_are_problems_too(
    client: TestClient, method: str, path: str, status: int
) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == PROBLEM
    assert answer.json()["status"] == status
    if status == 405:
        assert answer.headers["allow"] == "GET, POST"


def test_the_methods_of_a_path_are_its_own(client: TestClient) -> None:
    """Not those of paths with a parameter in its place."""
    assert client.options("/images/urls").headers["allow"] == "POST"
    assert client.options("/images/1").headers["allow"] == "DELETE, GET"


def test_an_unexpected_error_tells_nothing_of_the_machine(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("/home/someone/secret.py")

    monkeypatch.setattr("indexer.queries.list_images", fail)
    answer = client.get("/images")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == PROBLEM
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200),
        ("127.0.0.1", 200),
        ("[::1]:8000", 200),
        ("LOCALHOST", 200),  # names have no case
        ("evil.example", 421),  # a name that somebody lets point here
        ("localhost.evil.example", 421),
        ("", 421),
        ("[::1", 421),  # from here on neither a name nor an address with a port
        ("[::1]evil", 421),
        ("127.0.0.1:evil", 421),
        ("127.0.0.1:8123@evil.example", 421),
    ],
)
def test_only_known_host_names_are_answered(client: TestClient, host: str, status: int) -> None:
    answer = client.get("/livez", headers={"Host": host})
    assert answer.status_code == status
    if status != 200:
        assert answer.headers["content-type"] == PROBLEM


def test_any_host_name_is_answered_if_told_so_but_no_foreign_page_writes(settings: Settings) -> None:
    settings = settings.model_copy(update={"allowed_hosts": ("*",)})
    with TestClient(create_app(settings, RandomEncoder()), base_url="http://photos.example") as client:
        assert client.get("/livez").status_code == 200
        for origin, status in (("http://photos.example", 404), ("https://evil.example", 403)):
            headers = {"Origin": origin}
            assert client.post("/images/1/retry", headers=headers).status_code == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:8000", 204),  # our own page
        ("https://evil.example", 403),  # a page on the web
        ("null", 403),  # a page that hides where it is from
        ("http://localhost:9999", 403),  # another service on this machine
        ("http://localhost:8000@evil.example", 403),
    ],
)
def test_pages_of_other_hosts_may_not_write(client: TestClient, origin: str, status: int) -> None:
    headers = {"Host": "localhost:8000", "Origin": origin}
    assert client.delete("/images/1", headers=headers).status_code == status
    assert client.get("/livez", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("", "q must be given"),
        ("q=a&limit=x", "limit must be a valid integer"),
        ("q=a&limit=0&offset=-1", "limit must be greater than or equal to 1; offset must be greater than or"),
        ("q=a&min_score=x", "min_score must be a number from -1 to 1, or `suggested`"),
        ("q=a&match=x", "match must be 'similar', 'exact', 'prefix' or 'contains'"),
        ("q=a&taken_after=1", "taken_after must be a moment, written as in 2024-05-01"),
        ("q=a&where=a&where=" + "x" * 201, "where number 2 must have at most 200 characters"),
    ],
)
def test_details_say_what_must_be_otherwise(client: TestClient, query: str, detail: str) -> None:
    assert client.get(f"/search?{query}").json()["detail"].startswith(detail)


@pytest.mark.parametrize(
    ("body", "kind", "detail"),
    [
        (
            b'{"queries": ["a"]}',
            "text/plain",
            "the body must be JSON, sent with `Content-Type: application/json`",
        ),
        (b"{'queries'", "application/json", "the body must be JSON: Expecting property name"),
        (b"[]", "application/json; charset=utf-8", "the body must be a JSON object"),
        (b"", "application/json", "the body must be given"),
        (b'{"queries": ["a"], "min_score": "1"}', "application/json", "min_score must be a number from -1"),
        (b'{"queries": ["a", "!"]}', "application/json", "queries number 2: a query needs a letter"),
        (b'{"queries": ["a", 1]}', "application/json", "queries number 2 must be a valid string"),
    ],
)
def test_details_of_a_body_say_so_too(client: TestClient, body: bytes, kind: str, detail: str) -> None:
    answer = client.post("/search", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(detail)
