"""Training of the preset `paper`: with a narrow network, and once at full size under the marker `slow`."""

import dataclasses
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from model import checkpoint
from model.charset import Charset
from model.encoder import Encoder
from model.evaluation.evaluate import Result, evaluate
from model.paper.network import PaperNetwork
from model.paper.phoc import phoc
from model.training import paper, parallel
from model.training.augment import View
from model.training.datasets import Batch
from model.training.paper import PaperTask, phoc_loss, words_of
from model.training.settings import Settings, parse
from model.training.train import Run, do_test, do_train, main

WORDS = ["coffee", "hotel", "museum", "bakery", "24", "garage", "station", "pizza", "books", "taxi", "exit"]
Choose = Callable[..., Settings]


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """Eight drawn photos of 256 x 256 pixels with two words each, in the folder of the data sets."""
    folder = tmp_path / "drawn"
    folder.mkdir()
    rng, font, lines = np.random.default_rng(0), ImageFont.load_default(40), []
    for index in range(8):
        image = Image.new("RGB", (256, 256), tuple(rng.integers(170, 255, 3).tolist()))
        pen, words = ImageDraw.Draw(image), []
        for row, word in enumerate((WORDS[index], WORDS[(index + 4) % len(WORDS)])):
            place = int(rng.integers(10, 60)), 40 + 120 * row + int(rng.integers(0, 30))
            pen.text(place, word, fill=tuple(rng.integers(0, 90, 3).tolist()), font=font)
            words.append({"box": list(pen.textbbox(place, word, font=font)), "text": word.upper()})
        image.save(folder / f"{index}.png")
        lines.append(json.dumps({"image": f"{index}.png", "words": words}))
    (folder / "train.jsonl").write_text("\n".join(lines))
    return tmp_path


@pytest.fixture
def choose(drawn: Path) -> Choose:
    """Settings of a short run with the narrow network and the recipe of the paper."""
    options = "--width 32 --size 128 --batch 2 --steps 2 --log-every 1 --photo-sets drawn/train.jsonl"
    usual = parse(["--preset", "paper", "--data", str(drawn), "--out", str(drawn / "run"), *options.split()])
    return lambda **changes: dataclasses.replace(usual, **changes)


def one_step(settings: Settings) -> tuple[PaperTask, dict[str, Tensor]]:
    torch.manual_seed(0)
    task = PaperTask(settings)
    task.groups()
    return task, task.losses(next(task.batches(0)), np.random.default_rng(0))


def test_one_step_has_every_loss_and_reaches_every_part(choose: Choose) -> None:
    task, losses = one_step(choose())
    assert set(losses) == {"score", "box", "centerness", "similarity", "reading"}
    assert all(torch.isfinite(value) and value > 0 for value in losses.values())
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    reached = {name for name, p in task.network.named_parameters() if p.grad is not None and p.grad.any()}
    for part in ("trunk.resnet.layer2", "trunk.resnet.layer4", "trunk.pyramid", "head.tower", "head.score"):
        assert any(name.startswith(part) for name in reached), part
    for part in ("image_branch.recurrent", "text_branch.embedding", "classifier"):
        assert any(name.startswith(part) for name in reached), part
    assert not any(name.startswith(("trunk.resnet.conv1", "trunk.resnet.layer1")) for name in reached)


def test_reading_can_be_left_out(choose: Choose) -> None:
    task, losses = one_step(choose(reading=False))
    assert set(losses) == {"score", "box", "centerness", "similarity"}
    assert task.network.classifier is None


@pytest.mark.parametrize("switch", ["pseudowords", "pairs"])
def test_word_augmentation_and_pairs_can_be_left_out(choose: Choose, switch: str) -> None:
    _, every = one_step(choose())
    _, fewer = one_step(choose(**{switch: False}))
    for name in ("score", "box", "centerness", "reading"):
        torch.testing.assert_close(every[name], fewer[name])
    assert fewer["similarity"] != every["similarity"]
    assert switch != "pairs" or fewer["similarity"] < every["similarity"]


