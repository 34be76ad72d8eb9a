"""The similarities from which matches are likely right."""

import json
from pathlib import Path

import pytest

from model import calibration
from model.calibration import UNKNOWN, Calibration
from model.checkpoint import load
from model.shipped import shipped


def test_cut_depends_on_the_length() -> None:
    known = Calibration((0.9, 0.8, 0.7))
    assert [known.cut("x" * length) for length in (1, 2, 3, 4, 40)] == [0.9, 0.8, 0.7, 0.7, 0.7]


@pytest.mark.parametrize("name", shipped())
def test_shipped_weights_are_calibrated(name: str) -> None:
    version = load(shipped()[name]).version
    known = calibration.of_version(version)
    assert known is not UNKNOWN
    assert list(known.cuts) == sorted(known.cuts, reverse=True)
    assert 0.5 < known.cuts[-1] < known.cuts[0] < 1
    assert json.loads(calibration.PATH.read_text())[version]["precision"] >= 0.9


def test_unknown_network_is_cut_with_care() -> None:
    assert calibration.of_version("f" * 64) is UNKNOWN
    for known in calibration.read().values():
        for length in range(1, 30):
            assert UNKNOWN.cut("x" * length) >= known.cut("x" * length)


@pytest.mark.parametrize("name", ["missing.json"])
def test_without_a_file_nothing_is_known(tmp_path: Path, name: str) -> None:
    assert calibration.read(tmp_path / name) == {}
