import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model import checkpoint
from model.training.train import Run, do_test, do_train, main
from tests.model.training.conftest import Choose, log


def test_a_run_trains_every_part_and_is_measured(data: Path, tiny_checkpoint: Path, settings: Choose) -> None:
    chosen = settings()
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


def test_validation_along_the_way_changes_nothing_of_the_run(
    data: Path, tiny_checkpoint: Path, settings: Choose, tmp_path: Path
) -> None:
    plain, watched = Run(settings()), Run(settings(out=tmp_path / "watched", validate_every=1, average=2))
    for run in (plain, watched):
        do_train(run)
    torch.testing.assert_close(watched.network.state_dict(), plain.network.state_dict())
    lines = [line for line in log(watched.settings) if "mean_average_precision" in line]
    assert [line["step"] for line in lines] == [1, 2]  # the end is measured by the command
    assert not any("mean_average_precision" in line for line in log(plain.settings))


def test_what_is_measured_can_be_chosen(data: Path, tiny_checkpoint: Path, settings: Choose) -> None:
    run = Run(settings(validation="icdar2015/train.jsonl", validation_side=64))
    assert do_test(run)["photos"] == 2
    assert do_test(Run(settings(validation="nowhere.jsonl"))) == {}


def test_the_detector_needs_pictures(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--data", str(data), "--out", str(data), "--parts", "detector", "--batch", "0"])
    assert caught.value.code == 2
    assert "--batch must be at least 1" in capsys.readouterr().err


def test_a_run_goes_on_where_it_stopped(data: Path, tiny_checkpoint: Path, settings: Choose) -> None:
    chosen = settings()
    first = Run(chosen)
    do_train(first)
    second = Run(dataclasses.replace(chosen, steps=5))
    assert (second.step, second.seconds) == (first.step, first.seconds)
    torch.testing.assert_close(second.network.state_dict(), first.network.state_dict())
    do_train(second)
    assert (second.step, second.progress) == (5, 1)


def test_a_loss_that_is_not_finite_stops_the_run(
    data: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, settings: Choose
) -> None:
    run = Run(settings())

    def broken(*_: object) -> dict[str, Tensor]:
        return {"score": torch.tensor(1.0), "box": torch.tensor(math.nan)}

    monkeypatch.setattr(run.task, "losses", broken)
    with pytest.raises(FloatingPointError, match=r"step 0: loss is not finite: \{'score': 1.0, 'box': nan\}"):
        do_train(run)


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


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--init", "nowhere.safetensors"], "nowhere.safetensors is not a glyphseek checkpoint"),
        (["--preset", "paper", "--imagenet", "nowhere.pth"], "does not hold the weights of a ResNet-50"),
        (["--preset", "paper", "--width", "8", "--photo-sets", "none.jsonl"], "none.jsonl cannot be read"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], problem: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--data", str(tmp_path), "--out", str(tmp_path / "run"), "--steps", "1", *options])
    assert caught.value.code == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("train: ")
    assert problem in error
