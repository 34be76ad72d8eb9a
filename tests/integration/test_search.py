"""Search over a small gallery: the ranking, the boxes, the pages."""

import random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from indexer import pipeline
from indexer.errors import InvalidQuery, NotFound, NotReady
from indexer.filters import Filters
from indexer.follower import Follower
from indexer.hits import Hit
from indexer.results import SearchResult
from indexer.search import WholeRanking, search, search_regions
from tests.integration.conftest import Gallery, RandomEncoder
from tests.model.test_reranking import seen, sure


@pytest.fixture
def follower(gallery: Gallery) -> Follower:
    gallery.add("coffee shop", name="café.png")
    gallery.add("", name="blank.png")
    gallery.add("coffees", collection="other")
    gallery.add("hotel")
    gallery.index_all()
    return gallery.follower()


def _search(gallery: Gallery, follower: Follower, *words: str, **options: object) -> SearchResult:
    options = {"limit": 10, **options}
    return search(gallery.engine, follower.served(), gallery.encoder, words, **options)  # type: ignore[arg-type]


def test_every_photo_is_ranked_and_the_best_has_its_box(gallery: Gallery, follower: Follower) -> None:
    found = _search(gallery, follower, "coffee")
    (result,) = found.results
    assert (result.query.text, result.total) == ("coffee", 4)
    assert [hit.image.id for hit in result.hits[:2]] == [1, 3]
    best, last = result.hits[0], result.hits[-1]
    assert (best.image.name, best.image.collection) == ("café.png", "default")
    assert best.score == pytest.approx(1, abs=1e-3)
    (box,) = best.boxes
    assert (box.text, box.box) == ("coffee", [0, 0, 8, 4])
    assert box.quad == [[0, 0], [8, 0], [8, 4], [0, 4]]
    assert box.score == best.score
    assert (last.image.name, last.score, last.boxes) == ("blank.png", -1, [])
    assert [hit.score for hit in result.hits] == sorted((hit.score for hit in result.hits), reverse=True)
    assert set(found.took_ms) == {"encode", "index", "database", "suggestions", "total"}
    assert all(took >= 0 for took in found.took_ms.values())


def test_boxes_are_those_near_the_best(gallery: Gallery) -> None:
    gallery.add(" ".join(["same"] * 12 + ["zzz"]))
    gallery.index_all()
    (result,) = _search(gallery, gallery.follower(), "same").results
    assert [box.text for box in result.hits[0].boxes] == ["same"] * 10


def test_pages_make_up_the_ranking(gallery: Gallery, follower: Follower) -> None:
    whole = _search(gallery, follower, "hotel").results[0]
    pages = [_search(gallery, follower, "hotel", limit=3, offset=offset).results[0] for offset in (0, 3, 6)]
    assert [len(page.hits) for page in pages] == [3, 1, 0]
    assert [hit.image.id for page in pages for hit in page.hits] == [hit.image.id for hit in whole.hits]
    assert {page.total for page in pages} == {4}


TEXTS = [
    "coffee shop",  # together
    "coffee wet zebra hotel lamps shop",  # both, apart
    "shop coffee",  # in the other order
    "coffee",
    "shop bar",
    "zebra",
    "",
]


@pytest.fixture
def streets(gallery: Gallery) -> Follower:
    """Photos 1 to 7 that show TEXTS."""
    for number, words in enumerate(TEXTS):
        gallery.add(words, name=f"{number}.png")
    gallery.index_all()
    return gallery.follower()


def _ids(gallery: Gallery, follower: Follower, query: str, **options: object) -> list[int]:
    (result,) = _search(gallery, follower, query, **options).results
    return [hit.image.id for hit in result.hits]


def _read(hit: Hit) -> list[tuple[str, str]]:
    return [(box.word, box.text) for box in hit.boxes[:2]]


def test_photos_with_all_words_come_first_then_those_with_some(gallery: Gallery, streets: Follower) -> None:
    (result,) = _search(gallery, streets, "coffee shop").results
    assert [hit.image.id for hit in result.hits][:3] == [1, 2, 3]  # of one score: by id
    assert {hit.image.id for hit in result.hits[3:5]} == {4, 5}
    assert [hit.image.id for hit in result.hits[5:]] == [6, 7]
    assert result.hits[0].score == pytest.approx(1, abs=1e-3)
    assert [(box.word, box.text) for box in result.hits[0].boxes[:2]] == [
        ("coffee", "coffee"),
        ("shop", "shop"),
    ]
    assert (result.hits[-1].score, result.hits[-1].boxes) == (-1, [])
    assert result.total == 7


