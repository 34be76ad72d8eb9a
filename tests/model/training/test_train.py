import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from model import checkpoint
from model.retriever import Retriever
from model.training import train
from model.training.augment import View
from model.training.datasets import collate
from model.training.settings import Settings
from model.training.train import Run, do_test, do_train, main, step_losses


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder like the data sets', with two drawn photos each."""
    for name in ("icdar2015/train", "icdar2015/val", "mlt17_boxes/train"):
        path = tmp_path / "data" / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = []
        for index, word in enumerate(["cab", "bacca"]):
            image = Image.new("RGB", (160, 96), (230, 220, 200))
            pen = ImageDraw.Draw(image)
            font = ImageFont.load_default(30)
            pen.text((20, 30), word, fill=(20, 30, 60), font=font)
            image.save(path.parent / f"{path.stem}{index}.png")
            entry = {"box": list(pen.textbbox((20, 30), word, font=font)), "text": word}
            lines.append(json.dumps({"image": f"{path.stem}{index}.png", "words": [entry]}))
        path.write_text("\n".join(lines))
    crops = tmp_path / "data" / "words" / "train.jsonl"
    crops.parent.mkdir()
    Image.new("RGB", (60, 20), (200, 30, 30)).save(crops.parent / "1.png")
    crops.write_text('{"image": "1.png", "width": 60, "height": 20, "text": "Abc"}')
    return tmp_path / "data"


def settings(data: Path, init: Path, **changes: object) -> Settings:
    usual = Settings(
        data=data,
        out=data.parent / "run",
        init=init,
        steps=3,
        size=64,
        longer_side=(64, 72),
        batch=2,
        shares=(1, 1, 0),
        log_every=1,
        parts=("detector", "similarity", "reader"),
    )
    return dataclasses.replace(usual, **changes)


def log(run: Settings) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run.out / "log.jsonl").read_text().splitlines()]


def test_a_run_trains_every_part_and_is_measured(data: Path, tiny_checkpoint: Path) -> None:
    chosen = settings(data, tiny_checkpoint)
    run = Run(chosen)
    do_train(run)
    result = do_test(run)
    assert run.step == 3
    assert {"score", "box", "angle", "overlap"} <= set(log(chosen)[-1])
    assert any("similarity" in line for line in log(chosen))
    loaded = checkpoint.load(chosen.out / "model.safetensors")
    assert loaded.card["validation"] == result
    assert 0 <= result["mean_average_precision"] <= 1
    assert loaded.card["min_score"] == 0
    before = checkpoint.load(tiny_checkpoint).retriever.state_dict()
    for part in ("detector", "image_branch", "text_branch", "recognizer"):
        after = loaded.retriever.state_dict()
        assert any((after[name] != before[name]).any() for name in after if name.startswith(part)), part


def test_what_is_not_trained_stays_as_it_is(data: Path, tiny_checkpoint: Path) -> None:
    run = Run(settings(data, tiny_checkpoint, parts=("similarity",)))
    do_train(run)
    before = checkpoint.load(tiny_checkpoint).retriever.state_dict()
    after = run.average.state
    for name, tensor in after.items():
        if not name.startswith(("image_branch", "text_branch")):
            torch.testing.assert_close(tensor, before[name], msg=name)


def test_crops_of_words_and_of_no_words_are_enough_for_the_reader(data: Path, tiny_checkpoint: Path) -> None:
    extra = data.parent / "harvested"
    extra.mkdir()
    for index in range(2):
        Image.new("RGB", (60, 20), (30, 200, 30)).save(extra / f"{index}.png")
    lines = [{"image": f"{index}.png", "width": 60, "height": 20, "text": ""} for index in range(2)]
    (extra / "train.jsonl").write_text("\n".join(map(json.dumps, lines)))
    chosen = settings(
        data,
        tiny_checkpoint,
        parts=("similarity", "reader"),
        batch=0,
        word_sets=("words", str(extra)),
        degrade=True,
        frozen_stages=2,
    )
    run = Run(chosen)
    do_train(run)
    assert set(log(chosen)[-1]) >= {"similarity", "reading"}
    before = checkpoint.load(tiny_checkpoint).retriever.state_dict()
    changed = {name for name, tensor in run.average.state.items() if (tensor != before[name]).any()}
    assert any(name.startswith("recognizer.trunk.stages.2") for name in changed)
    frozen = ("recognizer.trunk.stem", "recognizer.trunk.stages.0", "detector")
    assert not any(name.startswith(frozen) or "running_" in name for name in changed)


