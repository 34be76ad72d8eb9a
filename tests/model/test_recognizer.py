import torch

from model.recognizer import read
from model.retriever import Retriever


def test_sequence_has_a_step_every_eight_pixels(tiny: Retriever) -> None:
    sequence, logits = tiny.recognizer(torch.rand(2, 3, 48, 64) * 255)
    assert sequence.shape == (2, 8, 8)
    assert logits.shape == (2, 8, 4)


def test_read_merges_repeats_and_drops_blanks() -> None:
    steps = [1, 1, 0, 1, 2, 2, 0]  # a a - a b b -
    logits = torch.nn.functional.one_hot(torch.tensor([steps]), 4) * 100.0
    words, confidence = read(logits, "abc")
    assert words == ["aab"]
    assert torch.allclose(confidence, torch.ones(1))


def test_confidence_is_that_of_the_least_certain_character() -> None:
    probability = torch.tensor([[[0.1, 0.9, 0.0, 0.0], [0.4, 0.0, 0.6, 0.0], [1.0, 0.0, 0.0, 0.0]]])
    words, confidence = read((probability + 1e-9).log(), "abc")
    assert words == ["ab"]
    assert torch.allclose(confidence, torch.tensor([0.6]), atol=1e-4)


def test_nothing_read_has_no_confidence() -> None:
    words, confidence = read(torch.tensor([[[9.0, 0.0]]]), "a")
    assert words == [""]
    assert confidence.tolist() == [0.0]
