"""Training of the preset `joint`, with narrow networks."""

import dataclasses
import json
from collections.abc import Callable
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from model import checkpoint
from model.encoder import Encoder
from model.evaluation.dataset import read_photos
from model.evaluation.evaluate import evaluate
from model.recognizer import SharedRecognizer, Transcript
from model.retriever import Retriever
from model.training import joint
from model.training.augment import View, whole_view
from model.training.datasets import collate
from model.training.joint import JointTask, fit_join, shared
from model.training.settings import parse
from model.training.train import Run, do_test, do_train
from tests.model.training.conftest import Choose, log


@pytest.fixture
def choose(taught: Callable[[str], Choose], monkeypatch: pytest.MonkeyPatch) -> Choose:
    """Settings of a short run of the preset `joint`, but for the given changes."""
    monkeypatch.setattr(joint, "FIT_BATCHES", 2)
    options = "--preset joint --steps 2 --size 64 --longer-side 64 72 --batch 2 --shares 1 1 0 --log-every 1"
    return taught(options)


def test_one_step_has_every_loss_and_reaches_every_part(choose: Choose) -> None:
    task = JointTask(choose())
    task.groups()
    losses = task.losses(next(task.batches(0)), np.random.default_rng(0))
    assert set(losses) >= {"score", "box", "angle", "overlap", "similarity", "reading", "teacher"}
    torch.stack([losses[name] for name in ("similarity", "reading", "teacher")]).sum().backward()  # type: ignore[no-untyped-call]
    reached = {name for name, p in task.network.named_parameters() if p.grad is not None and p.grad.any()}
    # What reads and compares teaches the one trunk, too.
    for part in ("detector.trunk.stem.first", "detector.trunk.stages.0", "detector.pyramid", "text_branch"):
        assert any(name.startswith(part) for name in reached), part
    for part in ("recognizer.join", "recognizer.trunk.stages.2", "recognizer.classifier", "image_branch"):
        assert any(name.startswith(part) for name in reached), part


def test_a_run_starts_from_its_teacher_goes_on_and_is_measured(choose: Choose, tiny: Retriever) -> None:
    chosen = choose(parts=("reader",), learning_rate=0.5)
    run = Run(chosen)
    do_train(run)
    do_train(Run(dataclasses.replace(chosen, steps=3)))
    result = do_test(run)
    assert 0 <= result["mean_average_precision"] <= 1
    assert {"similarity", "reading", "teacher"} <= set(log(chosen)[1])
    loaded = checkpoint.load(chosen.out / "model.safetensors")
    assert loaded.card["preset"] == "joint"
    assert loaded.retriever.config == dataclasses.replace(tiny.config, shared=True)
    after, before = loaded.retriever.state_dict(), tiny.state_dict()
    torch.testing.assert_close(
        after["text_branch.project.weight"], before["text_branch.project.weight"].half().float()
    )
    assert (after["recognizer.classifier.weight"] != before["recognizer.classifier.weight"].half()).any()
    going_on = JointTask(choose(init=chosen.out / "model.safetensors", parts=("reader",)))
    torch.testing.assert_close(going_on.network.state_dict(), after)


def test_a_teacher_of_another_size_is_refused(choose: Choose, tiny: Retriever, tmp_path: Path) -> None:
    path = tmp_path / "wide.safetensors"
    checkpoint.save(path, Retriever(dataclasses.replace(tiny.config, hidden=16)), {"min_score": 0.0})
    with pytest.raises(ValueError, match="is no checkpoint of accurate, or of another size"):
        JointTask(choose(teacher=path, init=choose().teacher))


def test_bfloat16_is_near_to_float32(choose: Choose) -> None:
    values = []
    for bf16 in (False, True):
        task = JointTask(choose(bf16=bf16))
        task.groups()
        values.append(task.losses(next(task.batches(0)), np.random.default_rng(0)))
    for name in ("score", "teacher", "reading"):
        assert values[1][name].dtype == torch.float32
        torch.testing.assert_close(values[1][name], values[0][name], rtol=0.1, atol=0.05)


