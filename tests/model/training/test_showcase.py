import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.training import showcase
from model.training.lettering import Word, rectangle
from model.training.scenery import Kit, Recipe

GALLERY = Path(__file__).parents[3] / "app" / "gallery"


@pytest.fixture
def looks(font_file: Path) -> dict[str, Path]:
    """Every look drawn with Pillow's own font."""
    return dict.fromkeys(showcase.LOOKS, font_file)


def index() -> list[dict]:
    return [json.loads(line) for line in (GALLERY / "index.jsonl").read_text("utf-8").splitlines()]


def test_the_shipped_gallery_is_what_its_index_says() -> None:
    lines = index()
    names = [line["image"] for line in lines]
    assert names == [scene.name for scene in showcase.SCENES]
    assert {path.name for path in GALLERY.iterdir()} == {*names, "index.jsonl"}
    assert len(set(names)) == len(names) >= 40
    assert sum(path.stat().st_size for path in GALLERY.iterdir()) <= 5_000_000
    for line in lines:
        with Image.open(GALLERY / line["image"]) as picture:
            assert picture.size == (line["width"], line["height"])
        for word in line["words"]:
            quad = np.array(word["quad"])
            assert (quad >= 0).all()
            assert (quad <= picture.size).all()
            assert word["text"].strip()
            np.testing.assert_allclose(word["box"], [*quad.min(0), *quad.max(0)], atol=0.1)


@pytest.mark.parametrize(("word", "least"), [("coffee", 5), ("hotel", 4), ("station", 4), ("museum", 4)])
def test_the_shipped_gallery_shows_common_words_in_several_scenes(word: str, least: int) -> None:
    shown = [
        line["image"] for line in index() if any(entry["text"].lower() == word for entry in line["words"])
    ]
    assert len(shown) >= least


@pytest.mark.parametrize("scene", showcase.SCENES, ids=lambda scene: scene.name)
def test_every_scene_paints_its_words_inside_the_picture(scene: Recipe, looks: dict[str, Path]) -> None:
    width, height = (side // 2 for side in scene.size)
    sheet = scene.painter(Kit(np.random.default_rng(1), looks, width, height))
    assert sheet.image.size == (width, height)
    assert sheet.words
    for word in sheet.words:
        assert (word.quad >= -0.02 * width).all()
        assert (word.quad <= 1.02 * np.array([width, height])).all()


def test_a_scene_is_painted_the_same_every_time(looks: dict[str, Path]) -> None:
    number = next(i for i, scene in enumerate(showcase.SCENES) if scene.name.startswith("exit"))
    (first, words), (second, again) = (showcase.paint(number, looks) for _ in range(2))
    assert first.size == showcase.SCENES[number].size
    assert first.tobytes() == second.tobytes()
    np.testing.assert_array_equal(words[0].quad, again[0].quad)


def test_words_cut_by_the_edge_are_marked_to_be_ignored() -> None:
    words = [Word("in", rectangle(10, 10, 50, 30)), Word("out", rectangle(80, 10, 120, 30))]
    line = showcase.describe("a.jpg", (100, 100), words)
    assert [entry["ignore"] for entry in line["words"]] == [False, True]
    assert line["words"][1]["box"] == [80, 10, 100, 30]


def test_written_gallery_has_pictures_and_index(
    tmp_path: Path, looks: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = {
        suffix: next(s for s in showcase.SCENES if s.name.endswith(suffix))
        for suffix in ("jpg", "png", "webp")
    }
    monkeypatch.setattr(showcase, "SCENES", [scene._replace(size=(320, 240)) for scene in chosen.values()])
    showcase.write_gallery(tmp_path / "new", looks)
    lines = (tmp_path / "new" / "index.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["image"] for line in lines] == [scene.name for scene in chosen.values()]
    for scene in chosen.values():
        with Image.open(tmp_path / "new" / scene.name) as picture:
            assert picture.size == (320, 240)


def test_the_command_without_its_fonts_says_which(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        showcase.main([str(tmp_path / "new"), "--fonts", str(tmp_path)])
    assert "Lato-Bold" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_the_command_writes_the_gallery(
    tmp_path: Path, font_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(showcase, "SCENES", [showcase.SCENES[0]._replace(size=(120, 90))])
    for name in showcase.LOOKS.values():
        (font_file.parent / f"{name}.ttf").write_bytes(font_file.read_bytes())
    showcase.main([str(tmp_path / "new"), "--fonts", str(font_file.parent)])
    assert (tmp_path / "new" / showcase.SCENES[0].name).exists()


def test_missing_fonts_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Lato-Bold"):
        showcase.find_looks([tmp_path])
