from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model.charset import Charset
from model.encoder import Proposals
from model.evaluation.placing import Placing
from model.evaluation.records import Photo, Word

VOCABULARY = ["cafe", "bar", "noise"]


class OneHot:
    charset = Charset()

    def encode_texts(self, words: list[str]) -> NDArray[np.float32]:
        return np.eye(3, dtype=np.float32)[[VOCABULARY.index(self.charset.fold(word)) for word in words]]


def box(place: int) -> NDArray[np.float32]:
    return np.array([20 * place, 0, 20 * place + 15, 10], np.float32)


def photo(*words: Word) -> Photo:
    return Photo("a", Path("a"), words)


def proposals(*found: tuple[str, int]) -> Proposals:
    """Return proposals that show words at places."""
    boxes = np.array([box(place) for _, place in found], np.float32).reshape(-1, 4)
    quads = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    texts = [text for text, _ in found]
    ones = np.ones(len(found), np.float32)
    return Proposals(boxes, quads, ones, texts, ones, OneHot().encode_texts(texts))


def f_scores(figures: dict[str, dict[str, float]]) -> list[float]:
    return [figures[name]["f_score"] for name in ("deteval", "iou_0.5")]


def test_given_words_leave_false_alarms_out() -> None:
    placing = Placing(OneHot())
    words = photo(Word.of_box(box(0), "Café"), Word.of_box(box(1), "BAR"), Word.of_box(box(3), "#", True))
    placing.add(words, proposals(("noise", 2), ("bar", 1), ("cafe", 0), ("noise", 3)))
    # two of three boxes lie on words; the one on the unreadable word counts not
    assert placing.detection()["iou_0.5"] == pytest.approx(
        {"precision": 2 / 3, "recall": 1, "f_score": 4 / 5}
    )
    assert f_scores(placing.annotation()) == [1, 1]
    assert placing.annotation()["own_word"] == {"recall": 1}


def test_words_that_are_mixed_up_have_boxes_that_are_not_theirs() -> None:
    placing = Placing(OneHot())
    words = photo(Word.of_box(box(0), "cafe"), Word.of_box(box(1), "bar"))
    placing.add(words, proposals(("bar", 0), ("cafe", 1)))
    assert f_scores(placing.annotation()) == [1, 1]
    assert placing.annotation()["own_word"] == {"recall": 0}


@pytest.mark.parametrize("text", ["東", "bar"])  # unknown to the network; not found
def test_a_word_without_a_region_is_missed(text: str) -> None:
    placing = Placing(OneHot())
    placing.add(photo(Word.of_box(box(0), "cafe"), Word.of_box(box(1), text)), proposals(("cafe", 0)))
    assert placing.annotation()["deteval"] == pytest.approx({"precision": 1, "recall": 0.5, "f_score": 2 / 3})
    assert placing.annotation()["own_word"] == {"recall": 0.5}


def test_a_photo_in_which_nothing_is_found_counts() -> None:
    placing = Placing(OneHot())
    placing.add(photo(Word.of_box(box(0), "cafe")), proposals())
    assert f_scores(placing.detection()) == f_scores(placing.annotation()) == [0, 0]


def test_without_places_there_is_nothing_to_measure() -> None:
    placing = Placing(OneHot())
    placing.add(Photo("a", Path("a"), [], ("cafe",)), proposals(("cafe", 0)))
    placing.add(photo(Word.of_box(box(0), None), Word.of_box(box(1), "#", True)), proposals(("cafe", 0)))
    assert (placing.detection(), placing.annotation()) == ({}, {})
