import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from model.training.settings import Settings, parse

Choose = Callable[..., Settings]  # the usual settings of a test, but for the given changes


def log(run: Settings) -> list[dict[str, float]]:
    """Return the lines of the log of a run."""
    return [json.loads(line) for line in (run.out / "log.jsonl").read_text().splitlines()]


@pytest.fixture
def font_file(tmp_path: Path) -> Path:
    """Pillow's own font as a file, alone in its folder."""
    font = ImageFont.load_default(20)
    assert isinstance(font, ImageFont.FreeTypeFont)
    path = tmp_path / "fonts" / "aileron.ttf"
    path.parent.mkdir()
    path.write_bytes(font.path.getvalue())
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder like the data sets', with two drawn photos each."""
    for name in ("icdar2015/train", "icdar2015/val", "mlt17_boxes/train"):
        path = tmp_path / "data" / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = []
        for index, word in enumerate(["cab", "bacca"]):
            image = Image.new("RGB", (160, 96), (230, 220, 200))
            pen = ImageDraw.Draw(image)
            font = ImageFont.load_default(30)
            pen.text((20, 30), word, fill=(20, 30, 60), font=font)
            image.save(path.parent / f"{path.stem}{index}.png")
            entry = {"box": list(pen.textbbox((20, 30), word, font=font)), "text": word}
            lines.append(json.dumps({"image": f"{path.stem}{index}.png", "words": [entry]}))
        path.write_text("\n".join(lines))
    crops = tmp_path / "data" / "words" / "train.jsonl"
    crops.parent.mkdir()
    Image.new("RGB", (60, 20), (200, 30, 30)).save(crops.parent / "1.png")
    crops.write_text('{"image": "1.png", "width": 60, "height": 20, "text": "Abc"}')
    return tmp_path / "data"


@pytest.fixture
def taught(data: Path, tiny_checkpoint: Path) -> Callable[[str], Choose]:
    """Settings of a short run by their options; the narrow network is the teacher."""

    def choose(options: str) -> Choose:
        places = ["--data", str(data), "--out", str(data.parent / "run"), "--teacher", str(tiny_checkpoint)]
        usual = parse([*options.split(), *places])
        return lambda **changes: dataclasses.replace(usual, **changes)

    return choose


@pytest.fixture
def settings(data: Path, tiny_checkpoint: Path) -> Choose:
    """Settings of a short run of the preset `accurate`, but for the given changes."""
    usual = Settings(
        data=data,
        out=data.parent / "run",
        init=tiny_checkpoint,
        steps=3,
        size=64,
        longer_side=(64, 72),
        batch=2,
        shares=(1, 1, 0),
        log_every=1,
        parts=("detector", "similarity", "reader"),
    )
    return lambda **changes: dataclasses.replace(usual, **changes)
