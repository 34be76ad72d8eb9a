"""Geometry of text regions.

Shapes: box (4,) xyxy in pixels; quad (4, 2), clockwise from the corner where reading starts;
rotated box (5,) = centre x, centre y, width along the reading direction, height, angle in radians.
"""

import torch
from torch import Tensor

SAME_ROW = 0.4  # of the height: what regions of one line may be above each other


def rotated_to_quads(rotated: Tensor) -> Tensor:
    """Return the corners (N, 4, 2) of rotated boxes (N, 5)."""
    centre, size, angle = rotated[:, :2], rotated[:, 2:4], rotated[:, 4]
    corners = rotated.new_tensor([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    offsets = size[:, None] * corners  # N 4 2
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    x = offsets[..., 0] * cos - offsets[..., 1] * sin
    y = offsets[..., 0] * sin + offsets[..., 1] * cos
    return torch.stack([x, y], dim=-1) + centre[:, None]


def quads_to_rotated(quads: Tensor) -> Tensor:
    """Return rotated boxes (N, 5) with the mean width, height and direction of quads (N, 4, 2)."""
    top, bottom = quads[:, 1] - quads[:, 0], quads[:, 2] - quads[:, 3]
    left, right = quads[:, 3] - quads[:, 0], quads[:, 2] - quads[:, 1]
    along = top + bottom
    width = (top.norm(dim=1) + bottom.norm(dim=1)) / 2
    height = (left.norm(dim=1) + right.norm(dim=1)) / 2
    angle = torch.atan2(along[:, 1], along[:, 0])
    return torch.cat([quads.mean(1), torch.stack([width, height, angle], dim=1)], dim=1)


def quads_to_boxes(quads: Tensor) -> Tensor:
    """Return the axis-aligned hulls (N, 4) xyxy of quads (N, 4, 2)."""
    return torch.cat([quads.amin(1), quads.amax(1)], dim=1)


def boxes_to_quads(boxes: Tensor) -> Tensor:
    """Return the corners (N, 4, 2) of boxes (N, 4) xyxy."""
    x0, y0, x1, y1 = boxes.unbind(1)
    return torch.stack([x0, y0, x1, y0, x1, y1, x0, y1], dim=1).view(-1, 4, 2)


def widen_quads(quads: Tensor, along: float, across: float) -> Tensor:
    """Return quads (N, 4, 2) grown on every side, in multiples of their height.

    Args:
        quads: Corners, clockwise from the reading start.
        along: Margin before and behind the word, in heights.
        across: Margin above and below the word, in heights.
    """
    height = ((quads[:, 3] - quads[:, 0]).norm(dim=1) + (quads[:, 2] - quads[:, 1]).norm(dim=1)) / 2
    right = _unit(quads[:, 1] - quads[:, 0] + quads[:, 2] - quads[:, 3]) * (height * along)[:, None]
    down = _unit(quads[:, 3] - quads[:, 0] + quads[:, 2] - quads[:, 1]) * (height * across)[:, None]
    return quads + torch.stack([-right - down, right - down, right + down, down - right], dim=1)


def cut_quad(quad: Tensor, spans: Tensor) -> Tensor:
    """Return the parts (N, 4, 2) of a quad (4, 2) between shares (N, 2) of its width, each in [0, 1]."""
    start, end = spans[:, :1], spans[:, 1:]
    top, bottom = quad[1] - quad[0], quad[2] - quad[3]
    corners = [quad[0] + start * top, quad[0] + end * top, quad[3] + end * bottom, quad[3] + start * bottom]
    return torch.stack(corners, dim=1)


def _unit(vectors: Tensor) -> Tensor:
    length: Tensor = vectors.norm(dim=1, keepdim=True)
    return vectors / length.clamp(min=1e-6)


def clip_boxes(boxes: Tensor, width: int, height: int) -> Tensor:
    """Return boxes (N, 4) cut at the edges of a picture of `width` x `height` pixels."""
    limit = boxes.new_tensor([width, height, width, height])
    return torch.minimum(boxes.clamp(min=0), limit)


def pairwise_iou(first: Tensor, second: Tensor) -> Tensor:
    """Return the intersection over union (N, M) of boxes (N, 4) and (M, 4), in [0, 1]."""
    inter = _pairwise_intersection(first, second)
    area = _area(first)[:, None] + _area(second)
    return inter / (area - inter).clamp(min=1e-6)


def pairwise_cover(first: Tensor, second: Tensor) -> Tensor:
    """Return which share (N, M) of the boxes (M, 4) lies inside each of the boxes (N, 4), in [0, 1]."""
    return _pairwise_intersection(first, second) / _area(second).clamp(min=1e-6)


def _pairwise_intersection(first: Tensor, second: Tensor) -> Tensor:
    low = torch.maximum(first[:, None, :2], second[None, :, :2])
    high = torch.minimum(first[:, None, 2:], second[None, :, 2:])
    return (high - low).clamp(min=0).prod(-1)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).prod(-1)


def followers(quads: Tensor, gap: tuple[float, float], ratio: float) -> list[tuple[int, int]]:
    """Return which quads (N, 4, 2) have a next one on their line, and the nearest such.

    Args:
        quads: Corners, clockwise from the reading start.
        gap: Between one and the next, from and to, in heights of the one.
        ratio: Of their heights, at most; either may be the larger.
    """
    pairs: list[tuple[int, int]] = []
    for index, quad in enumerate(quads):
        along, down = quad[1] - quad[0], quad[3] - quad[0]
        height = down.norm().clamp(min=1e-6)
        forward = along / along.norm().clamp(min=1e-6)
        apart = (quads[:, [0, 3]] - quad[[1, 2]]).mean(1) @ forward / height
        ahead = (quads.mean(1) - quad.mean(0)) @ forward
        row = ((quads.mean(1) - quad.mean(0)) @ (down / height) / height).abs()
        heights = (quads[:, 3] - quads[:, 0]).norm(dim=1) / height
        fits = (apart > gap[0]) & (apart < gap[1]) & (ahead > 0) & (row < SAME_ROW)
        fits &= (heights > 1 / ratio) & (heights < ratio)
        if fits.any():
            pairs.append((index, int(apart.where(fits, torch.inf).argmin())))
    return pairs


def enclosing_quad(quads: Tensor) -> Tensor:
    """Return the smallest rectangle (4, 2) around quads (N, 4, 2) in the direction of the first."""
    along = quads[0, 1] - quads[0, 0]
    forward = along / along.norm().clamp(min=1e-6)
    frame = torch.stack([forward, torch.stack([-forward[1], forward[0]])])
    places = quads.reshape(-1, 2) @ frame.T
    (left, top), (right, bottom) = places.amin(0), places.amax(0)
    corners = torch.stack([left, top, right, top, right, bottom, left, bottom]).view(4, 2)
    return corners @ frame
