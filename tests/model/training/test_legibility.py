import json
import logging
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from model import checkpoint
from model.encoder import Encoder
from model.evaluation.dataset import read_photos
from model.training import legibility


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two photos with a readable word and one that is not."""
    lines = []
    for name, text in (("a.png", "coffee"), ("b.png", "market")):
        image = Image.new("RGB", (320, 160), (225, 220, 205))
        pen = ImageDraw.Draw(image)
        font = ImageFont.load_default(40)
        pen.text((60, 50), text, fill=(40, 30, 60), font=font)
        image.save(tmp_path / name)
        word = {"box": list(pen.textbbox((60, 50), text, font=font)), "text": text}
        blurred = {"box": [0, 0, 20, 10], "text": "", "ignore": True}
        lines.append(json.dumps({"image": name, "words": [word, blurred]}))
    path = tmp_path / "photos.jsonl"
    path.write_text("\n".join(lines))
    return path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> None:
    monkeypatch.setattr(sys, "argv", ["legibility", *map(str, arguments)])
    legibility.main()


def test_the_rule_is_noted_in_the_checkpoint_and_keeps_the_words(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(legibility, "DOUBTFUL", 0.02)  # so clean pictures have few regions otherwise
    out = tmp_path / "out.safetensors"
    data = ["--dataset", dataset, "--validation", dataset]
    wishes = ["--min-score", "0.02", "--longer-side", "320", "--squeeze", "1.3", "--proposals", "2"]
    run(monkeypatch, checkpoint.DEFAULT_CHECKPOINT, out, *data, *wishes)
    before, after = checkpoint.load(), checkpoint.load(out)
    assert (after.card["min_score"], after.longer_side, after.squeeze) == (0.02, 320, 1.3)
    assert after.extras.eight_bits == before.extras.eight_bits
    rule = after.legibility
    assert rule is not None
    assert len(rule.weights) == 9
    assert rule.weights != getattr(before.legibility, "weights", None)
    assert "2 of 2 photos" in caplog.text
    encoder = Encoder(out, device="cpu")
    photos = read_photos(dataset)
    found = encoder.encode_images([photo.pixels() for photo in photos])
    assert sum(len(of_photo.scores) for of_photo in found) == 4  # two a photo
    assert [of_photo.transcripts[0].lower() for of_photo in found] == ["coffee", "market"]
    assert all((of_photo.scores >= rule.least - 1e-3).all() for of_photo in found)


def test_right_is_what_looks_like_the_word_that_it_overlaps(dataset: Path) -> None:
    encoder = Encoder(device="cpu")
    photo = read_photos(dataset)[0]
    quad = photo.words[0].quad
    elsewhere = quad + np.float32([0, 60])
    found = encoder.embed_quads(photo.pixels(), np.stack([quad, elsewhere, quad - np.float32([4, 2])]))
    right = legibility.rightness(photo, found, encoder)
    assert right[0] > 0.8
    assert right[1] == 0
    assert right[2] > 0.5


def test_photos_without_words_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (96, 64), (200, 200, 200)).save(tmp_path / "grey.png")
    empty = tmp_path / "photos.jsonl"
    empty.write_text(json.dumps({"image": "grey.png", "words": []}))
    with pytest.raises(SystemExit) as ended:
        run(
            monkeypatch,
            checkpoint.DEFAULT_CHECKPOINT,
            tmp_path / "out.safetensors",
            *("--dataset", empty, "--validation", empty),
        )
    assert ended.value.code == 2
    assert "no region of these photos shows a word" in capsys.readouterr().err
    assert not (tmp_path / "out.safetensors").exists()
