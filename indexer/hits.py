"""Hits of a search, each with the regions that explain it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from sqlalchemy.orm import Session

from indexer import queries, shown, transcripts
from indexer.phrases import Placement
from indexer.query_language import Query, Term
from indexer.ranking import Embeddings, texts_of_terms
from indexer.segment import Ids, Vectors
from indexer.shown import Photo
from indexer.transcripts import Reading, Way, reads
from indexer.vector_index import VectorIndex
from model import reranking

MAX_BOXES_A_WORD = 10

# "exact": the word stands in what was read; "similar": it only looks alike.
Kind = Literal["exact", "similar"]
# (proposal id, similarity to the word), best first
Regions = Sequence[tuple[int, float]]


@dataclass(frozen=True)
class HitBox:
    """A text region that matches a word of the query.

    Attributes:
        proposal_id: the region.
        word: of the query, folded.
        box: [x0, y0, x1, y1] in pixels of the upright original.
        quad: four corners [x, y], likewise.
        score: similarity to the word, in [-1, 1].
        text: what the reading branch reads there; it may be wrong or empty.
        match: whether the word stands in it.
    """

    proposal_id: int
    word: str
    box: list[float]
    quad: list[list[float]]
    score: float
    text: str
    match: Kind


@dataclass(frozen=True)
class Hit:
    """A photo and why it was found.

    Attributes:
        image: the photo.
        score: how well it matches, -1 if it has no text.
        match: whether the whole query stands in what was read.
        boxes: its best regions: one for each word, then all others by score.
    """

    image: Photo
    score: float
    match: Kind
    boxes: list[HitBox]


@dataclass(frozen=True)
class Found:
    """A photo of the ranking: its score, and for each word its best regions, the one that counts first."""

    image_id: int
    score: float
    regions: Mapping[str, Regions]


@dataclass(frozen=True)
class Page:
    """A page of the ranking for one query.

    Attributes:
        query: What was looked for.
        way: How a word may stand in a transcript.
        read_only: Whether only regions count in which a word was read.
        total: Photos on all pages.
        photos: Those on this one, and others among which they are ordered once more.
        shown: Where those of the page are afterwards.
        doubtful: Score below which the first photos are ordered once more, see `reranking`.
        word: By what, as the network folds it; none if they are not.
        likely: Whether any photo reaches the suggested score.
    """

    query: Query
    way: Way
    read_only: bool
    total: int
    photos: Sequence[Found]
    shown: slice = field(default_factory=lambda: slice(None))
    doubtful: float = -np.inf
    word: str = ""
    likely: bool = True


def explain(
    index: VectorIndex,
    query: Query,
    embeddings: Embeddings,
    image_ids: Ids,
    scores: Vectors,
    placements: Sequence[Mapping[int, Placement]],
) -> list[Found]:
    """Return photos with the regions that show the words of a query.

    Args:
        index: The regions of the photos.
        query: What was looked for.
        embeddings: Of `ranking.texts_of` the query, (D,) each.
        image_ids: The photos (M,), in their order.
        scores: Of the photos (M,).
        placements: For each term the regions of its words by photo, where they were looked up.
    """
    texts = texts_of_terms(query.terms)
    matches = index.search(np.stack([embeddings[text] for text in texts]), len(image_ids), image_ids)
    regions = {
        text: {match.image_id: match.proposals for match in found}
        for text, found in zip(texts, matches, strict=True)
    }
    page = []
    for image_id, score in zip(image_ids.tolist(), scores.tolist(), strict=True):
        of_photo: dict[str, Regions] = {}
        for term, of_term in zip(query.terms, placements, strict=True):
            near = {text: found.get(image_id, ()) for text, found in regions.items()}
            of_photo |= _of_term(term, near, of_term.get(image_id))
        page.append(Found(image_id, score, of_photo))
    return page


def _of_term(term: Term, near: Mapping[str, Regions], placement: Placement | None) -> dict[str, Regions]:
    """Return for each word of a term its regions in one photo, the one that counts first.

    Where a whole line reads more like a phrase than its words do, the line comes first, under the phrase.
    """
    regions = {word: near[word] for word in term.words}
    if placement is None:
        return regions
    for word, place in zip(term.words, placement.places, strict=True):
        rest = [pair for pair in near[word] if pair[0] != place.proposal_id]
        regions[word] = [(place.proposal_id, place.score), *rest]
    line = near["".join(term.words)][:1]
    if line and line[0][1] > placement.score:
        return {" ".join(term.words): line, **regions}
    return regions


def build(
    session: Session, pages: Sequence[Page], *, embeddings: Embeddings, version: str
) -> list[list[Hit]]:
    """Return pages of hits; photos that were deleted a moment ago are missing.

    Args:
        session: Of the database.
        pages: What was found.
        embeddings: Of the words of all queries.
        version: Model version of the regions.
    """
    return [_hits(session, page, embeddings, version) for page in pages]


def _hits(session: Session, page: Page, embeddings: Embeddings, version: str) -> list[Hit]:
    near = [key for photo in page.photos for regions in photo.regions.values() for key, _ in regions]
    there = shown.get(
        session,
        image_ids=[photo.image_id for photo in page.photos],
        proposal_ids=near,
        texts=texts_of_terms(page.query.terms),
        way=page.way,
        version=version,
        posteriors=bool(page.word),
    )
    proposals = {row.proposal_id: row for _, rows in there.values() for row in rows}
    photos = [photo for photo in _reordered(page, proposals)[page.shown] if photo.image_id in there]
    chosen = [_choose(photo, there[photo.image_id][1], page) for photo in photos]
    scores = [pair for of_photo in chosen for regions in of_photo.values() for pair in regions.items()]
    vectors = queries.get_vectors(session, proposal_ids=[key for key, score in scores if score is None])
    found = []
    for photo, of_photo in zip(photos, chosen, strict=True):
        boxes: list[list[HitBox]] = []
        for word, regions in of_photo.items():
            embedding = embeddings[word.replace(" ", "")]
            known = {key: score for key, score in regions.items() if score is not None and key in proposals}
            known |= {key: float(vectors[key] @ embedding) for key in regions.keys() & vectors.keys()}
            counts_first = [key for key, _ in photo.regions[word][:1]]
            order = sorted(known, key=lambda key: (key not in counts_first, -known[key], key))
            boxes.append([_box(word, proposals[key], known[key], page.way) for key in order])
        image, rows = there[photo.image_id]
        of_terms = [transcripts.shows(rows, term, page.way) for term in page.query.terms]
        rest = sorted((box for of_word in boxes for box in of_word[1:]), key=lambda box: -box.score)
        kind: Kind = "exact" if all(of_terms) else "similar"
        found.append(Hit(image, photo.score, kind, [*(b[0] for b in boxes if b), *rest]))
    return found


def _reordered(page: Page, proposals: Mapping[int, Reading]) -> list[Found]:
    """Return the photos, those that are ordered once more in their new order."""
    photos = list(page.photos)
    if not page.word:
        return photos
    (asked,) = page.query.words
    near = [
        [(score, proposals[key].posteriors) for key, score in photo.regions[asked] if key in proposals]
        for photo in photos[: reranking.RERANKED]
    ]
    order = reranking.reranked(page.word, page.doubtful, near)
    return [photos[place] for place in order] + photos[len(order) :]


def _choose(photo: Found, rows: Sequence[Reading], page: Page) -> dict[str, dict[int, float | None]]:
    """Return for each word the regions to show, with the scores that are known.

    Where no region that looks like a word reads so, those that do are shown too: they tell why it counts.
    """
    chosen: dict[str, dict[int, float | None]] = {}
    for word, regions in photo.regions.items():
        near: dict[int, float | None] = dict(regions)
        read = [row.proposal_id for row in rows if reads(row.folded, word.replace(" ", ""), page.way)]
        if page.read_only:
            near = {key: near.get(key) for key in read}
        elif not near.keys() & set(read):
            near |= dict.fromkeys(read)
        chosen[word] = dict(list(near.items())[:MAX_BOXES_A_WORD])
    return chosen


def _box(word: str, proposal: Reading, score: float, way: Way) -> HitBox:
    quad = [proposal.quad[corner : corner + 2] for corner in range(0, 8, 2)]
    kind: Kind = "exact" if reads(proposal.folded, word.replace(" ", ""), way) else "similar"
    return HitBox(proposal.proposal_id, word, proposal.box, quad, score, proposal.transcript, kind)
