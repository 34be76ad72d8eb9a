"""What people type, taken apart: `coffee "to go" -tea`.

Words stand between spaces; a phrase between double quotes; a minus before either excludes it. A quote that is
never closed runs to the end, as while typing. Inside a word punctuation counts for nothing: `24/7` is `247`.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from indexer.errors import InvalidQuery
from indexer.folding import fold
from model.charset import Charset

MAX_WORDS, MAX_WORDS_TOGETHER = 16, 100  # in one query, and in all that are asked at once
MAX_LETTERS = 200  # of a query's words, folded: `㎯` makes five
_QUOTES = str.maketrans(dict.fromkeys("“”„‟«»＂", '"'))
_PART = re.compile(r'(-?)(?:"([^"]*)(?:"|$)|(\S+))')
_PUNCTUATION = "PZCM"  # Unicode's categories: punctuation, spaces, control characters, accents


@dataclass(frozen=True)
class Term:
    """A word, or the words of a phrase in their order, folded."""

    words: tuple[str, ...]


@dataclass(frozen=True)
class Query:
    """A query taken apart.

    Attributes:
        text: As it was typed.
        terms: What a photo should show; at least one.
        excluded: What it must not show.
        ignored: Letters, digits and symbols that the network does not know, each once.
    """

    text: str
    terms: tuple[Term, ...]
    excluded: tuple[Term, ...]
    ignored: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        """The words a photo should show, in their order."""
        return [word for term in self.terms for word in term.words]


def parse(text: str, charset: Charset) -> Query:
    """Take a query apart.

    Args:
        text: What was typed.
        charset: Characters that the network knows.

    Raises:
        InvalidQuery: It has no word to look for, or more words than 16, or letters than 200.
    """
    terms: list[Term] = []
    excluded: list[Term] = []
    for minus, quoted, plain in _PART.findall(text.translate(_QUOTES)):
        folded = map(fold, (plain or quoted).split())
        if known := tuple(word for word in folded if charset.fold(word)):
            (excluded if minus else terms).append(Term(known))
    if not terms:
        hint = f"of {charset.listed()}, or of their capitals and accented forms"
        if excluded:
            raise InvalidQuery(f"a query needs a word to look for beside those to leave out: a letter {hint}")
        raise InvalidQuery(f"a query needs a letter or a digit {hint}")
    words = [word for term in [*terms, *excluded] for word in term.words]
    if len(words) > MAX_WORDS:
        raise InvalidQuery(f"a query may have {MAX_WORDS} words at most")
    if sum(map(len, words)) > MAX_LETTERS:
        raise InvalidQuery(f"the words of a query may have {MAX_LETTERS} letters at most")
    return Query(text, tuple(terms), tuple(excluded), _unknown(text, charset))


def parse_all(texts: Sequence[str], charset: Charset) -> list[Query]:
    """Take queries apart that are asked at once.

    Raises:
        InvalidQuery: One is none, with its number if there are several; or they have more than 100 words.
    """
    queries = []
    for number, text in enumerate(texts, start=1):
        try:
            queries.append(parse(text, charset))
        except InvalidQuery as exc:
            raise exc if len(texts) == 1 else InvalidQuery(f"queries number {number}: {exc}") from exc
    terms = [term for query in queries for term in (*query.terms, *query.excluded)]
    if sum(len(term.words) for term in terms) > MAX_WORDS_TOGETHER:
        raise InvalidQuery(f"queries may have {MAX_WORDS_TOGETHER} words together; ask for fewer at once")
    return queries


def words_of(transcripts: Sequence[str], charset: Charset) -> dict[str, int]:
    """Return the words read in a photo's regions, folded, each with the number of its first region.

    Args:
        transcripts: Of the regions, the surest first. Lines are no words; their words have regions.
        charset: Characters that the network knows.

    Raises:
        InvalidQuery: There is none.
    """
    words: dict[str, int] = {}
    for number, transcript in enumerate(transcripts):
        if charset.fold(transcript) and len(transcript.split()) == 1:
            words.setdefault(fold(transcript), number)
    if not words:
        raise InvalidQuery("no text was found in the photo; send a photo, or a part, with words to look for")
    return dict(list(words.items())[:MAX_WORDS])


def _unknown(text: str, charset: Charset) -> tuple[str, ...]:
    strange = (
        character
        for character in unicodedata.normalize("NFC", text)
        if not charset.fold(character) and unicodedata.category(character)[0] not in _PUNCTUATION
    )
    return tuple(dict.fromkeys(strange))