def test_score_of_several_words_is_the_mean_of_their_best(gallery: Gallery, streets: Follower) -> None:
    scores = [
        {hit.image.id: hit.score for hit in result.hits}
        for result in _search(gallery, streets, "zebra", "coffee", "zebra coffee").results
    ]
    for image_id, score in scores[2].items():
        assert score == pytest.approx((scores[0][image_id] + scores[1][image_id]) / 2, abs=1e-4)


def test_words_of_a_phrase_stand_together(gallery: Gallery, streets: Follower) -> None:
    (result,) = _search(gallery, streets, '"coffee shop"').results
    scores = {hit.image.id: hit.score for hit in result.hits}
    assert result.hits[0].image.id == 1
    assert scores[1] == pytest.approx(1, abs=1e-3)
    assert 0.7 - 1e-3 <= scores[2] < 0.8  # apart
    assert scores[3] < 0.8  # in the other order
    assert [(box.word, box.text) for box in result.hits[0].boxes[:2]] == [
        ("coffee", "coffee"),
        ("shop", "shop"),
    ]
    assert (result.hits[-1].image.id, result.hits[-1].score) == (7, -1)


def test_a_region_that_reads_as_the_whole_phrase_counts(gallery: Gallery) -> None:
    gallery.add("coffee zebra hotel lamps shop")
    gallery.add("coffeeshop")  # how the index keeps a line
    gallery.index_all()
    (result,) = _search(gallery, gallery.follower(), '"coffee shop"').results
    best = result.hits[0]
    assert (best.image.id, best.boxes[0].word, best.boxes[0].text) == (2, "coffee shop", "coffeeshop")
    assert best.score == best.boxes[0].score == pytest.approx(1, abs=1e-3)


def test_a_region_that_reads_as_the_phrase_is_shown_beside_one_that_looks_more_so(gallery: Gallery) -> None:
    gallery.add("coffeeship mycoffeeshopnow")
    gallery.index_all()
    (result,) = _search(gallery, gallery.follower(), '"coffee shop"').results
    of_phrase = [(box.text, box.match) for box in result.hits[0].boxes if box.word == "coffee shop"]
    assert of_phrase == [("coffeeship", "similar"), ("mycoffeeshopnow", "exact")]


def test_excluded_words_leave_photos_out(gallery: Gallery, streets: Follower) -> None:
    assert set(_ids(gallery, streets, "coffee -shop")) == {4, 6, 7}
    assert set(_ids(gallery, streets, 'coffee -"coffee shop"')) >= {2, 3, 4}
    assert 1 not in _ids(gallery, streets, 'coffee -"coffee shop"')
    assert _ids(gallery, streets, "coffee -coffee") == [5, 6, 7]


@pytest.mark.parametrize("query", ["coffee shop", '"coffee shop"', "coffee shop -zebra", "coffee bar zebra"])
def test_pages_of_any_query_make_up_its_ranking(gallery: Gallery, streets: Follower, query: str) -> None:
    whole = _ids(gallery, streets, query)
    pages = [_ids(gallery, streets, query, limit=2, offset=offset) for offset in range(0, 8, 2)]
    assert [image_id for page in pages for image_id in page] == whole
    assert _ids(gallery, streets, query) == whole


def test_suggested_score_keeps_what_is_likely_right(gallery: Gallery, streets: Follower) -> None:
    (result,) = _search(gallery, streets, "coffee", min_score="suggested").results
    assert {hit.image.id for hit in result.hits} == {1, 2, 3, 4}
    assert 0 < result.suggested_min_score < 1
    (same,) = _search(gallery, streets, "coffee", min_score=result.suggested_min_score).results
    assert [hit.image.id for hit in same.hits] == [hit.image.id for hit in result.hits]
    (short,) = _search(gallery, streets, "to").results
    assert short.suggested_min_score > result.suggested_min_score
    (both,) = _search(gallery, streets, "to coffee").results
    mean = (short.suggested_min_score + result.suggested_min_score) / 2
    assert both.suggested_min_score == pytest.approx(mean)


