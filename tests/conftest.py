"""A real Postgres for each test process; in it a fresh, migrated database for each test that wants one.

Every answer that a test gets from the service is looked at: errors are problem documents without secrets.
"""

from collections.abc import Iterator
from itertools import count
from typing import Any

import httpx2
import psycopg
import pytest
from hypothesis import settings
from sqlalchemy import Engine, make_url

from indexer.database import create_engine, migrate
from indexer.embedded import EmbeddedPostgres
from indexer.sandbox import Sandbox
from tests.answers import check_error

# How long a test takes says more about the machine than about us.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

_numbers = count()


def _administer(server: EmbeddedPostgres, statement: str) -> None:
    conninfo = make_url(server.url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture(scope="session", autouse=True)
def checked_answers() -> Iterator[None]:
    """Check the errors among the answers that any client gets."""
    send = httpx2.Client.send

    def send_and_check(client: httpx2.Client, request: httpx2.Request, **options: Any) -> httpx2.Response:
        answer = send(client, request, **options)
        stands_in = answer.headers.get("server", "").startswith("BaseHTTP")  # for the rest of the web
        if answer.status_code >= 400 and not stands_in:
            check_error(answer.status_code, answer.headers["content-type"], answer.read())
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx2.Client, "send", send_and_check)
        yield


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A running server with an empty database."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(scope="session")
def template_database(postgres: EmbeddedPostgres) -> str:
    """Name of a migrated database, to be copied."""
    _administer(postgres, "CREATE DATABASE template_glyphseek")
    migrate(make_url(postgres.url).set(database="template_glyphseek"))
    return "template_glyphseek"


def _new_database(server: EmbeddedPostgres, template: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    _administer(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield make_url(server.url).set(database=name).render_as_string(hide_password=False)
    _administer(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def empty_database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """URL of a database without tables."""
    yield from _new_database(postgres, "template1")


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, template_database: str) -> Iterator[str]:
    """URL of a migrated database without rows."""
    yield from _new_database(postgres, template_database)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """Engine of `database_url`."""
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """Processes that read small pictures; shared, because starting one takes a moment."""
    with Sandbox(max_pixels=1_000_000, processes=1) as sandbox:
        yield sandbox
