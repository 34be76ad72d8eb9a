"""Convolutional trunk of PP-OCRv6 small, for detection and for reading.

Its layers are registered in the order of the convolutions in the published ONNX files, so that weights can
be carried over by position. Batch norms are already folded into the convolutions there.
Source: PP-OCRv6 (Baidu, Apache-2.0), as shipped in the wheel `rapidocr` 3.10.0.

Shape legend: B batch, C channels, H height, W width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class TrunkConfig:
    """Sizes of a trunk.

    Attributes:
        stem: Channels inside the stem.
        channels: Channels of each stage.
        excite: For each stage, for each of its blocks, whether it has squeeze-and-excitation.
        strides: Of each stage but the first, (vertical, horizontal); the stem has 4 x 4.
    """

    stem: int
    channels: tuple[int, ...]
    excite: tuple[tuple[bool, ...], ...]
    strides: tuple[tuple[int, int], ...]


class Stem(nn.Module):
    """Two strided convolutions around a pair of branches: (B, 3, H, W) -> (B, C, H/4, W/4)."""

    def __init__(self, middle: int, out: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, middle, 3, 2, 1)
        self.narrow = nn.Conv2d(middle, middle // 2, 2)
        self.wide = nn.Conv2d(middle // 2, middle, 2)
        self.join = nn.Conv2d(2 * middle, middle, 3, 2, 1)
        self.project = nn.Conv2d(middle, out, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Map an image (B, 3, H, W) to features (B, C, H/4, W/4)."""
        return self.leave(self.enter(image))

    def enter(self, image: Tensor, *, reverse: bool = False) -> Tensor:
        """Map an image (B, 3, H, W) to the first features (B, middle, H/2, W/2).

        Args:
            image: As the trunk was trained.
            reverse: Its channels are the other way round.
        """
        first = self.first
        weight = first.weight.flip(1) if reverse else first.weight
        return F.conv2d(image, weight, first.bias, first.stride, first.padding).relu()

    def leave(self, x: Tensor) -> Tensor:
        """Map first features (B, middle, H/2, W/2) to features (B, C, H/4, W/4)."""
        return self.unclipped(x).relu()

    def unclipped(self, x: Tensor) -> Tensor:
        """Return what `leave` does, before its last ReLU."""
        # The 2 x 2 kernels keep the size: one row and one column are padded at the bottom right.
        padded = F.pad(x, (0, 1, 0, 1))
        branch = self.narrow(padded).relu()
        branch = self.wide(F.pad(branch, (0, 1, 0, 1))).relu()
        x = torch.cat([F.max_pool2d(padded, 2, 1), branch], dim=1)
        result: Tensor = self.project(self.join(x).relu())
        return result


class SqueezeExcite(nn.Module):
    """Weights each channel by a gate computed from all channel means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, channels // 4, 1)
        self.expand = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` (B, C, H, W) with every channel scaled into [0, 1] of itself."""
        gate = self.expand(self.reduce(x.mean((2, 3), keepdim=True)).relu())
        return x * F.hardsigmoid(gate)


class Block(nn.Module):
    """Depthwise convolution, optional gate, then a residual two-layer perceptron per pixel."""

    def __init__(self, channels: int, excite: bool) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 3, 1, 1, groups=channels)
        self.excite = SqueezeExcite(channels) if excite else nn.Identity()
        self.expand = nn.Conv2d(channels, 2 * channels, 1)
        self.reduce = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (B, C, H, W) to features of the same shape."""
        x = self.excite(self.mix(x))
        result: Tensor = x + self.reduce(F.gelu(self.expand(x)))
        return result


class Downsample(nn.Module):
    """Strided depthwise convolution and a perceptron that changes the number of channels."""

    def __init__(self, channels: int, out: int, stride: tuple[int, int]) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 3, stride, 1, groups=channels)
        self.expand = nn.Conv2d(channels, 2 * channels, 1)
        self.reduce = nn.Conv2d(2 * channels, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (B, C, H, W) to (B, out, H/stride, W/stride)."""
        result: Tensor = self.reduce(F.gelu(self.expand(self.mix(x))))
        return result


class Trunk(nn.Module):
    """Stem and stages; returns the map of every stage."""

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        self.stem = Stem(config.stem, config.channels[0])
        stages: list[nn.Module] = []
        previous = config.channels[0]
        for index, (channels, excite) in enumerate(zip(config.channels, config.excite, strict=True)):
            blocks: list[nn.Module] = []
            if index:
                blocks.append(Downsample(previous, channels, config.strides[index - 1]))
            stages.append(nn.Sequential(*blocks, *(Block(channels, gate) for gate in excite)))
            previous = channels
        self.stages = nn.ModuleList(stages)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map an image (B, 3, H, W) to one feature map a stage, the finest first."""
        return self.maps(self.stem(image))

    def maps(self, x: Tensor) -> list[Tensor]:
        """Map what the stem gave to one feature map a stage."""
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def load_in_order(self, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> None:
        """Fill the convolutions from lists in the order of the published files.

        Raises:
            ValueError: the number or a shape of the weights does not fit.
        """
        layers = [module for module in self.modules() if isinstance(module, nn.Conv2d)]
        if not len(layers) == len(weights) == len(biases):
            raise ValueError(f"{len(layers)} convolutions, {len(weights)} weights, {len(biases)} biases")
        for layer, weight, bias in zip(layers, weights, biases, strict=True):
            if layer.weight.shape != weight.shape or layer.bias is None:
                raise ValueError(f"{tuple(weight.shape)} does not fit {tuple(layer.weight.shape)}")
            layer.weight.data.copy_(weight)
            layer.bias.data.copy_(bias.reshape(-1))
