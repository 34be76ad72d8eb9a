"""How well every photo matches a whole query, by similarity alone.

M photos. A word's score in a photo is that of the photo's best region. A phrase's is the mean of its words',
less what `phrases.place` takes off where they stand apart, or that of a region that reads as all of it, if
higher. A photo's score is the mean over the words of the query.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce

import numpy as np
from numpy.typing import NDArray

from indexer.bounds import Bounds, Places
from indexer.phrases import APART_COST, Place, Placement, Quad, place_all
from indexer.query_language import Query, Term
from indexer.segment import NO_TEXT_SCORE, Ids, Mask, Vectors
from indexer.vector_index import VectorIndex
from model.calibration import Calibration

# Where a phrase's words stand is looked up in the photos that seem to show the words best; in all others they
# count as standing apart. A fixed number, so that every page is cut out of the same ranking.
PLACED_PHOTOS = 200
# How many times as many photos as are wanted are scored first, to know what the last of the best has; of how
# many that is too much.
FIRST_PHOTOS, MOST_PHOTOS = 2, 0.2
ROUNDING = 1e-9  # more than sums of scores differ by their order

Embeddings = Mapping[str, Vectors]
ReadQuads = Callable[[Sequence[int]], Mapping[int, Quad]]


@dataclass(frozen=True)
class Scores:
    """Scores of photos for one query.

    Attributes:
        image_ids: (M,), ascending.
        terms: (terms, M).
        placements: For each term the regions of its words by photo, where they were looked up.
        total: Number of photos, with those that were ruled out.
    """

    image_ids: Ids
    terms: Vectors
    placements: tuple[Mapping[int, Placement], ...]
    total: int


def texts_of(query: Query) -> list[str]:
    """Return what has to be embedded for a query: its words, and every phrase as one word."""
    return texts_of_terms([*query.terms, *query.excluded])


def texts_of_terms(terms: Sequence[Term]) -> list[str]:
    """Return the words of terms, and every phrase as one word, each once."""
    return list(dict.fromkeys(text for term in terms for text in (*term.words, "".join(term.words))))


@dataclass(frozen=True)
class Ranker:
    """Scores photos for one query.

    Attributes:
        index: The regions of the photos.
        query: What to look for.
        embeddings: Of `texts_of` the query, (D,) each.
        allowed: Photos to score; `None` for all. What the query excludes is left out before.
        read_quads: Returns the corners (4, 2) of proposals; those of deleted ones are missing.
    """

    index: VectorIndex
    query: Query
    embeddings: Embeddings
    allowed: Ids | None
    read_quads: ReadQuads

    def score(self) -> Scores:
        """Score all photos."""
        return self._scores(*self.index.best(self._vectors, self.allowed))

    def score_first(self, count: int, calibration: Calibration) -> Scores:
        """Score so many photos that come first in `order`, all with the suggested score, and some others.

        The rest are ruled out by what they score at most.
        """
        wanted = FIRST_PHOTOS * count
        if wanted > MOST_PHOTOS * self.index.count(self.allowed):
            return self.score()
        image_ids, most, exact = self._bounds
        if len(image_ids) < wanted:  # many were deleted a moment ago
            return self.score()
        found, cut = most.copy(), suggested_cut(self.query, calibration)

        def standing() -> tuple[NDArray[np.intp], Vectors]:
            return _standing(self.query, self._scores(image_ids, found).terms + ROUNDING, calibration)

        with_terms, totals = standing()
        first = np.sort(np.lexsort((-totals, -with_terms))[:wanted])
        for text in range(len(found)):
            found[text, first] = exact(text, first)
        known = self._scores(image_ids[first], found[:, first])
        last = order(self.query, known, calibration)[:count][-1]
        least_with_terms, least = (each[last] for each in _standing(self.query, known.terms, calibration))

        def ahead() -> Places:
            with_terms, totals = standing()
            before = (with_terms > least_with_terms) | ((with_terms == least_with_terms) & (totals >= least))
            return np.flatnonzero(before | (totals >= cut))

        for text in reversed(range(len(found))):  # a phrase as one word before its words: it rules out more
            places = np.setdiff1d(ahead(), first)
            found[text, places] = exact(text, places)
        places = ahead()
        return replace(self._scores(image_ids[places], found[:, places]), total=len(image_ids))

    @cached_property
    def _bounds(self) -> Bounds:
        return self.index.bounds(self._vectors, self.allowed)

    @cached_property
    def _placements(self) -> list[dict[int, Placement]]:
        """For each phrase where its words stand in the photos that seem to show them best; none for words."""
        found: list[dict[int, Placement]] = []
        for term in self.query.terms:
            if len(term.words) == 1:
                found.append({})
                continue
            image_ids, most, _ = self._bounds
            means = _means(term, dict(zip(self._texts, most, strict=True)))
            near = np.lexsort((image_ids, -means))[:PLACED_PHOTOS]
            found.append(self._placed(term, image_ids[near[means[near] > NO_TEXT_SCORE]]))
        return found

    def _scores(self, image_ids: Ids, best: Vectors) -> Scores:
        """Return the scores of photos (M,), ascending, given those of their best regions (texts, M).

        Of what regions score at most they are what photos score at most.
        """
        by_text = dict(zip(self._texts, best, strict=True))
        rows = [
            _of_term(term, by_text, image_ids, placed)
            for term, placed in zip(self.query.terms, self._placements, strict=True)
        ]
        return Scores(image_ids, np.stack(rows), tuple(self._placements), len(image_ids))

    def _placed(self, term: Term, chosen: Ids) -> dict[int, Placement]:
        """Return where a phrase's words stand in some photos."""
        words = np.stack([self.embeddings[word] for word in term.words])
        found = [
            {match.image_id: match.proposals for match in matches if match.proposals}
            for matches in self.index.search(words, len(chosen), chosen)
        ]
        keys = {pair[0] for matches in found for pairs in matches.values() for pair in pairs}
        quads = self.read_quads(list(keys))
        regions = {
            image_id: [
                [Place(key, value, quads[key]) for key, value in matches.get(image_id, ()) if key in quads]
                for matches in found
            ]
            for image_id in chosen.tolist()
        }
        there = {image_id: places for image_id, places in regions.items() if all(places)}  # not deleted since
        return dict(zip(there, place_all(list(there.values())), strict=True))

    @property
    def _texts(self) -> list[str]:
        return texts_of_terms(self.query.terms)

    @property
    def _vectors(self) -> Vectors:
        return np.stack([self.embeddings[text] for text in self._texts])


