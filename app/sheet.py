"""Contact sheets: the best photos of a search with the matching boxes, and photos with annotated words."""

import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from app.schemas import HitOut, SearchAnswer
from indexer.images import decode

COLUMNS, CELL, TEXT = 4, 320, 44
SHEET, MOST_ANNOTATED = 1280, 16  # longer side of an annotated photo; most of them on a sheet
_GROUND, _INK, _BOX = (24, 26, 30), (235, 235, 235), (255, 64, 64)


def writable(path: Path | None) -> Path | None:
    """Return the path of a picture that is to be written.

    Raises:
        ValueError: Its ending is that of no picture.
    """
    if path and Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE:
        raise ValueError(f"{path} must end as a picture does, in .png or .jpg for instance")
    return path


def draw(answers: list[SearchAnswer], load: Callable[[int], bytes], path: Path, *, rows: int = 2) -> None:
    """Write a sheet.

    Args:
        answers: Results, each in a block of its own under its query.
        load: Returns the file of a photo by its id.
        path: Picture to write; the extension says of which kind.
        rows: Most rows a query.
    """
    blocks = [_block(answer, load, rows) for answer in answers]
    sheet = Image.new("RGB", (COLUMNS * CELL, sum(block.height for block in blocks)), _GROUND)
    top = 0
    for block in blocks:
        sheet.paste(block, (0, top))
        top += block.height
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def annotated(pixels: NDArray[np.uint8], words: Sequence[tuple[str, NDArray[np.float32]]]) -> Image.Image:
    """Return a photo that fits on a sheet, its words framed and named.

    Args:
        pixels: uint8 RGB (H, W, 3).
        words: What each is called, and its corners (4, 2) in pixels.
    """
    picture = Image.fromarray(pixels)
    picture.thumbnail((SHEET, SHEET))
    scale = np.array(picture.size) / pixels.shape[1::-1]
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(16)
    for text, quad in words:
        corners = [(float(x), float(y)) for x, y in quad * scale]
        pen.polygon(corners, outline=_BOX, width=2)
        place = max(0.0, min(x for x, _ in corners)), max(0.0, min(y for _, y in corners) - 20)
        pen.rectangle(pen.textbbox(place, text[:40], font=font), fill=_GROUND)
        pen.text(place, text[:40], fill=_INK, font=font)
    return picture


def draw_annotated(photos: Sequence[Image.Image], path: Path) -> None:
    """Write a sheet of photos from `annotated`, one alone as it is.

    Args:
        photos: At least one, at most `MOST_ANNOTATED`; about as many side by side as below each other.
        path: Picture to write; the extension says of which kind.
    """
    columns = math.ceil(math.sqrt(len(photos)))
    side = SHEET if columns == 1 else 2 * SHEET // columns
    sheet = Image.new("RGB", (columns * side, -(-len(photos) // columns) * side), _GROUND)
    for index, photo in enumerate(photos):
        picture = ImageOps.contain(photo, (side - 8, side - 8))
        left, top = index % columns * side, index // columns * side
        sheet.paste(picture, (left + (side - picture.width) // 2, top + (side - picture.height) // 2))
    path.parent.mkdir(parents=True, exist_ok=True)
    (photos[0] if len(photos) == 1 else sheet).save(path)


def _block(answer: SearchAnswer, load: Callable[[int], bytes], rows: int) -> Image.Image:
    hits = answer.hits[: rows * COLUMNS]
    lines = -(-len(hits) // COLUMNS)
    block = Image.new("RGB", (COLUMNS * CELL, TEXT + lines * (CELL + TEXT)), _GROUND)
    pen = ImageDraw.Draw(block)
    pen.text((10, 10), answer.query, fill=_INK, font=ImageFont.load_default(24))
    for index, hit in enumerate(hits):
        left, top = index % COLUMNS * CELL, TEXT + index // COLUMNS * (CELL + TEXT)
        block.paste(_cell(hit, load(hit.image.id)), (left, top))
        text = hit.boxes[0].text if hit.boxes else ""
        pen.text(
            (left + 6, top + CELL + 2),
            f"{hit.score:.2f}  {text}"[:34],
            fill=_INK,
            font=ImageFont.load_default(15),
        )
        pen.text(
            (left + 6, top + CELL + 21),
            hit.image.name[:40],
            fill=(160, 160, 160),
            font=ImageFont.load_default(13),
        )
    return block


def _cell(hit: HitOut, data: bytes) -> Image.Image:
    width, height = hit.image.width, hit.image.height
    scale = (CELL - 8) / max(width, height)
    pixels = decode(io.BytesIO(data), max_pixels=width * height, max_side=2 * CELL)
    image = Image.fromarray(pixels).resize((max(1, round(width * scale)), max(1, round(height * scale))))
    pen = ImageDraw.Draw(image)
    for number, box in enumerate(hit.boxes):
        corners = [(x * scale, y * scale) for x, y in box.quad]
        pen.polygon(corners, outline=_BOX, width=3 if number == 0 else 1)
    cell = Image.new("RGB", (CELL, CELL), _GROUND)
    cell.paste(image, ((CELL - image.width) // 2, (CELL - image.height) // 2))
    return cell
