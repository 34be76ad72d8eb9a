import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from model.charset import Charset
from model.evaluation import worst
from model.evaluation.dataset import read_photos
from model.evaluation.worst import CAPTION, CELL, find, main
from model.photo import Proposals

SHELVES = {"a.png": "cab", "b.png": "bac", "c.png": "abc"}


class MixingEncoder:
    """Takes `cab` for `bac` and the other way round; knows a photo by its brightness."""

    charset = Charset("abc")
    version = "mixing"
    calls = 0

    def encode_texts(self, words: list[str]) -> NDArray[np.float32]:
        return np.eye(3, dtype=np.float32)[[["cab", "bac", "abc"].index(word) for word in words]]

    def encode_images(self, images: list[NDArray[np.uint8]]) -> list[Proposals]:
        MixingEncoder.calls += 1
        taken_for = [["bac", "cab", "abc"][int(image[0, 0, 0])] for image in images]
        box = np.array([[20, 20, 78, 40]], np.float32)
        quad = box[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(1, 4, 2)
        one = np.ones(1, np.float32)
        return [Proposals(box, quad, one, [word], one, self.encode_texts([word])) for word in taken_for]


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    lines = []
    for number, (name, word) in enumerate(SHELVES.items()):
        Image.new("RGB", (100, 60), (number, 0, 0)).save(tmp_path / name)
        lines.append(json.dumps({"image": name, "words": [{"box": [20, 20, 80, 40], "text": word}]}))
    path = tmp_path / "set.jsonl"
    path.write_text("\n".join(lines))
    monkeypatch.setattr(worst, "Encoder", lambda *_, **__: MixingEncoder())
    return path


def test_the_worst_queries_come_first_and_are_drawn(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "sheet.png"
    main([str(dataset), str(out), "--count", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines] == ["bac", "cab"]
    assert all(float(line.split()[0]) < 51 for line in lines)
    with Image.open(out) as sheet:
        assert sheet.height == 2 * (2 * (CELL[1] + 2 * CAPTION) + CAPTION)
        shown = {tuple(pixel) for pixel in np.asarray(sheet).reshape(-1, 3).tolist()}
    assert {(20, 160, 60), (30, 90, 220)} <= shown  # the true place and what was found


def test_photos_are_looked_at_once(dataset: Path, tmp_path: Path) -> None:
    photos, cache, encoder = read_photos(dataset), tmp_path / "found.npz", MixingEncoder()
    first = find(encoder, photos, cache)  # type: ignore[arg-type]
    calls = MixingEncoder.calls
    again = find(encoder, photos, cache)  # type: ignore[arg-type]
    assert MixingEncoder.calls == calls
    for one, other in zip(first, again, strict=True):
        np.testing.assert_equal(vars(one), vars(other))
    find(encoder, photos[:2], cache)  # type: ignore[arg-type]  # others: the cache does not serve
    assert MixingEncoder.calls == calls + 2


def test_a_missing_data_set_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path / "none.jsonl"), str(tmp_path / "out.png")])
    assert ended.value.code == 2
    assert "none.jsonl" in capsys.readouterr().err
