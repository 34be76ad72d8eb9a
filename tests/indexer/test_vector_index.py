import shutil
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from indexer import vector_index
from indexer.errors import SnapshotInvalid
from indexer.segment import Segment, exact_scores
from indexer.vector_index import FaissIndex
from model import checkpoint
from tests.indexer.exact_index import ExactIndex

DIMENSION = 8
EVERYTHING = 10**6
BASIS = np.linalg.qr(np.random.default_rng(5).standard_normal((DIMENSION, 3)))[0].T.astype(np.float32)
INDEXES = {
    "faiss with bounds": lambda: FaissIndex(DIMENSION, threads=2, segment_size=6, basis=BASIS),
    "faiss": lambda: FaissIndex(DIMENSION, threads=2, segment_size=6),
    "exact": lambda: ExactIndex(DIMENSION),
}


@pytest.fixture(params=INDEXES)
def index(request):
    return INDEXES[request.param]()


def vectors_of(*seeds):
    """Return one float16 unit vector for each seed, the same for the same seed."""
    vectors = np.array([np.random.default_rng(seed).standard_normal(DIMENSION) for seed in seeds])
    vectors = vectors.reshape(-1, DIMENSION)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def query_of(seed):
    return vectors_of(seed).astype(np.float32)


def check_order(matches):
    assert matches == sorted(matches, key=lambda m: (not m.proposals, -m.score, m.image_id))


def check_same(found, expected):
    """Hold full rankings against each other: same images, scores and, where scores differ, order."""
    exact = {match.image_id: match for match in expected}
    assert sorted(match.image_id for match in found) == sorted(exact)
    check_order(found)
    for match, other in zip(found, expected, strict=True):
        assert match.score == pytest.approx(other.score, abs=1e-3)  # so order differs only among near ties
        check_same_match(match, exact[match.image_id])


def check_same_match(match, expected):
    assert match.score == pytest.approx(expected.score, abs=2e-3)
    assert len(match.proposals) <= 10
    found, wanted = dict(match.proposals), dict(expected.proposals)
    edge = expected.score - 0.1 + 1e-3
    if len(wanted) == 10:
        edge = min(wanted.values()) + 1e-3
    assert {key for key, score in wanted.items() if score > edge} <= found.keys()
    assert {key for key, score in found.items() if score > edge} <= wanted.keys()
    assert list(match.proposals) == sorted(match.proposals, key=lambda pair: (-pair[1], pair[0]))
    if match.proposals:
        assert match.proposals[0][1] == match.score


def check_bounds(bounds, ids, best):
    assert bounds.image_ids.tolist() == ids.tolist()
    assert (bounds.most >= best - 1e-6).all()
    some = np.arange(0, len(ids), 2)[::-1]
    for number, row in enumerate(best):
        assert bounds.scores(number, some).tolist() == row[some].tolist()


image_ids = st.sampled_from([0, 1, 2, 3, 4, 5, 6, 2**40, 2**63 - 1])
seeds = st.integers(0, 30)  # few, so that ties are common


