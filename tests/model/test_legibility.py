from pathlib import Path

import numpy as np
import pytest

from model import checkpoint
from model.encoder import Encoder
from model.legibility import Legibility, Spelling, better_covering, fitted, signs
from model.photo import Proposals
from model.retriever import Retriever

RULE = Legibility((0, 4.0, 0, 0, 0, 0, 0, 0, -2.0), least=0.4, share=0.5)


def regions(*agreements: float, apart: float = 100) -> tuple[Proposals, Spelling]:
    """Regions of a word each, whose embeddings agree so much with those of the spelling."""
    count = len(agreements)
    boxes = np.array([[apart * n, 0, apart * n + 50, 20] for n in range(count)], np.float32).reshape(-1, 4)
    embeddings = np.array([[cosine, (1 - cosine**2) ** 0.5] for cosine in agreements], np.float32)
    found = Proposals(
        boxes=boxes,
        quads=boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2),
        scores=np.linspace(0.9, 0.5, count, dtype=np.float32),
        transcripts=[f"Word{n}" for n in range(count)],
        confidences=np.full(count, 0.5, np.float32),
        embeddings=embeddings.reshape(-1, 2),
    )
    texts = [f"word{n}" for n in range(count)]
    return found, Spelling(texts, np.tile(np.array([[1, 0]], np.float32), (count, 1)))


def test_regions_that_look_like_their_spelling_are_kept_the_best_first() -> None:
    judged = RULE.judged(*regions(0.6, 0.1, 0.9))
    assert judged.transcripts == ["Word2", "Word0"]
    assert judged.boxes[:, 0].tolist() == [200, 0]
    assert judged.scores == pytest.approx([1 / (1 + np.exp(-1.6)), 1 / (1 + np.exp(-0.4))], abs=1e-6)
    assert judged.embeddings.shape == (2, 2)


def test_of_regions_that_cover_each_other_the_better_ones_count() -> None:
    found, spelling = regions(0.62, 0.7, 0.61, apart=5)
    assert better_covering(found.boxes, np.array([0.1, 0.3, 0.2], np.float32)).tolist() == [2, 0, 1]
    assert RULE.judged(found, spelling).transcripts == ["Word1"]
    assert RULE.judged(*regions(0.62, 0.7, 0.61)).transcripts == ["Word1", "Word0", "Word2"]


def test_embeddings_are_drawn_to_the_spelling_and_keep_their_length() -> None:
    found, spelling = regions(0.0)
    corrected = RULE.corrected(found, spelling.embeddings)
    assert corrected.embeddings[0] == pytest.approx(np.array([0.5, 1]) / 1.25**0.5, abs=1e-6)
    assert corrected.scores.tolist() == found.scores.tolist()
    nothing = np.zeros((1, 2), np.float32)
    np.testing.assert_allclose(RULE.corrected(found, nothing).embeddings, found.embeddings, atol=1e-6)


def test_regions_that_are_kept_are_corrected_by_their_own_spellings() -> None:
    found, spelling = regions(0.6, 0.1, 0.9)
    spelling.embeddings[2] = [0.5, 0.5]
    judged = RULE.judged(found, spelling)
    assert judged.transcripts == ["Word2", "Word0"]
    for row, number in enumerate([2, 0]):
        mixed = found.embeddings[number] + 0.5 * spelling.embeddings[number]
        np.testing.assert_allclose(judged.embeddings[row], mixed / np.linalg.norm(mixed), atol=1e-6)


def test_a_photo_without_regions_stays_one() -> None:
    judged = RULE.judged(*regions())
    assert len(judged.scores) == 0
    assert judged.embeddings.shape == (0, 2)


def test_the_score_of_the_detector_counts() -> None:
    found, spelling = regions(0.5, 0.5, 0.5)
    found.scores[:] = [0.3, 0.9, 0.6]
    judged = Legibility((1.0, *[0.0] * 8), least=0.5, share=0.5).judged(found, spelling)
    assert judged.transcripts == ["Word1", "Word2"]
    assert judged.scores == pytest.approx([0.9, 0.6])


def test_what_a_region_may_say_stays_its_own() -> None:
    found, _ = regions(0.5, 0.5, 0.5)
    found.steps.extend([[(1.0, [], [])] * number for number in range(3)])
    chosen = found.take(np.array([2, 1]), np.array([0.1, 0.2], np.float32))
    assert [len(steps) for steps in chosen.steps] == [2, 1]


