import csv
import io
import json
import math

import pytest
from fastapi.testclient import TestClient

from tests.app.conftest import spell, upload

TEXTS = ["coffee shop", "coffin", "zebra", ""]


@pytest.fixture
def gallery(client: TestClient, working: None) -> TestClient:
    """Four photos, the last without text."""
    upload(client, *[(f"{n}.png", spell(text)) for n, text in enumerate(TEXTS)], wait="true")
    return client


def test_answer_has_the_promised_shape(gallery: TestClient) -> None:
    answer = gallery.get("/search", params={"q": "Coffee"}).json()
    assert answer["query"] == "Coffee"
    assert answer["total"] == 4
    assert {"encode", "index", "database", "total"} <= answer["took_ms"].keys()
    hit = answer["hits"][0]
    assert hit["image"]["name"] == "0.png"
    assert hit["image"]["url"] == f"/images/{hit['image']['id']}/file"
    assert gallery.get(hit["image"]["thumbnail_url"]).status_code == 200
    assert math.isclose(hit["score"], 1, abs_tol=1e-2)
    assert hit["boxes"][0]["text"] == "coffee"
    assert hit["boxes"][0]["box"] == [0, 0, 8, 4]
    assert len(hit["boxes"][0]["quad"]) == 4


def test_every_photo_is_ranked_and_those_without_text_come_last(gallery: TestClient) -> None:
    hits = gallery.get("/search?q=coffee").json()["hits"]
    assert [hit["image"]["name"] for hit in hits][:2] == ["0.png", "1.png"]
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)
    assert (hits[-1]["image"]["name"], hits[-1]["score"], hits[-1]["boxes"]) == ("3.png", -1, [])


def test_paging_gives_the_same_ranking(gallery: TestClient) -> None:
    whole = gallery.get("/search?q=coffee").json()["hits"]
    pages = [gallery.get(f"/search?q=coffee&limit=1&offset={n}").json()["hits"] for n in range(5)]
    assert [hit for page in pages for hit in page] == whole
    assert pages[4] == []


def test_minimum_score_cuts_and_counts(gallery: TestClient) -> None:
    answer = gallery.get("/search?q=coffee&min_score=0.9").json()
    assert answer["total"] == len(answer["hits"]) == 1


def test_collection_limits_the_search(gallery: TestClient) -> None:
    upload(gallery, ("other.png", spell("coffee")), collection="other", wait="true")
    answer = gallery.get("/search?q=coffee&collection=other").json()
    assert [hit["image"]["name"] for hit in answer["hits"]] == ["other.png"]
    assert gallery.get("/search?q=coffee&collection=none").status_code == 404


def test_many_queries_at_once_equal_one_by_one(gallery: TestClient) -> None:
    answer = gallery.post("/search", json={"queries": ["coffee", "zebra"], "limit": 2}).json()
    for result, word in zip(answer["results"], ["coffee", "zebra"], strict=True):
        assert result["hits"] == gallery.get(f"/search?q={word}&limit=2").json()["hits"]


def test_answer_says_how_the_query_was_understood(gallery: TestClient) -> None:
    params = {"q": '"Coffee Shop" 5€ -Tea'}
    answer = gallery.get("/search", params=params).json()
    assert answer["query"] == params["q"]
    assert answer["words"] == ["coffee", "shop", "5"]
    assert answer["excluded"] == ["tea"]
    assert answer["ignored"] == ["€"]
    assert answer["hits"][0]["image"]["name"] == "0.png"


def test_suggested_score_can_be_asked_for(gallery: TestClient) -> None:
    answer = gallery.get("/search?q=zebra&min_score=suggested").json()
    assert [hit["image"]["name"] for hit in answer["hits"]] == ["2.png"]
    again = gallery.get(f"/search?q=zebra&min_score={answer['suggested_min_score']}").json()
    assert again["hits"] == answer["hits"]


def test_a_box_is_a_region_of_its_photo(gallery: TestClient) -> None:
    hit = gallery.get("/search?q=shop coffee").json()["hits"][0]
    listed = gallery.get(f"/images/{hit['image']['id']}/proposals").json()["items"]
    known = {item["id"]: item["text"] for item in listed}
    assert [(box["word"], known[box["id"]]) for box in hit["boxes"]] == [
        ("shop", "shop"),
        ("coffee", "coffee"),
    ]


def test_only_what_was_read(gallery: TestClient) -> None:
    answer = gallery.get("/search?q=cof&match=prefix").json()
    assert {hit["image"]["name"] for hit in answer["hits"]} == {"0.png", "1.png"}
    assert answer["total"] == 2
    assert {box["match"] for hit in answer["hits"] for box in hit["boxes"]} == {"exact"}
    similar = gallery.get("/search?q=cofee").json()["hits"][0]
    assert (similar["match"], similar["boxes"][0]["match"]) == ("similar", "similar")


