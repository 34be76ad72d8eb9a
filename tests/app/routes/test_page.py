import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import app.routes.page
from app.main import create_app
from app.settings import Settings
from tests.integration.conftest import RandomEncoder

FOLDER = Path(app.routes.page.FOLDER)
OURS = [path for path in FOLDER.iterdir() if path.suffix in (".html", ".css", ".js", ".svg")]
DOCUMENTS = ["/", "/docs"]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    """A client of an application that has not started: the page needs no database."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), database_url="postgresql:///none")
    return TestClient(create_app(settings, RandomEncoder()), base_url="http://localhost")


class Tags(HTMLParser):
    """Collects the tags of a document, and the text in scripts and styles."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inline = ""
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] in ("script", "style"):
            self.inline += data.strip()


@pytest.mark.parametrize("path", DOCUMENTS)
def test_documents_run_only_our_own_files(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    document = Tags(answer.text)
    assert document.inline == ""
    for tag, attributes in document.tags:
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href"):
            assert (attributes.get(name) or "/").startswith("/"), f"{tag} comes from elsewhere"


@pytest.mark.parametrize("path", DOCUMENTS)
def test_every_file_that_is_asked_for_is_there(client: TestClient, path: str) -> None:
    document = Tags(client.get(path).text)
    wanted = {
        link for _, attributes in document.tags for link in (attributes.get("src"), attributes.get("href"))
    }
    wanted = {link for link in wanted if link and link.startswith("/page/")}
    for script in FOLDER.glob("*.js"):
        wanted |= {f"/page/{name}" for name in re.findall(r'from "\./(.+?)"', script.read_text())}
    wanted |= set(re.findall(r'url\("(.+?)"\)', (FOLDER / "style.css").read_text()))
    assert len(wanted) > 10
    for link in wanted:
        assert client.get(link).status_code == 200, link


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/page/main.js", "text/javascript; charset=utf-8"),  # browsers run nothing else as a module
        ("/page/style.css", "text/css; charset=utf-8"),
        ("/page/icon.svg", "image/svg+xml"),
    ],
)
def test_files_have_their_type_and_are_sent_once(client: TestClient, path: str, kind: str) -> None:
    answer = client.get(path)
    assert answer.headers["content-type"] == kind
    assert answer.headers["x-content-type-options"] == "nosniff"
    again = client.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/page/nothing.js",  # no such file
        "/page/",  # the folder
        "/page/../main.py",  # above it (clients take the dots out themselves)
        "/page/%2e%2e/main.py",  # above it, past the client
        "/page/..%2fmain.py",
        "/page//etc/passwd",  # an absolute path
        "/page/vendor",  # a folder in it
        "/page/main.js%00",  # NUL
    ],
)
def test_nothing_else_can_be_read(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_scripts_find_the_elements_that_they_ask_for() -> None:
    ids = set(re.findall(r' id="(.+?)"', (FOLDER / "index.html").read_text()))
    asked = {
        name for script in FOLDER.glob("*.js") for name in re.findall(r'byId\("(.+?)"\)', script.read_text())
    }
    assert asked
    assert asked <= ids


def test_the_page_stays_small() -> None:
    assert len(OURS) > 10
    for path in OURS:
        assert len(path.read_text().splitlines()) < 400, path.name
    vendored = [path for path in (FOLDER / "vendor").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in vendored) < 2_000_000
    assert "NOTICE" in {path.name for path in vendored}


def test_documentation_is_ours_alone(client: TestClient) -> None:
    assert client.get("/redoc").status_code == 404
    assert client.get("/docs/oauth2-redirect").status_code == 404
    assert not {"/", "/docs", "/events"} & client.get("/openapi.json").json()["paths"].keys()
