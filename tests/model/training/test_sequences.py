from pathlib import Path

import numpy as np
import pytest
import torch

from model import checkpoint
from model.charset import Charset
from model.training.datasets import read_word_crops
from model.training.sequences import crops_of, read_all, sequence_losses
from model.training.train import Run, do_train
from tests.model.training.conftest import Choose, log


def test_all_words_are_read_as_they_are_in_every_step(
    data: Path, tiny_checkpoint: Path, settings: Choose
) -> None:
    network = checkpoint.load(tiny_checkpoint).retriever
    words = read_word_crops(data / "words" / "train.jsonl")
    chosen = settings(jitter=0.0)
    chosen.out.mkdir()
    read = read_all(network, words, chosen)
    assert len(read.texts) == len(read.features) == len(words)
    charset = Charset(network.config.charset)
    for crops, texts in crops_of(words, network.config, chosen, np.random.default_rng(0)):
        sequences = network.read_crops(crops)[0]
        for sequence, text in zip(sequences, texts, strict=True):
            same = [index for index, other in enumerate(read.texts) if other == charset.fold(text)]
            distance = (read.features[same].float() - sequence).abs().amax((1, 2)).min()
            assert distance < 0.05 * sequence.abs().max()
    again = read_all(network, [], chosen)  # of a run that goes on
    assert torch.equal(again.features, read.features)
    assert again.texts == read.texts
    losses = sequence_losses(network, read, chosen, np.random.default_rng(0))
    assert torch.isfinite(losses["similarity"])


def test_a_run_learns_the_similarity_and_nothing_else(
    data: Path, tiny_checkpoint: Path, settings: Choose
) -> None:
    chosen = settings(parts=("similarity",), batch=0, read_once=True)
    run = Run(chosen)
    do_train(run)
    lines = log(chosen)
    assert "similarity" in lines[-1]
    before = checkpoint.load(tiny_checkpoint).retriever.state_dict()
    changed = {name.split(".")[0] for name, t in run.average.state.items() if (t != before[name]).any()}
    assert changed == {"image_branch", "text_branch"}


def test_nothing_to_read_is_an_error(data: Path, tiny_checkpoint: Path, settings: Choose) -> None:
    with pytest.raises(ValueError, match="none that the network knows"):
        read_all(checkpoint.load(tiny_checkpoint).retriever, [], settings())
