"""The whole network of the preset `paper` (Fig. 2): one trunk, detection, Image-S2SM, text branch.

Shape legend: B pictures, N regions or words, T = 15 steps, C = 128 numbers a step; width = 2 C = 256.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn
from torchvision.ops import MultiScaleRoIAlign

from model.charset import LATIN
from model.embedder import TextBranch, embed
from model.paper.head import FcosHead, conv_group_norm
from model.paper.trunk import PyramidTrunk

ROI_HEIGHT, ROI_LEVELS = 4, 3  # of P2 to P4


@dataclass(frozen=True)
class PaperConfig:
    """Sizes of the network; the defaults are the paper's.

    Attributes:
        charset: Characters that can be searched for and read.
        width: 2 C: channels of pyramid, head and branches; a quarter is that of the stem. A multiple of 8.
        steps: T, width of a region's features and length of an embedding in time.
        reading: Whether there is a classifier of characters, which the CTC loss needs.
    """

    charset: str = LATIN
    width: int = 256
    steps: int = 15
    reading: bool = True

    @property
    def channels(self) -> int:
        """C, numbers a step."""
        return self.width // 2

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
        self.text_branch = TextBranch(len(config.charset), config.width, config.channels, config.steps)
        self.classifier = nn.Linear(config.channels, len(config.charset) + 1) if config.reading else None

    def unfreeze(self) -> None:
        """Have everything trained but stem and res2."""
        self.requires_grad_(True)
        self.trunk.resnet.freeze()

    def forward(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """Map RGB pictures (B, 3, H, W) in 0-255, sides multiples of 32, to P2 to P7 and points (B, P, 6)."""
        maps: list[Tensor] = self.trunk(images)
        return maps, self.head(maps[1:])

    def embed_regions(
        self, maps: Sequence[Tensor], regions: Sequence[Tensor], size: tuple[int, int]
    ) -> tuple[Tensor, Tensor | None]:
        """Return embeddings (N, T * C) and character logits (N, T, 1 + characters), blank first.

        Args:
            maps: Of the trunk, P2 to P7.
            regions: Boxes (n, 4) xyxy in input pixels of each picture; N in all.
            size: Height and width of the pictures in pixels.
        """
        levels = OrderedDict((str(index), maps[index].float()) for index in range(ROI_LEVELS))
        features = self.align(levels, list(regions), [size] * len(regions))
        sequences = self.image_branch(features)
        logits = self.classifier(sequences).float() if self.classifier else None
        return embed(sequences.float()), logits

    def embed_words(self, numbers: Tensor, stretch: Tensor) -> Tensor:
        """Map words, as `stretch_words` prepares them, to embeddings (N, T * C)."""
        return embed(self.text_branch(numbers, stretch).float())
