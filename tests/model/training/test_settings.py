import dataclasses
from pathlib import Path

import pytest

from model.training.settings import Settings, parse

NEEDED = ["--data", "photos", "--out", "runs/a"]


def test_every_setting_is_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--help"])
    text = capsys.readouterr().out
    for field in dataclasses.fields(Settings):
        assert "--" + field.name.replace("_", "-") in text


def test_defaults_are_those_of_the_class() -> None:
    assert parse(NEEDED) == Settings(Path("photos"), Path("runs/a"))


def test_options_have_the_types_of_the_settings() -> None:
    given = parse([*NEEDED, "--minutes", "0.5", "--parts", "reader", "--no-pairs", "--shares", "1", "0", "0"])
    assert (given.minutes, given.parts, given.pairs, given.shares) == (
        0.5,
        ("reader",),
        False,
        (1.0, 0.0, 0.0),
    )


@pytest.mark.parametrize("wrong", [["--parts", "engine"], ["--minutes", "soon"], ["--recipe", "lion"]])
def test_wrong_options_are_refused(wrong: list[str]) -> None:
    with pytest.raises(SystemExit):
        parse([*NEEDED, *wrong])


def test_the_preset_paper_has_the_schedules_of_the_paper() -> None:
    first = parse([*NEEDED, "--preset", "paper"])
    assert (first.recipe, first.steps, first.batch, first.learning_rate) == ("paper", 90_000, 64, 0.01)
    assert (first.size, first.augment, first.beta, first.average, first.init) == (640, False, 1, 1, None)
    tuned = parse([*NEEDED, "--preset", "paper", "--recipe", "paper-tuning", "--batch", "32"])
    assert (tuned.steps, tuned.batch, tuned.learning_rate) == (80_000, 32, 0.001)
    assert (tuned.augment, tuned.longer_side) == (True, (640, 1920))


@pytest.mark.parametrize("wrong", [[], ["--batch", "0"], ["--parts", "similarity"]])
def test_only_the_similarity_alone_can_be_learned_from_what_was_read_once(wrong: list[str]) -> None:
    assert parse([*NEEDED, "--read-once", "--batch", "0", "--parts", "similarity"]).read_once
    with pytest.raises(SystemExit):
        parse([*NEEDED, "--read-once", *wrong])


def test_the_preset_joint_trains_everything_on_pictures() -> None:
    assert parse([*NEEDED, "--preset", "joint"]).parts == ("detector", "refiner", "similarity", "reader")
    with pytest.raises(SystemExit):
        parse([*NEEDED, "--preset", "joint", "--parts", "reader", "--batch", "0"])


@pytest.mark.parametrize("wrong", [["--batch", "0"], ["--width", "12"], ["--size", "100"]])
def test_what_the_preset_paper_cannot_be_is_refused(wrong: list[str]) -> None:
    with pytest.raises(SystemExit):
        parse([*NEEDED, "--preset", "paper", *wrong])
