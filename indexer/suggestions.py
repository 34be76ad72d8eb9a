"""What to offer instead of a query: its last word completed, or words that may have been meant."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from rapidfuzz.distance import Levenshtein
from sqlalchemy.orm import Session

from indexer import transcripts
from indexer.folding import fold
from indexer.query_language import Query

# All but the last word, the minus or the quote before it included, and that word.
_LAST_WORD = re.compile(r'(.*?)([^\s"“”„«»-][^\s"“”„«»]*)', re.DOTALL)
MAX_DISTANCE = 0.5  # by the length of the word, at least one letter


class Suggestion(NamedTuple):
    """A query to offer, and how many photos show its last word."""

    text: str
    photos: int


def complete(session: Session, *, text: str, limit: int) -> list[Suggestion]:
    """Return queries that end with a word read in photos and begin with `text`, most photos first."""
    found = _LAST_WORD.fullmatch(text)
    if found is None or not (beginning := fold(found[2])):
        return []
    words = transcripts.completions(session, beginning=beginning, limit=limit)
    return [Suggestion(found[1] + word, photos) for word, photos in words]


def nearest(word: str, candidates: Iterable[str]) -> list[str]:
    """Return the candidates that differ from a word by half its letters at most, nearest first."""
    distances = {each: Levenshtein.distance(word, each) for each in candidates if each != word}
    most = max(1, int(MAX_DISTANCE * len(word)))
    return sorted((each for each in distances if distances[each] <= most), key=lambda each: distances[each])


def respell(query: Query, words: Mapping[str, str]) -> str:
    """Return a query with other words in place of some."""
    signed = [("", term) for term in query.terms] + [("-", term) for term in query.excluded]
    texts = [(sign, " ".join(words.get(word, word) for word in term.words), term) for sign, term in signed]
    return " ".join(f'{sign}"{text}"' if len(term.words) > 1 else sign + text for sign, text, term in texts)
