import json
from pathlib import Path

from model.evaluation.dataset import read_photos
from model.training.datasets import SceneSource
from model.training.scenes import write_scenes


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
