"""Hits of a search, each with the regions that explain it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from indexer import queries
from indexer.tables import Image, Proposal

MAX_BOXES_A_WORD = 10

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
    """

    proposal_id: int
    word: str
    box: list[float]
    quad: list[list[float]]
    score: float
    text: str


@dataclass(frozen=True)
class Hit:
    """A photo, its score (-1 if it has no text), and its best regions: one a word, then all by score."""

    image: Image
    score: float
    boxes: list[HitBox]


@dataclass(frozen=True)
class Found:
    """A photo of the ranking: its score, and for each word its best regions, the one that counts first."""

    image_id: int
    score: float
    regions: Mapping[str, Regions]


def build(session: Session, pages: Sequence[Sequence[Found]]) -> list[list[Hit]]:
    """Return pages of hits; photos that were deleted a moment ago are missing."""
    found = [photo for page in pages for photo in page]
    if not found:
        return [[] for _ in pages]
    ids = {pair[0] for photo in found for regions in photo.regions.values() for pair in regions}
    images = queries.get_images(session, image_ids=list({photo.image_id for photo in found}))
    proposals = queries.get_proposals(session, proposal_ids=list(ids))
    return [
        [
            Hit(images[photo.image_id], photo.score, _boxes(photo, proposals))
            for photo in page
            if photo.image_id in images
        ]
        for page in pages
    ]


def _boxes(photo: Found, proposals: Mapping[int, Proposal]) -> list[HitBox]:
    first, rest = [], []
    for word, regions in photo.regions.items():
        boxes = [
            _box(word, proposals[key], score) for key, score in regions[:MAX_BOXES_A_WORD] if key in proposals
        ]
        first += boxes[:1]
        rest += boxes[1:]
    return first + sorted(rest, key=lambda box: -box.score)


def _box(word: str, proposal: Proposal, score: float) -> HitBox:
    quad = [proposal.quad[corner : corner + 2] for corner in range(0, 8, 2)]
    return HitBox(proposal.id, word, proposal.box, quad, score, proposal.transcript)