def test_a_shorter_query_finds_at_least_what_a_longer_one_finds(gallery: Gallery) -> None:
    chance = random.Random(3)
    words = [
        "coffee",
        "coffees",
        "cofees",
        "offee",
        "toffee",
        "hotel",
        "hostel",
        "hot",
        "shop",
        "shops",
        "tohel",
    ]
    for _ in range(40):
        gallery.add(" ".join(chance.sample(words, chance.randint(0, 3))))
    gallery.index_all()
    follower = gallery.follower()
    dropped = 0
    for _ in range(30):
        longer = " ".join(chance.choices([*words, "cofee", "coffeshop", "hotl"], k=chance.randint(1, 2)))
        shorter = longer[: chance.randint(1, len(longer))]
        for options in ({"min_score": "suggested"}, {"mode": "prefix"}, {"mode": "contains"}):
            found, found_more = (
                {hit.image.id for hit in result.hits}
                for result in _search(gallery, follower, longer, shorter, limit=100, **options).results
            )
            assert found <= found_more, (longer, shorter, options)
        (plain,) = _search(gallery, follower, longer, limit=100).results
        dropped += sum(hit.score >= plain.suggested_min_score for hit in plain.hits)
        (page,) = _search(gallery, follower, longer, limit=100, min_score="suggested").results
        dropped -= sum(hit.score >= page.suggested_min_score for hit in page.hits)
    assert dropped > 0  # similarity alone would not do


def test_several_queries_at_once(gallery: Gallery, follower: Follower) -> None:
    results = _search(gallery, follower, "hotel", "coffees").results
    assert [result.query.text for result in results] == ["hotel", "coffees"]
    assert [result.hits[0].image.id for result in results] == [4, 3]


@pytest.mark.parametrize("query", ["coffee", "coffee hotel", '"coffee shop"', "coffee -shop", "xyz"])
@pytest.mark.parametrize("min_score", [0.05, 0.3, 0.6, 0.95])
def test_a_cut_ranking_is_the_whole_one_without_what_scores_less(
    gallery: Gallery, follower: Follower, query: str, min_score: float
) -> None:
    (whole,) = _search(gallery, follower, query).results
    (cut,) = _search(gallery, follower, query, min_score=min_score).results
    assert all(hit.score >= min_score or hit.match == "exact" for hit in cut.hits)
    kept = [hit for hit in whole.hits if hit.score >= min_score or hit in cut.hits]
    assert cut.hits == kept
    assert cut.total == len(kept)


def test_min_score_cuts_and_total_says_how_many_remain(gallery: Gallery, follower: Follower) -> None:
    (result,) = _search(gallery, follower, "coffee", min_score=0.99, limit=1).results
    assert (result.total, [hit.image.id for hit in result.hits]) == (1, [1])
    (none,) = _search(gallery, follower, "coffee", min_score=1.5).results
    assert (none.total, none.hits) == (0, [])
    (everything,) = _search(gallery, follower, "coffee", min_score=-1, limit=2, offset=2).results
    assert (everything.total, len(everything.hits)) == (4, 2)


def test_collection_limits_the_ranking(gallery: Gallery, follower: Follower) -> None:
    (result,) = _search(gallery, follower, "coffee", filters=Filters(collection="other")).results
    assert (result.total, [hit.image.id for hit in result.hits]) == (1, [3])
    with pytest.raises(NotFound):
        _search(gallery, follower, "coffee", filters=Filters(collection="unknown"))


@pytest.mark.parametrize(
    ("query", "mode", "ids"),
    [
        ("coffee", "exact", [1]),
        ("coffee", "prefix", [1, 3]),
        ("cof", "prefix", [3, 1]),  # by similarity: here it is the longer one
        ("offee", "contains", [1, 3]),
        ("shop coffee", "exact", [1]),
        ('"coffee shop"', "exact", [1]),
        ('"shop coffee"', "exact", []),  # in the other order
        ("coffee -shop", "prefix", [3]),
        ("coffee hotel", "contains", []),  # no photo has both
    ],
)
def test_only_photos_in_which_the_words_were_read(
    gallery: Gallery, follower: Follower, query: str, mode: str, ids: list[int]
) -> None:
    (result,) = _search(gallery, follower, query, mode=mode).results
    assert {hit.image.id for hit in result.hits} == set(ids)
    assert result.total == len(ids)
    assert [hit.score for hit in result.hits] == sorted((hit.score for hit in result.hits), reverse=True)
    assert all(box.match == hit.match == "exact" for hit in result.hits for box in hit.boxes)
    (cut,) = _search(gallery, follower, query, mode=mode, min_score="suggested").results
    assert [hit.image.id for hit in cut.hits] == [hit.image.id for hit in result.hits]


