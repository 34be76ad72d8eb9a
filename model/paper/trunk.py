"""ResNet-50 with frozen batch norms and its feature pyramid P2 to P7.

He et al., CVPR 2016; Lin et al., CVPR 2017; P6 and P7 as in FCOS (Tian et al., ICCV 2019). Layers are named
as in torchvision, so that its weights load as they are.

Shape legend: B batch, C = width, H height, W width of the picture.
"""

from collections import OrderedDict
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import Bottleneck
from torchvision.ops import FeaturePyramidNetwork, FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

STRIDES = (4, 8, 16, 32, 64, 128)
BLOCKS = (3, 4, 6, 3)
# Blue, green, red: ImageNet's statistics in the order the network takes.
MEAN = (103.53, 116.28, 123.675)
STD = (57.375, 57.12, 58.395)
RESIDUAL = 0.25  # factor of the residual branches without ImageNet's weights, for nothing normalises them


class ResNet(nn.Module):
    """ResNet-50; the stem and the first stage (res2) are never trained."""

    def __init__(self, width: int) -> None:
        super().__init__()
        planes = width // 4
        self.conv1 = nn.Conv2d(3, planes, 7, 2, 3, bias=False)
        self.bn1 = FrozenBatchNorm2d(planes)
        channels = planes
        for index, blocks in enumerate(BLOCKS):
            out = planes * 2**index
            self.add_module(f"layer{index + 1}", _stage(channels, out, blocks, stride=2 if index else 1))
            channels = 4 * out
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if isinstance(module, Bottleneck):
                module.bn3.weight.fill_(RESIDUAL)
        self.freeze()

    def freeze(self) -> None:
        """Keep stem and res2 from being trained."""
        for name in ("conv1", "layer1"):
            self.get_submodule(name).requires_grad_(False)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map normalised pictures (B, 3, H, W), BGR, to C2 to C5, the finest first."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        maps = []
        for index in range(len(BLOCKS)):
            x = self.get_submodule(f"layer{index + 1}")(x)
            maps.append(x)
        return maps

    def load_imagenet(self, path: Path) -> None:
        """Fill the layers with torchvision's weights: a state dict, `.pth` or `.safetensors`.

        Raises:
            ValueError: the file is missing, or holds something else.
        """
        try:
            tensors = (
                load_file(path)
                if path.suffix == ".safetensors"
                else torch.load(path, map_location="cpu", weights_only=True)
            )
            kept = {
                name: tensor
                for name, tensor in tensors.items()
                if not name.startswith("fc.") and not name.endswith("num_batches_tracked")
            }
            kept["conv1.weight"] = kept["conv1.weight"].flip(1)  # those are for RGB
            self.load_state_dict(kept)
        except (UnpicklingError, EOFError) as exc:  # they advise to run what is in the file
            raise ValueError(f"{path} does not hold the weights of a ResNet-50") from exc
        except (OSError, SafetensorError, RuntimeError, KeyError, AttributeError, ValueError) as exc:
            raise ValueError(f"{path} does not hold the weights of a ResNet-50: {exc}") from exc


def _stage(channels: int, planes: int, blocks: int, stride: int) -> nn.Sequential:
    shortcut = nn.Sequential(
        nn.Conv2d(channels, 4 * planes, 1, stride, bias=False), FrozenBatchNorm2d(4 * planes)
    )
    first = Bottleneck(channels, planes, stride, shortcut, norm_layer=FrozenBatchNorm2d)
    rest = [Bottleneck(4 * planes, planes, norm_layer=FrozenBatchNorm2d) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)


class PyramidTrunk(nn.Module):
    """ResNet-50 and feature pyramid: RGB pictures to P2 to P7."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.resnet = ResNet(width)
        self.pyramid = FeaturePyramidNetwork(
            [width * 2**index for index in range(len(BLOCKS))],
            width,
            extra_blocks=LastLevelP6P7(width, width),  # of equal widths: from P5
        )
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)
        self.mean: Tensor
        self.std: Tensor

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map RGB pictures (B, 3, H, W) in 0-255, sides multiples of 32, to maps (B, C, H / s, W / s).

        The strides s are 4 to 128; the sides of the last two maps are rounded up.
        """
        maps = self.resnet((images.flip(1) - self.mean) / self.std)
        named = OrderedDict((str(index), x) for index, x in enumerate(maps))
        return list(self.pyramid(named).values())
