import numpy as np
import pytest

from indexer import segment as segment_module
from indexer.segment import Segment, exact_scores, matches, split, split_query, spread

DIMENSION = 12
GENERATOR = np.random.default_rng(0)
BASIS = np.linalg.qr(GENERATOR.standard_normal((DIMENSION, 4)))[0].T.astype(np.float32)


def unit_vectors(count):
    vectors = GENERATOR.standard_normal((count, DIMENSION))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def segment():
    """Image 7 with two rows, 8 with none, 9 with one."""
    segment = Segment(DIMENSION, BASIS)
    vectors = unit_vectors(3).astype(np.float16)
    segment.append((np.array([7, 8, 9]), np.array([2, 0, 1]), np.array([70, 71, 90]), vectors))
    return segment


def test_parts_and_the_length_of_the_rest_are_whole_numbers_of_a_byte():
    vectors = unit_vectors(5)
    numbers, lost = split(vectors, BASIS)
    assert numbers.shape == (5, 64)  # 4 parts, 8 places for a length, zeros
    assert (numbers == np.rint(numbers)).all()
    assert np.abs(numbers).max() <= 127
    parts = vectors @ BASIS.T
    np.testing.assert_allclose(lost, np.linalg.norm(parts - numbers[:, :4] * 1.01 / 127, axis=1), atol=1e-6)
    rest = np.sqrt(1 - (parts**2).sum(1))
    np.testing.assert_allclose(numbers[:, 4:12].sum(1) / (8 * 127 / 1.011), rest, atol=2e-3)
    assert not numbers[:, 12:].any()


def test_numbers_of_a_query_are_whole_numbers_of_a_byte():
    for query in (unit_vectors(1)[0], 100 * BASIS[0], np.zeros(DIMENSION, np.float32)):
        numbers = split_query(query, BASIS).numbers
        assert (numbers == np.rint(numbers)).all()
        assert np.abs(numbers).max() <= 127


def test_a_long_basis_is_cut_to_what_fits():
    assert len(spread(np.eye(600, dtype=np.float32))) == 376


def test_a_basis_that_is_spread_is_one_of_the_same_space():
    turned = spread(BASIS)
    np.testing.assert_allclose(turned @ turned.T, np.eye(4), atol=1e-6)
    np.testing.assert_allclose(turned.T @ turned, BASIS.T @ BASIS, atol=1e-6)
    assert np.abs(turned @ BASIS[0]).max() < 0.95  # it was 1


def bounds_of(segment, query, count, basis=BASIS):
    """Return what every image scores at most by the rows looked at, and what all others do."""
    promises = segment.promises(split_query(query, basis), count, np.ones(len(segment.image_ids), bool))
    bounds = np.full(len(segment.image_ids), -np.inf)
    np.maximum.at(bounds, promises.images, promises.bounds)
    assert promises.image_ids.tolist() == segment.image_ids[promises.images].tolist()
    return bounds, promises.unseen


def test_promises_are_never_below_the_best_scores(segment):
    for scale in (0.01, 1, 100):
        query = (GENERATOR.standard_normal(DIMENSION) * scale).astype(np.float32)
        promises, others = bounds_of(segment, query, 10)
        best = segment.best(segment.scores(query))
        assert (promises[[0, 2]] >= best[[0, 2]]).all()
        assert promises[1] == others == -np.inf  # no text; and nothing was left out


@pytest.mark.parametrize("size", [1, 6, 14, 30, 62, 126, 254, 510])
def test_promises_hold_for_bases_of_any_size(size):
    basis = np.linalg.qr(GENERATOR.standard_normal((600, size)))[0].T.astype(np.float32)
    vectors = GENERATOR.standard_normal((200, 600))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    segment = Segment(600, basis)
    segment.append((np.arange(200), np.ones(200, int), np.arange(200), vectors))
    query = (0.9 * vectors[7] + 0.1 * vectors[8]).astype(np.float32)
    promises, _ = bounds_of(segment, query, 200, basis)
    best = segment.best(segment.scores(query))
    assert (promises >= best).all()
    assert (promises <= best + 1.2).all()  # what may lie outside the basis


