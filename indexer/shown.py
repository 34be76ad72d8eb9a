"""What a page of results shows of its photos, in one statement; the caller owns the transaction."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Text, and_, cast, select
from sqlalchemy.orm import Session

from indexer.tables import Collection, Image, Proposal, among_ids, in_set
from indexer.transcripts import READ, Reading, Way, pattern


class Photo(NamedTuple):
    """A photo as in the table; the whole row would take three times as long."""

    id: int
    name: str
    collection: str
    width: int
    height: int
    extra: dict[str, Any]
    taken_at: datetime | None


_COLUMNS_OF_PHOTOS = len(Photo._fields)
_EXTRA = cast(Image.extra, Text)  # decoded once for each photo, not once for each region
# Photos come once for each of their regions: one round trip takes longer than saying it again.
_SHOWN = (
    select(Image.id, Image.name, Collection.name, Image.width, Image.height, _EXTRA, Image.taken_at)
    .add_columns(Proposal.id, Proposal.box, Proposal.quad, Proposal.transcript, Proposal.folded)
    .join(Collection, Collection.id == Image.collection_id)
    .outerjoin(Proposal, and_(Proposal.image_id == Image.id, READ | in_set(Proposal.id, "proposal_ids")))
    .where(among_ids(Image.id))
    .order_by(Image.id, Proposal.ordinal)
)
_SHOWN_WITH_POSTERIORS = _SHOWN.add_columns(Proposal.posteriors)


def get(
    session: Session,
    *,
    image_ids: Sequence[int],
    proposal_ids: Sequence[int],
    texts: Iterable[str],
    way: Way,
    version: str,
    posteriors: bool = False,
) -> dict[int, tuple[Photo, list[Reading]]]:
    """Return photos by id, each with its regions to show, best detected first; what is gone is missing.

    Args:
        session: Of the database.
        image_ids: Of the photos.
        proposal_ids: Regions of theirs to show.
        texts: Regions in which any of them was read are shown, too.
        way: How it may stand there.
        version: Model version of the regions.
        posteriors: Whether those are wanted, too.
    """
    if not image_ids:
        return {}
    patterns = [pattern(text, way) for text in texts]
    given = {"ids": image_ids, "proposal_ids": proposal_ids, "patterns": patterns, "version": version}
    found: dict[int, tuple[Photo, list[Reading]]] = {}
    statement = _SHOWN_WITH_POSTERIORS if posteriors else _SHOWN
    # Columns only, and all at once: the session or row by row would take longer.
    for row in session.connection().execute(statement, given).all():
        image_id = row[0]
        if image_id not in found:
            *plain, extra, taken_at = row[:_COLUMNS_OF_PHOTOS]
            found[image_id] = Photo._make([*plain, json.loads(extra), taken_at]), []
        if row[_COLUMNS_OF_PHOTOS] is not None:
            found[image_id][1].append(Reading(image_id, *row[_COLUMNS_OF_PHOTOS:]))
    return found
