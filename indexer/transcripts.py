"""Photos and regions by what was read in them; the caller owns the transaction.

Transcripts are compared as `folding.fold` leaves them. Core Postgres: the beginning of a word is looked up in
a B-tree, what it contains by its trigrams under GIN, and every candidate is verified.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from sqlalchemy import Select, Text, and_, any_, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from indexer.phrases import Place, place, standing
from indexer.query_language import Term
from indexer.segment import Ids
from indexer.tables import Proposal, among_ids
from model.charset import is_dense

# How a word may stand in a transcript.
Way = Literal["exact", "prefix", "contains"]


# What every search asks is put together once: that takes a third of the time of asking.
_EXACT, _LIKE, _CONTAINING = (
    select(Proposal.image_id).where(*conditions, Proposal.model_version == bindparam("version")).distinct()
    for conditions in (
        [Proposal.folded == bindparam("pattern")],
        [Proposal.folded.like(bindparam("pattern"))],
        [  # what the index finds is verified
            Proposal.trigrams.contains(bindparam("parts", type_=ARRAY(Text))),
            Proposal.folded.like(bindparam("pattern")),
        ],
    )
)
# With the parameters `version`, and `patterns`: what any of them is LIKE.
READ = and_(
    Proposal.model_version == bindparam("version"),
    Proposal.folded.like(any_(bindparam("patterns", type_=ARRAY(Text)))),
)
_READINGS = (
    select(Proposal.image_id, Proposal.id, Proposal.box, Proposal.quad, Proposal.transcript, Proposal.folded)
    .where(among_ids(Proposal.image_id), READ)
    .order_by(Proposal.image_id, Proposal.ordinal)
)


class Reading(NamedTuple):
    """A region and what was read there; the whole row of the table would take three times as long."""

    image_id: int
    proposal_id: int
    box: list[float]
    quad: list[float]
    transcript: str
    folded: str
    posteriors: bytes = b""  # where they are asked for


def reads(folded: str, word: str, way: Way) -> bool:
    """Tell whether a word stands in a transcript, both folded."""
    if way == "exact":
        return folded == word
    return folded.startswith(word) if way == "prefix" else word in folded


def photos_reading(session: Session, *, terms: Sequence[Term], way: Way, version: str) -> list[Ids]:
    """Return for each term the ids of the photos in which it was read, ascending.

    A phrase was read where its words stand together, or on one line.
    """
    found = []
    for term in terms:
        texts = list(dict.fromkeys([*term.words, "".join(term.words)]))
        ids = {text: _photos(session, text, way, version) for text in texts}
        of_term = ids["".join(term.words)]
        if len(term.words) > 1:
            with_all = set.intersection(*(ids[word] for word in term.words)) - of_term
            rows = readings(session, image_ids=list(with_all), texts=term.words, way=way, version=version)
            of_term |= {image_id for image_id, group in by_photo(rows).items() if shows(group, term, way)}
        found.append(np.array(sorted(of_term), np.int64))
    return found


def _photos(session: Session, text: str, way: Way, version: str) -> set[int]:
    return set(session.connection().scalars(*_lookup(text, way, version)))


def _lookup(text: str, way: Way, version: str) -> tuple[Select[int], dict[str, Any]]:
    """Return what selects the photos in which a text was read, and its parameters."""
    parameters: dict[str, Any] = {"pattern": pattern(text, way), "version": version}
    if way == "contains" and (len(text) > 2 or is_dense(text)):
        parameters["parts"] = [text[start : start + 3] for start in range(max(1, len(text) - 2))]
        return _CONTAINING, parameters
    return _EXACT if way == "exact" else _LIKE, parameters


def completions(session: Session, *, beginning: str, limit: int) -> list[tuple[str, int]]:
    """Return the words read that begin so, folded, each with its number of photos, most first."""
    photos = func.count(Proposal.image_id.distinct())
    words = select(Proposal.folded, photos).group_by(Proposal.folded).order_by(photos.desc(), Proposal.folded)
    # A line is no word; its words are regions of their own.
    words = words.where(
        Proposal.folded.like(pattern(beginning, "prefix")), Proposal.transcript.not_like("% %")
    )
    return [(word, count) for word, count in session.execute(words.limit(limit))]


def readings(
    session: Session, *, image_ids: Sequence[int], texts: Iterable[str], way: Way, version: str
) -> list[Reading]:
    """Return the regions of these photos in which any of the texts was read, best detected first."""
    if not image_ids:
        return []
    patterns = [pattern(text, way) for text in texts]
    rows = session.execute(_READINGS, {"ids": image_ids, "version": version, "patterns": patterns})
    return [Reading(*row) for row in rows]


def by_photo(rows: Iterable[Reading]) -> dict[int, list[Reading]]:
    """Return the regions of each photo."""
    groups: dict[int, list[Reading]] = {}
    for row in rows:
        groups.setdefault(row.image_id, []).append(row)
    return groups


def shows(rows: Sequence[Reading], term: Term, way: Way) -> bool:
    """Tell whether a term was read in the regions of a photo: a phrase together, or on one line."""
    if any(reads(row.folded, "".join(term.words), way) for row in rows):
        return True
    places = [
        [Place(row.proposal_id, 0, np.reshape(row.quad, (4, 2))) for row in found]
        for found in ([row for row in rows if reads(row.folded, word, way)] for word in term.words)
    ]
    return all(places) and standing(place(places))


def pattern(text: str, way: Way) -> str:
    """Return what is LIKE texts in which a text stands so: of letters and digits, so nothing is escaped."""
    return {"exact": text, "prefix": f"{text}%", "contains": f"%{text}%"}[way]
