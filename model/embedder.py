"""The two halves of the similarity: Image-S2SM and the text branch (paper, section 3 and Table 1).

Both end in T x C = 15 x 128 numbers; tanh, flattening and normalisation make them an embedding whose inner
product with another is the cosine similarity of Eq. 1.

Shape legend: N words, S steps, L characters, T = 15, C = 128, H = 256 hidden units a direction.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F


def embed(sequence: Tensor) -> Tensor:
    """Return unit vectors (N, T * C) of sequences (N, T, C); Eq. 1 is then an inner product."""
    return F.normalize(sequence.tanh().flatten(1), dim=1)


class ImageBranch(nn.Module):
    """Image-S2SM on the reading trunk's steps: convolution over time, BiLSTM, projection."""

    def __init__(self, features: int, hidden: int, channels: int, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.convolution = nn.Conv1d(features, hidden, 3, padding=1)
        self.recurrent = nn.LSTM(hidden, hidden, batch_first=True, bidirectional=True)
        self.project = nn.Linear(2 * hidden, channels)

    def resample(self, sequence: Tensor) -> Tensor:
        """Stretch a reading sequence (N, S, features) to (N, features, T)."""
        return F.interpolate(sequence.transpose(1, 2), size=self.steps, mode="linear", align_corners=True)

    def forward(self, resampled: Tensor) -> Tensor:
        """Map a resampled sequence (N, features, T) to (N, T, C)."""
        x = self.convolution(resampled).relu().transpose(1, 2)
        result: Tensor = self.project(self.recurrent(x)[0])
        return result


class TextBranch(nn.Module):
    """Word embedding stretched to T steps, pointwise convolution, BiLSTM, projection."""

    def __init__(self, characters: int, hidden: int, channels: int, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.embedding = nn.Embedding(characters + 1, hidden)  # number 0 is the unknown character
        self.pointwise = nn.Linear(hidden, hidden)  # the 1 x 1 convolution of Table 1
        self.recurrent = nn.LSTM(hidden, hidden, batch_first=True, bidirectional=True)
        self.project = nn.Linear(2 * hidden, channels)

    def forward(self, numbers: Tensor, stretch: Tensor) -> Tensor:
        """Map character numbers (N, L) and their stretch matrices (N, T, L) to (N, T, C)."""
        x = self.pointwise(stretch @ self.embedding(numbers)).relu()
        result: Tensor = self.project(self.recurrent(x)[0])
        return result


def stretch_words(words: Sequence[Sequence[int]], steps: int, padding: int = 1) -> tuple[Tensor, Tensor]:
    """Prepare words for the text branch.

    Args:
        words: Character numbers of each word, none empty.
        steps: T, the length they are stretched to.
        padding: L is a multiple of it.

    Returns:
        Numbers int64 (N, L), padded with 0, and matrices float32 (N, T, L) that interpolate each word
        linearly along its own length, first and last character at the ends.
    """
    longest = -(-max(len(word) for word in words) // padding) * padding
    # Of one word, as in a search, arrays take half of the time of tensors.
    numbers = np.zeros((len(words), longest), np.int64)
    stretch = np.zeros((len(words), steps, longest), np.float32)
    for row, word in enumerate(words):
        numbers[row, : len(word)] = word
        stretch[row, :, : len(word)] = _stretch(len(word), steps)
    return torch.from_numpy(numbers), torch.from_numpy(stretch)


@cache
def _stretch(length: int, steps: int) -> NDArray[np.float32]:
    """Return the matrix (T, L) that interpolates a word of this length."""
    identity = torch.eye(length)[None]
    stretched = F.interpolate(identity, size=steps, mode="linear", align_corners=True)[0]
    matrix: NDArray[np.float32] = stretched.T.numpy()
    return matrix
