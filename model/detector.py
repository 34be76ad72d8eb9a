"""Word proposals: feature pyramid and anchor-free head with angle.

After FCOS (Tian et al., ICCV 2019), which the paper builds on; each point predicts one word in a frame that
is turned by an angle, so that slanted words are cropped upright.

Shape legend: B batch, C channels, L levels (strides 4, 8, 16, 32), P points of all levels, N proposals.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import nms

from model import boxes
from model.backbone import Trunk, TrunkConfig

STRIDES = (4, 8, 16, 32)
MEAN = (0.406, 0.456, 0.485)  # as the trunk was trained: blue and red have each other's
STD = (0.225, 0.224, 0.229)


class SeparableBlock(nn.Sequential):
    """Depthwise 5 x 5 and pointwise convolution, each with batch norm, then ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.Conv2d(channels, channels, 5, 1, 2, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        )


class FeaturePyramid(nn.Module):
    """Brings every map of the trunk to C channels and adds the coarser ones to the finer."""

    def __init__(self, inputs: tuple[int, ...], channels: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(size, channels, 1) for size in inputs)
        self.smooth = nn.ModuleList(SeparableBlock(channels) for _ in inputs)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Map trunk features, the finest first, to as many maps (B, C, H, W)."""
        merged = [lateral(x) for lateral, x in zip(self.lateral, maps, strict=True)]
        for level in range(len(merged) - 2, -1, -1):
            merged[level] = merged[level] + F.interpolate(merged[level + 1], scale_factor=2.0, mode="nearest")
        return [smooth(x) for smooth, x in zip(self.smooth, merged, strict=True)]


class WordHead(nn.Module):
    """Shared towers that predict score, overlap, sides and angle at every point."""

    def __init__(self, channels: int, levels: int) -> None:
        super().__init__()
        self.score_tower = nn.Sequential(SeparableBlock(channels), SeparableBlock(channels))
        self.shape_tower = nn.Sequential(SeparableBlock(channels), SeparableBlock(channels))
        self.score = nn.Conv2d(channels, 1, 3, 1, 1)
        self.overlap = nn.Conv2d(channels, 1, 3, 1, 1)
        self.shape = nn.Conv2d(channels, 5, 3, 1, 1)
        self.scale = nn.Parameter(torch.ones(levels))
        if self.score.bias is not None:
            nn.init.constant_(self.score.bias, -math.log(99))  # prior of 0.01, as in focal loss

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Return raw predictions (B, 7, P): score, overlap, 4 log sides, angle before tanh."""
        # One layer for both: for a processor few channels are as much work as sixteen.
        layers = self.overlap, self.shape
        weight = torch.cat([layer.weight for layer in layers])
        bias = torch.cat([layer.bias for layer in layers if layer.bias is not None])
        outputs = []
        for level, x in enumerate(maps):
            shape = F.conv2d(self.shape_tower(x), weight, bias, padding=1)
            overlap, sides, angle = torch.split(shape, [1, 4, 1], 1)
            raw = [self.score(self.score_tower(x)), overlap, sides * self.scale[level], angle]
            outputs.append(torch.cat(raw, dim=1).flatten(2))
        return torch.cat(outputs, dim=2)


@dataclass(frozen=True)
class Detections:
    """Words found in one picture, best first: rotated boxes (N, 5) in input pixels, scores (N,)."""

    rotated: Tensor
    scores: Tensor


class Detector(nn.Module):
    """Trunk, feature pyramid and word head."""

    def __init__(self, trunk: TrunkConfig, channels: int) -> None:
        super().__init__()
        self.trunk = Trunk(trunk)
        self.pyramid = FeaturePyramid(trunk.channels, channels)
        self.head = WordHead(channels, len(trunk.channels))
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1) * 255, persistent=False)
        self.mean: Tensor
        self.std: Tensor

    def look(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return what is seen in RGB images (B, 3, H, W) in 0-255.

        Returns:
            First features (B, S, H / 2, W / 2), and maps (B, C, H / stride, W / stride), the finest first.
        """
        # The trunk wants BGR; turning its weights round costs nothing once the network is converted.
        first = self.trunk.stem.enter((images - self.mean) / self.std, reverse=True)
        maps: list[Tensor] = self.pyramid(self.trunk.maps(self.trunk.stem.leave(first)))
        return first, maps

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor], Tensor]:
        """Map RGB images (B, 3, H, W) in 0-255, sides multiples of 32, to decoded points.

        Returns:
            Points (B, P, 6): score in [0, 1], distances left, top, right, bottom in units of the point's
            stride, and angle in radians, at most an eighth of a turn. Then the maps and the first features
            of `look`.
        """
        first, maps = self.look(images)
        # Planes are quicker to compute with than rows of seven.
        return activate(self.head(maps), dim=1).transpose(1, 2), maps, first


def activate(raw: Tensor, dim: int = -1) -> Tensor:
    """Turn raw predictions, 7 along a dimension, into score, sides in strides and angle, 6 along it."""
    score, overlap, sides, angle = torch.split(raw, [1, 1, 4, 1], dim)
    score = (score.sigmoid() * overlap.sigmoid()).sqrt()
    return torch.cat([score, sides.clamp(-4, 5).exp() * 2, angle.tanh() * (math.pi / 4)], dim)


def point_grid(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return centres (P, 2) in pixels and strides (P,) of the points of a picture of this size."""
    centres, strides = [], []
    for stride in STRIDES:
        y, x = torch.meshgrid(torch.arange(height // stride), torch.arange(width // stride), indexing="ij")
        centres.append((torch.stack([x, y], dim=-1).reshape(-1, 2) + 0.5) * stride)
        strides.append(torch.full((len(centres[-1]),), float(stride)))
    return torch.cat(centres), torch.cat(strides)


def decode_points(points: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
    """Return rotated boxes (P, 5) in pixels from activated predictions (P, 6)."""
    left, top, right, bottom = (points[:, 1:5] * strides[:, None]).unbind(1)
    angle = points[:, 5]
    x, y = (right - left) / 2, (bottom - top) / 2
    cos, sin = angle.cos(), angle.sin()
    centre = centres + torch.stack([x * cos - y * sin, x * sin + y * cos], dim=1)
    return torch.cat([centre, torch.stack([left + right, top + bottom, angle], dim=1)], dim=1)


def select(
    points: Tensor, height: int, width: int, *, min_score: float, iou_threshold: float = 0.5, top_k: int = 100
) -> Detections:
    """Choose the words of one picture from its points.

    Args:
        points: Activated predictions (P, 6) of a picture of `height` x `width` pixels.
        height: Input height in pixels.
        width: Input width in pixels.
        min_score: Points below it are dropped.
        iou_threshold: Overlap of axis-aligned hulls above which the weaker word is dropped.
        top_k: At most so many words.
    """
    kept = (points[:, 0] > min_score).nonzero().squeeze(1)
    if len(kept) > 2400:  # 600 a level is more than any photo needs
        kept = kept[points[kept, 0].topk(2400).indices]
    centres, strides = point_grid(height, width)
    centres, strides = centres.to(points.device), strides.to(points.device)
    rotated = decode_points(points[kept], centres[kept], strides[kept])
    scores = points[kept, 0]
    hulls = boxes.quads_to_boxes(boxes.rotated_to_quads(rotated))
    best = nms(hulls, scores, iou_threshold)[:top_k]
    return Detections(rotated[best], scores[best])