def test_an_older_rule_judges_without_the_score_of_the_detector() -> None:
    older = Legibility(RULE.weights[1:], RULE.least, RULE.share)
    assert (
        older.judged(*regions(0.6, 0.1, 0.9)).scores.tolist()
        == RULE.judged(*regions(0.6, 0.1, 0.9)).scores.tolist()
    )


def test_how_far_spellings_agree_among_themselves_changes_no_agreement() -> None:
    found, spelling = regions(0.5, 0.9)
    shorter = Spelling(spelling.texts, spelling.embeddings * np.array([[0.25], [0.0]], np.float32))
    assert signs(found, spelling)[:, 1:3] == pytest.approx(np.array([[0.5, 0.25], [0.9, 0.81]]))
    assert signs(found, shorter)[:, 1:3] == pytest.approx(np.array([[0.5, 0.25], [0, 0]]))


def test_signs_tell_how_sure_the_reader_was_and_how_much_it_read() -> None:
    found, _ = regions(0.5, 0.5, 0.5)
    found.confidences[:] = [0, 0.5, 1]
    found.scores[:] = [0.5, 1, 0]
    texts = ["", "ab", "abcdefgh"]
    observed = signs(found, Spelling(texts, np.zeros((3, 2), np.float32)))
    assert -10 < observed[2, 0] < observed[0, 0] == 0 < observed[1, 0] < 10  # finite at 0 and 1
    assert observed[:, 1].tolist() == [0, 0, 0]
    assert observed[0, 3] < observed[1, 3] == 0 < observed[2, 3]
    assert observed[:, 4:].tolist() == [[0, 1, 0, 0, 1], [2, 0, 0, 1, 1], [6, 0, 0, 0, 1]]


def test_a_fit_finds_what_the_regions_were_made_with() -> None:
    rng = np.random.default_rng(0)
    observed = rng.normal(size=(20_000, 9)).astype(np.float32)
    observed[:, -1] = 1
    observed[:, 6] = 0  # never seen, so it counts for nothing
    made_with = np.array([2, -1, 0.5, 0, 0.3, -0.7, 0, 1, 0.4])
    right = rng.random(20_000) < 1 / (1 + np.exp(-observed @ made_with))
    assert fitted(observed, right.astype(np.float32)) == pytest.approx(made_with, abs=0.1)


@pytest.mark.parametrize("network", ["tiny", "tiny_joint"])
def test_an_encoder_judges_by_what_its_checkpoint_says(
    network: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    tiny: Retriever = request.getfixturevalue(network)
    plain, judging = tmp_path / "plain.safetensors", tmp_path / "judging.safetensors"
    image = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    checkpoint.save(plain, tiny, {"min_score": 0.0})
    first = Encoder(plain, device="cpu-torch", longer_sides=[128], judge=False)
    (all_found,) = first.encode_images([image])
    judged = Legibility((1.0,) * 9, 0.0, 0.5).judged(all_found, *first.spell([all_found]))
    half = len(judged.scores) // 2
    least = float(judged.scores[half - 1] + judged.scores[half]) / 2
    rule = {"weights": [1.0] * 9, "least": least, "share": 0.5}
    checkpoint.save(judging, tiny, {"min_score": 0.0, "legibility": rule})
    second = Encoder(judging, device="cpu-torch", longer_sides=[128])
    (found,) = second.encode_images([image])
    assert 0 < len(found.scores) < len(all_found.scores)
    np.testing.assert_array_equal(found.scores, judged.scores[: len(found.scores)])
    assert found.steps == []
    np.testing.assert_allclose(found.embeddings, judged.embeddings[: len(found.scores)], atol=1e-6)
    (unjudged,) = Encoder(judging, device="cpu-torch", longer_sides=[128], judge=False).encode_images([image])
    np.testing.assert_array_equal(unjudged.embeddings, all_found.embeddings)
    assert len(unjudged.steps) == len(all_found.scores)
    (stored,) = Encoder(plain, device="cpu-torch", longer_sides=[128]).encode_images([image])  # has no rule
    np.testing.assert_array_equal(stored.embeddings, all_found.embeddings)
    assert (len(stored.posteriors), stored.steps) == (len(all_found.scores), [])
    quads = all_found.quads[:3]
    given = second.embed_quads(image, quads)
    np.testing.assert_allclose(given.quads, quads, atol=1e-3)
    assert given.scores.tolist() == [1, 1, 1]
    assert not np.allclose(given.embeddings, first.embed_quads(image, quads).embeddings, atol=1e-2)
