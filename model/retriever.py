"""The whole network: detection, reading and the two branches of the similarity.

Of the presets `accurate` and `joint`: the second reads what the detector's trunk sees of a word.
"""

from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

from model import transforms
from model.backbone import TrunkConfig
from model.charset import LATIN
from model.detector import Detector
from model.embedder import ImageBranch, TextBranch, embed
from model.recognizer import Recognizer, SharedRecognizer
from model.refiner import Refiner
from model.shared import seen_channels

_GATED = (True, False)
# PP-OCRv6 small.
DETECTION_TRUNK = TrunkConfig(
    stem=24, channels=(48, 96, 192, 384), excite=(_GATED, _GATED, _GATED * 2, _GATED), strides=((2, 2),) * 3
)
READING_TRUNK = TrunkConfig(
    stem=48, channels=(96, 192, 384), excite=((True, False, False), _GATED * 3, _GATED), strides=((2, 1),) * 2
)


@dataclass(frozen=True)
class RetrieverConfig:
    """Sizes of the network; the defaults are the preset `accurate`.

    Attributes:
        charset: Characters that can be searched for.
        characters: Characters of the transcripts, in the classifier's order after the blank.
        steps: T, length of an embedding in time.
        channels: C, numbers a step.
        crop_height: Rows in which a word is read.
        refining: Channels of the second look at proposals; 0: there is none.
        shared: Whether words are read in the detector's maps (preset `joint`), not in crops of the photo.
    """

    charset: str = LATIN
    characters: str = ""
    steps: int = 15
    channels: int = 128
    hidden: int = 256
    pyramid: int = 96
    reading: int = 120
    crop_height: int = transforms.CROP_HEIGHT
    heads: int = 8
    refining: int = 0
    shared: bool = False
    detection_trunk: TrunkConfig = DETECTION_TRUNK
    reading_trunk: TrunkConfig = READING_TRUNK

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        return self.steps * self.channels

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "RetrieverConfig":
        """Build a configuration from what `to_dict` gave, also after a journey through JSON."""
        trunks = {
            name: TrunkConfig(
                stem=values[name]["stem"],
                channels=tuple(values[name]["channels"]),
                excite=tuple(tuple(stage) for stage in values[name]["excite"]),
                strides=_strides(values[name]),
            )
            for name in ("detection_trunk", "reading_trunk")
        }
        return cls(**{**values, **trunks})

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def _strides(trunk: dict[str, Any]) -> tuple[tuple[int, int], ...]:
    # The first files have one for all stages.
    strides = trunk.get("strides") or [trunk["stride"]] * (len(trunk["channels"]) - 1)
    return tuple((down, along) for down, along in strides)


def _recognizer(config: RetrieverConfig) -> Recognizer:
    sizes = config.reading_trunk, config.reading, config.heads, len(config.characters) + 1
    if config.shared:
        return SharedRecognizer(*sizes, seen_channels(config.detection_trunk.stem, config.pyramid))
    return Recognizer(*sizes)


class Retriever(nn.Module):
    """Joins the detector, the reader, Image-S2SM and the text branch (paper, Fig. 2)."""

    def __init__(self, config: RetrieverConfig) -> None:
        super().__init__()
        self.config = config
        self.detector = Detector(config.detection_trunk, config.pyramid)
        self.refiner = Refiner(config.pyramid, config.refining) if config.refining else None
        self.recognizer = _recognizer(config)
        self.image_branch = ImageBranch(config.reading, config.hidden, config.channels, config.steps)
        self.text_branch = TextBranch(len(config.charset), config.hidden, config.channels, config.steps)

    def embed_crops(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Map what `Recognizer.features` takes to embeddings (N, T * C) and character logits."""
        sequence, logits = self.read_crops(crops)
        return self.embed_sequences(sequence), logits

    def read_crops(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Map what `Recognizer.features` takes to sequences (N, F, T) and character logits."""
        sequence, logits = self.recognizer(crops)
        return self.image_branch.resample(sequence), logits

    def embed_sequences(self, sequences: Tensor) -> Tensor:
        """Map sequences (N, F, T) of crops to embeddings (N, T * C)."""
        return embed(self.image_branch(sequences))

    def embed_words(self, numbers: Tensor, stretch: Tensor) -> Tensor:
        """Map words, as `stretch_words` prepares them, to embeddings (N, T * C)."""
        return embed(self.text_branch(numbers, stretch))
