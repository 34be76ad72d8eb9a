from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

Paint = Callable[..., None]


@pytest.fixture
def paint(tmp_path: Path) -> Paint:
    """Make small photos by their paths in the folder of the test."""

    def paint(*names: str) -> None:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 20)).save(path)

    return paint
