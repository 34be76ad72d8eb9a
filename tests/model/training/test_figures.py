import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.encoder import Encoder
from model.training.figures import (
    augmented,
    draw_curves,
    draw_similarities,
    draw_steps,
    main,
    pairs_of,
    read_curve,
    step_similarities,
)


@pytest.fixture
def encoder(tiny_checkpoint: Path) -> Encoder:
    return Encoder(tiny_checkpoint, device="cpu-torch", longer_sides=(64,), threads=1)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def colors(path: Path) -> set[tuple[int, ...]]:
    with Image.open(path) as image:
        return {tuple(color) for color in np.array(image.convert("RGB")).reshape(-1, 3).tolist()}


def test_each_pair_of_different_words_counts_once() -> None:
    table = np.array([[1, 2, 3], [2, 1, 4], [3, 4, 1]], np.float32)
    assert pairs_of(table).tolist() == [2, 3, 4]


def test_each_word_has_a_pseudoword() -> None:
    words = augmented(["coffee", "hotel"], "abc")
    assert (words[:2], len(words)) == (["coffee", "hotel"], 4)
    assert augmented(["coffee", "hotel"], "abc") == words  # the same every time


def test_characters_are_compared_with_steps(encoder: Encoder) -> None:
    own = step_similarities(encoder, "a-b", encoder.encode_texts(["ab"])[0])
    assert own.shape == (2, 5)  # letters of the folded word, steps
    assert (np.abs(own) <= 1 + 1e-5).all()
    assert own[0, 0] > own[0, -1]  # the first letter is most like the first step
    assert own[1, -1] > own[1, 0]


def test_similarities_are_drawn_for_every_checkpoint(encoder: Encoder, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "similarities.png"
    draw_similarities({"one": encoder, "two": encoder}, ["coffee", "coffin", "hotel", "motel"], path)
    assert {(190, 200, 215), (30, 90, 200)} <= colors(path)  # the target; the second line covers the first
    with pytest.raises(ValueError, match="two words"):
        draw_similarities({"one": encoder}, ["coffee"], path)


def test_steps_are_drawn_below_each_other(encoder: Encoder, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    heights = []
    for count in (1, 2):
        path = tmp_path / f"{count}.png"
        draw_steps({str(number): encoder for number in range(count)}, pixels, "abc", path)
        with Image.open(path) as image:
            heights.append(image.height)
    assert heights[1] == 2 * heights[0]


def test_without_text_there_are_no_steps(tiny_checkpoint: Path, tmp_path: Path) -> None:
    blind = Encoder(tiny_checkpoint, device="cpu-torch", longer_sides=(64,), threads=1, min_score=1.0)
    with pytest.raises(ValueError, match="blind finds no text"):
        draw_steps({"blind": blind}, np.zeros((64, 64, 3), np.uint8), "abc", tmp_path / "a.png")


def test_the_command_draws_both(tiny_checkpoint: Path, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "words").write_text("Coffee\nhotel\n!\ncoffee\nmotel\n")
    out = str(tmp_path / "out.png")
    options = ["--checkpoints", str(tiny_checkpoint)]
    main(["similarities", out, "--words", str(tmp_path / "words"), "--count", "2", *options])
    similarities = Path(out).read_bytes()
    main(["steps", out, str(photo), "abc", *options])
    assert Path(out).read_bytes() != similarities


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["steps", "out.png", "nowhere.png", "abc"], "nowhere.png"),
        (["similarities", "out.png", "--words", "nowhere"], "nowhere"),
        (["similarities", "out.png", "--checkpoints", *"abcdefghi"], "8 lines at most"),
        (["similarities", "out.png", "--checkpoints", "nowhere"], "not a glyphseek checkpoint"),
    ],
)
def test_mistakes_are_said(
    tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], part: str
) -> None:
    if "--checkpoints" not in arguments:
        arguments = [*arguments, "--checkpoints", str(tiny_checkpoint)]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert part in capsys.readouterr().err


def write_log(run: Path, curve: list[tuple[int, float]]) -> Path:
    run.mkdir()
    lines = [{"step": 0, "seconds": 0, "revision": "unknown"}, {"step": 1, "seconds": 20, "similarity": 0.5}]
    lines += [{"step": 2, "seconds": seconds, "mean_average_precision": value} for seconds, value in curve]
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run


def test_curves_go_through_what_was_measured(tmp_path: Path) -> None:
    run = write_log(tmp_path / "first", [(60, 0.25), (120, 0.5)])
    assert read_curve(run) == [(1.0, 0.25), (2.0, 0.5)]
    path = tmp_path / "curves.png"
    draw_curves({"first": read_curve(run)}, path)
    with Image.open(path) as image:
        half_way = image.getpixel(
            (72 + 520, 72 + 170)
        )  # in the middle of the time, half as high as at the end
        assert half_way == (200, 40, 40)
        assert image.getpixel((72 + 1040, 72)) == (200, 40, 40)


def test_the_command_draws_a_curve_for_every_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [write_log(tmp_path / name, [(60, 0.1), (90, 0.2)]) for name in ("first", "second")]
    out = tmp_path / "curves.png"
    main(["curves", str(out), *map(str, runs)])
    assert (30, 90, 200) in colors(out)  # of the second, drawn over the first
    with pytest.raises(SystemExit):
        main(["curves", str(out), str(write_log(tmp_path / "third", []))])
    assert "third was never validated" in capsys.readouterr().err
