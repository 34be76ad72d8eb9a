import hashlib

import pytest
import torch

from model.charset import LATIN, Charset
from model.embedder import stretch_words
from model.paper.phoc import PAIRS, PRIOR_LOGIT, dimension, phoc


def parts(word: str, level: int) -> list[str]:
    """Return the characters of LATIN in each part of a word, sorted."""
    numbers = torch.tensor([Charset().encode(word)])
    found = phoc(numbers, LATIN)[0]
    start = sum(other for other in (2, 3, 4, 5) if other < level) * len(LATIN)
    rows = found[start : start + level * len(LATIN)].view(level, len(LATIN))
    return ["".join(LATIN[column] for column in row.nonzero()[:, 0].tolist()) for row in rows]


@pytest.mark.parametrize(
    ("word", "level", "expected"),
    [
        ("beyond", 2, ["bey", "dno"]),  # the example of Almazan et al.
        ("beyond", 3, ["be", "oy", "dn"]),
        ("abc", 2, ["ab", "bc"]),  # half of the middle is in each half
        ("abc", 4, ["a", "b", "b", "c"]),
        ("a", 2, ["a", "a"]),
        ("a", 3, ["", "", ""]),  # a third is less than half
        ("aa", 2, ["a", "a"]),
        ("24", 5, ["", "", "", "", ""]),  # a fifth is less than half of a half
    ],
)
def test_characters_in_parts_of_words(word: str, level: int, expected: list[str]) -> None:
    assert parts(word, level) == expected


def test_pairs_in_halves() -> None:
    found = phoc(torch.tensor([Charset().encode("then")]), LATIN)[0, 14 * 36 :].view(2, 50)
    assert [{PAIRS[i] for i in row.nonzero()[:, 0].tolist()} for row in found] == [{"th", "he"}, {"he", "en"}]


def test_padding_and_neighbours_do_not_matter() -> None:
    alone = phoc(torch.tensor([[1, 2]]), LATIN)
    beside = phoc(torch.tensor([[1, 2, 0, 0], [3, 4, 5, 6]]), LATIN)
    torch.testing.assert_close(beside[:1], alone)


def test_length_is_that_of_the_literature() -> None:
    assert dimension(LATIN) == 604 == phoc(torch.tensor([[1]]), LATIN).shape[1]
    assert len(set(PAIRS)) == 50
    assert dimension("abc") == 42


def test_pairs_are_those_of_the_published_code() -> None:
    published = "51ecd385e3fabfc79c97d1704da4d0343a8520c540e2c00c6a9277570d764e5d"  # of the list in `cphoc.c`
    assert hashlib.sha256(" ".join(PAIRS).encode()).hexdigest() == published


def test_a_new_network_expects_what_is_as_rare_as_in_words() -> None:
    words = ["coffee", "hotel", "museum", "bakery", "station", "restaurant", "exit", "street"]
    numbers, _ = stretch_words([Charset().encode(word) for word in words], 1)
    expected = torch.tensor(PRIOR_LOGIT).sigmoid()
    assert phoc(numbers, LATIN).mean().item() == pytest.approx(expected.item(), rel=0.2)
