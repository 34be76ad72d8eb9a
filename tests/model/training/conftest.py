from pathlib import Path

import pytest
from PIL import ImageFont


@pytest.fixture
def font_file(tmp_path: Path) -> Path:
    """Pillow's own font as a file, alone in its folder."""
    font = ImageFont.load_default(20)
    assert isinstance(font, ImageFont.FreeTypeFont)
    path = tmp_path / "fonts" / "aileron.ttf"
    path.parent.mkdir()
    path.write_bytes(font.path.getvalue())
    return path
