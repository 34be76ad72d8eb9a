"""What the painters of the sample gallery share: colours, fonts by look, lettering that fits, perspective."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from model.training import textures
from model.training.lettering import Color, Points, Shadow, Sheet, load_font, rectangle

WHITE, CREAM, BLACK, GREY = (250, 250, 248), (242, 232, 206), (22, 22, 24), (128, 130, 132)
RED, NAVY, BLUE, GREEN = (186, 32, 38), (24, 40, 84), (28, 84, 160), (22, 96, 66)
YELLOW, GOLD, ORANGE, BROWN = (246, 206, 42), (214, 172, 82), (226, 120, 34), (92, 60, 40)
OAK, BRICK, SAND, TEAL = (156, 112, 70), (150, 78, 62), (214, 200, 172), (34, 124, 128)
PINK, MINT, WINE, SLATE = (228, 140, 160), (178, 216, 196), (104, 28, 48), (70, 82, 94)
SKY, LEAVES, NIGHT = (84, 138, 204), (108, 140, 84), (16, 20, 44)

SOFT = Shadow(10, 14, 12, 0.45)
WIDE, TALL, SQUARE, LONG = (900, 675), (675, 900), (760, 760), (960, 600)

Line = tuple[str, str, Color]  # text, look, colour


@dataclass(frozen=True)
class Kit:
    """What a painter needs: chance, font files by look, and the size of the picture to paint, in pixels."""

    rng: np.random.Generator
    fonts: Mapping[str, Path]
    width: int
    height: int

    def font(self, look: str, text: str, width: float, size: float) -> ImageFont.FreeTypeFont:
        """Return the font of a look at `size`, or smaller if the text would be longer than `width`."""
        length = load_font(self.fonts[look], 100).getlength(text) / 100
        return load_font(self.fonts[look], max(8, int(min(size, width / max(length, 0.1)))))

    def stage(self, surface: textures.Surface, color: Color) -> Sheet:
        """Return the picture, filled with a surface."""
        return self.panel(self.width, self.height, surface, color)

    def panel(self, width: float, height: float, surface: textures.Surface, color: Color) -> Sheet:
        """Return a sheet of the given size, filled with a surface."""
        return Sheet.of(surface(self.rng, int(width), int(height), color))

    def line(
        self,
        sheet: Sheet,
        text: str,
        x: float,
        y: float,
        look: str,
        color: Color,
        size: float,
        width: float | None = None,
        align: float = 0.5,
        outline: Color | None = None,
    ) -> None:
        """Write a line whose baseline is at y; it shrinks to `width` (the sheet's by default)."""
        font = self.font(look, text, width or sheet.image.width * 0.92, size)
        stroke = max(2, int(font.size) // 18)
        sheet.write(text, x, y, font, color, align=align, outline=outline, outline_width=stroke)

    def raised(
        self, sheet: Sheet, text: str, x: float, y: float, look: str, color: Color, size: float, width: float
    ) -> None:
        """Write a centred line of solid letters that cast a shadow on the sheet."""
        layer = Sheet(*sheet.image.size)
        self.line(layer, text, x, y, look, color, size, width)
        depth = size / 14
        sheet.cast(layer.image.getchannel("A"), 0, 0, Shadow(depth, depth * 1.3, depth / 2, 0.7))
        sheet.overlay(layer.image)
        sheet.words += layer.words

    def glow(
        self, sheet: Sheet, text: str, x: float, y: float, look: str, color: Color, size: float, width: float
    ) -> None:
        """Write a centred line of neon tubes that light what is around them."""
        layer = Sheet(*sheet.image.size)
        self.line(layer, text, x, y, look, color, size, width)
        alpha = layer.image.getchannel("A")
        for blur, strength in ((size / 2, 1.6), (size / 9, 1.0)):
            halo = alpha.filter(ImageFilter.GaussianBlur(blur))
            sheet.stamp(halo.point(lambda value, gain=strength: min(255, value * gain)), 0, 0, color)
        sheet.overlay(layer.image)
        core = alpha.filter(ImageFilter.MinFilter(2 * max(1, int(size) // 45) + 1)).filter(
            ImageFilter.GaussianBlur(2)
        )
        sheet.stamp(core, 0, 0, (255, 250, 240))
        sheet.words += layer.words


class Recipe(NamedTuple):
    """One picture: its file name, its (width, height) in pixels, and what paints it."""

    name: str
    size: tuple[int, int]
    painter: Callable[[Kit], Sheet]


def recipe(name: str, size: tuple[int, int], painter: Callable[..., Sheet], *texts: object) -> Recipe:
    """Return the recipe that calls a painter with its kit and then `texts`."""
    return Recipe(name, size, lambda kit: painter(kit, *texts))


def pose(
    x: float, y: float, width: float, height: float, yaw: float = 0, pitch: float = 0, roll: float = 0
) -> Points:
    """Return the corners of a flat thing as a camera sees it, float32 (4, 2).

    Args:
        x: its centre in the picture, pixels.
        y: the same.
        width: its own size, pixels.
        height: the same.
        yaw: degrees by which its right side is turned away.
        pitch: degrees by which its top is turned away.
        roll: degrees by which it is turned clockwise.
    """
    a, b, c = np.radians([yaw, pitch, roll])
    flat = rectangle(-width / 2, -height / 2, width / 2, height / 2) @ np.array(
        [[np.cos(c), np.sin(c)], [-np.sin(c), np.cos(c)]]
    )
    depth = flat[:, 0] * np.sin(a) - flat[:, 1] * np.sin(b)
    # The camera stands 2.6 times the thing's longer side away.
    scale = 1 / (1 + depth / (2.6 * max(width, height)))
    return np.asarray(
        np.c_[x + flat[:, 0] * np.cos(a) * scale, y + flat[:, 1] * np.cos(b) * scale], np.float32
    )


def lighter(color: Color, levels: int) -> Color:
    """Return the colour with `levels` (negative: darker) added to each channel."""
    red, green, blue = (max(0, min(255, value + levels)) for value in color)
    return (red, green, blue)


def glass(kit: Kit, width: float, height: float, color: Color) -> Sheet:
    """Return a window: a lit room with goods (near `color`) on shelves, behind shining glass."""
    room = kit.panel(width, height, textures.discs, (58, 44, 34))
    for shelf in np.linspace(0.45, 0.97, 3) * height:
        x = 0.03 * width
        while x < 0.95 * width:
            wide, tall = kit.rng.uniform(0.02, 0.06) * width, kit.rng.uniform(0.06, 0.14) * height
            hue = (
                lighter(color, int(kit.rng.integers(-40, 110))) if kit.rng.random() < 0.6 else (196, 168, 120)
            )
            room.draw.rounded_rectangle((x, shelf - tall, x + wide, shelf), wide / 5, fill=(*hue, 255))
            x += wide * kit.rng.uniform(1.05, 1.6)
        room.draw.rectangle((0, shelf, width, shelf + 0.015 * height), fill=(70, 48, 34, 255))
    room.image = room.image.filter(ImageFilter.GaussianBlur(width / 220))
    shine = Image.new("RGBA", room.image.size)
    pencil = ImageDraw.Draw(shine)
    for start in kit.rng.uniform(-0.2, 0.9, 2) * width:
        pencil.polygon(
            [
                (start, height),
                (start + 0.2 * width, height),
                (start + 0.55 * width, 0),
                (start + 0.35 * width, 0),
            ],
            fill=(210, 225, 240, 44),
        )
    room.overlay(shine)
    frame = max(6, int(width / 45))
    room.draw.rectangle((0, 0, width - 1, height - 1), outline=(40, 34, 30, 255), width=frame)
    return room


def bars(kit: Kit, sheet: Sheet, x: float, y: float, width: float, height: float) -> None:
    """Draw a bar code."""
    end = x + width
    while x < end:
        wide = float(kit.rng.choice([0.008, 0.012, 0.02])) * width
        sheet.draw.rectangle((x, y, x + wide, y + height), fill=(30, 30, 30, 255))
        x += wide + float(kit.rng.choice([0.008, 0.014, 0.022])) * width


def cylinder(sheet: Sheet) -> None:
    """Shade a sheet as if it were wrapped around an upright tin, bottle or jar."""
    width, height = sheet.image.size
    across = np.linspace(-1, 1, width)
    dark = np.clip(np.abs(across) ** 2.5 * 190, 0, 255).astype(np.uint8)
    bright = np.clip(np.exp(-(((across + 0.45) / 0.13) ** 2)) * 90, 0, 255).astype(np.uint8)
    for row, color in ((dark, BLACK), (bright, WHITE)):
        mask = Image.fromarray(np.broadcast_to(row, (height, width)).copy())
        layer = Image.new("RGBA", (width, height), (*color, 255))
        alpha = Image.fromarray(np.minimum(np.asarray(mask), np.asarray(sheet.image.getchannel("A"))))
        layer.putalpha(alpha)
        sheet.overlay(layer)
