import pytest
import torch

from model.recognizer import SharedRecognizer, Transcript, read
from model.retriever import Retriever
from model.shared import seen_channels


def test_sequence_has_a_step_every_eight_pixels(tiny: Retriever) -> None:
    sequence, logits = tiny.recognizer(torch.rand(2, 3, 48, 64) * 255)
    assert sequence.shape == (2, 8, 8)
    assert logits.shape == (2, 8, 4)


def test_maps_are_read_like_the_crops_they_stand_for(tiny_joint: Retriever) -> None:
    assert isinstance(tiny_joint.recognizer, SharedRecognizer)
    sequence, logits = tiny_joint.recognizer(torch.rand(2, seen_channels(4, 8), 12, 16))
    assert sequence.shape == (2, 8, 8)
    assert logits.shape == (2, 8, 4)
    assert not list(tiny_joint.recognizer.trunk.stem.parameters())  # there is no second stem


def test_read_merges_repeats_and_drops_blanks() -> None:
    steps = [1, 1, 0, 1, 2, 2, 0]  # a a - a b b -
    logits = torch.nn.functional.one_hot(torch.tensor([steps]), 4) * 100.0
    assert read(logits, "abc") == [Transcript("aab", 1.0, [])]


def test_confidence_is_that_of_the_least_certain_character() -> None:
    probability = torch.tensor([[[0.1, 0.9, 0.0, 0.0], [0.4, 0.0, 0.6, 0.0], [1.0, 0.0, 0.0, 0.0]]])
    (found,) = read((probability + 1e-9).log(), "abc")
    assert found.text == "ab"
    assert found.confidence == pytest.approx(0.6, abs=1e-4)


def test_nothing_read_has_no_confidence() -> None:
    assert read(torch.tensor([[[9.0, 0.0]]]), "a") == [Transcript("", 0.0, [])]


def test_spaces_between_words_have_places() -> None:
    steps = [2, 1, 0, 2, 2, 0, 1, 2]  # " a - space space - a space": the first and the last divide nothing
    logits = torch.nn.functional.one_hot(torch.tensor([steps]), 3) * 100.0
    (found,) = read(logits, "a ")
    assert found.text == " a a "
    assert found.breaks == [3.5 / 8]


@pytest.mark.parametrize(
    ("steps", "breaks"),
    [
        ("a.a.a....a.a.a", [7 / 14]),  # two words without a space
        ("a.a.a.a.a.a", []),
        ("a....a.a.a.a", []),  # a letter alone is no word
        ("a.a....a.a", []),  # too short to tell
        ("aa.a.a..a.a", []),  # a gap like others
    ],
)
def test_a_wide_gap_divides_words(steps: str, breaks: list[float]) -> None:
    numbers = torch.tensor([[" a".index(step.replace(".", " ")) for step in steps]])
    (found,) = read(torch.nn.functional.one_hot(numbers, 2) * 100.0, "a")
    assert found.breaks == breaks