class FaissFollowsExact(RuleBasedStateMachine):
    @initialize(segment_size=st.sampled_from([1, 5, 12, 100]), bounds=st.booleans())
    def start(self, segment_size, bounds):
        self.folder = Path(tempfile.mkdtemp())
        self.segment_size = segment_size
        self.basis = BASIS if bounds else None
        self.faiss = FaissIndex(DIMENSION, threads=2, segment_size=segment_size, basis=self.basis)
        self.exact = ExactIndex(DIMENSION)
        self.next_id = 2**63 - 1

    def teardown(self):
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    @rule(image_id=image_ids, seeds=st.lists(seeds, max_size=14), wide=st.booleans())
    def put(self, image_id, seeds, wide):
        ids = [self.next_id - i for i in range(len(seeds))]
        self.next_id -= len(seeds)
        vectors = vectors_of(*seeds).astype(np.float32 if wide else np.float16)
        for index in (self.faiss, self.exact):
            index.put(image_id, ids, vectors)

    @rule(image_id=image_ids)
    def delete(self, image_id):
        for index in (self.faiss, self.exact):
            index.delete(image_id)

    @rule(
        seeds=st.lists(seeds, max_size=3),
        limit=st.integers(0, 10),
        allowed=st.none() | st.sets(image_ids),
        as_array=st.booleans(),
        least=st.floats(-1, 1),
    )
    def search(self, seeds, limit, allowed, as_array, least):
        if as_array and allowed is not None:
            allowed = np.array(list(allowed), np.int64)
        queries = vectors_of(*seeds)
        found = self.faiss.search(queries, EVERYTHING, allowed)
        expected = self.exact.search(queries, EVERYTHING, allowed)
        assert len(found) == len(seeds)
        for mine, other in zip(found, expected, strict=True):
            check_same(mine, other)
            assert len(mine) == self.faiss.count(allowed) == self.exact.count(allowed)
        assert self.faiss.search(queries, limit, allowed) == [matches[:limit] for matches in found]
        for index in (self.faiss, self.exact):
            ids, scores = index.best(queries, allowed)
            assert scores.shape == (len(seeds), len(ids))
            for row, matches in zip(scores, found, strict=True):
                known = {match.image_id: match.score for match in matches}
                assert dict(zip(ids.tolist(), row.tolist(), strict=True)) == pytest.approx(known, abs=2e-3)
            assert ids.tolist() == sorted(ids)
        check_bounds(self.faiss.bounds(queries, allowed), *self.faiss.best(queries, allowed))
        candidates = self.faiss.candidates(queries, least, allowed).tolist()
        assert candidates == sorted(set(candidates))
        assert set(candidates) <= set(self.faiss.image_ids() if allowed is None else map(int, allowed))
        assert set(candidates) >= set(self.exact.candidates(queries, least + 2e-3, allowed).tolist())

    @rule(watermark=st.integers(0, 2**63 - 1), first=st.sampled_from(["faiss", "exact"]))
    def save_and_load(self, watermark, first):
        path = self.folder / "index"
        getattr(self, first).save(path, watermark, "model", "database")
        self.faiss = FaissIndex(DIMENSION, threads=1, segment_size=self.segment_size, basis=self.basis)
        self.exact = ExactIndex(DIMENSION)
        for index in (self.faiss, self.exact):
            index.put(77, [1], vectors_of(1))  # what was there before goes
            assert index.load(path, "model", "database") == watermark

    @invariant()
    def same_content(self):
        if hasattr(self, "faiss"):
            assert len(self.faiss) == len(self.exact)
            assert self.faiss.image_ids().tolist() == self.exact.image_ids().tolist()


TestFaissFollowsExact = FaissFollowsExact.TestCase
TestFaissFollowsExact.settings = settings(max_examples=40, stateful_step_count=25)


def test_nothing_is_found_in_an_empty_index(index):
    assert index.search(query_of(1), 10) == [[]]
    assert index.search(query_of(1), 10, {1}) == [[]]
    assert index.search(np.empty((0, DIMENSION), np.float32), 10) == []
    assert (len(index), index.count(None), index.image_ids().tolist()) == (0, 0, [])
    ids, scores = index.best(query_of(1))
    assert (ids.tolist(), scores.shape) == ([], (1, 0))
    index.delete(5)


def test_few_allowed_images_are_scanned_alone(monkeypatch):
    index = FaissIndex(DIMENSION, threads=1, segment_size=50)
    for image_id in range(100):
        index.put(image_id, [image_id], vectors_of(image_id))
    scanned = []
    scores = Segment.scores

    def counting(self, query, images):
        scanned.append(images.sum())
        return scores(self, query, images)

    monkeypatch.setattr(Segment, "scores", counting)
    assert [match.image_id for match in index.search(query_of(7), 2, {7, 70})[0]] == [7, 70]
    assert not scanned  # all are wanted
    assert [match.image_id for match in index.search(query_of(7), 1, {7, 70})[0]] == [7]
    assert index.best(query_of(7), {7, 70})[0].tolist() == [7, 70]
    assert sum(scanned) == 4  # of 100, twice


def test_best_proposal_decides_and_those_within_a_tenth_follow(index):
    query = np.eye(DIMENSION, dtype=np.float32)[:1]
    vectors = np.zeros((5, DIMENSION), np.float16)
    vectors[:, 0] = [0.5, 0.75, 0.625, 0.6875, 0.75]
    index.put(3, [10, 21, 12, 13, 20], vectors)
    index.put(4, list(range(100, 130)), np.full((30, DIMENSION), 0.25, np.float16))
    first, second = index.search(query, 10)[0]
    assert first == (3, 0.75, ((20, 0.75), (21, 0.75), (13, 0.6875)))
    assert second == (4, 0.25, tuple((proposal_id, 0.25) for proposal_id in range(100, 110)))