def test_the_join_is_fitted_to_the_stem_it_replaces(tiny: Retriever) -> None:
    network = shared(tiny)
    assert isinstance(network.recognizer, SharedRecognizer)
    truth = torch.randn_like(network.recognizer.join.weight)
    seen = [torch.rand(6, truth.shape[1], 12, 16) for _ in range(3)]
    wanted = iter([torch.nn.functional.conv2d(x, truth, torch.arange(8.0), padding=1) for x in seen])

    class Stem(torch.nn.Module):
        def enter(self, pixels: Tensor) -> Tensor:
            return pixels

        def unclipped(self, _: Tensor) -> Tensor:
            return next(wanted)

    tiny.recognizer.trunk.stem = Stem()  # type: ignore[assignment]
    fit_join(network, tiny, [(x, torch.zeros(6, 3, 48, 64)) for x in seen])
    torch.testing.assert_close(network.recognizer.join.weight, truth, atol=0.05, rtol=0)
    with pytest.raises(ValueError, match="no join"):
        fit_join(tiny, tiny, [])


def test_words_without_text_say_what_the_teacher_surely_reads(
    choose: Choose, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = iter([("Café", 0.95), ("tea", 0.5), ("!!", 0.99)])
    monkeypatch.setattr(joint, "read", lambda *_: [Transcript(*next(readings), [])])
    quads = np.array([[[x, 8], [x + 20, 8], [x + 20, 20], [x, 20]] for x in range(0, 50, 10)], np.float32)
    ignore = np.array([False, False, False, True, False])
    view = View(np.zeros((64, 64, 3), np.uint8), quads, [None, None, None, None, "bac"], ignore)
    task = JointTask(choose(teacher=choose().teacher))
    told = task._told(torch.zeros(3, 64, 64), view)
    assert told.texts == ["Café", None, None, None, "bac"]
    assert view.texts[0] is None


@pytest.mark.slow
def test_a_narrow_network_learns_four_pictures_by_heart(
    tiny: Retriever, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joint, "FIT_BATCHES", 2)
    photo_set, start = tmp_path / "icdar2015" / "train.jsonl", tmp_path / "start.safetensors"
    draw(photo_set, ["cab", "bacca", "abba", "cc"])
    torch.manual_seed(0)
    sizes = {"hidden": 64, "channels": 32, "reading": 32}
    checkpoint.save(start, Retriever(dataclasses.replace(tiny.config, **sizes)), {"min_score": 0.4})
    # A teacher that knows nothing teaches nothing.
    options = "--preset joint --shares 1 0 0 --size 96 --longer-side 96 97 --crops 4 --teaching 0"
    options += " --parts detector similarity reader --learning-rate 0.012 --trunk-rate 1 --average 10"
    options += " --steps 1200"
    places = ["--teacher", str(start), "--data", str(tmp_path), "--out", str(tmp_path / "run")]
    run = Run(parse([*options.split(), *places]))
    batch = collate([whole_view(photo.pixels(), photo.words, 96) for photo in read_photos(photo_set)])
    monkeypatch.setattr(run.task, "batches", lambda _: repeat((batch, [])))
    do_train(run)
    do_test(run)
    encoder = Encoder(run.settings.out / "model.safetensors", device="cpu", threads=1, longer_sides=(96,))
    found = evaluate(encoder, photo_set)
    assert found.recall["0.5"] == 1
    assert found.mean_average_precision == 1


def draw(path: Path, words: list[str]) -> None:
    """Draw pictures of 96 x 96 pixels with a word each."""
    path.parent.mkdir()
    font, lines = ImageFont.load_default(26), []
    for index, word in enumerate(words):
        image, place = Image.new("RGB", (96, 96), (230, 220, 200)), (6 + 2 * index, 20 + 10 * index)
        pen = ImageDraw.Draw(image)
        pen.text(place, word, fill=(20, 30, 60), font=font)
        image.save(path.with_name(f"{index}.png"))
        entry = {"box": list(pen.textbbox(place, word, font=font)), "text": word}
        lines.append(json.dumps({"image": f"{index}.png", "words": [entry]}))
    path.write_text("\n".join(lines))
