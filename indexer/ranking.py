"""How well every photo matches a whole query, by similarity alone.

M photos. A word's score in a photo is that of the photo's best region. A phrase's is the mean of its words',
less what `phrases.place` takes off where they stand apart, or that of a region that reads as all of it, if
higher. A photo's score is the mean over the words of the query.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from indexer.phrases import APART_COST, Place, Placement, Quad, place_all
from indexer.query_language import Query, Term
from indexer.segment import NO_TEXT_SCORE, Ids, Mask, Vectors
from indexer.vector_index import Allowed, VectorIndex
from model.calibration import Calibration

# Where a phrase's words stand is looked up in the photos that show the words best; in all others they count
# as standing apart. A fixed number, so that every page is cut out of the same ranking.
PLACED_PHOTOS = 200
ROUNDING = 1e-9

Embeddings = Mapping[str, Vectors]
ReadQuads = Callable[[Sequence[int]], Mapping[int, Quad]]


@dataclass(frozen=True)
class Scores:
    """Scores of all photos for one query.

    Attributes:
        image_ids: (M,), ascending.
        terms: (terms, M).
        excluded: (excluded terms, M).
        placements: For each term the regions of its words by photo, where they were looked up.
    """

    image_ids: Ids
    terms: Vectors
    excluded: Vectors
    placements: tuple[Mapping[int, Placement], ...]


def texts_of(query: Query) -> list[str]:
    """Return what has to be embedded for a query: its words, and every phrase as one word."""
    return texts_of_terms([*query.terms, *query.excluded])


def texts_of_terms(terms: Sequence[Term]) -> list[str]:
    """Return the words of terms, and every phrase as one word, each once."""
    return list(dict.fromkeys(text for term in terms for text in (*term.words, "".join(term.words))))


def score(
    index: VectorIndex, query: Query, embeddings: Embeddings, allowed: Allowed, read_quads: ReadQuads
) -> Scores:
    """Score all photos.

    Args:
        index: The regions of the photos.
        query: What to look for.
        embeddings: Of `texts_of` the query, (D,) each.
        allowed: Photos to score; `None` for all.
        read_quads: Returns the corners (4, 2) of proposals; those of deleted ones are missing.
    """
    texts = texts_of(query)
    image_ids, best = index.best(np.stack([embeddings[text] for text in texts]), allowed)
    by_text = dict(zip(texts, best, strict=True))
    rows, placements = [], []
    for term in [*query.terms, *query.excluded]:
        row: Vectors = np.stack([by_text[word] for word in term.words]).mean(axis=0, dtype=np.float64)
        placed: dict[int, Placement] = {}
        if len(term.words) > 1:
            placed = _placed(index, term, image_ids, row, embeddings, read_quads)
            row = np.where(row > NO_TEXT_SCORE, np.maximum(row - APART_COST, NO_TEXT_SCORE), row)
            positions = np.searchsorted(image_ids, np.array(list(placed), np.int64))
            row[positions] = [placement.score for placement in placed.values()]
            row = np.maximum(row, by_text["".join(term.words)])
        rows.append(row)
        placements.append(placed)
    terms = np.stack(rows)
    count = len(query.terms)
    return Scores(image_ids, terms[:count], terms[count:], tuple(placements[:count]))


def candidates(
    index: VectorIndex,
    query: Query,
    embeddings: Embeddings,
    allowed: Ids | None,
    min_score: float,
    read: Sequence[Ids],
) -> Ids:
    """Return photos among which all are that `reaching` keeps: no mean is above the best of its parts.

    Args:
        index: The regions of the photos.
        query: What to look for.
        embeddings: Of `texts_of` the query, (D,) each.
        allowed: Photos that count; `None` for all.
        min_score: As for `reaching`.
        read: As for `reaching`.
    """
    vectors = np.stack([embeddings[text] for text in texts_of_terms(query.terms)])
    near = index.candidates(vectors, min_score - ROUNDING, allowed)
    found = reduce(np.union1d, read, near)
    return found if allowed is None else np.intersect1d(found, allowed)


def _placed(
    index: VectorIndex,
    term: Term,
    image_ids: Ids,
    means: Vectors,
    embeddings: Embeddings,
    read_quads: ReadQuads,
) -> dict[int, Placement]:
    """Return where a phrase's words stand, for the photos that show them best."""
    order = np.lexsort((image_ids, -means))[:PLACED_PHOTOS]
    chosen = image_ids[order[means[order] > NO_TEXT_SCORE]]
    words = np.stack([embeddings[word] for word in term.words])
    found = [
        {match.image_id: match.proposals for match in matches if match.proposals}
        for matches in index.search(words, len(chosen), chosen)
    ]
    quads = read_quads(list({pair[0] for matches in found for pairs in matches.values() for pair in pairs}))
    regions = {
        image_id: [
            [Place(key, value, quads[key]) for key, value in matches.get(image_id, ()) if key in quads]
            for matches in found
        ]
        for image_id in chosen.tolist()
    }
    there = {image_id: places for image_id, places in regions.items() if all(places)}  # not deleted since
    return dict(zip(there, place_all(list(there.values())), strict=True))


def total(query: Query, terms: Vectors) -> Vectors:
    """Return the score of every photo (M,), given those of the query's terms (terms, M)."""
    return np.average(terms, axis=0, weights=[len(term.words) for term in query.terms])


def term_cut(term: Term, calibration: Calibration) -> float:
    """Return the score from which a photo likely shows a term."""
    return float(np.mean([calibration.cut(word) for word in term.words]))


def suggested_cut(query: Query, calibration: Calibration) -> float:
    """Return the score from which a photo likely shows the query."""
    return float(np.mean([calibration.cut(word) for word in query.words]))


def order(query: Query, scores: Scores, calibration: Calibration) -> NDArray[np.intp]:
    """Return the positions of the photos, best first.

    Photos with most of the terms come first: those whose score for a term reaches the suggested cut. Among
    them the score decides, then the id.
    """
    cuts = np.array([term_cut(term, calibration) for term in query.terms])
    with_terms = (scores.terms >= cuts[:, None]).sum(axis=0)
    return np.lexsort((scores.image_ids, -total(query, scores.terms), -with_terms))


def without_excluded(query: Query, scores: Scores, calibration: Calibration) -> Mask:
    """Return which photos likely show nothing of what is excluded."""
    limits = np.array([term_cut(term, calibration) for term in query.excluded])
    without: Mask = np.all(scores.excluded < limits[:, None], axis=0)
    return without


def reaching(
    query: Query, scores: Scores, min_score: float, read: Sequence[Ids], calibration: Calibration
) -> Mask:
    """Return which photos reach a score, if a term that was read in one counts as likely shown there.

    Args:
        query: The query.
        scores: Of all photos.
        min_score: Least score.
        read: For each term the photos in which it was read.
        calibration: Says from which score on a term is likely shown.
    """
    lifted = [
        np.where(np.isin(scores.image_ids, ids), np.maximum(row, term_cut(term, calibration)), row)
        for term, row, ids in zip(query.terms, scores.terms, read, strict=True)
    ]
    # A sum of cuts may differ from the suggested score in its last digits.
    reached: Mask = total(query, np.stack(lifted)) >= min_score - ROUNDING
    return reached
