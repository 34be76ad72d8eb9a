from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.encoder import Encoder
from model.training.figures import augmented, draw_similarities, draw_steps, main, pairs_of, step_similarities


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
        (["similarities", "out.png", "--checkpoints", *"abcde"], "four checkpoints at most"),
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
