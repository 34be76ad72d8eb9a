"""Reading trunk of PP-OCRv6 small: word crops to a sequence of features, and its CTC classifier.

Source: PP-OCRv6 (Baidu, Apache-2.0), as shipped in the wheel `rapidocr` 3.10.0; the neck is SVTR-like
(Du et al., IJCAI 2022). Shape legend: N crops of H x W pixels, S = W / 8 steps, C features a step.
"""

from itertools import pairwise
from math import prod
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.backbone import Trunk, TrunkConfig

STEP, STEM_STRIDE = 8, 4  # pixels
GAP, MIN_GAP = 1.8, 3  # from how many usual distances of characters, and steps, a gap divides words


class ConvNormSwish(nn.Sequential):
    """Convolution without bias, batch norm, swish."""

    def __init__(self, channels: int, out: int, kernel: tuple[int, int] = (1, 1), groups: int = 1) -> None:
        padding = (kernel[0] // 2, kernel[1] // 2)
        super().__init__(
            nn.Conv2d(channels, out, kernel, padding=padding, groups=groups, bias=False),
            nn.BatchNorm2d(out),
            nn.SiLU(),
        )


class MixingBlock(nn.Module):
    """Self-attention over the steps, then a perceptron, each with layer norm first and a residual."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(channels, eps=1e-5)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.project = nn.Linear(channels, channels)
        self.norm_perceptron = nn.LayerNorm(channels, eps=1e-5)
        self.expand = nn.Linear(channels, 2 * channels)
        self.reduce = nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map steps (N, S, C) to steps of the same shape."""
        query, key, value = self.qkv(self.norm_attention(x)).unflatten(2, (3, self.heads, -1)).unbind(2)
        mixed = F.scaled_dot_product_attention(
            query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
        )
        x = x + self.project(mixed.transpose(1, 2).flatten(2))
        result: Tensor = x + self.reduce(F.silu(self.expand(self.norm_perceptron(x))))
        return result


class Recognizer(nn.Module):
    """Trunk, sequence neck and character classifier."""

    def __init__(self, trunk: TrunkConfig, channels: int, heads: int, classes: int) -> None:
        super().__init__()
        self.trunk = Trunk(trunk)
        self.together = STEP // (STEM_STRIDE * prod(along for _, along in trunk.strides))
        self.shortcut = ConvNormSwish(trunk.channels[-1], channels)
        self.enter = ConvNormSwish(trunk.channels[-1], channels)
        self.local = ConvNormSwish(channels, channels, (1, 7), groups=channels)
        self.blocks = nn.ModuleList(MixingBlock(channels, heads) for _ in range(2))
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.classifier = nn.Linear(channels, classes)

    def features(self, crops: Tensor) -> Tensor:
        """Map RGB crops (N, 3, H, W) in 0-255 to a sequence (N, W / 8, C)."""
        return self.sequence(self.trunk(self.normalised(crops))[-1])

    def normalised(self, crops: Tensor) -> Tensor:
        """Return RGB crops in 0-255 as BGR from -1 to 1."""
        return crops.flip(1) / 127.5 - 1

    def sequence(self, last: Tensor) -> Tensor:
        """Map the trunk's last map to a sequence (N, W / 8, C)."""
        pooled = F.avg_pool2d(last.mean(2, keepdim=True), (1, self.together))
        x = self.enter(pooled)
        x = (x + self.local(x)).squeeze(2).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        sequence: Tensor = self.norm(x) + self.shortcut(pooled).squeeze(2).transpose(1, 2)
        return sequence

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sequence (N, S, C) and the character logits (N, S, classes), blank first."""
        sequence = self.features(crops)
        return sequence, self.classifier(sequence)


class SharedRecognizer(Recognizer):
    """Reads words in what the detector's trunk saw of them: crops of its maps take the place of the stem."""

    def __init__(self, trunk: TrunkConfig, channels: int, heads: int, classes: int, seen: int) -> None:
        super().__init__(trunk, channels, heads, classes)
        self.trunk.stem = nn.Identity()  # type: ignore[assignment]
        self.join = nn.Conv2d(seen, trunk.channels[0], 3, 1, 1)

    def features(self, crops: Tensor) -> Tensor:
        """Map crops (N, seen, H / 4, W / 4) of the maps to a sequence (N, W / 8, C)."""
        return self.sequence(self.trunk(self.join(crops).relu())[-1])


class Transcript(NamedTuple):
    """What is read in a crop.

    Attributes:
        text: Possibly empty.
        confidence: The lowest probability of its characters in [0, 1], 0 for an empty text.
        breaks: Where one word ends and the next begins, as shares of the crop's width.
    """

    text: str
    confidence: float
    breaks: list[float]


def read(logits: Tensor, characters: str) -> list[Transcript]:
    """Decode logits (N, S, 1 + len(characters)) greedily."""
    probability, number = (tensor.cpu() for tensor in logits.softmax(-1).max(-1))
    first = torch.ones_like(number, dtype=torch.bool)
    first[:, 1:] = number[:, 1:] != number[:, :-1]
    spoken = first & (number > 0)
    return [_transcript(*row, characters) for row in zip(probability, number, spoken, strict=True)]


def _transcript(probability: Tensor, number: Tensor, spoken: Tensor, characters: str) -> Transcript:
    steps = spoken.nonzero()[:, 0].tolist()
    text = "".join(characters[number[step] - 1] for step in steps)
    inner = range(len(text) - len(text.lstrip()) + 1, len(text.rstrip()) - 1)
    breaks = [float(steps[place]) for place in inner if text[place] == " "] or _gaps(steps)
    confidence = float(probability[spoken].amin()) if text else 0.0
    return Transcript(text, confidence, [(step + 0.5) / len(number) for step in breaks])


def _gaps(steps: list[int]) -> list[float]:
    """Return the middles of gaps between characters that are too wide for one word."""
    distances = [after - before for before, after in pairwise(steps)]
    if len(distances) < 4:
        return []
    least = max(MIN_GAP, GAP * median(distances))
    inner = range(1, len(distances) - 1)  # a word of one letter is more often a mistake
    return [steps[place] + distances[place] / 2 for place in inner if distances[place] >= least]
