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