def test_histograms_of_characters_are_learned_in_place_of_the_similarity(choose: Choose) -> None:
    task, losses = one_step(choose(target="phoc"))
    assert set(losses) == {"score", "box", "centerness", "phoc", "reading"}
    assert losses["phoc"].item() < 604 * math.log(2) / 4  # a new network knows that most numbers are 0
    assert task.network.text_branch is None


def test_the_loss_of_histograms_by_hand() -> None:
    target = phoc(torch.tensor([[1]]), "abc")  # 42 numbers, of which two are 1
    assert target.sum() == 2
    logits = torch.where(target > 0, math.log(3), -20.0)
    expected = 2 * -math.log(3 / 4)
    assert float(phoc_loss(logits, ["a"], Charset("abc"))) == pytest.approx(expected, abs=1e-5)
    assert float(phoc_loss(torch.zeros(0, 42), [], Charset("abc"))) == 0


def test_separate_trunks_learn_one_task_each(choose: Choose) -> None:
    task, losses = one_step(choose(separate=True))
    torch.stack([losses[name] for name in ("similarity", "reading")]).sum().backward()  # type: ignore[no-untyped-call]
    reached = {name.split(".")[0] for name, p in task.network.named_parameters() if p.grad is not None}
    assert reached == {"crop_trunk", "image_branch", "text_branch", "classifier"}
    task.network.zero_grad()
    _, losses = one_step(choose(separate=True))
    assert set(losses) == {"score", "box", "centerness", "similarity", "reading"}


@pytest.mark.parametrize("changes", [{"target": "phoc"}, {"separate": True}])
def test_what_the_paper_compares_with_is_trained_and_measured_likewise(
    choose: Choose, changes: dict[str, Any]
) -> None:
    run = Run(choose(**changes))
    do_train(run)
    do_test(run)
    path = run.settings.out / "model.safetensors"
    encoder = Encoder(path, device="cpu", threads=1, longer_sides=(128,), min_score=0.0, max_proposals=9)
    found = evaluate(encoder, run.settings.data / "drawn" / "train.jsonl")
    assert 0 < found.mean_average_precision <= 1
    assert encoder.encode_texts(["coffee", "a"]).shape == (2, encoder.dimension)
    with pytest.raises(ValueError, match="with another --target or --separate"):
        PaperTask(choose(init=path))


def test_each_term_of_the_similarity_weighs_ten(choose: Choose, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(*_: object, **options: object) -> Tensor:
        assert options == {"pseudowords": True, "pairs": True, "beta": 1.0}
        return torch.tensor(0.5)

    monkeypatch.setattr(paper, "similarity_loss", half)
    assert one_step(choose())[1]["similarity"] == 5


def test_bfloat16_is_near_to_float32(choose: Choose) -> None:
    _, exact = one_step(choose())
    _, rounded = one_step(choose(bf16=True))
    for name, value in rounded.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, exact[name], rtol=0.1, atol=0.05)


def test_known_words_become_regions() -> None:
    quads = np.array([[[x, 8], [x + 40, 8], [x + 36, 20], [x - 4, 20]] for x in range(0, 50, 10)], np.float32)
    texts = ["Café", None, "!!", "unclear", "24/7"]
    view = View(np.zeros((64, 64, 3), np.uint8), quads, texts, np.array([False, False, False, True, False]))
    regions, found = words_of(view, Charset())
    assert found == ["cafe", "247"]
    assert regions.tolist() == [[0, 8, 40, 20], [36, 8, 64, 20]]  # within the picture


def test_photos_without_words_can_be_learned_from(choose: Choose) -> None:
    task = PaperTask(choose())
    task.groups()
    nothing = View(np.zeros((64, 64, 3), np.uint8), np.zeros((0, 4, 2), np.float32), [], np.zeros(0, bool))
    losses = task.losses(Batch(torch.zeros(1, 3, 64, 64), [nothing]), np.random.default_rng(0))
    assert losses["similarity"] == losses["reading"] == losses["box"] == 0
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    assert all(torch.isfinite(p.grad).all() for p in task.network.parameters() if p.grad is not None)


