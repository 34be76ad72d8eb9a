"""What pages of results show of their photos."""

from typing import Any

from indexer import queries, shown
from indexer.database import session_scope
from indexer.shown import Photo
from tests.integration.conftest import Gallery


def test_regions_that_are_asked_for_and_those_that_read_so(gallery: Gallery) -> None:
    gallery.encoder.seen = {"tea": b"a cup"}
    image_id, other_id = gallery.add("shop coffee tea"), gallery.add("coffee house")
    gallery.index_all()
    with session_scope(gallery.engine) as session:
        image = queries.get_image(session, image_id=image_id)
        _, coffee, tea = queries.list_proposals(session, image_id=image_id)
        elsewhere, house = queries.list_proposals(session, image_id=other_id)
        options: dict[str, Any] = {"texts": ["coffee"], "way": "exact", "version": gallery.encoder.version}
        ids = {"image_ids": [image_id, 999], "proposal_ids": [tea.id, 999, house.id, coffee.id]}
        found = shown.get(session, **ids, **options, posteriors=True)
        both = shown.get(session, image_ids=[other_id, image_id], proposal_ids=[], **options)
        assert shown.get(session, image_ids=[], proposal_ids=[], **options) == {}
    photo = Photo(image_id, image.name, "default", image.width, image.height, image.extra, image.taken_at)
    # A region of another photo is none of this one.
    ((key, (shown_photo, regions)),) = found.items()
    assert (key, shown_photo) == (image_id, photo)
    assert [row.proposal_id for row in regions] == [coffee.id, tea.id]
    assert regions[1] == (image_id, tea.id, tea.box, tea.quad, "tea", "tea", b"a cup")
    read = {key: [row.proposal_id for row in rows] for key, (_, rows) in both.items()}
    assert read == {image_id: [coffee.id], other_id: [elsewhere.id]}


def test_a_photo_without_such_regions_is_there_with_none(gallery: Gallery) -> None:
    image_id = gallery.add("tea")
    gallery.index_all()
    with session_scope(gallery.engine) as session:
        options: dict[str, Any] = {"texts": ["cof"], "way": "prefix", "version": gallery.encoder.version}
        found = shown.get(session, image_ids=[image_id], proposal_ids=[], **options)
    assert found[image_id][1] == []
