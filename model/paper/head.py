"""Word proposals of the preset `paper`: FCOS (Tian et al., ICCV 2019) with one shared tower.

Shape legend: B batch, C channels, P points of all levels (P3 to P7, strides 8 to 128), N proposals.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import nms

from model import boxes
from model.paper.trunk import STRIDES

HEAD_STRIDES = STRIDES[1:]
LAYERS = 4
PRIOR = 0.01
LEAST_SCORE, PER_LEVEL = 0.01, 1000  # before overlapping boxes are dropped
IOU_THRESHOLD = 0.6


def conv_group_norm(channels: int, stride: int | tuple[int, int] = 1) -> nn.Sequential:
    """Return convolution 3 x 3, group norm (32 groups at full width), ReLU."""
    convolution = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
    nn.init.kaiming_uniform_(convolution.weight, a=1)
    return nn.Sequential(convolution, nn.GroupNorm(channels // 8, channels), nn.ReLU())


class FcosHead(nn.Module):
    """One tower for all levels; score, sides and centerness of every point."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.tower = nn.Sequential(*(conv_group_norm(channels) for _ in range(LAYERS)))
        self.score = nn.Conv2d(channels, 1, 3, 1, 1)
        self.sides = nn.Conv2d(channels, 4, 3, 1, 1)
        self.centerness = nn.Conv2d(channels, 1, 3, 1, 1)
        for layer in (self.score, self.sides, self.centerness):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.constant_(self.score.bias, -math.log((1 - PRIOR) / PRIOR))  # type: ignore[arg-type]

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Map P3 to P7 (B, C, h, w) to points (B, P, 6).

        Returns:
            Score logit, distances left, top, right, bottom in strides (0 or more), centerness logit.
        """
        outputs = []
        for x in maps:
            x = self.tower(x)
            outputs.append(torch.cat([self.score(x), self.sides(x).relu(), self.centerness(x)], 1).flatten(2))
        return torch.cat(outputs, dim=2).transpose(1, 2)


def points_of(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return places (P, 2) in pixels and strides (P,) of the points of a picture, sides multiples of 32."""
    places, strides = [], []
    for stride in HEAD_STRIDES:
        rows, columns = (torch.arange(math.ceil(side / stride)) for side in (height, width))
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        places.append(torch.stack([x, y], dim=-1).reshape(-1, 2) * float(stride) + stride // 2)
        strides.append(torch.full((len(places[-1]),), float(stride)))
    return torch.cat(places), torch.cat(strides)


def select(
    points: Tensor, height: int, width: int, *, min_score: float, top_k: int = 100
) -> tuple[Tensor, Tensor]:
    """Choose the words of one picture.

    Args:
        points: Predictions (P, 6) of `FcosHead` for a picture of `height` x `width` pixels.
        height: Input height in pixels.
        width: Input width in pixels.
        min_score: Boxes below it are dropped; at least 0.01.
        top_k: At most so many words.

    Returns:
        Boxes (N, 4) xyxy in input pixels and their scores (N,), best first. The score is that of the class
        alone: centerness serves training only.
    """
    places, strides = (tensor.to(points.device) for tensor in points_of(height, width))
    scores = points[:, 0].sigmoid()
    kept = torch.cat(
        [level[scores[level].topk(min(PER_LEVEL, len(level))).indices] for level in _levels(strides)]
    )
    kept = kept[scores[kept] > max(min_score, LEAST_SCORE)]
    sides = points[kept, 1:5] * strides[kept, None]
    found = torch.cat([places[kept] - sides[:, :2], places[kept] + sides[:, 2:]], dim=1)
    found = boxes.clip_boxes(found, width, height)
    scores = scores[kept]
    solid = (found[:, 2:] - found[:, :2]).amin(1) > 1
    found, scores = found[solid], scores[solid]
    best = nms(found, scores, IOU_THRESHOLD)[:top_k]
    return found[best], scores[best]


def _levels(strides: Tensor) -> list[Tensor]:
    """Return the numbers of the points of each level."""
    return [(strides == stride).nonzero()[:, 0] for stride in HEAD_STRIDES]
