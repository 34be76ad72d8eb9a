"""The parts of the network that run as one call each."""

from torch import Tensor, nn

from model.detector import activate
from model.paper.network import PaperNetwork
from model.retriever import Retriever


class WordEmbedding(nn.Module):
    """Words to embeddings."""

    def __init__(self, network: Retriever | PaperNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, numbers: Tensor, stretch: Tensor) -> Tensor:
        """See `Retriever.embed_words`."""
        return self.network.embed_words(numbers, stretch)


class Detection(nn.Module):
    """Pictures to points, and to the maps for a second look."""

    def __init__(self, retriever: Retriever) -> None:
        super().__init__()
        self.retriever = retriever

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return what `Detector.forward` does, and the maps of `Detector.features`.

        Last, where words are read in the detector's maps, the first features of `Detector.look`.
        """
        first, maps = self.retriever.detector.look(images)
        # Planes are quicker to compute with than rows of seven.
        points = activate(self.retriever.detector.head.planes(maps), dim=1).transpose(1, 2)
        return (points, *maps, first) if self.retriever.config.shared else (points, *maps)


class Reading(nn.Module):
    """Crops of words to sequences and character logits."""

    def __init__(self, retriever: Retriever) -> None:
        super().__init__()
        self.retriever = retriever

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """See `Retriever.read_crops`."""
        return self.retriever.read_crops(crops)


class SequenceEmbedding(nn.Module):
    """Sequences of crops to embeddings."""

    def __init__(self, retriever: Retriever) -> None:
        super().__init__()
        self.retriever = retriever

    def forward(self, sequences: Tensor) -> Tensor:
        """See `Retriever.embed_sequences`."""
        return self.retriever.embed_sequences(sequences)
