"""Training of the preset `distilled`, with narrow networks."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from model import checkpoint
from model.retriever import Retriever
from model.training import distill
from model.training.distill import DistilledTask, lighter
from model.training.train import Run, do_test, do_train
from tests.model.training.conftest import Choose, log


@pytest.fixture
def choose(taught: Callable[[str], Choose], monkeypatch: pytest.MonkeyPatch) -> Choose:
    """Settings of a short run of the preset `distilled`, but for the given changes."""
    monkeypatch.setattr(distill, "REGIONS", 4)
    options = "--preset distilled --steps 30 --learning-rate 0.01 --word-crops 4 --log-every 10 --average 1"
    return taught(options)


def test_a_lighter_reader_has_the_weights_and_gives_as_many_steps_from_half_the_rows(tiny: Retriever) -> None:
    light = lighter(tiny, 24)
    torch.testing.assert_close(light.state_dict(), tiny.state_dict())
    few, many = light.recognizer(torch.rand(1, 3, 24, 64)), tiny.recognizer(torch.rand(1, 3, 48, 64))
    assert few[0].shape == many[0].shape
    assert light.recognizer.trunk(torch.rand(1, 3, 24, 64))[-1].shape[2:] == (2, 8)
    assert tiny.recognizer.trunk(torch.rand(1, 3, 48, 64))[-1].shape[2:] == (3, 16)


def test_the_reader_comes_nearer_to_its_teacher_and_the_rest_stays(choose: Choose, tiny: Retriever) -> None:
    chosen = choose()
    run = Run(chosen)
    do_train(run)
    first, *_, last = log(chosen)
    assert {"sequence", "reading", "similarity"} <= set(first)
    assert last["sequence"] < 0.7 * first["sequence"]
    do_train(Run(dataclasses.replace(chosen, steps=40)))  # it goes on, and reads nothing twice
    do_test(run)
    loaded = checkpoint.load(chosen.out / "model.safetensors")
    assert loaded.retriever.config.crop_height == 24
    assert checkpoint.RetrieverConfig.from_dict(loaded.retriever.config.to_dict()) == loaded.retriever.config
    after, before = loaded.retriever.state_dict(), tiny.state_dict()
    for name, tensor in before.items():
        if name.startswith("recognizer.trunk.stem"):
            assert (after[name] != tensor.half()).any(), name
        elif not name.startswith("recognizer."):
            torch.testing.assert_close(after[name], tensor.half().to(tensor.dtype), msg=name)


def test_a_run_can_start_from_a_distilled_checkpoint(choose: Choose, tiny: Retriever, tmp_path: Path) -> None:
    path = tmp_path / "light.safetensors"
    light = lighter(tiny, 24)
    checkpoint.save(path, light, {"min_score": 0.0})
    assert DistilledTask(choose(init=path)).network.config == light.config


def test_regions_are_cut_out_for_both_and_found_again(choose: Choose) -> None:
    chosen = choose()
    chosen.out.mkdir()
    task = DistilledTask(chosen)
    crops, sequences = next(task.batches(0))
    assert crops.dtype == torch.uint8
    assert crops.shape[:3] == (4, 3, 24)
    assert sequences.shape[:2] == (4, crops.shape[3] // 8)
    (chosen.data / "icdar2015" / "train.jsonl").unlink()  # nothing is read again
    torch.testing.assert_close(next(DistilledTask(chosen).batches(0)), (crops, sequences))


def test_a_network_that_reads_in_its_maps_learns_in_them(
    choose: Choose, tiny_joint: Retriever, tmp_path: Path
) -> None:
    start = tmp_path / "joint.safetensors"
    checkpoint.save(start, tiny_joint, {"preset": "joint", "min_score": 0.0})
    chosen = choose(init=start)
    run = Run(chosen)
    do_train(run)
    do_test(run)
    crops, sequences = next(DistilledTask(chosen).batches(0))
    assert crops.dtype == torch.float16
    assert crops.shape[1:3] == (tiny_joint.recognizer.join.in_channels, 24 // 4)
    assert sequences.shape[:2] == (4, crops.shape[3] * 4 // 8)
    first, *_, last = log(chosen)
    assert last["sequence"] < 0.8 * first["sequence"]
    loaded = checkpoint.load(chosen.out / "model.safetensors")
    assert loaded.card["preset"] == "joint"
    assert loaded.retriever.config == lighter(tiny_joint, 24).config
    before = tiny_joint.state_dict()
    learned = loaded.retriever.state_dict()
    assert (learned["recognizer.join.weight"] != before["recognizer.join.weight"].half()).any()
    assert all(
        (learned[name] == before[name].half()).all() for name in before if name.startswith("detector.")
    )


def test_photos_without_text_are_refused(choose: Choose) -> None:
    chosen = choose()
    chosen.out.mkdir()
    torch.save({}, chosen.out / "lessons.pt")
    with pytest.raises(ValueError, match="show no text"):
        next(DistilledTask(chosen).batches(0))


def test_a_teacher_that_reads_no_more_is_refused(choose: Choose) -> None:
    with pytest.raises(ValueError, match="no more rows"):
        DistilledTask(choose(crop_height=48))
