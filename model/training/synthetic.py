"""Training scenes: words of a list, drawn in many fonts and looks onto photos or drawn surfaces.

    rng = np.random.default_rng(7)
    fonts = find_fonts([Path("/usr/share/fonts")])
    scene = render_scene(rng, (640, 640), load_words([Path("/usr/share/dict/words")]), fonts, None)

The same state of the generator, words and fonts give the same scene.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter, ImageFont

from model.training import textures
from model.training.lettering import (
    Color,
    Points,
    Shadow,
    Sheet,
    Word,
    load_font,
    rectangle,
)

Rng = np.random.Generator
T = TypeVar("T")
Pixels = npt.NDArray[np.uint8]
SURFACES: list[textures.Surface] = [
    textures.plaster,
    textures.paper,
    textures.metal,
    textures.asphalt,
    textures.board,
    textures.planks,
    textures.bricks,
    textures.sky,
]
MARGIN_PX = 3
ENGLISH = Path("/usr/share/dict/words")  # of Debian's package wamerican


@dataclass(frozen=True)
class Scene:
    """A picture, uint8 RGB (H, W, 3), and every word in it."""

    image: Pixels
    words: list[Word]


# Words


def load_words(paths: Iterable[Path]) -> list[str]:
    """Return the words of text files, one a line, in their order; repetitions and possessives are dropped.

    Raises:
        ValueError: a file is not there.
        OSError: one cannot be read.
    """
    paths = list(map(Path, paths))
    for path in paths:
        if not path.exists():
            hint = "; on Debian, `apt install wamerican` brings it" if path == ENGLISH else ""
            raise ValueError(f"there is no list of words {path}{hint}")
    lines = (line.strip() for path in paths for line in path.read_text("utf-8").splitlines())
    return list(dict.fromkeys(line for line in lines if len(line.split()) == 1 and not line.endswith("'s")))


def _pick(rng: Rng, things: Sequence[T]) -> T:
    return things[int(rng.integers(len(things)))]


def _digits(rng: Rng, low: int, high: int) -> str:
    return "".join(str(digit) for digit in rng.integers(0, 10, rng.integers(low, high + 1)))


def _capitals(rng: Rng, low: int, high: int) -> str:
    return "".join(chr(65 + letter) for letter in rng.integers(0, 26, rng.integers(low, high + 1)))


def _number(rng: Rng) -> str:
    return _digits(rng, 1, 6)


def _price(rng: Rng) -> str:
    return f"{rng.choice(['', '$', '€', '£'])}{rng.integers(0, 500)}.{rng.integers(0, 100):02}"


def _phone(rng: Rng) -> str:
    return str(rng.choice(["-", "."])).join([_digits(rng, 2, 4), _digits(rng, 3, 3), _digits(rng, 3, 5)])


def _plate(rng: Rng) -> str:
    return (
        str(rng.choice(["", "-"]))
        .join([_capitals(rng, 1, 3), _digits(rng, 1, 4), _capitals(rng, 0, 2)])
        .strip("-")
    )


def _time(rng: Rng) -> str:
    return f"{rng.integers(0, 24)}:{rng.integers(0, 60):02}{rng.choice(['', 'am', 'pm'])}"


def _date(rng: Rng) -> str:
    return (
        f"{rng.integers(1, 32):02}{rng.choice(['.', '/'])}{rng.integers(1, 13):02}.{rng.integers(1950, 2040)}"
    )


def _code(rng: Rng) -> str:
    letters = _capitals(rng, 2, 5) + _digits(rng, 1, 4)
    return "".join(rng.permutation(list(letters)))


def _percent(rng: Rng) -> str:
    return f"{rng.choice(['', '-', '+'])}{rng.integers(1, 101)}%"


GENERATORS: list[Callable[[Rng], str]] = [_number, _price, _phone, _plate, _time, _date, _code, _percent]


def _from_list(rng: Rng, words: Sequence[str]) -> str:
    """Return a word of the list: plain, capitalised, in mixed case, as email, address ....

    Scripts without capitals are left as they are.
    """
    word = _pick(rng, words)
    if word.upper() == word.lower():
        return word
    form = rng.random()
    if form < 0.25:
        return word
    if form < 0.5:
        return word[:1].upper() + word[1:]
    if form < 0.9:
        return word.upper()
    if form < 0.94:
        return "".join(letter.upper() if rng.random() < 0.5 else letter.lower() for letter in word)
    other = _pick(rng, words)
    shapes = [
        f"{word}@{other}.com",
        f"www.{word}.com",
        f"{word}-{other}",
        f"#{word}",
        f"{word}!",
        f"({word})",
    ]
    return _pick(rng, shapes)


def sample_word(rng: Rng, words: Sequence[str], charset: str | None = None) -> str:
    """Return a word of the list in one of several forms, or a made number, price, date, plate ...

    Args:
        rng: source of chance.
        words: the list; if empty, everything is made.
        charset: characters a word may consist of; all others are left out of it.

    Raises:
        ValueError: no word with a character of `charset` came up.
    """
    for _ in range(100):
        made = not words or rng.random() < 0.2
        word = _pick(rng, GENERATORS)(rng) if made else _from_list(rng, words)
        if charset is not None:
            word = "".join(character for character in word if character in charset)
        if word:
            return word
    raise ValueError(f"no word can be made of the characters {charset!r}")


# Looks


def _color(rng: Rng) -> Color:
    """Return a colour: a third greys, the others mostly muted, as walls and signs are."""
    if rng.random() < 0.35:
        level = int(rng.choice([0, 20, 60, 120, 200, 240, 255]))
        return (level, level, level)
    vivid = rng.uniform(0, 255, 3)
    red, green, blue = (int(value) for value in vivid + (vivid.mean() - vivid) * rng.uniform(0, 0.9))
    return (red, green, blue)


def contrasting_color(rng: Rng, behind: Color) -> Color:
    """Return a colour whose luminance differs from that of `behind`: mostly clearly, sometimes hardly."""
    luma = np.array([0.299, 0.587, 0.114])
    wanted = rng.uniform(28, 60) if rng.random() < 0.2 else rng.uniform(60, 130)
    for _ in range(30):
        color = _color(rng)
        if abs(float(luma @ np.subtract(color, behind))) >= wanted:
            return color
    return (255, 255, 255) if float(luma @ np.array(behind)) < 128 else (0, 0, 0)


def _background(rng: Rng, width: int, height: int, photo: Pixels | None) -> Image.Image:
    """Return a random cut of the photo, or a surface drawn by formula, of the given size."""
    if photo is None:
        # Drawn at half size: twice as fast, and lens blur hides it.
        surface = _pick(rng, SURFACES)
        small = surface(rng, (width + 1) // 2, (height + 1) // 2, _color(rng))
        return small.resize((width, height), Image.Resampling.BILINEAR)
    share = rng.uniform(0.5, 1)
    cut_width, cut_height = max(1, int(photo.shape[1] * share)), max(1, int(photo.shape[0] * share))
    x = int(rng.integers(photo.shape[1] - cut_width + 1))
    y = int(rng.integers(photo.shape[0] - cut_height + 1))
    cut = Image.fromarray(photo[y : y + cut_height, x : x + cut_width])
    return cut.resize((width, height), Image.Resampling.BILINEAR)


def _block(rng: Rng, texts: list[list[str]], font: ImageFont.FreeTypeFont, behind: Color) -> Sheet:
    """Return lines of words on a sheet, cut to their ink and sometimes with a plate behind them."""
    size = int(font.size)
    spacing = float(rng.uniform(0.02, 0.3) * size) if rng.random() < 0.15 else 0.0
    lines = [" ".join(line) for line in texts]
    widest = max(font.getlength(line) + spacing * len(line) for line in lines)
    pitch = size * rng.uniform(1.0, 1.5)
    plate = _color(rng) if rng.random() < 0.3 else None
    fill = contrasting_color(rng, plate or behind)
    outline = contrasting_color(rng, fill) if size >= 24 and rng.random() < 0.15 else None
    align = float(rng.choice([0, 0.5, 1]))
    sheet = Sheet(int(widest) + 4 * size, int(pitch * len(lines)) + 3 * size)
    for row, line in enumerate(lines):
        sheet.write(
            line,
            2 * size + align * widest,
            2 * size + row * pitch,
            font,
            fill,
            align=align,
            spacing=spacing,
            outline=outline,
            outline_width=max(1, size // 16),
        )
    return _cut(sheet, int(rng.uniform(0.1, 0.6) * size) if plate else 1, plate)


def _cut(sheet: Sheet, margin: int, plate: Color | None) -> Sheet:
    """Return the sheet cut to its ink plus `margin` pixels, on a plate of that colour if there is one."""
    box = sheet.image.getbbox()
    if box is None:
        return Sheet(1, 1)
    cut = Sheet(box[2] - box[0] + 2 * margin, box[3] - box[1] + 2 * margin)
    if plate:
        cut.draw.rounded_rectangle(
            (0, 0, cut.image.width - 1, cut.image.height - 1), margin // 2, (*plate, 255)
        )
    shift = np.array([margin - box[0], margin - box[1]], np.float32)
    cut.overlay(sheet.image.crop(box), margin, margin)
    cut.words = [Word(word.text, word.quad + shift) for word in sheet.words]
    return cut


def _pose(rng: Rng, width: float, height: float) -> Points:
    """Return a sheet of the given size turned and seen at a slant, float32 (4, 2), centred on (0, 0)."""
    degrees = rng.uniform(-40, 40) if rng.random() < 0.12 else np.clip(rng.normal(0, 5), -15, 15)
    corners = rectangle(-width / 2, -height / 2, width / 2, height / 2)
    # The far side shrinks and the whole is sheared: the two parts of a slanted view that one notices.
    corners[[0, 3] if rng.random() < 0.5 else [1, 2]] *= [1, 1 - rng.uniform(0, 0.25) * (rng.random() < 0.5)]
    corners[:, 0] += corners[:, 1] * np.float32(rng.normal(0, 0.08))
    corners[:, 1] += corners[:, 0] * np.float32(rng.normal(0, 0.03))
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    return np.asarray(corners @ np.array([[cosine, sine], [-sine, cosine]]), np.float32)


def degrade(rng: Rng, picture: Image.Image) -> Image.Image:
    """Return the picture (RGB) as a camera may have taken it: light, blur, coarse pixels, noise, JPEG."""
    if rng.random() < 0.5:
        picture = textures.light(rng, picture, rng.uniform(0.1, 0.9))
    if rng.random() < 0.35:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.4)))
    if rng.random() < 0.1:
        size, factor = picture.size, rng.uniform(1.2, 2.2)
        small = picture.resize(
            (max(1, int(size[0] / factor)), max(1, int(size[1] / factor))), Image.Resampling.BILINEAR
        )
        picture = small.resize(size, Image.Resampling.BILINEAR)
    if rng.random() < 0.5:
        picture = textures.grain(rng, picture, rng.uniform(1, 12))
    if rng.random() < 0.6:
        picture = textures.recompress(picture, int(rng.integers(30, 95)))
    return picture


# Scenes


def _texts(rng: Rng, words: Sequence[str], charset: str | None, word_height: float) -> list[list[str]]:
    """Return the lines of a block: small lettering comes in paragraphs, big lettering in single words."""
    lines = int(rng.integers(1, 6)) if word_height < 24 else int(rng.integers(1, 3))
    longest = 5 if word_height < 40 else 2
    return [[sample_word(rng, words, charset) for _ in range(rng.integers(1, longest))] for _ in range(lines)]


def _place(rng: Rng, size: tuple[float, float], pose: Points, taken: list[Points]) -> Points | None:
    """Return the pose moved to a free place of a picture of (width, height), or None if none was found."""
    low, high = pose.min(0), pose.max(0)
    room = np.array(size) - 2 * MARGIN_PX - (high - low)
    if (room < 0).any():
        return None
    for _ in range(12):
        corner = MARGIN_PX + rng.random(2) * room
        box = np.array([corner, corner + high - low], np.float32)
        if all((box[0] > other[1]).any() or (box[1] < other[0]).any() for other in taken):
            taken.append(box)
            return np.asarray(pose - low + corner, np.float32)
    return None


def _add_block(
    rng: Rng, stage: Sheet, taken: list[Points], words: Sequence[str], font: Path, charset: str | None
) -> None:
    """Draw one block of text at a free place of the stage; no place, no block."""
    size = stage.image.size
    height = float(np.exp(rng.uniform(np.log(8), np.log(min(200, max(9, size[1] / 3))))))
    texts = _texts(rng, words, charset, height)
    # Capitals fill about 0.7 of the em; small letters are drawn twice as big and shrunk by the mounting.
    drawn = height / 0.7 * (2 if height < 32 else 1)
    pixel = stage.image.getpixel((int(rng.integers(size[0])), int(rng.integers(size[1]))))
    behind = pixel[:3] if isinstance(pixel, tuple) else (128, 128, 128)
    sheet = _block(rng, texts, load_font(font, round(drawn)), (behind[0], behind[1], behind[2]))
    if not sheet.words:
        return
    scale = height / 0.7 / drawn
    pose = _pose(rng, sheet.image.width * scale * rng.uniform(0.85, 1.2), sheet.image.height * scale)
    quad = _place(rng, size, pose, taken)
    if quad is not None:
        offset = height / 12
        cast = Shadow(offset, offset, offset / 2, rng.uniform(0.3, 0.8)) if rng.random() < 0.2 else None
        stage.mount(sheet, quad, cast)


def render_scene(
    rng: Rng,
    size: tuple[int, int],
    words: Sequence[str],
    fonts: Sequence[Path],
    background: Pixels | None,
    charset: str | None = None,
) -> Scene:
    """Return a scene with up to fifteen blocks of text.

    Args:
        rng: source of chance.
        size: height and width in pixels.
        words: the word list.
        fonts: font files, of which each block takes one.
        background: a photo without text, uint8 RGB of any size, or None for a drawn surface.
        charset: see `sample_word`.

    Returns:
        The picture and its words. Quads are tight to the ink (shadows left out) and inside the picture.
    """
    stage = Sheet.of(_background(rng, size[1], size[0], background))
    taken: list[Points] = []
    for _ in range(rng.integers(3, 16)):
        _add_block(rng, stage, taken, words, _pick(rng, fonts), charset)
    picture = degrade(rng, stage.image.convert("RGB"))
    return Scene(np.asarray(picture), stage.words)
