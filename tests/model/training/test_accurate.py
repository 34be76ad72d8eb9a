import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from model import checkpoint
from model.retriever import Retriever
from model.training import parallel
from model.training.accurate import AccurateTask, step_losses
from model.training.augment import View
from model.training.datasets import collate
from model.training.train import Run, do_test, do_train
from tests.model.training.conftest import Choose, log


def test_what_is_not_trained_stays_as_it_is(data: Path, tiny_checkpoint: Path, settings: Choose) -> None:
    run = Run(settings(parts=("similarity",)))
    do_train(run)
    before = checkpoint.load(tiny_checkpoint).retriever.state_dict()
    after = run.average.state
    for name, tensor in after.items():
        if not name.startswith(("image_branch", "text_branch")):
            torch.testing.assert_close(tensor, before[name], msg=name)


def test_crops_of_words_and_of_no_words_are_enough_for_the_reader(
    data: Path, tiny_checkpoint: Path, settings: Choose
) -> None:
    extra = data.parent / "harvested"
    extra.mkdir()
    for index in range(2):
        Image.new("RGB", (60, 20), (30, 200, 30)).save(extra / f"{index}.png")
    lines = [{"image": f"{index}.png", "width": 60, "height": 20, "text": ""} for index in range(2)]
    (extra / "train.jsonl").write_text("\n".join(map(json.dumps, lines)))
    chosen = settings(
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


def test_a_missing_set_of_crops_is_an_error(data: Path, tiny_checkpoint: Path, settings: Choose) -> None:
    run = Run(settings(parts=("reader",), batch=0, word_sets=("words", "nowhere")))
    with pytest.raises(ValueError, match=r"nowhere.* cannot be read"):
        do_train(run)


def test_a_second_look_can_be_added_and_trained(data: Path, tiny_checkpoint: Path, settings: Choose) -> None:
    run = Run(settings(parts=("refiner",)))
    before = {name: tensor.clone() for name, tensor in run.network.state_dict().items()}
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


def test_losses_have_switches(tiny: Retriever, tmp_path: Path, settings: Choose) -> None:
    tiny.requires_grad_(True)
    quads = np.array([[[8, 16], [56, 16], [56, 40], [8, 40]]], np.float32)
    seen = View(np.full((64, 64, 3), 128, np.uint8), quads, ["cab"], np.zeros(1, bool))
    chosen = settings()

    def parts(**changes: object) -> set[str]:
        now = dataclasses.replace(chosen, **changes)  # type: ignore[arg-type]
        return set(step_losses(tiny, collate([seen]), [], now, np.random.default_rng(0)))

    detection = {"score", "box", "angle", "overlap"}
    assert parts() == detection | {"similarity", "reading"}
    assert parts(reading=False) == detection | {"similarity"}
    assert parts(parts=("detector",)) == detection
    assert parts(parts=("similarity",)) == {"similarity"}


def test_bfloat16_teaches_nearly_what_float32_does(settings: Choose) -> None:
    losses, gradients = [], []
    for bf16 in (False, True):
        task = AccurateTask(settings(parts=("detector",), bf16=bf16))
        task.groups()
        losses.append(task.losses(next(task.batches(0)), np.random.default_rng(0)))
        torch.stack(list(losses[-1].values())).sum().backward()  # type: ignore[no-untyped-call]
        grads = [p.grad for p in task.network.detector.parameters() if p.grad is not None]
        gradients.append(torch.cat([grad.flatten() for grad in grads]))
    assert losses[0]["score"] != losses[1]["score"]
    torch.testing.assert_close(losses[1], losses[0], rtol=0.1, atol=0.05)
    assert torch.cosine_similarity(*gradients, dim=0) > 0.95


def test_several_processes_are_refused(settings: Choose, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "processes", lambda: 2)
    with pytest.raises(ValueError, match="several processes train the preset paper only"):
        Run(settings())
