import numpy as np
import pytest

from indexer.bounds import exact, of_rows
from indexer.segment import Segment, exact_scores, split_query

DIMENSION = 12
GENERATOR = np.random.default_rng(0)
BASIS = np.linalg.qr(GENERATOR.standard_normal((DIMENSION, 6)))[0].T.astype(np.float32)
QUERIES = (GENERATOR.standard_normal((2, 6)) @ BASIS).astype(np.float32)


def unit_vectors(count):
    vectors = GENERATOR.standard_normal((count, DIMENSION))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


@pytest.fixture
def found():
    """Two segments of images without text and with up to 40 regions, in no order; all but one image each."""
    segments = []
    for ids in ([9, 2, 7, 30], [8, 1, 40]):
        segment = Segment(DIMENSION, BASIS)
        for image_id, count in zip(ids, [40, 0, 25, 3], strict=False):
            rows = np.arange(1000 * image_id, 1000 * image_id + count)
            segment.append((np.array([image_id]), np.array([count]), rows, unit_vectors(count)))
        segments.append((segment, np.arange(len(ids)) != 2))
    return segments


def test_images_have_the_bounds_and_the_scores_of_their_best_rows(found):
    looked = []

    def counting(query, segments, owners, rows):
        looked.append(len(rows))
        return exact_scores(query, segments, owners, rows)

    parts = [split_query(query, BASIS) for query in QUERIES]
    bounds = of_rows(found, QUERIES, [segment.bounds(parts) for segment, _ in found], counting)
    assert bounds.image_ids.tolist() == [1, 2, 8, 9, 30]
    best = {
        image_id: [of_segment.best(of_segment.scores(query))[place] for query in QUERIES]
        for of_segment, _ in found
        for place, image_id in enumerate(of_segment.image_ids.tolist())
    }
    assert best[1] == best[2] == [-1, -1]
    expected = np.array([best[image_id] for image_id in bounds.image_ids.tolist()]).T
    assert (bounds.most >= expected).all()
    places = np.array([4, 0, 2, 3])
    for number in (0, 1):
        assert bounds.scores(number, places).tolist() == expected[number, places].tolist()
    assert sum(looked) < 100  # of 166
    assert bounds.scores(0, np.empty(0, np.intp)).tolist() == []


def test_exact_bounds_are_the_scores():
    bounds = exact(np.array([3, 5]), np.array([[0.5, 0.75]]))
    assert bounds.scores(0, np.array([1])).tolist() == [0.75]