def test_a_missing_set_of_crops_is_an_error(data: Path, tiny_checkpoint: Path) -> None:
    run = Run(settings(data, tiny_checkpoint, parts=("reader",), batch=0, word_sets=("words", "nowhere")))
    with pytest.raises(ValueError, match=r"nowhere.* cannot be read"):
        do_train(run)


def test_the_detector_needs_pictures(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--data", str(data), "--out", str(data), "--parts", "detector", "--batch", "0"])
    assert caught.value.code == 2
    assert "--batch must be at least 1" in capsys.readouterr().err


def test_a_second_look_can_be_added_and_trained(data: Path, tiny_checkpoint: Path) -> None:
    run = Run(settings(data, tiny_checkpoint, parts=("refiner",)))
    before = {name: tensor.clone() for name, tensor in run.retriever.state_dict().items()}
    do_train(run)
    do_test(run)
    after = checkpoint.load(run.settings.out / "model.safetensors").retriever
    assert after.refiner is not None
    changed = {
        name.split(".")[0]
        for name, tensor in after.state_dict().items()
        if (tensor != before[name].half()).any()
    }
    assert changed == {"refiner"}


def test_a_run_goes_on_where_it_stopped(data: Path, tiny_checkpoint: Path) -> None:
    chosen = settings(data, tiny_checkpoint)
    first = Run(chosen)
    do_train(first)
    second = Run(dataclasses.replace(chosen, steps=5))
    assert (second.step, second.seconds) == (first.step, first.seconds)
    torch.testing.assert_close(second.retriever.state_dict(), first.retriever.state_dict())
    do_train(second)
    assert (second.step, second.progress) == (5, 1)


def test_a_loss_that_is_not_finite_stops_the_run(
    data: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(settings(data, tiny_checkpoint))

    def broken(*_: object) -> dict[str, Tensor]:
        return {"score": torch.tensor(1.0), "box": torch.tensor(math.nan)}

    monkeypatch.setattr(train, "step_losses", broken)
    with pytest.raises(FloatingPointError, match=r"step 0: loss is not finite: \{'score': 1.0, 'box': nan\}"):
        do_train(run)


def test_losses_have_switches(tiny: Retriever, tmp_path: Path) -> None:
    tiny.requires_grad_(True)
    quads = np.array([[[8, 16], [56, 16], [56, 40], [8, 40]]], np.float32)
    seen = View(np.full((64, 64, 3), 128, np.uint8), quads, ["cab"], np.zeros(1, bool))
    chosen = settings(tmp_path, tmp_path)

    def parts(**changes: object) -> set[str]:
        now = dataclasses.replace(chosen, **changes)  # type: ignore[arg-type]
        return set(step_losses(tiny, collate([seen]), [], now, np.random.default_rng(0)))

    detection = {"score", "box", "angle", "overlap"}
    assert parts() == detection | {"similarity", "reading"}
    assert parts(reading=False) == detection | {"similarity"}
    assert parts(parts=("detector",)) == detection
    assert parts(parts=("similarity",)) == {"similarity"}


def test_the_command_line_runs_and_measures(data: Path, tiny_checkpoint: Path) -> None:
    out = data.parent / "commanded"
    options = "--steps 1 --size 64 --longer-side 64 72 --batch 1 --shares 1 0 0 --parts detector"
    main(
        [
            "--data",
            str(data),
            "--out",
            str(out),
            "--init",
            str(tiny_checkpoint),
            *options.split(),
            "--no-reading",
        ]
    )
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert "Settings(" in lines[0]["settings"]
    assert lines[0]["revision"]
    assert "mean_average_precision" in lines[-1]
