import numpy as np
import pytest
import torch
from torch import nn

from model import boxes, transforms
from model.photo import Reading, WorkingPhoto
from model.recognizer import Transcript

D = 3


def photo_with(*quads: list[list[float]], scores: list[float] | None = None) -> WorkingPhoto:
    photo = WorkingPhoto.prepare(np.zeros((100, 400, 3), np.uint8), 400)
    photo.add(torch.tensor(quads), torch.tensor(scores or [0.5] * len(quads)))
    return photo


def box(x0: float, y0: float, x1: float, y1: float) -> list[list[float]]:
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


def read_as(
    photo: WorkingPhoto, *texts: str, confidence: float = 0.9, breaks: list[float] | None = None
) -> None:
    for index, text in zip(photo.unread(), texts, strict=True):
        photo.readings[index] = Reading(Transcript(text, 0.9, breaks or []), torch.ones(D))


def test_a_large_photo_is_shrunk_and_its_proposals_are_not() -> None:
    photo = WorkingPhoto.prepare(np.zeros((200, 800, 3), np.uint8), 400)
    assert photo.pixels.shape == (3, 100, 400)
    photo.add(torch.tensor([box(10, 20, 60, 40)]), torch.tensor([0.5]))
    read_as(photo, "word")
    found = photo.proposals(torch.ones(len(photo.readings), D))
    np.testing.assert_allclose(found.boxes, [[20, 40, 120, 80]])
    np.testing.assert_allclose(np.linalg.norm(found.embeddings, axis=1), 1, atol=1e-6)
    assert found.transcripts == ["word"]


def test_boxes_end_at_the_edge_of_the_photo() -> None:
    photo = photo_with(box(-10, -5, 500, 40))
    read_as(photo, "word")
    np.testing.assert_allclose(photo.proposals(torch.ones(len(photo.readings), D)).boxes, [[0, 0, 400, 40]])


@pytest.mark.parametrize("centre", [(150, 90), (-8, 40), (310, 210), (900, 900)])
@pytest.mark.parametrize("height", [20, 150, 420])
def test_a_crop_is_that_of_the_whole_photo(centre: tuple[float, float], height: float) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (201, 301, 3), np.uint8)
    photo = WorkingPhoto.prepare(pixels, 400)
    quad = boxes.rotated_to_quads(torch.tensor([[*centre, 2.0 * height, height, 0.3]]))
    photo.add(quad, torch.ones(1))
    wide = boxes.widen_quads(quad, transforms.MARGIN_ALONG, transforms.MARGIN_ACROSS)
    whole = photo.pixels.float()
    while height > 2 * transforms.CROP_HEIGHT:
        whole, wide, height = nn.functional.avg_pool2d(whole, 2, ceil_mode=True), wide / 2, height / 2
    torch.testing.assert_close(
        photo.crops([0], 48)[0], transforms.crop_quads(whole, wide, 96), rtol=0, atol=0.1
    )


@pytest.mark.parametrize(
    ("readings", "kept"),
    [
        # upright, turned one way, turned the other
        ([("i", 0.9), ("exit", 0.8), ("lixa", 0.3)], "exit"),
        ([("i", 0.9), ("lixa", 0.3), ("exit", 0.8)], "exit"),
        ([("I", 0.9), ("-", 0.8), ("", 0.0)], "I"),
    ],
)
def test_a_tall_region_is_kept_the_way_it_is_read_best(readings: list[tuple[str, float]], kept: str) -> None:
    photo = photo_with(box(10, 10, 30, 90), box(50, 10, 90, 30))
    groups = photo.turn_tall()
    assert len(photo.quads) == 4  # the wide one has one version
    texts = [readings[0], ("wide", 0.9), *readings[1:]]
    for index, (text, confidence) in enumerate(texts):
        photo.readings[index] = Reading(Transcript(text, confidence, []), torch.ones(D))
    photo.keep_surest(groups)
    found = photo.proposals(torch.ones(len(photo.readings), D))
    assert sorted(found.transcripts) == sorted([kept, "wide"])
    np.testing.assert_allclose(np.sort(found.boxes, 0), [[10, 10, 30, 30], [50, 10, 90, 90]])


def test_turned_versions_are_read_upwards_and_downwards() -> None:
    photo = photo_with(box(10, 10, 30, 90))
    photo.turn_tall()
    starts = photo.quads[:, 0].tolist()
    assert starts == [[10, 10], [10, 90], [30, 10]]


def test_words_of_a_line_become_regions() -> None:
    photo = photo_with(box(100, 20, 300, 40), scores=[0.7])
    read_as(photo, "coffee shop", breaks=[0.5])
    photo.split_lines()
    assert photo.unread() == [1, 2]
    assert photo.scores.tolist() == pytest.approx([0.7] * 3)
    # The space is in the middle; a tenth of the height stays free on either side, where crops are wider.
    np.testing.assert_allclose(photo.quads[1], box(100, 20, 198, 40), atol=1e-3)
    np.testing.assert_allclose(photo.quads[2], box(202, 20, 300, 40), atol=1e-3)


def test_a_word_is_no_line() -> None:
    photo = photo_with(box(100, 20, 300, 40))
    read_as(photo, "coffee")
    photo.split_lines()
    assert len(photo.quads) == 1


def test_a_photo_without_text_has_no_proposals() -> None:
    photo = photo_with()
    assert photo.turn_tall() == []
    photo.keep_surest([])
    photo.split_lines()
    found = photo.proposals(torch.ones(len(photo.readings), D))
    assert found.embeddings.shape == (0, D)
    assert found.quads.shape == (0, 4, 2)


@pytest.mark.parametrize(
    ("texts", "joined"),
    [
        (("出", "口", "出", "x", "出口"), [[10, 10, 82, 42]]),  # the third is the first one again
        (("e", "x", "e", "i", "t"), []),  # letters are no words
        (("出", "口子", "出", "x", "y"), []),  # two characters are one already
    ],
)
def test_a_word_taken_apart_is_joined(texts: tuple[str, ...], joined: list[list[float]]) -> None:
    photo = photo_with(
        box(10, 10, 40, 40),
        box(52, 18, 82, 42),
        box(11, 11, 41, 41),
        box(92, 10, 122, 40),
        box(10, 60, 40, 90),  # on another line
        scores=[0.9, 0.8, 0.5, 0.9, 0.9],
    )
    read_as(photo, *texts)
    photo.join_characters()
    assert boxes.quads_to_boxes(photo.quads[5:]).tolist() == joined
    assert photo.scores[5:].tolist() == pytest.approx([0.8] * len(joined))
    assert photo.unread() == list(range(5, 5 + len(joined)))


def test_characters_of_one_line_are_joined_all_together_whichever_way_it_slants() -> None:
    turned = [
        boxes.rotated_to_quads(torch.tensor([[60.0 + 40 * n, 20 + 20 * n, 40, 40, 0.46]])) for n in range(4)
    ]
    photo = photo_with(*(quads[0].tolist() for quads in turned))
    read_as(photo, *"北京大学")
    photo.join_characters()
    (joined,) = boxes.quads_to_rotated(photo.quads[4:]).tolist()
    assert joined == pytest.approx([120, 50, 174, 40, 0.46], abs=1)


def test_no_region_has_nothing_to_join() -> None:
    photo = photo_with()
    photo.join_characters()
    assert len(photo.quads) == 0
