"""Surfaces drawn by formula, and what light, lens and camera do to a picture.

Every function takes a random generator and gives the same picture for the same state of it.
"""

import io
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from model.training.lettering import Color

Field = npt.NDArray[np.float32]
Surface = Callable[[np.random.Generator, int, int, Color], Image.Image]


def noise(rng: np.random.Generator, width: int, height: int, cell_x: float, cell_y: float) -> Field:
    """Return smooth noise (height, width) of mean 0 and deviation about 1, with cells of the given pixels."""
    columns, rows = max(2, int(width / cell_x) + 1), max(2, int(height / cell_y) + 1)
    grid = Image.fromarray(rng.standard_normal((rows, columns), dtype=np.float32))
    return np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC))


def clouds(rng: np.random.Generator, width: int, height: int, cell: float, octaves: int = 4) -> Field:
    """Return fractal noise (height, width): each octave has half the cell and half the weight."""
    layers = [noise(rng, width, height, cell / 2**i, cell / 2**i) / 2**i for i in range(octaves)]
    return np.asarray(np.sum(layers, axis=0), np.float32)


def tint(color: Color, relief: Field) -> Image.Image:
    """Return a picture of one colour, lightened or darkened by relief (H, W) in levels of 0 to 255."""
    values = np.asarray(color, np.float32) + relief[..., None]
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def gradient(width: int, height: int, top: Color, bottom: Color) -> Image.Image:
    """Return a picture that goes from one colour to another, downwards."""
    share = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    column = np.asarray(top, np.float32) * (1 - share) + np.asarray(bottom, np.float32) * share
    return Image.fromarray(np.broadcast_to(column, (height, width, 3)).astype(np.uint8))


def plaster(rng: np.random.Generator, width: int, height: int, color: Color) -> Image.Image:
    """Return a rough painted wall."""
    stains = clouds(rng, width, height, max(width, height) / 3) * 7
    return tint(color, stains + noise(rng, width, height, 3, 3) * 4 + noise(rng, width, height, 12, 12) * 3)


def paper(rng: np.random.Generator, width: int, height: int, color: Color) -> Image.Image:
    """Return a sheet of paper or card."""
    return tint(color, clouds(rng, width, height, width / 2) * 3 + noise(rng, width, height, 2, 2) * 2)


def metal(rng: np.random.Generator, width: int, height: int, color: Color) -> Image.Image:
    """Return brushed metal."""
    shine = np.cos(np.linspace(0, 5, height, dtype=np.float32))[:, None] * 14
    return tint(color, shine + noise(rng, width, height, 90, 2) * 6)


def asphalt(rng: np.random.Generator, width: int, height: int, color: Color) -> Image.Image:
    """Return a road or a pavement."""
    return tint(color, clouds(rng, width, height, 160) * 7 + noise(rng, width, height, 2, 2) * 11)


def board(rng: np.random.Generator, width: int, height: int, color: Color) -> Image.Image:
    """Return a blackboard with smears of chalk."""
    smears = np.maximum(0, noise(rng, width, height, 220, 60) + noise(rng, width, height, 40, 14) * 0.4)
    return tint(color, smears * 14 + noise(rng, width, height, 2, 2) * 3)


