"""Rankings as files for other programs."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from app.export import CSV_COLUMNS, as_coco, as_csv
from indexer.hits import Hit, HitBox
from indexer.shown import Photo


def hit(number: int, name: str, *words: str) -> Hit:
    taken_at = datetime(2024, 5, 1, tzinfo=UTC) if words else None
    image = Photo(number, name, "@home", 640, 480, {}, taken_at)
    quad = [[1.0, 2.0], [11.0, 2.0], [11.0, 6.0], [1.0, 6.0]]
    boxes = [
        HitBox(10 * number + n, word, [1, 2, 11, 6], quad, 0.75, f"={word}", "exact")
        for n, word in enumerate(words)
    ]
    return Hit(image, 0.75 if words else -1.0, "exact", boxes)


class Ranking:
    """Hands out hits in parts, as `WholeRanking` does."""

    query = SimpleNamespace(text='coffee "to go"')

    def __init__(self, *parts: list[Any]) -> None:
        self._rounds = [parts, parts]

    def parts(self) -> Iterator[list[Any]]:
        yield from self._rounds.pop(0)


PARTS = ([hit(1, "a.jpg", "coffee", "go"), hit(2, '=HYPERLINK("http://x")', "coffee")], [hit(3, "-1,\n2")])


def test_csv_has_a_line_for_each_region_or_bare_photo() -> None:
    rows = list(csv.DictReader(io.StringIO("".join(as_csv(Ranking(*PARTS))), newline="")))  # type: ignore[arg-type]
    assert [(row["rank"], row["image_id"], row["word"]) for row in rows] == [
        ("1", "1", "coffee"),
        ("1", "1", "go"),
        ("2", "2", "coffee"),
        ("3", "3", ""),
    ]
    assert tuple(rows[0]) == CSV_COLUMNS
    assert (rows[0]["x0"], rows[0]["y1"], rows[0]["region_id"]) == ("1", "6", "10")
    assert (rows[3]["score"], rows[3]["region_score"]) == ("-1.0", "")


def test_no_cell_is_a_formula() -> None:
    rows = csv.reader(io.StringIO("".join(as_csv(Ranking(*PARTS))), newline=""))  # type: ignore[arg-type]
    texts = {cell for row in rows for cell in row}
    assert {'\'=HYPERLINK("http://x")', "'-1,\n2", "'@home", "'=coffee"} <= texts
    for text in texts - {"-1.0"}:
        assert not text.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


def test_no_cell_is_a_formula_where_they_are_divided_at_semicolons() -> None:
    lines = "".join(as_csv(Ranking([hit(4, "x;=1+1; @a;-b;c.jpg")])))  # type: ignore[arg-type]
    assert "x;'=1+1; '@a;'-b;c.jpg" in lines


def test_coco_has_photos_regions_and_words() -> None:
    document = json.loads("".join(as_coco(Ranking(*PARTS))))  # type: ignore[arg-type]
    assert document["info"]["query"] == 'coffee "to go"'
    assert [image["id"] for image in document["images"]] == [1, 2, 3]
    assert document["images"][0]["file_name"] == "a.jpg"
    assert document["images"][0]["date_captured"].startswith("2024-05-01")
    first = document["annotations"][0]
    assert (first["bbox"], first["area"], first["image_id"]) == ([1, 2, 10, 4], 40, 1)
    assert first["segmentation"] == [[1, 2, 11, 2, 11, 6, 1, 6]]
    assert [each["id"] for each in document["annotations"]] == [1, 2, 3]
    names = {each["id"]: each["name"] for each in document["categories"]}
    assert [names[each["category_id"]] for each in document["annotations"]] == ["coffee", "go", "coffee"]


def test_a_photo_that_comes_up_meanwhile_has_no_annotation() -> None:
    ranking = Ranking()
    ranking._rounds = [([hit(1, "a", "x")],), ([hit(1, "a", "x"), hit(2, "b", "x")],)]
    document = json.loads("".join(as_coco(ranking)))  # type: ignore[arg-type]
    assert {each["image_id"] for each in document["annotations"]} == {1}


@pytest.mark.parametrize("write", [as_csv, as_coco])
def test_an_empty_ranking_is_a_whole_file(write: Any) -> None:
    text = "".join(write(Ranking()))
    assert text.startswith("rank,") if write is as_csv else json.loads(text)["images"] == []
