"""The door into the network: photos to proposals, words to embeddings."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Protocol

import numpy as np
import openvino
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model import checkpoint, runtime, stages
from model.charset import Charset
from model.embedder import stretch_words
from model.finder import Finder
from model.legibility import Spelling
from model.paper.finder import PaperFinder
from model.photo import Proposals, Search, unit
from model.retriever import Retriever
from model.spelling import Speller, means

__all__ = ["DEFAULT_CHECKPOINT", "Encoder", "Proposals"]

DEFAULT_CHECKPOINT = checkpoint.DEFAULT_CHECKPOINT
WORD_PADDING = 16  # words are padded to multiples of so many characters: new shapes take a network longer
WORD_BATCH = 64  # of many words: others may be waiting to have one encoded


class PhotoSide(Protocol):
    """The half of a network that looks at photos; its calls are those of `Encoder`."""

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> list[Proposals]:
        """See `Encoder.encode_images`."""

    def locate(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `Encoder.locate`."""

    def embed_quads(self, image: NDArray[np.uint8], quads: NDArray[np.float32]) -> Proposals:
        """See `Encoder.embed_quads`."""


class Encoder:
    """Runs a trained network on photos and words.

    The parts for photos are prepared at the first photo: a process that only encodes words stays small.
    Calls are safe from several threads; photos are encoded one call at a time.
    """

    def __init__(
        self,
        path: Path = DEFAULT_CHECKPOINT,
        *,
        device: str = "auto",
        threads: int | None = None,
        longer_sides: Sequence[int] | None = None,
        min_score: float | None = None,
        max_proposals: int = 100,
        cache_dir: Path | None = None,
        judge: bool = True,
    ) -> None:
        """Load a network.

        Args:
            path: Checkpoint.
            device: See `runtime.choose`.
            threads: Processor threads; all cores by default.
            longer_sides: Sizes at which photos are searched for words; several are pooled; the checkpoint's
                own by default.
            min_score: Detector score below which a region is not read; the checkpoint's own by default.
            max_proposals: At most so many proposals a photo.
            cache_dir: Folder for converted networks; without it every start takes some seconds longer.
            judge: Keep and correct regions as the checkpoint says, if it does; otherwise all are returned as
                they are, with what each may say.

        Raises:
            ValueError: the checkpoint or the device cannot be used.
        """
        loaded = checkpoint.load(path)
        self.version = loaded.version
        self.config = loaded.network.config
        self.dimension = self.config.dimension
        self.charset = Charset(self.config.charset)
        self._network = loaded.network
        self._eight_bits = loaded.extras.eight_bits
        self._query_basis = loaded.extras.query_basis
        self._device, self._engine = runtime.choose(device)
        self._threads = threads or runtime.default_threads()
        self._cache_dir = cache_dir
        self._lock = threading.Lock()
        self._text_lock = threading.Lock()
        self._text: runtime.Compiled | None = None
        options = Search(
            longer_sides=tuple(longer_sides or [loaded.longer_side]),
            min_score=float(loaded.card["min_score"]) if min_score is None else min_score,
            max_proposals=max_proposals,
            # A processor gains nothing from several photos at once, a GPU does.
            batch=8 if self._device.type == "cuda" else 1,
            squeeze=loaded.squeeze,
        )
        self._judge, self._rule = judge, loaded.legibility if judge else None
        self._speller: Speller | None = None
        self._photos = self._photo_side(options)

    def _photo_side(self, options: Search) -> PhotoSide:
        if isinstance(self._network, Retriever):
            crew = runtime.Crew(self._engine, self._threads)
            compile_part = partial(self._compile, streams=crew.size)
            self._speller = Speller(self._network.config.characters, self.charset.fold)
            return Finder(self._network, options, compile_part, crew, self._speller)
        return PaperFinder(self._network, options, self._device, self._threads)

    @cached_property
    def query_basis(self) -> NDArray[np.float32] | None:
        """Orthonormal vectors (B, D) in which most of every query lies, if the checkpoint has them."""
        if self._query_basis is None:
            return None
        # Without the errors of half precision.
        basis: NDArray[np.float32] = torch.linalg.qr(self._query_basis.T).Q.T.contiguous().numpy()
        return basis

    def encode_texts(self, words: Sequence[str]) -> NDArray[np.float32]:
        """Return the embeddings float32 (N, D) of words, each of unit length.

        Raises:
            ValueError: a word has no character that the network knows.
        """
        parts = [words[start : start + WORD_BATCH] for start in range(0, len(words), WORD_BATCH)]
        return np.concatenate([np.empty((0, self.dimension), np.float32), *map(self._encode_words, parts)])

    def _encode_words(self, words: Sequence[str]) -> NDArray[np.float32]:
        characters = [self.charset.encode(word) for word in words]
        # For every number of words kernels are prepared, too: it is a power of two.
        characters += characters[-1:] * ((1 << (len(words) - 1).bit_length()) - len(words))
        numbers, stretch = stretch_words(characters, self.config.steps, WORD_PADDING)
        with self._text_lock:
            if self._text is None:
                self._text = self._compile("words", stages.WordEmbedding(self._network), [numbers, stretch])
            embeddings = self._text(numbers, stretch)[: len(words)]
        return unit(embeddings)

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> list[Proposals]:
        """Find, read and embed the text of photos.

        Args:
            images: uint8 RGB (H, W, 3) of any size, upright. Crops of all of them are read in common batches.

        Returns:
            The proposals of each photo, in the order of the photos.
        """
        with self._lock:
            found = self._photos.encode(images)
        if self._rule is not None:
            found = list(map(self._rule.judged, found, self.spell(found)))
        return list(map(self._packed, found)) if self._judge else found

    def spell(self, found: Sequence[Proposals]) -> list[Spelling]:
        """Return what was read in the regions of photos, and the mean embeddings of what each may say.

        Raises:
            ValueError: it is the network of the paper, which does not note what regions may say.
        """
        if self._speller is None:
            raise ValueError("the network of the paper does not note what regions may say")
        spellings = [self._speller.spell(steps) for proposals in found for steps in proposals.steps]
        ends = np.cumsum([len(proposals.steps) for proposals in found])[:-1]
        of_photos = np.split(means(spellings, self.encode_texts, self.dimension), ends)
        texts = [[self.charset.fold(text) for text in proposals.transcripts] for proposals in found]
        return list(map(Spelling, texts, of_photos))

    def locate(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Find the text of a photo without reading it.

        Args:
            image: uint8 RGB (H, W, 3) of any size, upright.

        Returns:
            Corners (N, 4, 2) in pixels, clockwise from the reading start; detector scores (N,). Best first.
        """
        with self._lock:
            return self._photos.locate(image)

    def embed_quads(self, image: NDArray[np.uint8], quads: NDArray[np.float32]) -> Proposals:
        """Read and embed given regions of a photo; their detector score is 1.

        Args:
            image: uint8 RGB (H, W, 3).
            quads: Corners (N, 4, 2) in pixels, clockwise from the reading start.

        Returns:
            All of them, in their order.
        """
        with self._lock:
            found = self._photos.embed_quads(image, quads)
        if self._rule is not None:
            (spelling,) = self.spell([found])
            found = self._rule.corrected(found, spelling.embeddings)
        return self._packed(found) if self._judge else found

    def _packed(self, found: Proposals) -> Proposals:
        """Return proposals as they are stored."""
        posteriors = list(map(self._speller.pack, found.steps)) if self._speller else []
        return replace(found, steps=[], posteriors=posteriors)

    def _compile(
        self,
        name: str,
        module: nn.Module,
        examples: Sequence[Tensor],
        *,
        streams: int = 1,
        half: bool = True,
    ) -> runtime.Compiled:
        ready = self._eight_bits.get(name)
        if name == "detector" and ready:
            half = False  # so few layers are left that going to and fro takes longer than it saves
        cache = self._cache_dir and self._cache_dir / f"{self.version[:16]}-{name}-{openvino.__version__}"
        return runtime.Compiled(
            module,
            examples,
            device=self._device,
            engine=self._engine,
            threads=self._threads,
            streams=streams,
            half=half,
            ready=ready,
            cache=cache,
        )