def planks(rng: np.random.Generator, width: int, height: int, color: Color) -> Image.Image:
    """Return boards of wood that lie horizontally."""
    plank = max(24, height // int(rng.integers(5, 9)))
    rows = np.arange(height) // plank
    shade = rng.normal(0, 11, rows[-1] + 1).astype(np.float32)[rows][:, None]
    grain = noise(rng, width, height, width / 4, 3) * 8 + noise(rng, width, height, width / 7, 14) * 7
    distance = np.minimum(np.arange(height) % plank, plank - 1 - np.arange(height) % plank)
    gap = np.where(distance < 2, -70, np.where(distance < 5, -12, 0)).astype(np.float32)[:, None]
    return tint(color, shade + grain + gap)


def masonry(
    rng: np.random.Generator,
    width: int,
    height: int,
    color: Color,
    brick: tuple[int, int],
    joint: int,
    mortar: Color,
) -> Image.Image:
    """Return a wall of bricks or tiles of (width, height) pixels, with joints of `joint` pixels."""
    rows = np.arange(height) // brick[1]
    columns = (np.arange(width)[None] + (rows % 2 * brick[0] // 2)[:, None]) // brick[0]
    shades = rng.normal(0, 1, (rows[-1] + 1, int(columns.max()) + 1)).astype(np.float32)
    relief = shades[rows[:, None], columns] * (16 if joint > 3 else 3) + noise(rng, width, height, 4, 4) * 4
    x = (np.arange(width)[None] + (rows % 2 * brick[0] // 2)[:, None]) % brick[0]
    y = np.broadcast_to((np.arange(height) % brick[1])[:, None], x.shape)
    relief += 18.0 * ((x < joint + 3) | (y < joint + 3)) - 18.0 * ((x > brick[0] - 4) | (y > brick[1] - 4))
    wall = np.asarray(tint(color, relief)).copy()
    gaps = (x < joint) | (y < joint)
    wall[gaps] = np.asarray(tint(mortar, noise(rng, width, height, 3, 3) * 9))[gaps]
    return Image.fromarray(wall)


def bricks(rng: np.random.Generator, width: int, height: int, color: Color) -> Image.Image:
    """Return a brick wall."""
    length = int(rng.integers(88, 150))
    hue = np.clip(np.asarray(color) + rng.normal(0, 12) + rng.normal(0, 5, 3), 0, 255).astype(int)
    return masonry(rng, width, height, (hue[0], hue[1], hue[2]), (length, length // 3), 7, (168, 160, 150))


def tiles(rng: np.random.Generator, width: int, height: int, color: Color) -> Image.Image:
    """Return a wall of glazed tiles."""
    return masonry(rng, width, height, color, (150, 76), 3, (120, 120, 118))


def sky(rng: np.random.Generator, width: int, height: int, color: Color) -> Image.Image:
    """Return a sky with clouds; `color` is the colour at its top."""
    low: Color = (min(255, color[0] + 90), min(255, color[1] + 70), min(255, color[2] + 45))
    cover = np.clip(clouds(rng, width, height, width / 2.5) * 0.55 - 0.1, 0, 0.85)
    white = Image.new("RGB", (width, height), (246, 246, 248))
    return Image.composite(
        white, gradient(width, height, color, low), Image.fromarray((cover * 255).astype(np.uint8))
    )


def discs(rng: np.random.Generator, width: int, height: int, color: Color) -> Image.Image:
    """Return a scene far out of focus: foliage if `color` is light, lamps at night if it is dark."""
    dark = sum(color) < 200
    picture = gradient(width, height, color, (color[0] // 2, color[1] // 2, color[2] // 2)).convert("RGBA")
    for _ in range(60 if dark else 260):
        lamps = [[230, 150, 60], [210, 70, 50], [90, 120, 200], [240, 200, 120]]
        spread = rng.choice(lamps) if dark else rng.integers(-55, 55) + rng.integers(-18, 18, 3)
        hue = tuple(int(value) for value in np.clip(np.asarray(color) + spread, 0, 255))
        x, y, radius = rng.uniform(0, width), rng.uniform(0, height), max(1, rng.uniform(0.012, 0.05) * width)
        layer = Image.new("RGBA", (int(2 * radius) + 2, int(2 * radius) + 2))
        ImageDraw.Draw(layer).ellipse((1, 1, 2 * radius, 2 * radius), fill=(*hue, int(rng.uniform(60, 170))))
        picture.paste(layer, (int(x - radius), int(y - radius)), layer)
    return picture.convert("RGB").filter(ImageFilter.GaussianBlur(width / (260 if dark else 90)))


def light(rng: np.random.Generator, picture: Image.Image, strength: float) -> Image.Image:
    """Light a picture (RGB) unevenly from one side and darken its corners; strength in [0, 1]."""
    width, height = picture.size
    x, y = np.meshgrid(np.linspace(-1, 1, 64, dtype=np.float32), np.linspace(-1, 1, 64, dtype=np.float32))
    angle = rng.uniform(0, 2 * np.pi)
    falloff = 1 + strength * (0.45 * (np.cos(angle) * x + np.sin(angle) * y) - 0.3 * (x * x + y * y))
    small = Image.fromarray((np.clip(falloff, 0, 2) * 127).astype(np.uint8))
    field = np.asarray(small.resize((width, height), Image.Resampling.BILINEAR), np.uint16)
    lit = np.asarray(picture, np.uint16) * field[..., None] // 127
    return Image.fromarray(np.minimum(lit, 255).astype(np.uint8))


def grain(rng: np.random.Generator, picture: Image.Image, deviation: float) -> Image.Image:
    """Add a sensor's noise of `deviation` levels to a picture (RGB)."""
    # One normal sample per pixel, shared by the channels with small shifts: a third of the time.
    base = (rng.standard_normal(picture.size[::-1], dtype=np.float32) * deviation).astype(np.int16)
    colored = np.stack([base, np.roll(base, 7, 0), np.roll(base, 5, 1)], -1)
    return Image.fromarray(np.clip(np.asarray(picture, np.int16) + colored, 0, 255).astype(np.uint8))


def recompress(picture: Image.Image, quality: int) -> Image.Image:
    """Return the picture (RGB) as it comes back from a JPEG file of `quality` (1 to 95)."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer, formats=["JPEG"]).convert("RGB")
