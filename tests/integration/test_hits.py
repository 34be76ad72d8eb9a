"""Hits and the regions that explain them."""

import pytest

from indexer import hits, pipeline, queries
from indexer.database import session_scope
from indexer.hits import Found, Page
from indexer.query_language import Query, Term
from tests.integration.conftest import Gallery


def page(photos: list[Found], *words: str, way: str = "contains", read_only: bool = False) -> Page:
    query = Query(" ".join(words), tuple(Term((word,)) for word in words), (), ())
    return Page(query, way, read_only, len(photos), photos)  # type: ignore[arg-type]


def build(gallery: Gallery, *pages: Page) -> list[list[hits.Hit]]:
    words = [word for each in pages for word in each.query.words]
    embeddings = dict(zip(words, gallery.encoder.encode_texts(words), strict=True)) if words else {}
    with session_scope(gallery.engine) as session:
        return hits.build(session, pages, embeddings=embeddings, version=gallery.encoder.version)


def ids_of(gallery: Gallery, image_id: int) -> list[int]:
    with session_scope(gallery.engine) as session:
        return [each.id for each in queries.list_proposals(session, image_id=image_id)]


def test_each_word_has_its_best_region_first_then_all_by_score(gallery: Gallery) -> None:
    image_id = gallery.add("coffee shop cofee ship")
    gallery.index_all()
    coffee, shop, cofee, ship = ids_of(gallery, image_id)
    regions = {"shop": [(shop, 0.8), (ship, 0.75)], "coffee": [(coffee, 0.9), (cofee, 0.85), (999, 0.1)]}
    (hit,), () = build(gallery, page([Found(image_id, 0.85, regions)], "shop", "coffee"), page([]))
    assert (hit.image.id, hit.score, hit.match) == (image_id, 0.85, "exact")
    assert [(box.word, box.text, box.score, box.match) for box in hit.boxes] == [
        ("shop", "shop", 0.8, "exact"),
        ("coffee", "coffee", 0.9, "exact"),
        ("coffee", "cofee", 0.85, "similar"),
        ("shop", "ship", 0.75, "similar"),
    ]
    assert [box.proposal_id for box in hit.boxes] == [shop, coffee, cofee, ship]
    assert hit.boxes[0].quad == [[10, 0], [18, 0], [18, 4], [10, 4]]


def test_a_region_that_reads_so_is_shown_where_none_that_looks_so_does(gallery: Gallery) -> None:
    image_id = gallery.add("ship workshop")
    gallery.index_all()
    ship, workshop = ids_of(gallery, image_id)
    ((hit,),) = build(gallery, page([Found(image_id, 0.7, {"shop": [(ship, 0.7)]})], "shop"))
    assert hit.match == "exact"
    assert [(box.text, box.match) for box in hit.boxes] == [("ship", "similar"), ("workshop", "exact")]
    vectors = gallery.encoder.encode_texts(["shop", "workshop"])
    assert hit.boxes[1].proposal_id == workshop
    assert hit.boxes[1].score == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-2)


def test_where_only_what_was_read_counts_nothing_else_is_shown(gallery: Gallery) -> None:
    image_id = gallery.add("shops ship workshop")
    gallery.index_all()
    shops, ship, _ = ids_of(gallery, image_id)
    found = Found(image_id, 0.7, {"shop": [(ship, 0.7), (shops, 0.65)]})
    ((hit,),) = build(gallery, page([found], "shop", way="prefix", read_only=True))
    assert [(box.text, box.score, box.match) for box in hit.boxes] == [("shops", 0.65, "exact")]


def test_not_exact_unless_every_word_is(gallery: Gallery) -> None:
    image_id = gallery.add("coffee ship")
    gallery.index_all()
    coffee, ship = ids_of(gallery, image_id)
    regions = {"coffee": [(coffee, 1.0)], "shop": [(ship, 0.7)]}
    ((hit,),) = build(gallery, page([Found(image_id, 0.85, regions)], "coffee", "shop"))
    assert hit.match == "similar"
    assert [box.match for box in hit.boxes] == ["exact", "similar"]


def test_a_photo_deleted_meanwhile_is_missing(gallery: Gallery) -> None:
    ids = [gallery.add(word) for word in ("one", "two")]
    gallery.index_all()
    pipeline.delete_photo(gallery.engine, gallery.blobs, image_id=ids[0])
    (found,) = build(gallery, page([Found(image_id, 0.5, {"one": []}) for image_id in ids], "one"))
    assert [hit.image.id for hit in found] == [ids[1]]
    assert build(gallery) == []