def test_transcripts_lift_over_the_suggested_cut_and_reorder_nothing(gallery: Gallery) -> None:
    gallery.add("xyz antidisestablishmentarian")
    gallery.add("coat")
    gallery.add("coals")
    gallery.index_all()
    follower = gallery.follower()
    (whole,) = _search(gallery, follower, "establish").results
    (cut,) = _search(gallery, follower, "establish", min_score="suggested").results
    assert [hit.image.id for hit in cut.hits] == [1]
    (hit,) = cut.hits
    assert hit.score < whole.suggested_min_score
    assert hit.match == "exact"
    assert ("antidisestablishmentarian", "exact") in [(box.text, box.match) for box in hit.boxes]
    scores = [hit.score for hit in whole.hits]
    assert scores == sorted(scores, reverse=True)
    assert whole.total == 3
    (strict,) = _search(gallery, follower, "establish", min_score=whole.suggested_min_score + 0.01).results
    assert strict.hits == []  # who asks for more than is suggested gets it
    (both,) = _search(gallery, follower, "establish xyz", min_score="suggested").results
    assert [hit.image.id for hit in both.hits] == [1]


def test_photo_deleted_a_moment_ago_is_skipped(gallery: Gallery, follower: Follower) -> None:
    pipeline.delete_photo(gallery.engine, gallery.blobs, image_id=1)  # the index does not know yet
    (result,) = _search(gallery, follower, "coffee", limit=2).results
    assert [hit.image.id for hit in result.hits] == [3]


@pytest.mark.parametrize(
    "word",
    [
        "",  # nothing
        "   ",  # nothing to see
        "!?",  # nothing that the network knows
    ],
)
def test_query_without_known_characters_is_refused(gallery: Gallery, follower: Follower, word: str) -> None:
    with pytest.raises(InvalidQuery, match="letter or a digit"):
        _search(gallery, follower, "fine", word)


def test_index_of_another_model_version_is_not_searched(gallery: Gallery, follower: Follower) -> None:
    newer = Gallery(gallery.engine, gallery.blobs, RandomEncoder(version="2" * 64), gallery.sandbox)
    with pytest.raises(NotReady, match="another model version"):
        _search(newer, follower, "coffee")


def test_empty_gallery_has_an_empty_ranking(gallery: Gallery) -> None:
    gallery.index([])
    (result,) = _search(gallery, gallery.follower(), "coffee").results
    assert (result.total, result.hits) == (0, [])


def test_whole_ranking_is_that_of_the_pages(gallery: Gallery, streets: Follower) -> None:
    for query, options in (("coffee", {}), ('"coffee shop" -zebra', {}), ("co", {"mode": "prefix"})):
        found = WholeRanking(gallery.engine, streets.served(), gallery.encoder, query, None, **options)  # type: ignore[arg-type]
        parts = list(found.parts(size=2))
        (page,) = _search(gallery, streets, query, **options).results
        assert [hit.image.id for part in parts for hit in part] == [hit.image.id for hit in page.hits]
        assert [hit.boxes for part in parts for hit in part] == [hit.boxes for hit in page.hits]
        assert max(map(len, parts)) <= 2
    found = WholeRanking(gallery.engine, streets.served(), gallery.encoder, "coffee", 3, offset=1)  # type: ignore[arg-type]
    some = [hit.image.id for part in found.parts(size=2) for hit in part]
    assert some == _ids(gallery, streets, "coffee")[1:4]
    with pytest.raises(InvalidQuery):
        WholeRanking(gallery.engine, streets.served(), gallery.encoder, "", None)  # type: ignore[arg-type]


UNSURE = seen({"l": 0.9}, {}, {"e": 0.5, "i": 0.4}, {}, {"f": 0.9}, {}, {"t": 0.9})


