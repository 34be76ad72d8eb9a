import torch

from model import stages
from model.embedder import stretch_words
from model.retriever import Retriever


def test_stages_in_turn_are_the_network(tiny: Retriever) -> None:
    crops = torch.rand(3, 3, 48, 96) * 255
    embeddings, logits = tiny.embed_crops(crops)
    sequences, read = stages.Reading(tiny)(crops)
    assert sequences.shape == (3, tiny.config.reading, tiny.config.steps)
    assert torch.equal(read, logits)
    assert torch.equal(stages.SequenceEmbedding(tiny)(sequences), embeddings)


def test_words_are_embedded(tiny: Retriever) -> None:
    words = stretch_words([[1, 2], [3]], tiny.config.steps)
    assert torch.equal(stages.WordEmbedding(tiny)(*words), tiny.embed_words(*words))


def test_detection_gives_points_and_the_maps_they_come_from(tiny: Retriever) -> None:
    images = torch.rand(1, 3, 64, 96) * 255
    points, *maps = stages.Detection(tiny)(images)
    assert torch.equal(points, tiny.detector(images)[0])
    assert [tuple(level.shape[2:]) for level in maps] == [(16, 24), (8, 12), (4, 6), (2, 3)]


def test_detection_gives_the_first_features_too_where_words_are_read_in_them(tiny_joint: Retriever) -> None:
    images = torch.rand(1, 3, 64, 96) * 255
    points, *maps, first = stages.Detection(tiny_joint)(images)
    assert torch.equal(points, tiny_joint.detector(images)[0])
    assert len(maps) == 4
    assert first.shape == (1, 4, 32, 48)
