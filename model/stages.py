"""The parts of the network that run as one call each."""

from torch import Tensor, nn

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
        """Return points and maps of `Detector.forward`; first features too where words are read in them."""
        points, maps, first = self.retriever.detector(images)
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
