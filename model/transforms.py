"""Pictures to network inputs: resizing for detection, upright crops of words for reading."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

SIDE_MULTIPLE = 32  # the trunk's coarsest stride
CROP_HEIGHT = 48  # of a reader that says no other; widths are those of words of this height
CROP_WIDTHS = (64, 96, 128, 160, 224, 320)
SQUEEZE = 1.15
SMALLEST = 1e-12  # area of a quad, as a share of its picture's, that is more than none
MARGIN_ALONG, MARGIN_ACROSS = 0.1, 0.08  # of a word's height, added to its quad before cropping


def picture(image: NDArray[np.uint8]) -> Tensor:
    """Return an image uint8 (H, W, 3) as a tensor (3, H, W)."""
    return torch.from_numpy(np.require(image, np.uint8, ["C", "W"])).permute(2, 0, 1)


def fit(height: int, width: int, longer_side: int) -> tuple[int, int]:
    """Return the input size of a picture: longer side as asked, ratio nearly kept, multiples of 32."""
    scale = longer_side / max(height, width)
    return _to_multiple(height * scale), _to_multiple(width * scale)


def _to_multiple(pixels: float) -> int:
    # Half a step is rounded up: a little taller beats a little flatter for small letters.
    return max(SIDE_MULTIPLE, int(pixels / SIDE_MULTIPLE + 0.5) * SIDE_MULTIPLE)


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """Return an image (3, H, W) uint8 at another size, averaged where it shrinks."""
    if image.shape[1:] == (height, width):
        return image
    resized = F.interpolate(image[None], size=(height, width), mode="bilinear", antialias=True)
    return resized[0]


def crop_width(quad_width: float, quad_height: float, squeeze: float = SQUEEZE) -> int:
    """Return the width of a crop, in pixels, for a word of these proportions.

    Args:
        quad_width: In any unit.
        quad_height: In the same unit.
        squeeze: By how much the word may be made narrower: so much less to read.
    """
    natural = quad_width / max(quad_height, 1e-6) * CROP_HEIGHT
    return next((width for width in CROP_WIDTHS if natural <= width * squeeze), CROP_WIDTHS[-1])


def crop_quads(image: Tensor, quads: Tensor, width: int, height: int = CROP_HEIGHT) -> Tensor:
    """Cut words out, upright; differentiable in the image and the quads.

    Args:
        image: (C, H, W) of any floating-point type: a picture, or a map of features.
        quads: Corners (N, 4, 2) in pixels of that image.
        width: Width of the crops in pixels.
        height: Their height in pixels.

    Returns:
        Crops (N, C, height, width), sampled bilinearly; beyond the edge the border is repeated.
    """
    size = quads.new_tensor([image.shape[2], image.shape[1]])
    grid = _perspective_grid(quads / size * 2 - 1, height, width)
    # All crops as one, below each other: the gradient of a picture for each would take its room N times.
    found = F.grid_sample(
        image[None],
        grid.to(image.dtype).flatten(0, 1)[None],
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
    return found.view(len(image), len(quads), height, width).transpose(0, 1)


def _perspective_grid(quads: Tensor, height: int, width: int) -> Tensor:
    """Return where each pixel of the crops lies in the picture: (N, height, width, 2).

    The projective map of the unit square to a quad (Heckbert, 1989).
    """
    first, second, third, fourth = quads.unbind(1)
    side, other = second - third, fourth - third
    total = first - second + third - fourth
    determinant = _cross(side, other)
    determinant = torch.where(determinant.abs() < SMALLEST, determinant.new_tensor(SMALLEST), determinant)
    g = (_cross(total, other) / determinant)[:, None]
    h = (_cross(side, total) / determinant)[:, None]
    along, across = second - first + g * second, fourth - first + h * fourth
    u = (torch.arange(width, dtype=quads.dtype, device=quads.device) + 0.5) / width
    v = (torch.arange(height, dtype=quads.dtype, device=quads.device) + 0.5)[:, None] / height

    def plane(at_u: Tensor, at_v: Tensor) -> Tensor:
        return at_u[:, None, None] * u + at_v[:, None, None] * v

    depth = 1 + plane(g[:, 0], h[:, 0])
    # x and y each for themselves: pairs of numbers are slow to compute with.
    places = [(plane(along[:, i], across[:, i]) + first[:, i, None, None]) / depth for i in (0, 1)]
    return torch.stack(places, dim=-1)


def _cross(first: Tensor, second: Tensor) -> Tensor:
    return first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]


def pyramid_level(quad_heights: Sequence[float], levels: int, crop_height: int = CROP_HEIGHT) -> list[int]:
    """Return for each word how often the picture should be halved before it is cropped.

    A crop that shrinks a word more than twice would skip pixels.
    """
    result = []
    for height in quad_heights:
        level = 0
        while level < levels - 1 and height / 2**level > 2 * crop_height:
            level += 1
        result.append(level)
    return result
