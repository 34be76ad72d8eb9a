import pytest

from indexer.database import MigrationState, database_url


@pytest.mark.parametrize(
    "url",
    [
        "postgres://me:secret@host:5433/photos",  # as hosting services write it
        "postgresql://me:secret@host:5433/photos",
        "postgresql+psycopg://me:secret@host:5433/photos",
        "postgresql+asyncpg://me:secret@host:5433/photos",  # of another program's settings
    ],
)
def test_url_gets_our_driver(url: str) -> None:
    rendered = database_url(url).render_as_string(hide_password=False)
    assert rendered == "postgresql+psycopg://me:secret@host:5433/photos"


@pytest.mark.parametrize(
    "url",
    [
        "",  # set, but empty
        "mysql://me:secret@host/photos",
        "secret",
        "postgresql://me:secret/photos",  # no number where the port would stand
        "postgresql://me:pass:secret@word@host:/x:y@z:secret/photos",
    ],
)
def test_other_url_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValueError, match="database URL") as caught:
        database_url(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("current", "up_to_date"),
    [
        (None, False),  # no tables yet
        ("0001", False),  # older
        ("0002", True),
        ("0003", False),  # newer than this program
    ],
)
def test_tables_must_be_exactly_ours(current: str | None, up_to_date: bool) -> None:
    assert MigrationState(current, head="0002").up_to_date is up_to_date
