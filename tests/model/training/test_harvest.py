import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from model.encoder import Encoder
from model.evaluation.dataset import read_photos
from model.training import harvest as harvesting
from model.training.datasets import read_word_crops
from model.training.harvest import cut_out, harvest


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A photo with a known word, an unreadable one, and one that nobody wrote down."""
    image = Image.new("RGB", (640, 300), (225, 220, 205))
    pen = ImageDraw.Draw(image)
    words = []
    for text, place in {"coffee": (60, 80), "blurred": (360, 80), "market": (200, 200)}.items():
        font = ImageFont.load_default(36)
        pen.text(place, text, fill=(40, 30, 60), font=font)
        words.append({"box": list(pen.textbbox(place, text, font=font)), "text": text})
    words[1]["ignore"] = True
    image.save(tmp_path / "photo.png")
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps({"image": "photo.png", "words": words[:2]}))
    return path


def test_words_and_false_alarms_become_a_data_set(dataset: Path, tmp_path: Path) -> None:
    encoder = Encoder(device="cpu", threads=1, min_score=0.3, longer_sides=(640,))
    assert len(list(harvest(encoder, read_photos(dataset), tmp_path / "out"))) == 1
    crops = read_word_crops(tmp_path / "out" / "train.jsonl")
    texts = [crop.words[0].text for crop in crops]
    assert texts.count("coffee") == 2  # the true word and the proposal
    assert "" in texts  # the one that nobody wrote down
    assert set(texts) == {"coffee", ""}
    coffee = crops[0]
    pixels = coffee.pixels()
    quad = coffee.words[0].quad
    assert (quad >= 0).all()
    assert (quad.max(0) <= pixels.shape[1::-1]).all()
    assert pixels.min() < 80  # the word is in it


def test_true_words_need_no_network(dataset: Path, tmp_path: Path) -> None:
    assert list(harvest(None, read_photos(dataset), tmp_path / "out")) == [1]
    (crop,) = read_word_crops(tmp_path / "out" / "train.jsonl")
    assert crop.words[0].text == "coffee"


@pytest.mark.parametrize("count", [0, 1])
def test_false_alarms_are_few_and_tall_proposals_are_left_out(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_checkpoint: Path, count: int
) -> None:
    def locate(self: Encoder, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        flat = [[[x, 250], [x + 30, 250], [x + 30, 265], [x, 265]] for x in (0, 50, 100)]
        tall = [[[500, 150], [510, 150], [510, 190], [500, 190]]]
        return np.array(flat + tall, np.float32), np.ones(4, np.float32)

    monkeypatch.setattr(Encoder, "locate", locate)
    monkeypatch.setattr(harvesting, "FALSE_ALARMS", count)
    list(harvest(Encoder(tiny_checkpoint, device="cpu-torch"), read_photos(dataset), tmp_path / "out"))
    texts = [crop.words[0].text for crop in read_word_crops(tmp_path / "out" / "train.jsonl")]
    assert texts == ["coffee"] + [""] * count


def test_a_cut_has_room_around_the_word_as_far_as_the_photo_goes() -> None:
    quad = np.array([[4, 40], [64, 40], [64, 60], [4, 60]], np.float32)
    part, corners = cut_out(np.zeros((100, 70, 3), np.uint8), quad)
    assert part.size == (70, 40)
    np.testing.assert_array_equal(corners, quad - np.array([0, 30], np.float32))
    assert torch.from_numpy(corners).min() >= 0
