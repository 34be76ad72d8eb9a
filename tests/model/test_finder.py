"""The edges of searching with a narrow network; test_encoder.py has the shipped one."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model import checkpoint, finder
from model.encoder import Encoder
from model.retriever import Retriever


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)


@pytest.mark.parametrize(
    ("height", "width"),
    [
        (1, 1),  # a single pixel
        (30, 4000),  # a banner
        (3000, 8),  # a strip
        (33, 31),  # odd sides
    ],
)
def test_any_size_is_taken(tiny_checkpoint: Path, height: int, width: int) -> None:
    narrow = Encoder(tiny_checkpoint, device="cpu-torch", max_proposals=5, longer_sides=(256,))
    found = narrow.encode_images([np.full((height, width, 3), 127, np.uint8)])[0]
    assert 0 < len(found.scores) <= 5
    assert (found.boxes[:, 2] <= width).all()
    assert (found.boxes[:, 3] <= height).all()


def test_a_checkpoint_says_at_which_size_it_searches(
    tiny: Retriever, tmp_path: Path, picture: NDArray[np.uint8]
) -> None:
    checkpoint.save(tmp_path / "small", tiny, {"min_score": 0.0, "longer_side": 128})
    options = {"device": "cpu-torch", "max_proposals": 20}
    found = Encoder(tmp_path / "small", **options).encode_images([picture])[0]
    asked = Encoder(tmp_path / "small", longer_sides=(128,), **options).encode_images([picture])[0]
    other = Encoder(tmp_path / "small", longer_sides=(256,), **options).encode_images([picture])[0]
    np.testing.assert_array_equal(found.quads, asked.quads)
    assert not np.array_equal(found.quads, other.quads)


def test_scales_are_pooled(tiny_checkpoint: Path, picture: NDArray[np.uint8]) -> None:
    def places(*sides: int) -> set[tuple[float, ...]]:
        encoder = Encoder(tiny_checkpoint, device="cpu-torch", longer_sides=sides, max_proposals=20)
        found = encoder.encode_images([picture])[0]
        assert len(found.scores) == 20
        return set(map(tuple, found.quads.reshape(-1, 8).round(3).tolist()))

    small, large, pooled = places(128), places(256), places(128, 256)
    assert not small & large
    assert pooled & small
    assert pooled & large


@pytest.mark.parametrize("device", ["cpu", "cpu-torch"])
def test_a_second_look_moves_boxes(
    tiny: Retriever, tmp_path: Path, picture: NDArray[np.uint8], device: str
) -> None:
    torch.manual_seed(1)
    looking = Retriever(dataclasses.replace(tiny.config, refining=8)).eval()
    looking.load_state_dict(tiny.state_dict(), strict=False)
    looking.state_dict()["refiner.ends.weight"].mul_(30)  # a new one leaves boxes nearly as they are
    found = []
    for name, network in (("plain", tiny), ("looking", looking)):
        checkpoint.save(tmp_path / name, network, {"min_score": 0.0})
        encoder = Encoder(tmp_path / name, device=device, longer_sides=(256,), max_proposals=21, threads=1)
        found.append(encoder.encode_images([picture])[0])
    np.testing.assert_array_equal(found[0].scores, found[1].scores)
    assert 0.3 < np.abs(found[0].quads - found[1].quads).mean() < 15


@pytest.mark.parametrize("device", ["cpu", "cpu-torch"])
def test_words_are_read_in_the_maps_of_the_preset_joint(
    tiny_joint: Retriever, tmp_path: Path, picture: NDArray[np.uint8], device: str
) -> None:
    checkpoint.save(tmp_path / "joint", tiny_joint, {"min_score": 0.0})
    narrow = Encoder(tmp_path / "joint", device=device, longer_sides=(320, 256), max_proposals=9, threads=1)
    tall = picture.transpose(1, 0, 2).copy()
    found = narrow.encode_images([picture, tall])
    assert [len(proposals.scores) for proposals in found] == [9, 9]
    alone = narrow.encode_images([tall])[0]
    np.testing.assert_allclose(found[1].embeddings, alone.embeddings, atol=1e-5)
    again = narrow.embed_quads(picture, found[0].quads)
    np.testing.assert_allclose(again.embeddings, found[0].embeddings, atol=1e-2)
    assert len(narrow.embed_quads(picture, np.zeros((0, 4, 2), np.float32)).scores) == 0


@pytest.mark.parametrize("count", range(40))
def test_batches_have_two_sizes_and_everybody_in_them(count: int) -> None:
    batches = finder._batches(list(range(count)))
    assert {len(batch) for batch in batches} <= {16, 4}
    everybody = [member for batch in batches for member in batch]
    assert everybody[:count] == list(range(count))
    assert set(everybody[count:]) <= {count - 1}
    assert len(everybody) - count < 4
