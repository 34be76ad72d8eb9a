"""The whole network of the preset `paper` (Fig. 2): one trunk, detection, Image-S2SM, text branch.

Shape legend: B pictures, N regions or words, T = 15 steps, C = 128 numbers a step; width = 2 C = 256.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import MultiScaleRoIAlign, roi_align

from model.charset import LATIN
from model.embedder import TextBranch, embed
from model.paper import phoc
from model.paper.head import FcosHead, conv_group_norm
from model.paper.trunk import PyramidTrunk

ROI_HEIGHT, ROI_LEVELS = 4, 3  # of P2 to P4
CROP = (64, 256)  # height and width in pixels of what a trunk of its own sees of a region


@dataclass(frozen=True)
class PaperConfig:
    """Sizes of the network; the defaults are the paper's.

    Attributes:
        charset: Characters that can be searched for and read.
        width: 2 C: channels of pyramid, head and branches; a quarter is that of the stem. A multiple of 8.
        steps: T, width of a region's features and length of an embedding in time.
        reading: Whether there is a classifier of characters, which the CTC loss needs.
        target: What embeddings are: `similarity`, or `phoc`, histograms of characters (Table 5).
        separate: Whether regions are seen by a trunk of their own, in crops of the picture (Table 4).
    """

    charset: str = LATIN
    width: int = 256
    steps: int = 15
    reading: bool = True
    target: str = "similarity"
    separate: bool = False

    @property
    def channels(self) -> int:
        """C, numbers a step."""
        return self.width // 2

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        return phoc.dimension(self.charset) if self.target == "phoc" else self.steps * self.channels

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "PaperConfig":
        """Build a configuration from what `to_dict` gave."""
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


class ImageS2SM(nn.Module):
    """Features of regions to sequences (Table 1)."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(*(conv_group_norm(width, (2, 1)) for _ in range(2)))
        self.recurrent = nn.LSTM(width, width, batch_first=True, bidirectional=True)
        self.project = nn.Linear(2 * width, channels)

    def forward(self, regions: Tensor) -> Tensor:
        """Map features (N, width, 4, T) to sequences (N, T, C)."""
        x = self.convolutions(regions).mean(2).transpose(1, 2)
        result: Tensor = self.project(self.recurrent(x)[0])
        return result


class PaperNetwork(nn.Module):
    """Trunk, detection head, Image-S2SM, text branch and the classifier of characters."""

    def __init__(self, config: PaperConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = PyramidTrunk(config.width)
        self.head = FcosHead(config.width)
        names = [str(level) for level in range(ROI_LEVELS)]
        # Level floor(4 + log2(sqrt(area) / 224)), within P2 to P4.
        self.align = MultiScaleRoIAlign(names, (ROI_HEIGHT, config.steps), 1)
        self.image_branch = ImageS2SM(config.width, config.channels)
        self.text_branch: TextBranch | None = None
        self.histogram: nn.Linear | None = None
        if config.target == "phoc":
            self.histogram = nn.Linear(config.steps * config.channels, config.dimension)
            # As rare as in words from the start: else that is learned first, and all words become alike.
            nn.init.constant_(self.histogram.bias, phoc.PRIOR_LOGIT)
        else:
            self.text_branch = TextBranch(len(config.charset), config.width, config.channels, config.steps)
        self.crop_trunk = PyramidTrunk(config.width) if config.separate else None
        # The blank comes first, as in the other preset; the authors have it last, which is the same network.
        self.classifier = nn.Linear(config.channels, len(config.charset) + 1) if config.reading else None

    def unfreeze(self) -> None:
        """Have everything trained but stem and res2."""
        self.requires_grad_(True)
        for trunk in self.trunks():
            trunk.resnet.freeze()

    def trunks(self) -> list[PyramidTrunk]:
        """Return the one trunk, or both."""
        return [self.trunk, self.crop_trunk] if self.crop_trunk else [self.trunk]

    def forward(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """Map RGB pictures (B, 3, H, W) in 0-255, sides multiples of 32, to P2 to P7 and points (B, P, 6)."""
        maps: list[Tensor] = self.trunk(images)
        return maps, self.head(maps[1:])

    def sequences(self, images: Tensor, maps: Sequence[Tensor], regions: Sequence[Tensor]) -> Tensor:
        """Return sequences (N, T, C) of regions.

        Args:
            images: As for `forward`.
            maps: What `forward` gave for them, P2 to P7.
            regions: Boxes (n, 4) xyxy in input pixels of each picture; N in all.
        """
        size = (images.shape[2], images.shape[3])
        if self.crop_trunk and sum(map(len, regions)):
            crops = roi_align(images, list(regions), CROP, aligned=True)
            maps, size = self.crop_trunk(crops), CROP
            regions = [crops.new_tensor([[0, 0, CROP[1], CROP[0]]])] * len(crops)
        levels = OrderedDict((str(index), maps[index].float()) for index in range(ROI_LEVELS))
        features = self.align(levels, list(regions), [size] * len(regions))
        with torch.autocast(features.device.type, enabled=False):  # cuDNN's LSTM would compute in float16
            result: Tensor = self.image_branch(features)
        return result

    def embed_sequences(self, sequences: Tensor) -> Tensor:
        """Map sequences (N, T, C) of regions to embeddings (N, D) of unit length."""
        if self.histogram:
            return F.normalize(self.histogram(sequences.flatten(1)).sigmoid(), dim=1)
        return embed(sequences)

    def embed_words(self, numbers: Tensor, stretch: Tensor) -> Tensor:
        """Map words, as `stretch_words` prepares them, to embeddings (N, D) of unit length."""
        if self.text_branch:
            return embed(self.text_branch(numbers, stretch))
        return F.normalize(phoc.phoc(numbers, self.config.charset), dim=1)