def test_ties_are_ordered_by_image_id(index):
    for image_id in (5, 2**63 - 1, 1, 40, 3, 0):
        index.put(image_id, [image_id, image_id // 2 + 10], vectors_of(7, 8))
    found = index.search(query_of(7), 10)[0]
    assert [match.image_id for match in found] == [0, 1, 3, 5, 40, 2**63 - 1]
    assert len({match.score for match in found}) == 1


def test_images_without_proposals_come_last_even_after_scores_below_minus_one(index):
    query = 2 * query_of(1)
    index.put(9, [], vectors_of())
    index.put(5, [50], -vectors_of(1))
    index.put(2, [], vectors_of())
    found = index.search(query, 10)[0]
    assert [match.image_id for match in found] == [5, 2, 9]
    assert found[0].score == pytest.approx(-2, abs=2e-3)
    assert found[1:] == [(2, -1.0, ()), (9, -1.0, ())]
    assert (len(index), index.count(None), index.count({9, 5, 77})) == (1, 3, 2)


def test_a_longer_page_starts_with_the_shorter_one(index):
    for image_id in range(20):
        index.put(image_id, [image_id], vectors_of(image_id % 4))
    everything = index.search(query_of(2), EVERYTHING)[0]
    assert len(everything) == 20
    for limit in range(21):
        assert index.search(query_of(2), limit)[0] == everything[:limit]


def test_put_replaces_and_delete_forgets(index):
    index.put(1, [1, 2], vectors_of(1, 2))
    index.put(1, [3], vectors_of(3))
    assert [match.image_id for match in index.search(query_of(1), 10)[0]] == [1]
    assert index.search(query_of(3), 10)[0][0].proposals[0][0] == 3
    assert len(index) == 1
    index.delete(1)
    assert index.search(query_of(1), 10) == [[]]
    assert len(index) == 0


def test_what_is_gone_stays_hidden_while_its_memory_is_kept():
    """A tenth of a segment may be dead before it is cleaned."""
    index = FaissIndex(DIMENSION, threads=1, segment_size=1000)
    for image_id in range(50):
        index.put(image_id, [image_id], vectors_of(image_id))
    index.delete(3)
    index.put(4, [104], vectors_of(3))
    assert sum(map(len, index._segments)) == 2 * 51
    found = index.search(query_of(3), EVERYTHING)[0]
    assert sorted(match.image_id for match in found) == [i for i in range(50) if i != 3]
    assert found[0].proposals[0][0] == 104
    assert index.search(query_of(3), EVERYTHING, {3, 4, 5})[0] == [m for m in found if m.image_id in (4, 5)]
    assert (len(index), index.count(), index.count({3, 4})) == (49, 49, 1)


@pytest.mark.parametrize(
    ("proposal_ids", "vectors"),
    [
        ([1, 1], vectors_of(1, 2)),  # twice the same id
        ([1], vectors_of(1, 2)),  # more vectors than ids
        ([1, 2], vectors_of(1)),  # fewer
        ([1], np.zeros((1, DIMENSION + 1))),  # wrong dimension
        ([], np.zeros((0, DIMENSION + 1))),  # wrong dimension of nothing
        ([1], np.zeros(DIMENSION)),  # not a matrix
        ([1], np.full((1, DIMENSION), np.nan)),
        ([1], np.full((1, DIMENSION), 1e6, np.float32)),  # infinite in float16
        ([1], vectors_of(1) * 1.02),  # longer than 1
    ],
)
def test_bad_proposals_are_refused_and_change_nothing(index, proposal_ids, vectors):
    index.put(1, [9], vectors_of(4))
    with pytest.raises(ValueError, match=r"proposal|vector"):
        index.put(1, proposal_ids, vectors)
    assert index.search(query_of(4), 1)[0][0].proposals[0][0] == 9


@pytest.mark.parametrize(
    ("queries", "limit"),
    [
        (np.zeros((1, DIMENSION + 1)), 1),  # wrong dimension
        (np.zeros(DIMENSION), 1),  # one vector, not a matrix
        (np.full((1, DIMENSION), np.inf), 1),
        (np.zeros((1, DIMENSION)), -1),  # negative limit
    ],
)
def test_bad_queries_are_refused(index, queries, limit):
    with pytest.raises(ValueError, match=r"quer|limit"):
        index.search(queries, limit)


def test_replaced_and_deleted_proposals_free_their_memory():
    index = FaissIndex(DIMENSION, threads=1, segment_size=50)
    for round_number in range(20):
        for image_id in range(30):
            index.put(image_id, range(round_number, round_number + 5), vectors_of(1, 2, 3, 4, 5))
    for image_id in range(100, 1100):
        index.put(image_id, [], vectors_of())
        index.delete(image_id)
    assert sum(map(len, index._segments)) <= 1.2 * (150 + 30)
    for image_id in range(30):
        index.delete(image_id)
    assert index._segments == []


def test_refused_snapshot_leaves_the_content(index, tmp_path):
    path = tmp_path / "index"
    index.put(1, [1], vectors_of(1))
    index.save(path, 5, "model", "database")
    index.put(2, [2], vectors_of(2))
    with pytest.raises(SnapshotInvalid):
        index.load(path, "another model", "database")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SnapshotInvalid):
        index.load(path, "model", "database")
    assert index.image_ids().tolist() == [1, 2]
    index.put(1, [3], vectors_of(3))
    assert len(index) == 2


def check_whole(matches):
    """Images 0 to 5 are always there; every image shows its four proposals, all of one version."""
    assert [match.image_id for match in matches if match.image_id < 6] == list(range(6))
    for match in matches:
        ids = sorted(proposal_id for proposal_id, _ in match.proposals)
        assert ids[0] % 4 == 0
        assert ids == list(range(ids[0], ids[0] + 4))


def test_readers_never_see_half_an_image(tmp_path):
    index = FaissIndex(DIMENSION, threads=2, segment_size=20)
    vectors = vectors_of(1, 1, 1, 1)
    for image_id in range(6):
        index.put(image_id, range(4), vectors)
    done = threading.Event()

    def read():
        searches = 0
        while not done.is_set() or searches < 10:
            check_whole(index.search(query_of(1), 10)[0])
            searches += 1

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        try:
            for version in range(1, 150):
                index.put(version % 6, range(4 * version, 4 * version + 4), vectors)
                index.put(6 + version % 3, range(4), vectors)
                index.delete(6 + version % 2)
                if version % 50 == 0:
                    index.save(tmp_path / "index", version, "model", "database")
                    index.load(tmp_path / "index", "model", "database")
        finally:
            done.set()
        for reader in readers:
            reader.result(timeout=30)


def test_bounds_rule_out_most_and_change_nothing(monkeypatch):
    generator = np.random.default_rng(0)
    scanned = []

    def counting(query, segments, owners, rows):
        scanned.append(len(rows))
        return exact_scores(query, segments, owners, rows)

    plain, bounded = (FaissIndex(DIMENSION, segment_size=50, basis=basis) for basis in (None, BASIS))
    for image_id in range(400):
        vectors = vectors_of(*generator.integers(0, 10**6, generator.integers(0, 4)))
        ids = range(10 * image_id, 10 * image_id + len(vectors))
        for index in (plain, bounded):
            index.put(image_id, ids, vectors)
    monkeypatch.setattr(vector_index, "exact_scores", counting)
    # So few that some are not seen.
    monkeypatch.setattr(vector_index, "FIRST_ROWS", 4)
    monkeypatch.setattr(vector_index, "ROWS_AN_IMAGE", 2)
    for seed in range(20):
        query = vectors_of(seed).astype(np.float32)
        query = query @ BASIS.T @ BASIS + 0.1 * query  # nearly all of it lies in the basis
        for limit in (1, 5, 30, 250, 1000):
            assert bounded.search(query, limit) == plain.search(query, limit)
        scanned.clear()
        bounded.search(query, 5)
        assert 0 < sum(scanned) < 120  # of 600
        for allowed in (set(range(0, 400, 3)), {7}):
            assert bounded.search(query, 5, allowed) == plain.search(query, 5, allowed)


def test_bounds_hold_for_short_vectors_and_long_queries():
    generator = np.random.default_rng(1)
    plain, bounded = (FaissIndex(DIMENSION, segment_size=20, basis=basis) for basis in (None, BASIS))
    for image_id in range(200):
        vector = vectors_of(image_id) * 10 ** generator.uniform(-3, 0)
        for index in (plain, bounded):
            index.put(image_id, [image_id], vector)
    for query in generator.standard_normal((50, 1, DIMENSION)) * 30:
        assert bounded.search(query, 3) == plain.search(query, 3)


def test_bounds_of_the_shipped_network_change_nothing():
    generator = np.random.default_rng(2)
    basis = checkpoint.load().extras.query_basis.numpy()
    plain, bounded = (FaissIndex(basis.shape[1], basis=each) for each in (None, basis))
    words = generator.standard_normal((20, len(basis))) * np.geomspace(1, 0.01, len(basis)) @ basis
    words /= np.linalg.norm(words, axis=1, keepdims=True)
    for image_id in range(300):
        noise = 0.02 * generator.standard_normal((3, basis.shape[1]))
        vectors = words[generator.integers(len(words), size=3)] + noise
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        for index in (plain, bounded):
            index.put(image_id, range(3 * image_id, 3 * image_id + 3), vectors)
    for word in words.astype(np.float32):
        assert bounded.search(word[None], 7) == plain.search(word[None], 7)
