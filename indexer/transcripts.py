"""Photos and regions by what was read in them; the caller owns the transaction.

Transcripts are compared as `folding.fold` leaves them. Core Postgres: the beginning of a word is looked up in
a B-tree, what it contains by its trigrams under GIN, and every candidate is verified.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from indexer.phrases import Place, place, standing
from indexer.query_language import Term
from indexer.segment import Ids
from indexer.tables import Proposal, among_ids
from model.charset import is_dense

# How a word may stand in a transcript.
Way = Literal["exact", "prefix", "contains"]


class Reading(NamedTuple):
    """A region and what was read there, folded."""

    image_id: int
    proposal_id: int
    folded: str
    quad: list[float]


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
    statement = select(Proposal.image_id).where(
        _stands_in_indexed(text, way), Proposal.model_version == version
    )
    return set(session.scalars(statement.distinct()))


def completions(session: Session, *, beginning: str, limit: int) -> list[tuple[str, int]]:
    """Return the words read that begin so, folded, each with its number of photos, most first."""
    photos = func.count(Proposal.image_id.distinct())
    words = select(Proposal.folded, photos).group_by(Proposal.folded).order_by(photos.desc(), Proposal.folded)
    # A line is no word; its words are regions of their own.
    words = words.where(_stands_in(beginning, "prefix"), Proposal.transcript.not_like("% %"))
    return [(word, count) for word, count in session.execute(words.limit(limit))]


def readings(
    session: Session, *, image_ids: Sequence[int], texts: Iterable[str], way: Way, version: str
) -> list[Reading]:
    """Return the regions of these photos in which any of the texts was read, best detected first."""
    if not image_ids:
        return []
    columns = (Proposal.image_id, Proposal.id, Proposal.folded, Proposal.quad)
    of_photos = among_ids(Proposal.image_id, image_ids) & (Proposal.model_version == version)
    any_text = or_(*(_stands_in(text, way) for text in texts))
    rows = session.execute(
        select(*columns).where(of_photos, any_text).order_by(Proposal.image_id, Proposal.ordinal)
    )
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


def _stands_in_indexed(text: str, way: Way) -> ColumnElement[bool]:
    """As `_stands_in`, with what an index finds."""
    if way != "contains" or (len(text) < 3 and not is_dense(text)):
        return _stands_in(text, way)
    parts = [text[start : start + 3] for start in range(max(1, len(text) - 2))]
    return and_(Proposal.trigrams.contains(parts), _stands_in(text, way))


def _stands_in(text: str, way: Way) -> ColumnElement[bool]:
    if way == "exact":
        return Proposal.folded == text
    # Folded texts hold letters and digits only: nothing to escape.
    return Proposal.folded.like(f"{text}%" if way == "prefix" else f"%{text}%")