def test_several_processes_share_the_batch_and_count_steps(
    choose: Choose, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "processes", lambda: 2)
    task = PaperTask(choose(batch=4))
    assert len(next(task.batches(0)).views) == 2
    with pytest.raises(ValueError, match="--batch 3 is no multiple of 2 processes"):
        PaperTask(choose(batch=3))
    with pytest.raises(ValueError, match="several processes need --steps"):
        PaperTask(choose(steps=0))


def test_every_process_draws_other_pictures(choose: Choose, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    for rank in (0, 1):
        monkeypatch.setattr(parallel, "rank", lambda rank=rank: rank)
        batches = islice(PaperTask(choose()).batches(0), 4)
        drawn.append([view.texts for batch in batches for view in batch.views])
    assert drawn[0] != drawn[1]


def test_a_missing_picture_is_said_in_one_line(drawn: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (drawn / "drawn").glob("*.png"):
        path.unlink()
    options = "--preset paper --width 16 --size 64 --batch 1 --steps 1 --photo-sets drawn/train.jsonl"
    with pytest.raises(SystemExit) as caught:
        main(["--data", str(drawn), "--out", str(drawn / "run"), *options.split()])
    assert caught.value.code == 2
    assert "No such file" in capsys.readouterr().err.strip().splitlines()[-1]


def test_random_views_are_those_of_the_paper(choose: Choose) -> None:
    source = paper.make_source(choose(augment=True, longer_side=(128, 200)))
    views = [source.draw(np.random.default_rng(seed)) for seed in range(6)]
    assert all(view.image.shape == (128, 128, 3) for view in views)
    corners = [quad[1] - quad[0] for view in views for quad in view.quads]
    assert any(abs(along[1]) > 1 for along in corners)  # they are turned
    augmentation = source.sources[0].augmentation  # type: ignore[attr-defined]
    assert (augmentation.degrees, augmentation.height) == (15, (0.8, 1.2))
    assert (augmentation.light, augmentation.even) == (False, True)


def test_a_run_goes_on_where_it_stopped(choose: Choose) -> None:
    first = Run(choose())
    do_train(first)
    second = Run(choose(steps=4))
    assert second.step == 2
    torch.testing.assert_close(second.network.state_dict(), first.network.state_dict())
    assert second.optimizer.state_dict()["state"].keys() == first.optimizer.state_dict()["state"].keys()
    do_train(second)
    assert (second.step, second.progress) == (4, 1)
    lines = [json.loads(line) for line in (second.settings.out / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]


def test_fine_tuning_starts_from_the_pre_trained_network(choose: Choose, tmp_path: Path) -> None:
    run = Run(choose())
    do_train(run)
    do_test(run)
    init = run.settings.out / "model.safetensors"
    tuned = PaperTask(choose(init=init, reading=False, recipe="paper-tuning"))
    before = checkpoint.load(init).network.state_dict()
    for name, tensor in tuned.network.state_dict().items():
        torch.testing.assert_close(tensor, before[name])
    assert tuned.network.classifier is None
    [group] = tuned.groups()
    frozen = [p for p in tuned.network.parameters() if not p.requires_grad]
    assert len(frozen) == 1 + len(list(tuned.network.trunk.resnet.get_submodule("layer1").parameters()))
    assert len(group["params"]) + len(frozen) == len(list(tuned.network.parameters()))


def test_a_checkpoint_of_another_preset_is_refused(choose: Choose) -> None:
    with pytest.raises(ValueError, match="is no checkpoint of the preset paper"):
        PaperTask(choose(init=checkpoint.DEFAULT_CHECKPOINT))


def by_heart(drawn: Path, options: str) -> Result:
    """Train the narrow network on the eight photos and measure it on the same."""
    out = drawn / "learned"
    usual = "--preset paper --recipe adamw --width 32 --size 256 --no-augment --batch 4"
    places = ["--photo-sets", "drawn/train.jsonl", "--data", str(drawn), "--out", str(out)]
    main([*usual.split(), *places, *options.split()])
    encoder = Encoder(out / "model.safetensors", device="cpu", threads=1, longer_sides=(256,))
    return evaluate(encoder, drawn / "drawn" / "train.jsonl")


def test_the_narrow_network_learns_eight_photos_by_heart(drawn: Path) -> None:
    found = by_heart(drawn, "--learning-rate 0.004 --steps 200")
    assert found.mean_average_precision == 1
    assert found.recall["0.5"] == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        "--target phoc --learning-rate 0.004 --steps 200",
        # Faster, a trunk that nothing else holds learns to show every word alike.
        "--separate --learning-rate 0.001 --steps 350",
    ],
)
def test_what_the_paper_compares_with_learns_them_too(drawn: Path, options: str) -> None:
    found = by_heart(drawn, options)
    assert found.mean_average_precision == 1
    assert found.recall["0.5"] == 1


TWO = """
import sys
from pathlib import Path
import torch
from model.training import parallel
from model.training.settings import parse
from model.training.train import Run, do_train

torch.set_num_threads(1)
parallel.start("cpu")
settings = parse(sys.argv[1:])
torch.manual_seed(parallel.rank())  # they start from the weights of the first all the same
run = Run(settings)
do_train(run)
torch.save(run.network.state_dict(), Path(settings.out) / f"{parallel.rank()}.pt")
parallel.end()
"""


def together(drawn: Path, *, main_module: bool, batch: int = 2) -> subprocess.CompletedProcess[str]:
    """Run the training on two processes, by the script above or by the command itself."""
    (drawn / "two.py").write_text(TWO)
    started = ["-m", "model.training.train"] if main_module else [str(drawn / "two.py")]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    options = f"--preset paper --width 16 --size 64 --batch {batch} --steps 2 --log-every 1"
    options += " --photo-sets drawn/train.jsonl"
    places = ["--data", str(drawn), "--out", str(drawn / "both")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*torchrun, *started, *options.split(), *places],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_two_processes_end_with_the_same_weights(drawn: Path) -> None:
    result = together(drawn, main_module=False)
    assert result.returncode == 0, result.stderr
    first, second = (torch.load(drawn / "both" / f"{rank}.pt", weights_only=True) for rank in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    lines = [json.loads(line) for line in (drawn / "both" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]  # only one of them writes


@pytest.mark.slow
def test_torchrun_starts_the_command(drawn: Path) -> None:
    result = together(drawn, main_module=True)
    assert result.returncode == 0, result.stderr
    assert isinstance(checkpoint.load(drawn / "both" / "model.safetensors").network, PaperNetwork)
    assert "--batch 3 is no multiple of 2 processes" in together(drawn, main_module=True, batch=3).stderr


@pytest.mark.slow
def test_the_full_network_makes_a_step_and_goes_on(drawn: Path) -> None:
    out = drawn / "full"
    options = "--preset paper --size 640 --batch 2 --log-every 1 --photo-sets drawn/train.jsonl"
    arguments = ["--data", str(drawn), "--out", str(out), *options.split()]
    main([*arguments, "--steps", "1"])
    main([*arguments, "--steps", "2"])
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if "score" in line]
    assert steps == [1, 2]
    assert all(np.isfinite(value) for line in lines for value in line.values() if isinstance(value, float))
    assert all(line["revision"] for line in lines if "revision" in line)
    encoder = Encoder(out / "model.safetensors", device="cpu", longer_sides=(640,), min_score=0.0)
    found = encoder.encode_images([np.full((480, 640, 3), 127, np.uint8)])[0]
    assert found.embeddings.shape[1] == encoder.dimension == 1920
