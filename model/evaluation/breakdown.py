"""Which queries are found well and which are not: by length, by kind, by how the words are written."""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from model.evaluation.records import Photo

LENGTHS = {  # characters, the longest
    "1 character": 1,
    "2 characters": 2,
    "3 characters": 3,
    "4 to 5 characters": 5,
    "6 to 8 characters": 8,
    "9 or more characters": 10**9,
}
NAMES = (
    *LENGTHS,
    "letters only",
    "digits only",
    "letters and digits",
    "like a licence plate",
    "capitals wherever it is",
    "small letters somewhere",
)
_LETTER, _DIGIT = re.compile(r"[^\W\d_]"), re.compile(r"\d")


@dataclass(frozen=True)
class Group:
    """Queries that have something in common: their number, and their mean average precision in [0, 1]."""

    queries: int
    mean_average_precision: float


def groups(
    precisions: Mapping[str, float], photos: Sequence[Photo], fold: Callable[[str], str]
) -> dict[str, Group]:
    """Return the groups that have queries.

    Args:
        precisions: Average precision of every query, folded.
        photos: Whose words tell how the queries are written there.
        fold: To the network's characters.
    """
    written: dict[str, set[str]] = defaultdict(set)
    for photo in photos:
        for text in photo.readable():
            written[fold(text)].add(text)
    members: dict[str, list[float]] = defaultdict(list)
    for word, precision in precisions.items():
        for name in (_length(word), *_kinds(word), *_case(written[word])):
            members[name].append(precision)
    return {
        name: Group(len(members[name]), float(np.mean(members[name]))) for name in NAMES if name in members
    }


def _length(word: str) -> str:
    return next(name for name, longest in LENGTHS.items() if len(word) <= longest)


def _kinds(word: str) -> list[str]:
    letters, digits = len(_LETTER.findall(word)), len(_DIGIT.findall(word))
    kinds = ["digits only" if not letters else "letters and digits" if digits else "letters only"]
    # As on plates: two or more of both, together no more than nine.
    if min(letters, digits) >= 2 and len(word) <= 9:
        kinds.append("like a licence plate")
    return kinds


def _case(texts: set[str]) -> list[str]:
    cased = [text for text in texts if text.lower() != text.upper()]
    if not cased:
        return []
    return ["capitals wherever it is" if all(map(str.isupper, cased)) else "small letters somewhere"]
