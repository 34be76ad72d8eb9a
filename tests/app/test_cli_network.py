import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.app.conftest import Run


@pytest.fixture
def icdar2015(tmp_path: Path) -> Path:
    """A data set of one photo with one word."""
    (tmp_path / "gts").mkdir()
    (tmp_path / "photos").mkdir()
    (tmp_path / "gts" / "gt_img_1.txt").write_text("10,5,60,5,60,15,10,15,Coffee\n")
    Image.new("RGB", (160, 90), "white").save(tmp_path / "photos" / "img_1.png")
    return tmp_path / "gts"


def figures(run: Run, *arguments: Any) -> Any:
    status, _, err = run("evaluate", *arguments, "--json", "figures.json", device="cpu-torch")
    assert (status, err) == (0, "")
    return json.loads(Path("figures.json").read_text())


def test_any_layout_is_measured(run: Run, icdar2015: Path) -> None:
    found = figures(run, icdar2015)
    assert (found["photos"], found["average_precisions"]) == (1, {"coffee": 1.0})
    assert set(found["annotation"]) == {"deteval", "iou_0.5", "own_word"}
    options = ("--layout", "icdar2015", "--images", icdar2015.parent, "--multi-scale")
    assert figures(run, icdar2015, *options)["photos"] == 1


def test_figures_are_tables(run: Run, icdar2015: Path) -> None:
    status, out, _ = run("evaluate", icdar2015, device="cpu-torch")
    assert status == 0
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == ["photos", "1"]
    assert ["6", "to", "8", "characters", "1", "1"] in rows
    assert ["annotation", "deteval", "0", "0", "0"] in rows  # nothing to be seen


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--layout", "nonsense"], "'nonsense' is no layout; there are json-lines, svt"),
        (["--layout", "svt"], "has neither train.xml nor test.xml"),
        (["--layout", "mlt"], "gt_img_1.txt, line 1: "),
    ],
)
def test_a_data_set_of_another_layout_is_one_line(
    run: Run, icdar2015: Path, options: list[str], part: str
) -> None:
    status, out, err = run("evaluate", icdar2015, *options)
    assert (status, out) == (2, "")
    assert err.startswith("glyphseek: ")
    assert part in err
    assert err.count("\n") == 1