@pytest.fixture
def doubtful(gallery: Gallery) -> Follower:
    """Photos that may show `lift`: 1 surely shows `lifts`, 2 perhaps `lift`, 22 others follow."""
    gallery.encoder.seen = {word: sure(word) for word in ("lifts", "soft", "bar")} | {"left": UNSURE}
    for number, words in enumerate(["lifts", "left", "soft", *["bar"] * 20, ""]):
        gallery.add(words, name=f"{number}.png")
    gallery.index_all()
    return gallery.follower()


def test_what_the_reader_saw_orders_doubtful_photos(gallery: Gallery, doubtful: Follower) -> None:
    (result,) = _search(gallery, doubtful, "lift", limit=30).results
    assert [hit.image.id for hit in result.hits][:3] == [2, 1, 3]
    second, first = result.hits[:2]
    assert first.score > second.score > result.hits[2].score  # the similarity, as before
    assert [[(box.word, box.text, box.score) for box in hit.boxes] for hit in (first, second)] == [
        [("lift", "lifts", first.score)],
        [("lift", "left", second.score)],
    ]
    assert result.hits[-1].image.id == 24
    assert _ids(gallery, doubtful, "li", mode="prefix") == [1]
    assert _ids(gallery, doubtful, "lifts")[0] == 1  # nothing comes before what is sure
    scores = [hit.score for hit in _search(gallery, doubtful, "lift zebra", limit=30).results[0].hits]
    assert scores == sorted(scores, reverse=True)  # of several words, photos are not reordered


def test_pages_of_any_size_and_files_have_the_same_order(gallery: Gallery, doubtful: Follower) -> None:
    whole = _ids(gallery, doubtful, "lift", limit=30)
    assert whole[0] == 2
    for size in (1, 7, 20, 23):
        pages = [_ids(gallery, doubtful, "lift", limit=size, offset=start) for start in range(0, 30, size)]
        assert [image_id for page in pages for image_id in page] == whole
        ranking = WholeRanking(gallery.engine, doubtful.served(), gallery.encoder, "lift", None)  # type: ignore[arg-type]
        assert [hit.image.id for part in ranking.parts(size) for hit in part] == whole
    assert _ids(gallery, doubtful, "lift", limit=30, min_score=-0.9) == whole[:-1]
    assert _ids(gallery, doubtful, "lift -soft", limit=30) == [each for each in whole if each != 3]


def test_photos_without_posteriors_are_ranked_by_similarity(gallery: Gallery) -> None:
    for words in ("lifts", "left"):
        gallery.add(words)
    gallery.index_all()
    assert _ids(gallery, gallery.follower(), "lift")[:2] == [1, 2]


def test_letters_that_the_network_does_not_know_are_none_of_the_word(
    gallery: Gallery, doubtful: Follower
) -> None:
    assert _ids(gallery, doubtful, "lift", limit=3)[0] == 2
    assert [box.word for box in _search(gallery, doubtful, "liftø").results[0].hits[0].boxes] == ["liftø"]
    assert _ids(gallery, doubtful, "liftø", limit=30)[0] == 2


def _picture(words: str) -> NDArray[np.uint8]:
    pixels = np.zeros((8, 64, 3), np.uint8)
    pixels[0, : len(words), 0] = np.frombuffer(words.encode(), np.uint8)
    return pixels


def test_photos_are_found_by_the_words_of_a_photo(gallery: Gallery, streets: Follower) -> None:
    (proposals,) = gallery.encoder.encode_images([_picture("shop coffee")])
    place: Any = (gallery.engine, streets.served(), gallery.encoder)
    options = {"limit": 10, "filters": Filters(where=("width>=1",))}
    found, regions = search_regions(*place, proposals, **options)
    (result,) = found.results
    assert regions == [0, 1]
    assert result.query.words == ["shop", "coffee"]
    assert {hit.image.id for hit in result.hits[:3]} == {1, 2, 3}
    assert result.hits[0].score == pytest.approx(1, abs=2e-3)
    assert _read(result.hits[0]) == [("shop", "shop"), ("coffee", "coffee")]
    assert result.total == 7
    (blank,) = gallery.encoder.encode_images([_picture("")])
    with pytest.raises(InvalidQuery, match="no text"):
        search_regions(*place, blank, limit=1)
