"""Second look at proposals: finds where each word begins and ends in features sampled along it.

A point in the middle of a long word hardly sees its ends. Here every proposal is laid out as an upright grid
of features, and left, right, top and bottom are each chosen along it.

Shape legend: N proposals, R rows, K columns.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.detector import STRIDES, SeparableBlock

ROWS, COLUMNS = 8, 32
ALONG, ALONG_WIDTH, ACROSS = 0.5, 0.1, 0.35  # margins of the grid: heights, widths, heights
PRIOR = 0.15  # spread of what is expected before looking, in half grids
FINEST_HEIGHT = 40  # pixels; words up to there are looked at on the finest map


class Refiner(nn.Module):
    """Predicts the corners of a word in the frame of its proposal, and how well they will fit."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(channels + 3, hidden, 1)
        self.blocks = nn.ModuleList(SeparableBlock(hidden) for _ in range(3))
        self.ends = nn.Conv1d(hidden, 2, 3, padding=1)
        self.edges = nn.Conv1d(hidden, 2, 3, padding=1)
        self.quality = nn.Linear(hidden, 1)

    def forward(self, features: Tensor, columns: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Look at proposals.

        Args:
            features: (N, C, R, K), see `sample`.
            columns: Places of the columns (N, K), in heights of the proposal from its centre.
            rows: Places of the rows (N, R), likewise.

        Returns:
            Sides (N, 6) in heights from the proposal's centre: left, right, top and bottom at the left end,
            top and bottom at the right end; and the logit (N,) of the overlap they will have with the word.
        """
        size = features.shape[2:]
        width = columns[:, -1:] - columns[:, :1]
        hints = [columns[:, None].expand(-1, *size), (columns / width)[:, None].expand(-1, *size)]
        hints.append(rows[:, :, None].expand(-1, *size))
        x = self.enter(torch.cat([features, torch.stack(hints, dim=1)], dim=1)).relu()
        for block in self.blocks:
            x = x + block(x)
        half = size[1] // 2
        ends = _expected(self.ends(x.mean(2)), columns, (columns[:, -1] - ALONG) / (1 + 2 * ALONG_WIDTH))
        middle = torch.full_like(columns[:, -1], 0.5)
        left = _expected(self.edges(x[..., :half].mean(3)), rows, middle)
        right = _expected(self.edges(x[..., half:].mean(3)), rows, middle)
        return torch.cat([ends, left, right], dim=1), self.quality(x.mean((2, 3)))[:, 0]


def _expected(logits: Tensor, places: Tensor, edge: Tensor) -> Tensor:
    """Return the mean place (N, 2) under the softmax of logits (N, 2, places), drawn to -edge and edge."""
    sides = torch.stack([-edge, edge], dim=1)[..., None]
    spread = places[:, None, -1:] * PRIOR
    prior = -(((places[:, None] - sides) / spread) ** 2) / 2
    return ((logits + prior).softmax(2) * places[:, None]).sum(2)


def grid_places(rotated: Tensor) -> tuple[Tensor, Tensor]:
    """Return places of columns (N, K) and rows (N, R) of proposals (N, 5), in heights from their centres."""
    width = rotated[:, 2] / rotated[:, 3].clamp(min=1e-3)
    reach = width * (0.5 + ALONG_WIDTH) + ALONG
    columns = torch.linspace(-1, 1, COLUMNS, device=rotated.device) * reach[:, None]
    rows = torch.linspace(-1, 1, ROWS, device=rotated.device) * (0.5 + ACROSS)
    return columns, rows.expand(len(rotated), -1)


def sample(maps: list[Tensor], rotated: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
    """Return features (N, C, R, K) of proposals (N, 5) of one picture.

    Args:
        maps: Of the feature pyramid (1, C, H, W), the finest first.
        rotated: Proposals in input pixels.
        columns: See `grid_places`.
        rows: See `grid_places`.
    """
    size = columns.shape[1], rows.shape[1]
    x = (columns * rotated[:, 3:4])[:, None].expand(-1, size[1], -1)
    y = (rows * rotated[:, 3:4])[:, :, None].expand(-1, -1, size[0])
    cos, sin = rotated[:, 4].cos()[:, None, None], rotated[:, 4].sin()[:, None, None]
    places = torch.stack([x * cos - y * sin, x * sin + y * cos], dim=-1) + rotated[:, None, None, :2]
    level = (rotated[:, 3] / (FINEST_HEIGHT / 2)).clamp(min=1).log2().long().clamp(max=len(maps) - 1)
    features = maps[0].new_zeros(len(rotated), maps[0].shape[1], size[1], size[0])
    for index, features_map in enumerate(maps):
        chosen = (level == index).nonzero()[:, 0]
        if len(chosen):
            limit = places.new_tensor([features_map.shape[3], features_map.shape[2]]) * STRIDES[index]
            grid = (places[chosen] / limit * 2 - 1).flatten(0, 1)[None]
            found = F.grid_sample(features_map, grid.to(features_map.dtype), align_corners=False)[0]
            features[chosen] = found.view(-1, len(chosen), size[1], size[0]).transpose(0, 1)
    return features


def sides_to_quads(sides: Tensor, rotated: Tensor) -> Tensor:
    """Return corners (N, 4, 2) in pixels from sides (N, 6) in heights of proposals (N, 5)."""
    left, right, top_left, bottom_left, top_right, bottom_right = sides.unbind(1)
    x = torch.stack([left, right, right, left], dim=1) * rotated[:, 3:4]
    y = torch.stack([top_left, top_right, bottom_right, bottom_left], dim=1) * rotated[:, 3:4]
    cos, sin = rotated[:, 4].cos()[:, None], rotated[:, 4].sin()[:, None]
    return torch.stack([x * cos - y * sin, x * sin + y * cos], dim=-1) + rotated[:, None, :2]


def quads_to_sides(quads: Tensor, rotated: Tensor) -> Tensor:
    """Return sides (N, 6) in heights of proposals (N, 5) of words (N, 4, 2): `sides_to_quads` undone."""
    cos, sin = rotated[:, 4].cos()[:, None], rotated[:, 4].sin()[:, None]
    x, y = (quads - rotated[:, None, :2]).unbind(2)
    along, across = x * cos + y * sin, y * cos - x * sin
    ends = [(along[:, 0] + along[:, 3]) / 2, (along[:, 1] + along[:, 2]) / 2]
    edges = [across[:, index] for index in (0, 3, 1, 2)]
    return torch.stack([*ends, *edges], dim=1) / rotated[:, 3:4]