def test_filters(client: TestClient, working: None) -> None:
    for year in (1999, 2024):
        metadata = json.dumps({"year": year})
        upload(client, (f"{year}.png", spell(f"coffee {year}")), metadata=metadata, wait="true")
    params = {"q": "coffee", "where": ["meta.year>=2000", "width<=64", "bytes<100000"]}
    answer = client.get("/search", params=params).json()
    assert [hit["image"]["name"] for hit in answer["hits"]] == ["2024.png"]
    body = {"queries": ["coffee"], "where": ["meta.year<2000"]}
    (result,) = client.post("/search", json=body).json()["results"]
    assert [hit["image"]["name"] for hit in result["hits"]] == ["1999.png"]
    assert client.get("/search?q=coffee&taken_after=2020-01-01").json()["total"] == 0


def test_suggestions(gallery: TestClient) -> None:
    items = gallery.get("/suggest?q=cof").json()["items"]
    assert items == [{"text": "coffee", "photos": 1}, {"text": "coffin", "photos": 1}]
    assert gallery.get("/suggest?q=shop cof&limit=1").json()["items"] == [
        {"text": "shop coffee", "photos": 1}
    ]
    assert gallery.get("/suggest?q=%00%F0%9F%98%80").json()["items"] == []
    assert gallery.get("/suggest?q=").json()["items"] == []
    for bad in ("", "q=" + "x" * 201, "q=a&limit=0", "q=a&limit=51"):
        assert gallery.get(f"/suggest?{bad}").status_code == 422
    assert gallery.get("/search?q=zzbra&match=exact").json()["did_you_mean"] == ["zebra"]


def test_export_is_the_whole_ranking(gallery: TestClient) -> None:
    hits = gallery.get("/search?q=coffee shop").json()["hits"]
    names = [hit["image"]["name"] for hit in hits]
    answer = gallery.get("/search?q=coffee shop&format=csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="search.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert list(dict.fromkeys(row["name"] for row in rows)) == names
    assert [row["text"] for row in rows if row["rank"] == "1"] == [box["text"] for box in hits[0]["boxes"]]
    params = {"q": "coffee shop", "format": "csv", "limit": 2, "offset": 1}
    few = csv.DictReader(io.StringIO(gallery.get("/search", params=params).text, newline=""))
    assert list(dict.fromkeys(row["name"] for row in few)) == names[1:3]
    answer = gallery.get("/search?q=coffee shop&format=coco&min_score=suggested")
    assert answer.headers["content-type"] == "application/vnd.coco+json"
    assert [image["file_name"] for image in answer.json()["images"]] == ["0.png"]
    assert {each["name"] for each in answer.json()["categories"]} == {"coffee", "shop"}
    for bad in ("q=&format=csv", "q=a&format=xml", "q=a&format=csv&where=x", "q=a&format=coco&min_score=2"):
        answer = gallery.get(f"/search?{bad}")
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


def test_an_empty_gallery_has_no_hits(client: TestClient) -> None:
    assert client.get("/search?q=coffee").json()["hits"] == []


@pytest.mark.parametrize(
    "query",
    [
        "",  # no query at all
        "q=",  # an empty one
        "q=%F0%9F%98%80",  # an emoji
        "q=%00",  # NUL
        "q=" + "x" * 10_000,  # very long
        "q=%",  # malformed escape
        "q=%ff%fe",  # not UTF-8
        "q=-",  # nothing but a minus
        "q=%22",  # a lone quote
        "q=-a",  # nothing to look for
        "q=" + "a+" * 50,  # too many words
        "q=%D0%BA%D0%BE%D1%84%D0%B5",  # a script that the network does not know
        "q=a&min_score=sugested",
        "q=a&limit=-1",
        "q=a&limit=1001",
        "q=a&limit=x",
        "q=a&offset=-1",
        "q=a&offset=99999999999999999999",
        "q=a&min_score=nan",
        "q=a&min_score=2",
        "q=a&collection=",
        "q=a&match=fuzzy",
        "q=a&where=year%3D2024",
        "q=a&where=width%3E%3Dwide",
        "q=a&where=",
        "q=a&where=meta.a%3D%00",
        "q=a&taken_after=yesterday",
        "q=a&taken_before=0",
        "q=a&taken_before=-50000",
        "q=a" + "&where=width%3E1" * 21,
    ],
)
def test_bad_queries_are_refused_with_a_reason(client: TestClient, query: str) -> None:
    answer = client.get(f"/search?{query}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b"",  # nothing
        b"[]",  # no object
        b'{"queries": []}',  # no query
        b'{"queries": ["a"], "limit": 0}',
        b'{"queries": ["a"], "limit": "5"}',
        b'{"queries": ["a"], "offset": false}',
        b'{"queries": ["a"], "taken_before": 0}',
        b'{"queries": ["a"], "min_score": false}',
        b'{"queries": ["a"], "min_score": "0.5"}',
        b'{"queries": ["\\ud800"]}',  # half a character
        b'{"queries": ["a"], "min_score": NaN}',
        b'{"queries": [' + b'"a",' * 100 + b'"a"]}',  # more than 100
        b'{"queries": [' + b'"a",' * 99 + b'"a"], "limit": 1000}',  # too much to answer
    ],
)
def test_bad_bodies_are_refused_with_a_reason(client: TestClient, body: bytes) -> None:
    answer = client.post("/search", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
