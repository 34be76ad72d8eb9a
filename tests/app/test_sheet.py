import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app import sheet
from app.schemas import BoxOut, HitOut, ImageBrief, SearchAnswer

RED = (255, 64, 64)


def hit(width: int, height: int, *, image_id: int = 1, box: list[float] | None = None) -> HitOut:
    brief = ImageBrief(
        id=image_id,
        name="a long name with 日本 in it.jpg",
        collection="default",
        width=width,
        height=height,
        metadata={},
        taken_at=None,
        url="",
        thumbnail_url="",
    )
    boxes = []
    if box:
        x0, y0, x1, y1 = box
        quad = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]
        boxes = [BoxOut.model_construct(box=box, quad=quad, score=0.9, text="Zoë 東")]
    # What else an answer tells, a sheet does not look at.
    return HitOut.model_construct(image=brief, score=0.9 if box else -1, boxes=boxes)


def answer(*hits: HitOut) -> SearchAnswer:
    return SearchAnswer.model_construct(query="coffee", hits=list(hits))


def stored(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


def red_box(path: Path) -> list[int]:
    """Return the extent xyxy of what is as red as a box."""
    red = (pixels(path) == RED).all(axis=2)
    rows, columns = np.nonzero(red)
    return [columns.min(), rows.min(), columns.max(), rows.max()]


def test_the_box_lies_where_the_word_is(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "sheet.png"
    data = stored(Image.new("RGB", (624, 312), "white"))  # twice the size of a cell's inside
    sheet.draw([answer(hit(624, 312, box=[100, 50, 300, 150]))], lambda _: data, path)
    assert pixels(path).shape[1] == sheet.COLUMNS * sheet.CELL
    top = sheet.TEXT + (sheet.CELL - 156) // 2
    assert np.abs(np.array(red_box(path)) - [4 + 50, top + 25, 4 + 150, top + 75]).max() <= 2


def test_boxes_of_turned_photos_are_those_of_the_upright_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    data = stored(Image.new("RGB", (312, 624), "white"), exif=exif)
    path = tmp_path / "sheet.png"
    sheet.draw([answer(hit(624, 312, box=[100, 50, 300, 150]))], lambda _: data, path)
    assert red_box(path)[2] - red_box(path)[0] == pytest.approx(100, abs=4)


@pytest.mark.parametrize("kind", ["HEIF", "TIFF", "GIF"])
def test_every_kind_of_photo_can_be_shown(tmp_path: Path, kind: str) -> None:
    data = stored(Image.new("RGB", (64, 64), "white"), kind)
    sheet.draw([answer(hit(64, 64))], lambda _: data, tmp_path / "sheet.png")
    middle = sheet.TEXT + sheet.CELL // 2, sheet.CELL // 2
    assert (pixels(tmp_path / "sheet.png")[middle] == 255).all()


def test_every_query_has_its_rows(tmp_path: Path) -> None:
    data = stored(Image.new("RGB", (1000, 1), "white"))  # one pixel high
    photos = [hit(1000, 1, image_id=number) for number in range(1, 21)]
    path = tmp_path / "sheet.png"
    asked: list[int] = []

    def load(image_id: int) -> bytes:
        asked.append(image_id)
        return data

    sheet.draw([answer(*photos), answer(), answer(photos[0])], load, path, rows=2)
    assert asked == [*range(1, 9), 1]  # what is not shown is not fetched
    row = sheet.CELL + sheet.TEXT
    assert pixels(path).shape[0] == (sheet.TEXT + 2 * row) + sheet.TEXT + (sheet.TEXT + row)


def corners(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float32)


def test_annotated_words_are_framed_where_they_are(tmp_path: Path) -> None:
    photo = np.full((400, 2560, 3), 255, np.uint8)  # twice as wide as a sheet
    sheet.draw_annotated(
        [sheet.annotated(photo, [("Zoë 東", corners(200, 100, 600, 300))])], tmp_path / "a" / "a.png"
    )
    assert pixels(tmp_path / "a" / "a.png").shape == (200, 1280, 3)
    assert np.abs(np.array(red_box(tmp_path / "a" / "a.png")) - [100, 50, 300, 150]).max() <= 2


@pytest.mark.parametrize(("count", "size"), [(2, (1280, 2560)), (5, (1706, 2559)), (16, (2560, 2560))])
def test_annotated_photos_share_a_sheet(tmp_path: Path, count: int, size: tuple[int, int]) -> None:
    photo = np.full((30, 40, 3), 255, np.uint8)
    photos = [sheet.annotated(photo, [("word", corners(0, 0, 0, 0))]) for _ in range(count)]
    sheet.draw_annotated(photos, tmp_path / "a.png")
    assert pixels(tmp_path / "a.png").shape[:2] == size
