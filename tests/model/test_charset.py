import pytest

from model.charset import Charset, UnknownCharactersError


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Google", "google"),  # case
        ("CAFÉ", "cafe"),  # accents
        ("McDonald's", "mcdonalds"),  # punctuation
        ("24/7", "247"),  # digits
        ("straße", "strasse"),  # casefold spells out
        ("ﬁsh №5", "fishno5"),  # compatibility forms
        ("", ""),  # nothing
        ("日本", ""),  # another script
    ],
)
def test_fold_keeps_what_can_be_searched(text: str, folded: str) -> None:
    assert Charset().fold(text) == folded


def test_encode_numbers_characters_from_one() -> None:
    assert Charset().encode("0aZ") == [1, 11, 36]


@pytest.mark.parametrize("word", ["", "!?", "日本", "\0"])
def test_encode_refuses_words_without_known_characters(word: str) -> None:
    with pytest.raises(UnknownCharactersError, match="none of the characters"):
        Charset().encode(word)


def test_another_charset_is_data() -> None:
    assert Charset("日本").encode("日x本") == [1, 2]
