"""What the detector's trunk saw of a word: crops of its maps, upright along the word (preset `joint`).

The paper's RoIAlign on the feature pyramid, turned with the word. A letter of ten pixels is two or three
points high there, so the stem's first map, at stride 2, is cut out too.

Shape legend: N words, F channels of the first map, C of the pyramid, W width of a crop in pixels, see
`transforms.crop_width`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from model import boxes, transforms

STRIDE = 4  # of what is cut out; the first map has two rows and columns for one of it


def seen_channels(first: int, pyramid: int) -> int:
    """Return the channels of a crop, from those of the first map and of the pyramid."""
    return (STRIDE // 2) ** 2 * first + pyramid


def no_crop(first: int, pyramid: int, height: int) -> Tensor:
    """Return an empty crop, of this height and the narrowest width, for maps of so many channels."""
    return torch.zeros(
        1, seen_channels(first, pyramid), height // STRIDE, transforms.CROP_WIDTHS[0] // STRIDE
    )


class SharedMaps:
    """The maps of one picture."""

    def __init__(self, first: Tensor, pyramid: Sequence[Tensor], ratio: Tensor) -> None:
        """Keep the maps.

        Args:
            first: (F, H / 2, W / 2) of the picture that the detector got.
            pyramid: (C, H / stride, W / stride), the finest first.
            ratio: From pixels in which quads will be given to those of that picture, along x and y.
        """
        self._first = [first.float()]
        self._pyramid = [level.float() for level in pyramid]
        self._ratio = ratio.to(first.device)

    def crop(self, quads: Tensor, width: int, height: int = transforms.CROP_HEIGHT) -> Tensor:
        """Cut words out, upright; differentiable in the maps.

        Args:
            quads: Corners (N, 4, 2).
            width: W.
            height: H, of a crop in pixels.

        Returns:
            (N, 4 F + C, H / 4, W / 4); beyond the edge the border is repeated.
        """
        quads = quads.to(self._ratio) * self._ratio
        heights = boxes.quads_to_rotated(quads)[:, 3].tolist()
        levels = transforms.pyramid_level(heights, len(self._pyramid), height)
        order = sorted(range(len(levels)), key=levels.__getitem__)
        groups = [[index for index in order if levels[index] == level] for level in sorted(set(levels))]
        cut = [self._crop(quads[members], width, height, levels[members[0]]) for members in groups]
        back = torch.tensor(order, device=quads.device).argsort()
        return torch.cat(cut)[back]

    def _crop(self, quads: Tensor, width: int, height: int, level: int) -> Tensor:
        while len(self._first) <= level:
            self._first.append(F.avg_pool2d(self._first[-1], 2, ceil_mode=True))
        quads = quads / (STRIDE * 2**level)
        fine = transforms.crop_quads(self._first[level], 2 * quads, 2 * width // STRIDE, 2 * height // STRIDE)
        coarse = transforms.crop_quads(self._pyramid[level], quads, width // STRIDE, height // STRIDE)
        return torch.cat([F.pixel_unshuffle(fine, 2), coarse], dim=1)
