import pytest

from indexer.folding import fold, trigrams


@pytest.mark.parametrize(
    ("transcript", "folded"),
    [
        ("", ""),  # nothing was read
        ("Google", "google"),
        ("CAFÉ-24/7", "cafe247"),  # accents and signs don't count
        ("Straße", "strasse"),
        ("İstanbul", "istanbul"),  # its small form is two characters
        ("ＷＩＤＥ", "wide"),  # full width
        ("℡", "tel"),  # one sign for three capital letters
        ("Москва", "москва"),  # other scripts stay
        ("东京", "东京"),
        (" !?\x00", ""),
    ],
)
def test_fold(transcript: str, folded: str) -> None:
    assert fold(transcript) == folded
    assert fold(folded) == folded


@pytest.mark.parametrize(
    ("folded", "expected"),
    [
        ("", []),
        ("a", ["^a$"]),  # the shortest word has one, too
        ("ab", ["^ab", "ab$"]),
        ("aaaa", ["^aa", "aa$", "aaa"]),  # each once
        ("咖啡", ["^咖啡", "咖", "咖啡", "咖啡$", "啡"]),  # one or two characters are a word
        ("a啡b", ["^a啡", "a啡b", "啡", "啡b$"]),  # but not with letters
    ],
)
def test_trigrams(folded: str, expected: list[str]) -> None:
    assert trigrams(folded) == expected
