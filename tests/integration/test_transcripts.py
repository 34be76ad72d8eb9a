"""Photos by what was read in them."""

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import select, text

from indexer import transcripts
from indexer.database import session_scope
from indexer.follower import Follower
from indexer.query_language import Term
from indexer.search import search
from indexer.tables import Proposal
from indexer.transcripts import Way
from tests.integration.conftest import Gallery

CHINESE = ["咖啡馆", "星巴克咖啡"]
WORDS = [
    "coffee",
    "coffees",
    "Cof",
    "office",
    "shop coffee",
    "abab",
    "bababa",
    "aab b",
    "Café",
    "x",
    *CHINESE,
]


@pytest.fixture
def photos(gallery: Gallery) -> Follower:
    """Photos 1, 2, ... that show WORDS."""
    for words in WORDS:
        gallery.add(words)
    gallery.index_all()
    return gallery.follower()


def read_in(gallery: Gallery, way: Way, *words: str) -> set[str]:
    with session_scope(gallery.engine) as session:
        options = {"way": way, "version": gallery.encoder.version}
        (ids,) = transcripts.photos_reading(session, terms=[Term(words)], **options)
    assert ids.tolist() == sorted(ids)
    return {WORDS[image_id - 1] for image_id in ids.tolist()}


@pytest.mark.parametrize(
    ("way", "word", "found"),
    [
        ("exact", "coffee", {"coffee", "shop coffee"}),
        ("exact", "cafe", {"Café"}),
        ("exact", "offee", set()),
        ("prefix", "cof", {"coffee", "coffees", "Cof", "shop coffee"}),
        ("prefix", "c", {"coffee", "coffees", "Cof", "shop coffee", "Café"}),
        ("prefix", "coffee", {"coffee", "coffees", "shop coffee"}),
        ("contains", "offee", {"coffee", "coffees", "shop coffee"}),
        ("contains", "ff", {"coffee", "coffees", "office", "shop coffee"}),
        ("contains", "x", {"x"}),
        ("contains", "babab", {"bababa"}),  # trigrams alone would find more
        ("contains", "zzz", set()),
        ("exact", "咖啡", set()),
        ("prefix", "咖", {"咖啡馆"}),
        ("contains", "咖啡", {"咖啡馆", "星巴克咖啡"}),
        ("contains", "啡", {"咖啡馆", "星巴克咖啡"}),
        ("contains", "巴克咖", {"星巴克咖啡"}),
        ("contains", "啡咖", set()),
    ],
)
def test_a_word_stands_in_transcripts(
    gallery: Gallery, photos: Follower, way: Way, word: str, found: set[str]
) -> None:
    assert read_in(gallery, way, word) == found


def test_a_phrase_was_read_together_or_on_one_line(gallery: Gallery) -> None:
    gallery.add("coffee shop")
    gallery.add("coffee wet zebra hotel lamps shop")
    gallery.add("coffeeshop")
    gallery.add("shop")
    gallery.index_all()
    with session_scope(gallery.engine) as session:
        for way, ids in (("exact", [1, 3]), ("prefix", [1, 3]), ("contains", [1, 3])):
            options = {"way": way, "version": gallery.encoder.version}
            (found,) = transcripts.photos_reading(session, terms=[Term(("coffee", "shop"))], **options)
            assert found.tolist() == ids
        options = {"way": "exact", "version": "f" * 64}  # of a network that has indexed nothing
        assert transcripts.photos_reading(session, terms=[Term(("shop",))], **options)[0].tolist() == []
        assert transcripts.readings(session, image_ids=[], texts=["shop"], **options) == []


def shown(gallery: Gallery, follower: Follower, query: str, **options: object) -> set[int]:
    (result,) = search(
        gallery.engine, follower.served(), gallery.encoder, [query], limit=100, **options
    ).results
    return {hit.image.id for hit in result.hits}


words = st.sampled_from([*WORDS[:4], "abab", "bababa", "cafe"]) | st.text("abcfo", min_size=1, max_size=6)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words, st.integers(1, 8))
def test_a_beginning_finds_at_least_what_the_longer_word_finds(
    gallery: Gallery, photos: Follower, longer: str, length: int
) -> None:
    shorter = longer[:length]
    found = {
        (way, word): shown(gallery, photos, word, mode=way)
        for way in ("exact", "prefix", "contains")
        for word in (shorter, longer)
    }
    assert found["prefix", shorter] >= found["prefix", longer]
    assert found["contains", shorter] >= found["contains", longer]
    for word in (shorter, longer):
        assert found["exact", word] <= found["prefix", word] <= found["contains", word]
    # With the suggested cut: all that the longer word was read in, whatever looks alike beside it.
    assert shown(gallery, photos, shorter, min_score="suggested") >= found["contains", longer]


@pytest.mark.parametrize(
    ("way", "word", "index"),
    [
        ("exact", "coffee", "ix_proposals_folded"),
        ("prefix", "c", "ix_proposals_folded"),
        ("contains", "offe", "ix_proposals_trigrams"),
        ("contains", "咖啡", "ix_proposals_trigrams"),
        ("contains", "啡", "ix_proposals_trigrams"),
    ],
)
def test_every_lookup_uses_an_index(gallery: Gallery, way: Way, word: str, index: str) -> None:
    statement, parameters = transcripts._lookup(word, way, gallery.encoder.version)
    # Among so few rows the index of versions would do as well.
    conditions = [each for each in statement.whereclause.clauses if "model_version" not in str(each)]
    del parameters["version"]
    compiled = select(Proposal.id).where(*conditions).params(parameters).compile(gallery.engine)
    with session_scope(gallery.engine) as session:
        session.execute(text("SET LOCAL enable_seqscan = off"))
        plan = session.connection().exec_driver_sql(f"EXPLAIN {compiled}", compiled.params).scalars().all()
    assert any(index in line for line in plan)
