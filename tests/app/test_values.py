from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from app.values import CollectionName, JsonMinScore, MinScore, Moment, Sha256


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("trip", "trip"),
        (" my trip ", "my trip"),
        ("cafe\N{COMBINING ACUTE ACCENT}", "caf\N{LATIN SMALL LETTER E WITH ACUTE}"),  # as a Mac writes it
    ],
)
def test_names_of_collections_are_tidied(typed: str, kept: str) -> None:
    assert TypeAdapter(CollectionName).validate_python(typed) == kept


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (CollectionName, "", "must have 1 to 100 characters"),
        (CollectionName, " \N{IDEOGRAPHIC SPACE}", "not only spaces"),
        (CollectionName, "a\0", "no control character"),
        (CollectionName, ".", "not be . or .."),  # no address would lead there
        (CollectionName, " .. ", "not be . or .."),
        (CollectionName, "x" * 101, "1 to 100"),
        (MinScore, "sugested", "from -1 to 1, or `suggested`"),
        (MinScore, "2", "from -1 to 1"),
        (JsonMinScore, "0.5", "must be a number"),  # in JSON a text is none
        (Sha256, "A" * 64, "must have 64 characters"),
        (Moment, "0", "must be a moment"),
    ],
)
def test_one_message_says_what_is_meant(kind: Any, value: str, message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(kind).validate_python(value)
    (error,) = refused.value.errors()
    assert message in error["msg"]


def test_scores_are_numbers_or_suggested() -> None:
    assert TypeAdapter(MinScore).validate_python("0.5") == 0.5
    assert TypeAdapter(JsonMinScore).validate_python(0.5) == 0.5
    assert TypeAdapter(JsonMinScore).validate_python("suggested") == "suggested"
