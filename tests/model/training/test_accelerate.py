import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from model import checkpoint
from model.encoder import Encoder
from model.retriever import Retriever
from model.training import accelerate


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two photos with a readable word and one that is not."""
    lines = []
    for name, text in (("a.png", "abc"), ("b.png", "cab")):
        image = Image.new("RGB", (320, 160), (225, 220, 205))
        pen = ImageDraw.Draw(image)
        font = ImageFont.load_default(36)
        pen.text((60, 40), text, fill=(40, 30, 60), font=font)
        image.save(tmp_path / name)
        word = {"box": list(pen.textbbox((60, 40), text, font=font)), "text": text}
        blurred = {"box": [0, 0, 20, 10], "text": "", "ignore": True}
        lines.append(json.dumps({"image": name, "words": [word, blurred]}))
    path = tmp_path / "train.jsonl"
    path.write_text("\n".join(lines))
    return path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> None:
    monkeypatch.setattr(sys, "argv", ["accelerate", *map(str, arguments)])
    accelerate.main()


@pytest.mark.parametrize("preset", ["accurate", "joint"])
def test_eight_bits_say_nearly_the_same(
    dataset: Path,
    tiny_checkpoint: Path,
    tiny_joint: Retriever,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    preset: str,
) -> None:
    monkeypatch.setattr(checkpoint, "LONGER_SIDE", 320)
    out = tmp_path / "eight.safetensors"
    start = tiny_checkpoint
    if preset == "joint":
        start = tmp_path / "joint.safetensors"
        checkpoint.save(start, tiny_joint, {"min_score": 0.0})
    run(monkeypatch, start, out, "--dataset", dataset, "--photos", "2")
    before, after = checkpoint.load(start), checkpoint.load(out)
    assert after.extras.eight_bits.keys() == {"detector", "reader"}
    assert after.card == before.card
    for name, tensor in before.retriever.state_dict().items():
        assert torch.equal(after.retriever.state_dict()[name], tensor)
    basis = Encoder(out, device="cpu").query_basis
    assert basis is not None
    assert np.allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-5)
    query = Encoder(out, device="cpu").encode_texts(["bac"])
    assert np.linalg.norm(query @ basis.T) > 0.9
    image = np.asarray(Image.open(dataset.with_name("a.png")).convert("RGB"))
    quad = np.array([[[60, 40], [120, 40], [120, 80], [60, 80]]], np.float32)
    exact = Encoder(start, device="cpu").embed_quads(image, quad)
    rounded = Encoder(out, device="cpu").embed_quads(image, quad)
    cosine = (exact.embeddings * rounded.embeddings).sum()
    assert 0.9 < cosine < 0.9999999  # near, and not the same arithmetic


def test_the_eight_bits_of_a_detector_that_was_not_trained_are_taken_over(
    dataset: Path, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, out = tmp_path / "first.safetensors", tmp_path / "out.safetensors"
    loaded = checkpoint.load(tiny_checkpoint)
    ready = {"detector": (b"description", b"weights")}
    checkpoint.save(first, loaded.network, loaded.card, checkpoint.Extras(ready))
    wishes = ["--longer-side", "96", "--min-score", "0.3"]
    run(monkeypatch, tiny_checkpoint, out, "--dataset", dataset, "--detector-of", first, *wishes)
    assert checkpoint.load(out).card == {**loaded.card, "longer_side": 96, "min_score": 0.3}
    taken = checkpoint.load(out).extras.eight_bits
    assert taken["detector"] == ready["detector"]
    assert taken["reader"][0].startswith(b"<?xml")
    with pytest.raises(SystemExit):  # it has none
        run(monkeypatch, tiny_checkpoint, out, "--dataset", dataset, "--detector-of", tiny_checkpoint)
    loaded.retriever.detector.head.scale.data += 1
    checkpoint.save(first, loaded.network, loaded.card, checkpoint.Extras(ready))
    with pytest.raises(SystemExit):  # it is another one
        run(monkeypatch, tiny_checkpoint, out, "--dataset", dataset, "--detector-of", first)


def test_what_cannot_be_read_is_one_line(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, dataset, tmp_path / "out", "--dataset", dataset)
    assert caught.value.code == 2
    assert "is not a glyphseek checkpoint" in capsys.readouterr().err
