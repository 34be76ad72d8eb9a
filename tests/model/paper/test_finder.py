from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model import checkpoint
from model.encoder import Encoder, Proposals
from model.paper.network import PaperConfig, PaperNetwork

DIMENSION = 15 * 16


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 255, (96, 160, 3), np.uint8)


@pytest.fixture
def encoder(narrow_checkpoint: Path) -> Encoder:
    return Encoder(narrow_checkpoint, device="cpu", longer_sides=(160,), max_proposals=7, threads=1)


def check(found: Proposals, height: int, width: int) -> None:
    count = len(found.scores)
    assert found.boxes.shape == (count, 4)
    assert found.quads.shape == (count, 4, 2)
    assert found.embeddings.shape == (count, DIMENSION)
    assert len(found.transcripts) == len(found.confidences) == count
    for values in (found.boxes, found.quads, found.scores, found.confidences, found.embeddings):
        assert values.dtype == np.float32
        assert np.isfinite(values).all()
    np.testing.assert_allclose(np.linalg.norm(found.embeddings, axis=1), 1, atol=1e-5)
    assert (np.diff(found.scores) <= 0).all()
    assert (found.boxes >= 0).all()
    assert (found.boxes <= [width, height, width, height]).all()
    np.testing.assert_array_equal(found.quads[:, [0, 2]].reshape(-1, 4), found.boxes)


def test_proposals_are_whole(encoder: Encoder, picture: NDArray[np.uint8]) -> None:
    found = encoder.encode_images([picture])[0]
    check(found, 96, 160)
    assert len(found.scores) == 7
    assert any(found.transcripts)  # a random classifier says something


def test_words_and_regions_share_a_space(encoder: Encoder, picture: NDArray[np.uint8]) -> None:
    words = encoder.encode_texts(["coffee", "24"])
    assert words.shape == (2, DIMENSION)
    similarity = words @ encoder.encode_images([picture])[0].embeddings.T
    assert (np.abs(similarity) <= 1 + 1e-5).all()


@pytest.mark.parametrize(
    ("height", "width"),
    [
        (1, 1),  # a single pixel
        (20, 900),  # a banner
        (700, 8),  # a strip
        (33, 31),  # odd sides
    ],
)
def test_any_size_is_taken(encoder: Encoder, height: int, width: int) -> None:
    check(encoder.encode_images([np.full((height, width, 3), 127, np.uint8)])[0], height, width)


def test_places_are_in_pixels_of_the_photo_at_any_size(encoder: Encoder, picture: NDArray[np.uint8]) -> None:
    large = picture.repeat(3, 0).repeat(3, 1)
    quads = encoder.locate(picture)[0]
    small, again = encoder.embed_quads(picture, quads), encoder.embed_quads(large, quads * 3)
    np.testing.assert_allclose(again.boxes, small.boxes * 3, atol=1e-2)
    np.testing.assert_allclose(again.embeddings, small.embeddings, atol=0.06)
    check(encoder.encode_images([large])[0], 288, 480)
    assert encoder.encode_images([large])[0].boxes.max() > 160


def test_a_photo_is_the_same_alone_and_among_others(encoder: Encoder, picture: NDArray[np.uint8]) -> None:
    alone = encoder.encode_images([picture])[0]
    batch = encoder.encode_images([picture[:64], picture[::-1].copy(), picture])
    assert len(batch) == 3
    np.testing.assert_allclose(batch[2].boxes, alone.boxes, atol=1e-2)
    np.testing.assert_allclose(batch[2].embeddings, alone.embeddings, atol=1e-4)


def test_what_is_found_at_several_sizes_is_pooled(
    narrow_checkpoint: Path, picture: NDArray[np.uint8]
) -> None:
    def found(*sides: int) -> Proposals:
        options = {"longer_sides": sides, "max_proposals": 7, "threads": 1}
        return Encoder(narrow_checkpoint, device="cpu", **options).encode_images([picture])[0]  # type: ignore[arg-type]

    pooled, parts = found(96, 128, 160), [found(96), found(128), found(160)]
    check(pooled, 96, 160)
    every = np.concatenate([part.scores for part in parts])
    np.testing.assert_allclose(pooled.scores, np.sort(every)[::-1], atol=1e-6)


def test_no_text_gives_no_proposals(narrow_checkpoint: Path, picture: NDArray[np.uint8]) -> None:
    blind = Encoder(narrow_checkpoint, device="cpu", longer_sides=(160,), min_score=0.9, threads=1)
    check(blind.encode_images([picture])[0], 96, 160)
    assert len(blind.encode_images([picture])[0].scores) == 0
    assert blind.encode_images([]) == []


def test_places_alone_and_given_regions(encoder: Encoder, picture: NDArray[np.uint8]) -> None:
    found = encoder.encode_images([picture])[0]
    quads, scores = encoder.locate(picture)
    np.testing.assert_array_equal(quads, found.quads)
    np.testing.assert_array_equal(scores, found.scores)
    again = encoder.embed_quads(picture, quads)
    np.testing.assert_allclose(again.embeddings, found.embeddings, atol=1e-4)
    assert again.transcripts == found.transcripts
    assert (again.scores == 1).all()


def test_without_the_reading_loss_nothing_is_read(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    torch.manual_seed(0)
    path = tmp_path / "mute.safetensors"
    checkpoint.save(path, PaperNetwork(PaperConfig(width=32, reading=False)), {"min_score": 0.0})
    encoder = Encoder(path, device="cpu", longer_sides=(160,), max_proposals=3, threads=1)
    found = encoder.encode_images([picture])[0]
    check(found, 96, 160)
    assert found.transcripts == [""] * 3
    assert (found.confidences == 0).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees(narrow_checkpoint: Path, encoder: Encoder, picture: NDArray[np.uint8]) -> None:
    other = Encoder(narrow_checkpoint, device="cuda", longer_sides=(160,), max_proposals=7)
    ours, theirs = encoder.encode_images([picture])[0], other.encode_images([picture])[0]
    assert ((ours.embeddings @ theirs.embeddings.T).max(1) > 0.97).all()