def test_bounds_are_never_below_the_scores(segment, monkeypatch):
    monkeypatch.setattr(segment_module, "BLOCK", 2)  # of three rows
    queries = unit_vectors(2)
    bounds = segment.bounds([split_query(query, BASIS) for query in queries])
    scores = np.stack([segment.scores(query) for query in queries])
    assert (bounds >= scores).all()
    assert (bounds[:, :3] < scores[:, :3] + 2).all()  # most lies outside the basis
    assert Segment(DIMENSION, BASIS).bounds([split_query(queries[0], BASIS)]).tolist() == [[-np.inf]]


def test_a_row_of_which_much_was_rounded_away_has_the_highest_bound(segment):
    segment._vague = np.array([1])
    query = split_query(GENERATOR.standard_normal(DIMENSION).astype(np.float32), BASIS)
    (bounds,) = segment.bounds([query])
    assert bounds[1] == np.float32(query.most)
    assert bounds[[0, 2]].max() < query.most


def test_promises_of_a_query_inside_the_basis_are_near_the_scores():
    outside = unit_vectors(1) @ (np.eye(DIMENSION, dtype=np.float32) - BASIS.T @ BASIS)
    vectors = 0.2 * BASIS + outside / 2  # no part so large that it is cut off
    segment = Segment(DIMENSION, BASIS)
    segment.append((np.arange(4), np.ones(4, int), np.arange(4), np.ascontiguousarray(vectors, np.float16)))
    promises, _ = bounds_of(segment, BASIS[1], 10)
    np.testing.assert_allclose(promises, segment.best(segment.scores(BASIS[1])), atol=0.05)


def test_rows_that_were_not_looked_at_promise_no_more_than_is_said(segment):
    query = GENERATOR.standard_normal(DIMENSION).astype(np.float32)
    everything, _ = bounds_of(segment, query, 3)
    promises, others = bounds_of(segment, query, 1)
    assert np.isfinite(promises).sum() == 1
    assert promises.max() == others == everything.max()


def test_chosen_images_have_the_scores_they_have_among_all(segment):
    query = GENERATOR.standard_normal(DIMENSION).astype(np.float32)
    everything = segment.scores(query)
    assert np.isfinite(everything[:3]).all()
    first = segment.scores(query, np.array([True, False, False]))
    assert first[:2].tolist() == everything[:2].tolist()
    assert first[2:].tolist() == [-np.inf, -np.inf]
    assert (segment.scores(query, np.zeros(3, bool)) == -np.inf).all()


def test_only_allowed_images_promise_anything(segment):
    query = split_query(GENERATOR.standard_normal(DIMENSION).astype(np.float32), BASIS)
    promises = segment.promises(query, 3, np.array([False, True, True]))
    assert (promises.rows.tolist(), promises.images.tolist(), promises.image_ids.tolist()) == ([2], [2], [9])


def test_a_few_rows_of_several_segments_have_the_scores_they_have_among_all(segment):
    other = Segment(DIMENSION)
    vectors = unit_vectors(5).astype(np.float16)
    other.append((np.array([3]), np.array([5]), np.arange(5), vectors))
    query = GENERATOR.standard_normal(DIMENSION).astype(np.float32)
    first, second = segment.scores(query), other.scores(query)
    found = exact_scores(query, [segment, other], np.array([1, 0, 1, 1]), np.array([4, 1, 0, 2]))
    assert found.tolist() == [second[4], first[1], second[0], second[2]]
    nothing = np.empty(0, np.int64)
    assert exact_scores(query, [segment, other], nothing, nothing).tolist() == []


def test_an_image_matches_with_its_best_proposals_first(segment):
    query = GENERATOR.standard_normal(DIMENSION).astype(np.float32)
    scores = segment.scores(query)[:2]
    with_text, without = matches([segment.place(0), segment.place(1)], scores)
    assert (with_text.image_id, with_text.score) == (7, scores.max())
    order = [number for number in np.argsort(-scores) if scores[number] >= scores.max() - 0.1]
    assert with_text.proposals == tuple((70 + number, scores[number]) for number in order)
    assert without == (8, -1.0, ())


def test_living_rows_stay_as_they_are(segment):
    segment.remove(7)
    image_ids, counts, proposal_ids, vectors = segment.living()
    assert (image_ids.tolist(), counts.tolist(), proposal_ids.tolist()) == ([8, 9], [0, 1], [90])
    assert vectors.shape == (1, DIMENSION)
    assert segment.dead_share() == pytest.approx(3 / 6)
