import json
from pathlib import Path

import pytest

from model.evaluation.dataset import read_photos
from model.training.datasets import SceneSource
from model.training.scenes import main, write_scenes


def test_scenes_are_annotated_photos_the_same_for_the_same_seed(tmp_path: Path, font_file: Path) -> None:
    source = SceneSource(["coffee", "hotel"], [font_file], [], 160)
    counts = [list(write_scenes(source, tmp_path / name, 2, seed=5)) for name in ("one", "two")]
    assert counts[0] == counts[1]
    photos = read_photos(tmp_path / "one" / "train.jsonl")
    assert [len(photo.words) for photo in photos] == counts[0]
    assert photos[0].pixels().shape == (160, 160, 3)
    assert all(word.text for photo in photos for word in photo.words)
    lines = [(tmp_path / name / "train.jsonl").read_text() for name in ("one", "two")]
    assert lines[0] == lines[1]
    files = [(tmp_path / name / "images" / "000001.jpg").read_bytes() for name in ("one", "two")]
    assert files[0] == files[1]
    assert len({json.loads(line)["image"] for line in lines[0].splitlines()}) == 2


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        (["--words", "none.txt"], "none.txt"),
        (["--words", "empty.txt"], "no word"),
        (["--words", "words.txt", "--fonts", "none"], "no font"),
        (["--words", "words.txt", "--photos", "none.jsonl"], "none.jsonl"),
    ],
)
def test_what_is_missing_is_said_in_one_line(
    option: list[str],
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("words.txt").write_text("coffee")
    Path("empty.txt").touch()
    monkeypatch.setattr("sys.argv", ["scenes", "out", *option])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert reason in capsys.readouterr().err.splitlines()[-1]
