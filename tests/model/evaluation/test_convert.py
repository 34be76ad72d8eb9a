import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from model.evaluation.convert import convert
from model.evaluation.dataset import read_photos


@pytest.fixture
def ctr(tmp_path: Path) -> Path:
    """A data set of two photos."""
    for name in ("a", "b"):
        (tmp_path / "ctr" / "gts").mkdir(parents=True, exist_ok=True)
        (tmp_path / "ctr" / "images").mkdir(exist_ok=True)
        (tmp_path / "ctr" / "gts" / f"{name}.txt").write_text("Stop\n")
        Image.new("RGB", (9, 5)).save(tmp_path / "ctr" / "images" / f"{name}.jpg")
    (tmp_path / "ctr" / "queries.txt").write_text("stop\n")
    return tmp_path / "ctr"


def test_photos_and_queries_are_written(ctr: Path, tmp_path: Path) -> None:
    out, queries = tmp_path / "deep" / "ctr.jsonl", tmp_path / "queries.json"
    assert convert(ctr, out, queries=queries) == 2
    photos = read_photos(out)
    assert [photo.texts for photo in photos] == [("Stop",), ("Stop",)]
    assert photos[0].pixels().shape == (5, 9, 3)  # the photos stay where they are
    assert json.loads(queries.read_text()) == ["stop"]
    assert sorted(path.name for path in out.parent.iterdir()) == ["ctr.jsonl"]
    with pytest.raises(ValueError, match=r"ctr.jsonl names no queries"):
        convert(out, tmp_path / "again.jsonl", queries=queries)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_places_on_stored_photos_become_those_of_upright_ones(tmp_path: Path, orientation: int) -> None:
    folder = tmp_path / "mlt"
    folder.mkdir()
    stored = Image.new("RGB", (64, 32))
    stored.paste((255, 0, 0), (8, 16, 40, 24))  # the word
    exif = stored.getexif()
    exif[0x0112] = orientation
    stored.save(folder / "a.png", exif=exif)
    (folder / "gt_a.txt").write_text("8,16,40,16,40,24,8,24,Latin,Stop\n")
    out = tmp_path / "out.jsonl"
    assert convert(folder, out, layout="mlt") == 1
    before, after = read_photos(folder)[0], read_photos(out)[0]
    assert before.pixels().shape == (32, 64, 3)
    assert after.pixels().shape == ((32, 64, 3) if orientation < 5 else (64, 32, 3))
    for photo in (before, after):
        (word,) = photo.words
        (x0, y0), (x1, y1) = word.quad.min(0).astype(int), word.quad.max(0).astype(int)
        assert [x0, y0, x1, y1] == word.box.tolist()
        red = photo.pixels()[..., 0] == 255
        assert red[y0:y1, x0:x1].all()
        assert red.sum() == (x1 - x0) * (y1 - y0)


def test_latin_words_alone(tmp_path: Path) -> None:
    texts = {"a": ["Café", "東京", "東京TOKYO", "24/7", "!"], "b": ["東京"], "c": ["Ελλάς"]}
    entries = [
        {"image": f"{name}.jpg", "words": [{"box": [0, 0, 9, 5], "text": text} for text in of_photo]}
        for name, of_photo in texts.items()
    ]
    (tmp_path / "all.jsonl").write_text("\n".join(map(json.dumps, entries)))
    assert convert(tmp_path / "all.jsonl", tmp_path / "latin.jsonl", latin=True) == 1
    (photo,) = read_photos(tmp_path / "latin.jsonl")
    assert [word.text for word in photo.words] == texts["a"]
    assert photo.readable() == ["Café", "24/7"]
    (tmp_path / "none.jsonl").write_text(json.dumps(entries[1]))
    with pytest.raises(ValueError, match="no word in Latin letters"):
        convert(tmp_path / "none.jsonl", tmp_path / "latin.jsonl", latin=True)


def test_the_command_says_what_is_wrong(ctr: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "model.evaluation.convert"]
    done = subprocess.run([*command, ctr, tmp_path / "a.jsonl"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(read_photos(tmp_path / "a.jsonl")) == 2
    (ctr / "images" / "a.jpg").unlink()
    done = subprocess.run([*command, ctr, tmp_path / "b.jsonl"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "a.txt: no photo a.*" in done.stderr
    assert not (tmp_path / "b.jsonl").exists()
