"""Hits and the regions that explain them."""

from indexer import hits, pipeline, queries
from indexer.database import session_scope
from indexer.hits import Found
from tests.integration.conftest import Gallery


def test_each_word_has_its_best_region_first_then_all_by_score(gallery: Gallery) -> None:
    image_id = gallery.add("coffee shop cofee ship")
    gallery.index_all()
    with session_scope(gallery.engine) as session:
        coffee, shop, cofee, ship = (each.id for each in queries.list_proposals(session, image_id=image_id))
        regions = {"shop": [(shop, 0.8), (ship, 0.75)], "coffee": [(coffee, 0.9), (cofee, 0.85), (999, 0.1)]}
        ((hit,), ()) = hits.build(session, [[Found(image_id, 0.85, regions)], []])
    assert (hit.image.id, hit.score) == (image_id, 0.85)
    assert [(box.word, box.text, box.score) for box in hit.boxes] == [
        ("shop", "shop", 0.8),
        ("coffee", "coffee", 0.9),
        ("coffee", "cofee", 0.85),
        ("shop", "ship", 0.75),
    ]
    assert [box.proposal_id for box in hit.boxes] == [shop, coffee, cofee, ship]
    assert hit.boxes[0].quad == [[10, 0], [18, 0], [18, 4], [10, 4]]


def test_a_photo_deleted_meanwhile_is_missing(gallery: Gallery) -> None:
    ids = [gallery.add(word) for word in ("one", "two")]
    gallery.index_all()
    pipeline.delete_photo(gallery.engine, gallery.blobs, image_id=ids[0])
    with session_scope(gallery.engine) as session:
        (page,) = hits.build(session, [[Found(image_id, 0.5, {}) for image_id in ids]])
        assert hits.build(session, []) == []
    assert [hit.image.id for hit in page] == [ids[1]]
