"""Crops of words, and what a reader that is not trained makes of them: read once, learned from many times."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from model import runtime, transforms
from model.charset import Charset
from model.evaluation.dataset import Photo
from model.retriever import Retriever, RetrieverConfig
from model.stages import Reading
from model.training.regions import Crops, Regions, cut, jittered, merge
from model.training.settings import Settings
from model.training.similarity import similarity_loss
from model.training.synthetic import degrade

READ_TOGETHER = 512  # words, of which those of one width share a batch


class Sequences(NamedTuple):
    """What was read: sequences float16 (N, F, T), and what they say, folded; "" for no text."""

    features: Tensor
    texts: list[str]


def crops_of(
    words: Sequence[Photo], config: RetrieverConfig, settings: Settings, rng: np.random.Generator
) -> list[Crops]:
    """Return crops of single words, their corners moved at random, in groups of one width."""
    groups: list[Crops] = []
    charset = Charset(config.charset)
    for photo in words:
        pixels, word = photo.pixels(), photo.words[0]
        if settings.degrade:
            pixels = np.asarray(degrade(rng, Image.fromarray(pixels)))
        image = torch.tensor(pixels, device=settings.device).permute(2, 0, 1).float()
        quads = jittered(rng, torch.from_numpy(word.quad[None]), settings.jitter)
        groups += cut(image, Regions(quads, [word.text or ""]), charset, config.crop_height)
    return merge(groups)


def read_all(retriever: Retriever, words: Sequence[Photo], settings: Settings) -> Sequences:
    """Return the sequences of all these words, each read once; a run that goes on finds them in its folder.

    Raises:
        ValueError: there is no word.
    """
    kept = settings.out / "sequences.pt"
    if kept.exists():
        return Sequences(*torch.load(kept, weights_only=True))
    charset, rng = Charset(retriever.config.charset), np.random.default_rng((settings.seed, 2))
    device, engine = runtime.choose(settings.device)
    example = torch.zeros(1, 3, retriever.config.crop_height, transforms.CROP_WIDTHS[0])
    read = runtime.Compiled(
        Reading(retriever), [example], device=device, engine=engine, threads=settings.threads
    )
    features: list[Tensor] = []
    texts: list[str] = []
    for start in range(0, len(words), READ_TOGETHER):
        for crops, said in crops_of(words[start : start + READ_TOGETHER], retriever.config, settings, rng):
            features.append(read(crops)[0].half().cpu())
            texts += [charset.fold(text) for text in said]
    if not texts:
        raise ValueError("the sets of words have none that the network knows")
    result = Sequences(torch.cat(features), texts)
    part = kept.with_suffix(".part")
    torch.save(tuple(result), part)
    part.replace(kept)
    return result


def sequence_losses(
    retriever: Retriever, read: Sequences, settings: Settings, rng: np.random.Generator
) -> dict[str, Tensor]:
    """Return L_s over some of the sequences."""
    chosen = rng.integers(len(read.texts), size=settings.word_crops)
    texts = [read.texts[index] for index in chosen.tolist()]
    # In float32: it is little, and cuDNN's LSTM would compute in float16.
    regions = retriever.embed_sequences(read.features[torch.from_numpy(chosen)].to(settings.device).float())
    loss = similarity_loss(
        retriever,
        regions,
        texts,
        rng,
        pseudowords=settings.pseudowords,
        pairs=settings.pairs,
        beta=settings.beta,
    )
    return {"similarity": loss}
