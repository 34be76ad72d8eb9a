"""Finds, reads and embeds the text of photos with the preset `paper`: one pass for everything."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model import boxes, transforms
from model.paper.head import select
from model.paper.network import PaperNetwork
from model.photo import Proposals, Search, unit
from model.recognizer import Transcript, read

Size = tuple[int, int]  # height and width in pixels
UNREAD = Transcript("", 0.0, [])


@dataclass(frozen=True)
class Found:
    """Words seen in a photo at one size: boxes (N, 4) in pixels of the photo, scores (N,) and the rest."""

    boxes: Tensor
    scores: Tensor
    embeddings: Tensor
    transcripts: list[Transcript]


class PaperFinder:
    """Runs the network in torch, also on a processor."""

    def __init__(self, network: PaperNetwork, options: Search, device: torch.device, threads: int) -> None:
        """Keep what the first photo will need.

        Args:
            network: In evaluation mode.
            options: How to search; of several sizes every region stays, so the best of all counts.
            device: Where to compute.
            threads: On a processor.
        """
        self._network, self._options, self._device, self._threads = network, options, device, threads

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> list[Proposals]:
        """See `Encoder.encode_images`."""
        found: list[list[Found]] = [[] for _ in images]
        pictures = [transforms.picture(image) for image in images]
        for longer_side in self._options.longer_sides:
            groups: dict[Size, list[int]] = {}
            for index, picture in enumerate(pictures):
                groups.setdefault(_size(picture, longer_side), []).append(index)
            for size, members in groups.items():
                for start in range(0, len(members), self._options.batch):
                    part = members[start : start + self._options.batch]
                    for index, words in zip(
                        part, self._search([pictures[i] for i in part], size), strict=True
                    ):
                        found[index].append(words)
        return [_pool(words, image) for words, image in zip(found, images, strict=True)]

    def locate(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `Encoder.locate`."""
        found = self.encode([image])[0]
        return found.quads, found.scores

    def embed_quads(self, image: NDArray[np.uint8], quads: NDArray[np.float32]) -> Proposals:
        """See `Encoder.embed_quads`; of the quads their axis-aligned hulls are read, at the first size."""
        picture = transforms.picture(image)
        size = _size(picture, self._options.longer_sides[0])
        regions = boxes.quads_to_boxes(torch.from_numpy(quads).float()) * _ratio(picture, size)
        batch, maps, _ = self._run([picture], size)
        return _pool(self._read(batch, maps, [picture], [(regions, torch.ones(len(quads)))]), image)

    def _search(self, pictures: Sequence[Tensor], size: Size) -> list[Found]:
        """Return the words of photos (3, h, w), seen at one size."""
        batch, maps, points = self._run(pictures, size)
        least, most = self._options.min_score, self._options.max_proposals
        words = [select(row, *size, min_score=least, top_k=most) for row in points]
        return self._read(batch, maps, pictures, words)

    @torch.inference_mode()
    def _run(self, pictures: Sequence[Tensor], size: Size) -> tuple[Tensor, list[Tensor], Tensor]:
        """Return the photos as one batch, its maps and its points."""
        if self._device.type == "cpu":
            torch.set_num_threads(self._threads)
        resized = torch.stack([transforms.resize(picture, *size) for picture in pictures])
        batch = resized.to(self._device).float()
        maps, points = self._network.to(self._device)(batch)
        return batch, maps, points

    @torch.inference_mode()
    def _read(
        self,
        batch: Tensor,
        maps: Sequence[Tensor],
        pictures: Sequence[Tensor],
        words: Sequence[tuple[Tensor, Tensor]],
    ) -> list[Found]:
        """Embed and read words: for each photo boxes (N, 4) in input pixels and scores (N,)."""
        network, size = self._network, (batch.shape[2], batch.shape[3])
        sequences = network.sequences(batch, maps, [found.to(self._device) for found, _ in words])
        embedded = network.embed_sequences(sequences)
        transcripts = [UNREAD] * len(sequences)
        if network.classifier:
            transcripts = read(network.classifier(sequences), network.config.charset)
        result, start = [], 0
        for picture, (found, scores) in zip(pictures, words, strict=True):
            end = start + len(found)
            places = found.cpu() / _ratio(picture, size)
            result.append(Found(places, scores.cpu(), embedded[start:end].cpu(), transcripts[start:end]))
            start = end
        return result


def _size(picture: Tensor, longer_side: int) -> Size:
    return transforms.fit(picture.shape[1], picture.shape[2], longer_side)


def _ratio(picture: Tensor, size: Size) -> Tensor:
    """Return the factors (4,) from boxes in pixels of a photo to those at another size."""
    return torch.tensor([size[1] / picture.shape[2], size[0] / picture.shape[1]]).repeat(2)


def _pool(words: Sequence[Found], image: NDArray[np.uint8]) -> Proposals:
    """Return the proposals of one photo, best first, from what was found at all sizes."""
    scores = torch.cat([found.scores for found in words])
    order = scores.argsort(descending=True, stable=True)
    transcripts = [transcript for found in words for transcript in found.transcripts]
    chosen = [transcripts[index] for index in order.tolist()]
    height, width = image.shape[:2]
    hulls = boxes.clip_boxes(torch.cat([found.boxes for found in words])[order], width, height)
    return Proposals(
        boxes=hulls.numpy(),
        quads=boxes.boxes_to_quads(hulls).numpy(),
        scores=scores[order].numpy(),
        transcripts=[transcript.text for transcript in chosen],
        confidences=np.array([transcript.confidence for transcript in chosen], np.float32),
        embeddings=unit(torch.cat([found.embeddings for found in words])[order]),
    )
