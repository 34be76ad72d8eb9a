"""Completions of what is typed, and other spellings."""

import pytest
from sqlalchemy import text

from indexer import suggestions
from indexer.database import session_scope
from indexer.query_language import parse
from indexer.search import search
from indexer.suggestions import Suggestion, nearest, respell
from model.charset import Charset
from tests.integration.conftest import Gallery


@pytest.fixture
def read(gallery: Gallery) -> Gallery:
    for words in ("coffee shop", "coffee coffee cola", "Coffins", "colas", "cola shoe"):
        gallery.add(words)
    gallery.index_all()
    return gallery


def complete(gallery: Gallery, typed: str, limit: int = 8) -> list[Suggestion]:
    with session_scope(gallery.engine) as session:
        return suggestions.complete(session, text=typed, limit=limit)


def test_words_read_in_most_photos_come_first_then_by_letters(read: Gallery) -> None:
    assert complete(read, "co") == [("coffee", 2), ("cola", 2), ("coffins", 1), ("colas", 1)]
    assert complete(read, "co", limit=1) == [("coffee", 2)]
    assert complete(read, "Cóff") == [("coffee", 2), ("coffins", 1)]
    assert complete(read, "coffee") == [("coffee", 2)]
    assert complete(read, "zz") == []


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("coffee sho", ["coffee shoe", "coffee shop"]),
        ('"Coffee  sho', ['"Coffee  shoe', '"Coffee  shop']),
        ("coffee -sho", ["coffee -shoe", "coffee -shop"]),
        ('coffee -"sho', ['coffee -"shoe', 'coffee -"shop']),
        ("s-h-o", ["shoe", "shop"]),
    ],
)
def test_the_last_word_is_completed_and_the_rest_stays(read: Gallery, typed: str, found: list[str]) -> None:
    assert [each.text for each in complete(read, typed)] == found


@pytest.mark.parametrize(
    "typed",
    ["", " ", "coffee ", "-", '"', "coffee -", "%", "_", "\0", "☕", "x" * 200, '"coffee"'],
)
def test_nothing_to_complete(read: Gallery, typed: str) -> None:
    assert complete(read, typed) == []


def test_a_line_is_no_word(read: Gallery) -> None:
    with session_scope(read.engine) as session:
        session.execute(text("UPDATE proposals SET transcript = 'cola s' WHERE folded = 'colas'"))
    assert complete(read, "col") == [("cola", 2)]


def test_nearest_words_come_first() -> None:
    assert nearest("cofee", ["coffin", "coffee", "cofee", "hotel", "coffe"]) == ["coffee", "coffe"]
    assert nearest("a", ["b", "ab", "xyz"]) == ["b", "ab"]
    assert nearest("cofee", []) == []


def test_a_query_is_written_with_other_words() -> None:
    query = parse('Cofee "to goo" -te -"no tee"', Charset())
    words = {"cofee": "coffee", "goo": "go", "tee": "tea"}
    assert respell(query, words) == 'coffee "to go" -te -"no tea"'


def meant(gallery: Gallery, query: str, **options: object) -> list[str]:
    served = gallery.follower().served()
    options = {"limit": 5, **options}
    found = search(gallery.engine, served, gallery.encoder, [query], **options)  # type: ignore[arg-type]
    return found.results[0].did_you_mean


def test_other_spellings_where_no_photo_likely_shows_the_query(read: Gallery) -> None:
    assert meant(read, "kofee")[0] == "coffee"
    assert meant(read, "kofee", min_score=1)[0] == "coffee"
    assert meant(read, "xcoffee", min_score="suggested")[0] == "coffee"  # similar, but not found by `x`
    assert meant(read, "kofee", offset=1) == []  # with the first page only
    assert meant(read, "qo") == []  # anything is near
    assert meant(read, "shopp", mode="exact")[0] == "shop"
    assert meant(read, "kofee shop") == ["coffee shop"]
    assert meant(read, "coffee") == []  # found
    assert meant(read, "ffe") == []  # read, though nothing looks like it
    assert meant(read, "qqqqqqqqqqq") == []  # nothing is near


def test_an_empty_gallery_suggests_nothing(gallery: Gallery) -> None:
    gallery.index([])
    assert complete(gallery, "co") == []
    assert meant(gallery, "coffee") == []
