from pathlib import Path

import pytest

from model.charset import Charset
from model.evaluation.breakdown import NAMES, Group, groups
from model.evaluation.records import Photo


def named(**precisions: float) -> dict[str, Group]:
    """Return the groups of words that one photo shows as they are given."""
    photo = Photo("a", Path("a"), [], tuple(precisions))
    fold = Charset().fold
    return groups({fold(word): value for word, value in precisions.items()}, [photo], fold)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("A", {"1 character", "letters only", "capitals wherever it is"}),
        ("no", {"2 characters", "letters only", "small letters somewhere"}),
        ("BAR", {"3 characters", "letters only", "capitals wherever it is"}),
        ("Café", {"4 to 5 characters", "letters only", "small letters somewhere"}),
        ("coffee", {"6 to 8 characters", "letters only", "small letters somewhere"}),
        ("RESTAURANT", {"9 or more characters", "letters only", "capitals wherever it is"}),
        ("24/7", {"3 characters", "digits only"}),
        ("2nd", {"3 characters", "letters and digits", "small letters somewhere"}),
        (
            "SJC-4417B",
            {"6 to 8 characters", "letters and digits", "like a licence plate", "capitals wherever it is"},
        ),
        ("1000pieces", {"9 or more characters", "letters and digits", "small letters somewhere"}),
    ],
)
def test_a_word_is_in_its_groups(word: str, expected: set[str]) -> None:
    found = named(**{word: 0.5})
    assert set(found) == expected
    assert set(found.values()) == {Group(1, 0.5)}


def test_groups_have_means_in_a_fixed_order() -> None:
    found = named(**{"restaurant": 1.0, "bar": 0.5, "BUS": 0.25})
    assert list(found) == [name for name in NAMES if name in found]
    assert found["3 characters"] == Group(2, 0.375)
    assert found["letters only"].mean_average_precision == pytest.approx(1.75 / 3)


def test_a_word_that_is_written_in_both_ways_is_not_of_capitals() -> None:
    photos = [Photo("a", Path("a"), [], ("BAR", "bar"))]
    assert "small letters somewhere" in groups({"bar": 1.0}, photos, Charset().fold)


def test_a_query_that_no_photo_shows_has_no_case() -> None:
    assert set(groups({"bar": 1.0}, [], Charset().fold)) == {"3 characters", "letters only"}
