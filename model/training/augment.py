"""Random views of annotated photos, as in section 4.2 of the paper: scale, turn, height, crop."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from model.evaluation.dataset import Word

Rng = np.random.Generator


@dataclass(frozen=True)
class View:
    """What the network sees in one training step.

    Attributes:
        image: uint8 RGB (S, S, 3).
        quads: float32 (N, 4, 2), pixels of the image, clockwise from the reading start.
        texts: What the words say; None where nobody knows.
        ignore: bool (N,), words that are neither to be found nor to be left out.
    """

    image: NDArray[np.uint8]
    quads: NDArray[np.float32]
    texts: list[str | None]
    ignore: NDArray[np.bool_]


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random views; the defaults are the paper's.

    Attributes:
        size: Side of the crop in pixels.
        longer_side: Of the whole photo after scaling, in pixels.
        degrees: Turn to either side.
        height: Factor of the height alone.
        min_visible: A word of which less lies inside the crop is to be ignored.
        light: Whether brightness, contrast and colour change too; they don't in the paper.
        even: Whether longer sides are drawn evenly, as in the paper; else their logarithms are.
    """

    size: int = 640
    longer_side: tuple[int, int] = (640, 1920)
    degrees: float = 15
    height: tuple[float, float] = (0.8, 1.2)
    min_visible: float = 0.8
    light: bool = True
    even: bool = False


def random_view(rng: Rng, pixels: NDArray[np.uint8], words: Sequence[Word], settings: Augmentation) -> View:
    """Return a random view of a photo.

    Args:
        rng: Source of chance; the same state gives the same view.
        pixels: uint8 RGB (H, W, 3).
        words: Of the photo.
        settings: Ranges.
    """
    height, width = pixels.shape[:2]
    scale = _longer_side(rng, settings) / max(height, width)
    scaled = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = Image.fromarray(pixels).resize(scaled, Image.Resampling.BILINEAR)
    angle = math.radians(rng.uniform(-settings.degrees, settings.degrees))
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    turn[1] *= rng.uniform(*settings.height)
    back = np.linalg.inv(turn)
    centre = _centre(rng, scaled, settings.size)
    half = np.full(2, settings.size / 2)
    # Pillow asks where each pixel of the result lies in the source.
    offset = centre - back @ half
    matrix = [*back[0], offset[0], *back[1], offset[1]]
    view = picture.transform(
        (settings.size, settings.size), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
    )
    ratio = np.array([scaled[0] / width, scaled[1] / height])
    quads = np.array([word.quad for word in words], np.float32).reshape(-1, 4, 2)
    moved = ((quads * ratio - centre) @ turn.T + half).astype(np.float32)
    visible = visible_share(moved, settings.size)
    kept = np.flatnonzero(visible > 0)
    ignore = np.array([word.ignore for word in words], bool)[kept] | (visible[kept] < settings.min_visible)
    shown = _light(rng, view) if settings.light else np.asarray(view)
    return View(shown, moved[kept], [words[index].text for index in kept.tolist()], ignore)


def whole_view(pixels: NDArray[np.uint8], words: Sequence[Word], size: int) -> View:
    """Return a whole photo as a square view, whatever its proportions were."""
    height, width = pixels.shape[:2]
    image = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR)
    quads = np.array([word.quad for word in words], np.float32).reshape(-1, 4, 2)
    return View(
        np.asarray(image),
        quads * np.array([size / width, size / height], np.float32),
        [word.text for word in words],
        np.array([word.ignore for word in words], bool),
    )


def _longer_side(rng: Rng, settings: Augmentation) -> float:
    if settings.even:
        return rng.uniform(*settings.longer_side)
    return math.exp(rng.uniform(*np.log(settings.longer_side)))


def _centre(rng: Rng, scaled: tuple[int, int], size: int) -> NDArray[np.float64]:
    """Return the middle of the crop in a photo of this (width, height): inside it as far as it goes."""
    low = np.minimum(np.array(scaled) / 2, size / 2)
    return rng.uniform(low, np.maximum(low + 1e-6, np.array(scaled) - low))


def _light(rng: Rng, picture: Image.Image) -> NDArray[np.uint8]:
    for enhancer in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        if rng.random() < 0.5:
            picture = enhancer(picture).enhance(rng.uniform(0.7, 1.3))
    return np.asarray(picture)


def visible_share(quads: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Return which share of each quad's axis-aligned hull lies inside a picture of `size` x `size` pixels."""
    low, high = quads.min(1), quads.max(1)
    inside = np.clip(np.minimum(high, size) - np.maximum(low, 0), 0, None).prod(1)
    share: NDArray[np.float32] = inside / np.maximum((high - low).prod(1), 1e-6)
    return share
