"""Which photos a search is among."""

from datetime import UTC, datetime, timedelta, timezone

import hypothesis.strategies as st
import pytest
from hypothesis import given
from sqlalchemy import Engine, text

from indexer import queries
from indexer.database import session_scope
from indexer.errors import InvalidQuery, NotFound
from indexer.filters import Filters, parse_condition, photos

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
PHOTOS = {
    1: ({"year": 2024, "price": 10.5, "city": "Paris", "tags": ["sea", "old"]}, (4000, 3000), NOON),
    2: ({"year": "2024", "price": -1, "city": "paris"}, (800, 600), NOON + timedelta(days=1)),
    3: ({"year": 1999, "price": None, "a b": 1, "day": "2024-05-02"}, (800, 1200), None),
    4: ({"year": [2024], "price": "10.5", "nested": {"x": 1}, "it's": '"q"', "flag": True}, (1, 1), None),
    5: ({}, (1000, 1000), NOON - timedelta(days=1)),
}


@pytest.fixture
def filled(engine: Engine) -> Engine:
    """A database with PHOTOS, the last one in a collection of its own."""
    with session_scope(engine) as session:
        collections = [queries.get_or_create_collection(session, name=name).id for name in ("a", "b")]
        for number, (metadata, (width, height), taken_at) in PHOTOS.items():
            queries.insert_image(
                session,
                collection_id=collections[number == 5],
                sha256=f"{number:064x}",
                name=f"{number}.png",
                media_type="image/png",
                size_bytes=number * 1000,
                width=width,
                height=height,
                metadata=metadata,
                taken_at=taken_at,
            )
    return engine


def found(engine: Engine, *where: str, **options: object) -> list[int] | None:
    with session_scope(engine) as session:
        ids = photos(session, Filters(where=where, **options))
    return None if ids is None else sorted(ids.tolist())


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        (["meta.year=2024"], [1, 2, 4]),  # the number, the text, and in a list
        (['meta.year="2024"'], [2]),
        (["meta.year>=2000"], [1]),
        (["meta.year<2000"], [3]),
        (["meta.year<=2024", "meta.price>10"], [1]),
        (["meta.price=10.50"], [1]),
        (["meta.price>=-1"], [1, 2]),
        (["meta.city=Paris"], [1]),
        (["meta.city>=P"], [1, 2]),
        (["meta.city>p"], [2]),
        (["meta.tags=old"], [1]),
        (["meta.day>=2024-05-01", "meta.day<2024-05-03"], [3]),
        (["meta.a b=1"], [3]),
        ([" meta.a b = 1 "], [3]),
        (['meta.it\'s=""q""'], [4]),
        (["meta.none=1"], []),
        (["meta.city="], []),
        (["meta.year=2024' OR '1'='1"], []),  # no SQL
        (["meta.x'; DROP TABLE images; --=1"], []),
        (["meta.year>=" + "9" * 30], []),
        (["width>=1000"], [1, 5]),
        (["width=800", "height<1000"], [2]),
        (["bytes<=2000"], [1, 2]),
        (["height>0.5"], [1, 2, 3, 4, 5]),
        (["bytes<" + "9" * 30], [1, 2, 3, 4, 5]),
    ],
)
def test_conditions(filled: Engine, where: list[str], ids: list[int]) -> None:
    assert found(filled, *where) == ids


def test_moments_and_collections(filled: Engine) -> None:
    assert found(filled) is None
    assert found(filled, taken_after=NOON) == [1, 2]  # from then on
    assert found(filled, taken_before=NOON) == [5]  # before
    berlin = timezone(timedelta(hours=2))
    assert found(filled, taken_after=NOON.astimezone(berlin), taken_before=NOON + timedelta(hours=1)) == [1]
    assert found(filled, taken_after=datetime.max) == []
    with session_scope(filled) as session:  # whatever the server's own time zone
        session.execute(text("SET TIME ZONE 'Asia/Tokyo'"))
        ids = photos(session, Filters(taken_after=NOON.replace(tzinfo=None)))
    assert ids is not None
    assert sorted(ids.tolist()) == [1, 2]
    assert found(filled, collection="b") == [5]
    assert found(filled, "width>=1000", collection="a", taken_after=NOON) == [1]
    with pytest.raises(NotFound):
        found(filled, collection="nowhere")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "year=2024",  # not said that it is metadata
        "meta.=1",
        "meta.year",
        "meta.year!2024",
        "width=wide",
        "width>=1e9",
        "bytes>NaN",
        "=5",
        "meta.a\0b=1",
        "meta.a=\0",
        "meta.a=\ud800",
        "meta." + "k" * 101 + "=1",
        "meta.a=" + "x" * 200,
    ],
)
def test_what_is_no_condition_is_refused_with_examples(text: str) -> None:
    with pytest.raises(InvalidQuery, match=r"where: .*>=(2020|1000)"):
        parse_condition(text)


def test_too_many_conditions_are_refused(engine: Engine) -> None:
    with pytest.raises(InvalidQuery, match="20 conditions"):
        found(engine, *["width>1"] * 21)


@given(st.text(max_size=60) | st.from_regex(r"(meta\.[a-z]|width|bytes)(=|<|>=)[ -~]{0,30}", fullmatch=True))
def test_any_text_is_a_condition_or_refused(text: str) -> None:
    try:
        condition = parse_condition(text)
    except InvalidQuery:
        return
    assert condition.operator in ("=", "<", "<=", ">", ">=")