def _means(term: Term, by_text: Mapping[str, Vectors]) -> Vectors:
    """Return the means (M,) of the scores of a term's words."""
    means: Vectors = np.stack([by_text[word] for word in term.words]).mean(axis=0, dtype=np.float64)
    return means


def _of_term(
    term: Term, by_text: Mapping[str, Vectors], image_ids: Ids, placed: Mapping[int, Placement]
) -> Vectors:
    """Return the scores of a term (M,), given those of all texts.

    Args:
        term: A word or a phrase.
        by_text: Scores (M,) of each text.
        image_ids: The photos (M,), ascending.
        placed: How a phrase's words stand in some photos, of which not all need be among these.
    """
    row = _means(term, by_text)
    if len(term.words) == 1:
        return row
    row = np.where(row > NO_TEXT_SCORE, np.maximum(row - APART_COST, NO_TEXT_SCORE), row)
    known = np.array(list(placed), np.int64)
    scores = np.array([placement.score for placement in placed.values()])
    there = np.isin(known, image_ids)
    row[np.searchsorted(image_ids, known[there])] = scores[there]
    return np.maximum(row, by_text["".join(term.words)])


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
    with_terms, totals = _standing(query, scores.terms, calibration)
    return np.lexsort((scores.image_ids, -totals, -with_terms))


def _standing(query: Query, terms: Vectors, calibration: Calibration) -> tuple[NDArray[np.intp], Vectors]:
    """Return how many terms each photo (M,) likely shows and its score, given those of the terms."""
    cuts = np.array([term_cut(term, calibration) for term in query.terms])
    return (terms >= cuts[:, None]).sum(axis=0), total(query, terms)


def without_excluded(
    index: VectorIndex,
    query: Query,
    embeddings: Embeddings,
    allowed: Ids | None,
    read_quads: ReadQuads,
    calibration: Calibration,
) -> Ids:
    """Return the photos that likely show nothing of what a query excludes; arguments as of `Ranker`."""
    every = index.image_ids() if allowed is None else allowed  # before looking: what comes later was not seen
    excluded = replace(query, terms=query.excluded)
    cuts = np.array([term_cut(term, calibration) for term in query.excluded])
    near = candidates(index, excluded, embeddings, allowed, cuts.min(), [])
    scores = Ranker(index, excluded, embeddings, near, read_quads).score()
    likely = (scores.terms >= cuts[:, None]).any(axis=0)
    return np.setdiff1d(every, scores.image_ids[likely])


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
