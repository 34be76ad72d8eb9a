"""The ranking of whole queries, on an index of a few images."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from indexer import ranking
from indexer.phrases import Quad
from indexer.query_language import Query, Term, parse
from indexer.ranking import Ranker
from indexer.segment import Vectors
from indexer.vector_index import FaissIndex, VectorIndex
from model.calibration import Calibration
from model.charset import Charset
from tests.indexer.exact_index import ExactIndex

WORDS = {"coffee": 0, "shop": 1, "tea": 2, "coffeeshop": 3, "greentea": 4, "green": 5}
CALIBRATION = Calibration((0.8,))


def vector(**parts: float) -> Vectors:
    """Return a vector with these similarities to words."""
    found = np.zeros(8, np.float32)
    for word, similarity in parts.items():
        found[WORDS[word]] = similarity
    return found


EMBEDDINGS = {word: vector(**{word: 1.0}) for word in WORDS}


def quads_at(places: Mapping[int, float]) -> ranking.ReadQuads:
    def read(ids: Sequence[int]) -> dict[int, Quad]:
        return {
            key: np.array([[x, 0], [x + 40, 0], [x + 40, 10], [x, 10]], float)
            for key, x in places.items()
            if key in ids
        }

    return read


@pytest.fixture(params=["exact", "faiss"])
def index(request: pytest.FixtureRequest) -> VectorIndex:
    return ExactIndex(8) if request.param == "exact" else FaissIndex(8, threads=1, segment_size=3)


def rank(index: VectorIndex, text: str, places: Mapping[int, float] | None = None) -> list[tuple[int, float]]:
    query = parse(text, Charset())
    read_quads, allowed = quads_at(places or {}), None
    if query.excluded:
        allowed = ranking.without_excluded(index, query, EMBEDDINGS, None, read_quads, CALIBRATION)
    scores = Ranker(index, query, EMBEDDINGS, allowed, read_quads).score()
    totals = ranking.total(query, scores.terms)
    return [
        (int(scores.image_ids[place]), round(float(totals[place]), 3))
        for place in ranking.order(query, scores, CALIBRATION)
    ]


def test_photos_that_likely_show_all_words_come_before_a_higher_mean(index: VectorIndex) -> None:
    index.put(1, [10, 11], [vector(coffee=1), vector(shop=0.75)])  # shop is below the cut
    index.put(2, [20, 21], [vector(coffee=0.8125), vector(shop=0.8125)])
    index.put(3, [], np.empty((0, 8)))
    index.put(4, [40], [vector(tea=1)])
    index.put(5, [50, 51], [vector(coffee=0.8125), vector(shop=0.8125)])
    assert rank(index, "coffee shop") == [(2, 0.812), (5, 0.812), (1, 0.875), (4, 0.0), (3, -1.0)]


def test_one_word_is_ranked_as_by_the_index(index: VectorIndex) -> None:
    for image_id, similarity in enumerate([0.5, 0.875, 0.75, 0.875]):
        index.put(image_id, [image_id], [vector(coffee=similarity)])
    (matches,) = index.search(EMBEDDINGS["coffee"][None], 10)
    assert rank(index, "coffee") == [(match.image_id, match.score) for match in matches]


def test_phrase_weighs_as_many_words_as_it_has(index: VectorIndex) -> None:
    index.put(1, [10, 11, 12], [vector(coffee=1), vector(shop=1), vector(tea=0.25)])
    assert rank(index, '"coffee shop" tea', {10: 0, 11: 45}) == [(1, 0.75)]


def test_phrase_is_looked_for_where_its_words_are_best(index: VectorIndex) -> None:
    for image_id in (1, 2, 3):
        index.put(image_id, [10 * image_id, 10 * image_id + 1], [vector(coffee=1), vector(shop=1)])
    index.put(9, [], np.empty((0, 8)))
    places = {10: 0, 11: 45, 20: 0, 21: 500, 30: 0, 31: 45}
    assert rank(index, '"coffee shop"', places) == [(1, 1.0), (3, 1.0), (2, 0.7), (9, -1.0)]


def test_beyond_those_words_count_as_apart(index: VectorIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "PLACED_PHOTOS", 1)
    for image_id in (1, 2):
        index.put(image_id, [10 * image_id, 10 * image_id + 1], [vector(coffee=1), vector(shop=1)])
    index.put(3, [30], [vector(coffee=-0.5, shop=-0.5, tea=0.5)])
    places = {10: 0, 11: 45, 20: 0, 21: 45}
    assert rank(index, '"coffee shop"', places)[:2] == [(1, 1.0), (2, 0.7)]
    assert all(score >= -1 for _, score in rank(index, '"coffee shop"', places))


def test_line_that_reads_as_the_phrase_counts_as_it(index: VectorIndex) -> None:
    index.put(1, [10], [vector(coffee=0.25, shop=0.25, coffeeshop=0.9375)])
    assert rank(index, '"coffee shop"', {10: 0}) == [(1, 0.938)]


def test_region_deleted_meanwhile_is_no_place(index: VectorIndex) -> None:
    index.put(1, [10, 11], [vector(coffee=1), vector(shop=1)])
    assert rank(index, '"coffee shop"', {10: 0}) == [(1, 0.7)]


def test_photos_that_show_what_is_excluded_are_left_out(index: VectorIndex) -> None:
    index.put(1, [10, 11], [vector(coffee=1), vector(tea=0.875)])
    index.put(2, [20, 21], [vector(coffee=1), vector(tea=0.75)])  # below the cut
    index.put(3, [], np.empty((0, 8)))
    assert [image_id for image_id, _ in rank(index, "coffee -tea")] == [2, 3]
    query, allowed = parse("coffee -tea", Charset()), np.array([1, 2])
    kept = ranking.without_excluded(index, query, EMBEDDINGS, allowed, quads_at({}), CALIBRATION)
    assert kept.tolist() == [2]


QUERIES = ["coffee shop", "coffee shop tea", '"coffee shop"', '"green tea" coffee', "tea tea"]


@pytest.mark.parametrize("text", QUERIES)
@pytest.mark.parametrize("bounds", [True, False])
def test_the_first_photos_are_found_without_the_scores_of_most(
    text: str, bounds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "PLACED_PHOTOS", 30)
    generator, places = np.random.default_rng(4), {}
    index = FaissIndex(
        8, threads=2, segment_size=500, basis=np.eye(6, 8, dtype=np.float32) if bounds else None
    )
    for image_id in range(400):
        count = generator.integers(0, 5)
        vectors = generator.standard_normal((count, 8)) ** 5  # most of them near a word
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        ids = list(range(10 * image_id, 10 * image_id + count))
        index.put(image_id, ids, vectors)
        places |= dict(zip(ids, (60 * generator.permutation(count)).tolist(), strict=True))
    query = parse(text, Charset())
    for count, allowed in [(1, None), (7, None), (20, None), (5, np.arange(0, 400, 2)), (400, None)]:
        ranker = Ranker(index, query, EMBEDDINGS, allowed, quads_at(places))
        whole, some = ranker.score(), ranker.score_first(count, CALIBRATION)
        firsts = []
        for scores in (whole, some):
            order = ranking.order(query, scores, CALIBRATION)
            totals = ranking.total(query, scores.terms)
            found = zip(scores.image_ids[order].tolist(), totals[order].tolist(), strict=True)
            firsts.append(list(found)[:count])
        assert firsts[1] == firsts[0]
        assert set(whole.image_ids[ranking.total(query, whole.terms) >= 0.8]) <= set(some.image_ids.tolist())
        assert count == 400 or len(some.image_ids) < len(whole.image_ids) / 2


def test_sums_that_round_otherwise_rule_out_nothing() -> None:
    words = [f"w{number}" for number in range(5)]
    embeddings = {word: np.eye(8, dtype=np.float32)[n] for n, word in enumerate([*words, "".join(words)])}
    index = FaissIndex(8, threads=1, basis=np.eye(7, 8, dtype=np.float32))
    generator, places = np.random.default_rng(1), {}
    for image_id in range(300):
        ids = range(10 * image_id, 10 * image_id + 5)
        index.put(image_id, ids, np.diag(generator.uniform(0.3, 0.8, 5)) @ np.eye(5, 8))
        places |= {key: 45 * number for number, key in enumerate(ids)}  # in their order on a line
    query, calibration = Query("", (Term(tuple(words)),), (), ()), Calibration((0.95,))
    ranker = Ranker(index, query, embeddings, None, quads_at(places))
    whole, found = ranker.score(), []
    expected = whole.image_ids[ranking.order(query, whole, calibration)].tolist()
    for count in range(1, 31):
        some = ranker.score_first(count, calibration)
        found.append(some.image_ids[ranking.order(query, some, calibration)].tolist()[:count])
    assert found == [expected[:count] for count in range(1, 31)]


def test_an_empty_index_has_an_empty_ranking(index: VectorIndex) -> None:
    assert rank(index, '"coffee shop" tea -green') == []


def test_suggested_score_is_the_mean_of_the_words() -> None:
    calibration = Calibration((0.9, 0.8, 0.7, 0.6))
    query = parse('"abcd abcd" ab', Charset())
    assert ranking.suggested_cut(query, calibration) == pytest.approx((0.6 + 0.6 + 0.8) / 3)
    assert ranking.term_cut(query.terms[0], calibration) == pytest.approx(0.6)
