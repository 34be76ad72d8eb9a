from importlib.metadata import version
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.integration.conftest import RandomEncoder

METHODS = {"get", "post", "put", "delete"}


@pytest.fixture
def offline(tmp_path: Path) -> TestClient:
    """The application, not started: enough for what needs neither database nor network."""
    app = create_app(Settings(data_dir=tmp_path, host="192.0.2.7"), RandomEncoder())
    return TestClient(app, base_url="http://192.0.2.7:8000")


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_there_are_a_page_and_a_documentation(offline: TestClient, path: str) -> None:
    page = offline.get(path)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")


def test_the_document_describes_every_error_as_a_problem(offline: TestClient) -> None:
    document = offline.get("/openapi.json").json()
    assert document["info"]["version"] == version("glyphseek")
    operations = [
        (f"{method} {path}", operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]
    assert len({operation["operationId"] for _, operation in operations}) == len(operations) > 10
    for name, operation in operations:
        for status, response in operation["responses"].items():
            if status.startswith(("4", "5")) and name != "get /readyz":
                assert "application/problem+json" in response["content"], f"{name} {status}"
                assert "ValidationError" not in str(response), f"{name} {status}"


def test_the_host_that_is_set_is_answered_to(offline: TestClient) -> None:
    assert offline.get("/livez").status_code == 200
    assert offline.get("/livez", headers={"Host": "192.0.2.8"}).status_code == 421


@pytest.mark.parametrize("path", ["/", "/livez", "/nothing"])
def test_head_is_get_without_the_body(offline: TestClient, path: str) -> None:
    asked, head = offline.get(path), offline.head(path)
    assert (head.status_code, head.content) == (asked.status_code, b"")
    assert head.headers["content-length"] == asked.headers["content-length"]
