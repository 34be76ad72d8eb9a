import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from app import cli_network
from model import checkpoint
from model.boxes import pairwise_iou
from model.evaluation.dataset import read_photos
from model.paper.network import PaperConfig, PaperNetwork
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


@pytest.mark.parametrize("changes", [{}, {"target": "phoc", "reading": False}, {"separate": True}])
def test_a_checkpoint_of_the_preset_paper_is_measured_likewise(
    run: Run, icdar2015: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    path = tmp_path / "paper.safetensors"
    checkpoint.save(path, PaperNetwork(PaperConfig(width=16, **changes)), {"min_score": 0.0})
    arguments = ("evaluate", icdar2015, "--json", "figures.json")
    status, _, err = run(*arguments, checkpoint=path, device="cpu", longer_sides="96,128", threads=1)
    assert (status, err) == (0, "")
    found = json.loads(Path("figures.json").read_text())
    assert found["average_precisions"] == {"coffee": 1.0}
    assert found["proposals_per_photo"] > 0


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


GALLERY = Path(cli_network.__file__).parent / "gallery"
SHOP = GALLERY / "shop-harbour-coffee.jpg"


def true_box(word: str) -> Any:
    (photo,) = (photo for photo in read_photos(GALLERY / "index.jsonl") if photo.name == SHOP.name)
    return next(each.box for each in photo.words if each.text == word)


def overlap(first: Any, second: Any) -> float:
    boxes = [torch.tensor(list(map(float, box)))[None] for box in (first, second)]
    return float(pairwise_iou(*boxes))


def test_words_of_a_photo_are_shown_and_drawn(run: Run) -> None:
    status, out, err = run("annotate", SHOP, "coffee", "Harbour", "--sheet", "deep/a.png", device="cpu-torch")
    assert status == 0, err
    rows = [line.split() for line in out.splitlines()]
    assert [row[1:3] for row in rows[1:]] == [["coffee", "COFFEE"], ["Harbour", "HARBOUR"]]
    assert overlap([float(side) for side in rows[1][3:]], true_box("COFFEE")) > 0.7
    with Image.open("deep/a.png") as picture:
        assert picture.size == (900, 675)


def test_a_list_of_photos_becomes_json_lines(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_text("no picture")
    lines = [
        {"image": str(SHOP), "texts": ["coffee", "&"]},
        {"image": "bad.jpg", "texts": ["a"]},
        {"image": str(SHOP), "words": [{"box": [0, 0, 1, 1], "text": "HARBOUR"}]},  # of an unsure place
    ]
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, lines)))
    options = ("--words", "list.jsonl", "--out", "deep/found.jsonl", "--sheet", "a.png")
    status, out, err = run("annotate", *options, device="cpu-torch")
    assert (status, out) == (1, "")
    assert err.startswith("left out: bad.jpg: this is not a picture")
    first, second = read_photos(tmp_path / "deep" / "found.jsonl")
    assert first.path.samefile(SHOP)
    assert first.texts == ("&",)  # nothing for the network to look for
    assert overlap(first.words[0].box, true_box("COFFEE")) > 0.7
    assert overlap(second.words[0].box, true_box("HARBOUR")) > 0.7
    scores = [
        json.loads(line)["words"][0]["score"] for line in Path("deep/found.jsonl").read_text().splitlines()
    ]
    assert all(score > 0.8 for score in scores)
    assert Path("a.png").exists()


def test_lines_are_printed_without_a_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "list.jsonl").write_text(json.dumps({"image": SHOP.name, "texts": ["coffee"]}))
    status, out, err = run("annotate", GALLERY, "--words", "list.jsonl", device="cpu-torch")
    assert (status, err) == (0, "")
    assert json.loads(out)["words"][0]["text"] == "coffee"


def test_a_photo_alone_can_be_written_too(run: Run) -> None:
    assert run("annotate", SHOP, "coffee", "--out", "one.jsonl", device="cpu-torch")[:2] == (0, "")
    assert [word.text for word in read_photos(Path("one.jsonl"))[0].words] == ["coffee"]
