"""Rankings as files for other programs, written as they are made."""

import csv
import io
import json
import re
from collections.abc import Iterator
from typing import Any

from indexer.hits import Hit, HitBox
from indexer.search import WholeRanking

CSV_COLUMNS = (
    *("rank", "image_id", "name", "collection", "width", "height", "score", "match"),
    *("region_id", "word", "text", "region_score", "region_match", "x0", "y0", "x1", "y1"),
)
# A spreadsheet takes a cell that begins so for a formula, which may do anything; many divide cells at `;`.
_FORMULA = re.compile(r"(^|;\s*)(?=[=+\-@\t\r\n])")


def as_csv(ranking: WholeRanking) -> Iterator[str]:
    """Yield the ranking in CSV (RFC 4180): a line for each region that matches, or for a photo without any.

    Texts that a spreadsheet would run as a formula have an apostrophe before them.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(CSV_COLUMNS)
    rank = 0
    for hits in ranking.parts():
        for hit in hits:
            rank += 1
            writer.writerows([rank, *_photo_cells(hit), *cells] for cells in _region_cells(hit))
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def _photo_cells(hit: Hit) -> list[Any]:
    image = hit.image
    return [
        *(image.id, _text(image.name), _text(image.collection), image.width, image.height),
        *(round(hit.score, 6), hit.match),
    ]


def _region_cells(hit: Hit) -> list[list[Any]]:
    rows = [
        [b.proposal_id, _text(b.word), _text(b.text), round(b.score, 6), b.match, *b.box] for b in hit.boxes
    ]
    return rows or [[""] * 9]


def _text(text: str) -> str:
    return _FORMULA.sub(r"\1'", text)


def as_coco(ranking: WholeRanking) -> Iterator[str]:
    """Yield the ranking as a COCO data set: photos, and their regions as annotations with a score.

    A category is a word of the query, or a phrase that one region shows.
    """
    info = {"description": "glyphseek", "query": ranking.query.text}
    yield '{"info": ' + json.dumps(info) + ', "images": ['
    known, separator = set(), ""
    for hits in ranking.parts():
        for hit in hits:
            known.add(hit.image.id)
            yield separator + json.dumps(_coco_image(hit))
            separator = ",\n"
    yield '], "annotations": ['
    categories: dict[str, int] = {}
    separator, number = "", 0
    for hits in ranking.parts():  # again: all photos come before the first region
        for hit in hits:
            for box in hit.boxes if hit.image.id in known else []:
                number += 1
                category = categories.setdefault(box.word, len(categories) + 1)
                yield separator + json.dumps(_annotation(number, hit, box, category))
                separator = ",\n"
    named = [{"id": category, "name": word} for word, category in categories.items()]
    yield '], "categories": ' + json.dumps(named) + "}\n"


def _coco_image(hit: Hit) -> dict[str, Any]:
    image = hit.image
    taken_at = image.taken_at.isoformat() if image.taken_at else None
    return {
        "id": image.id,
        "file_name": image.name,
        "width": image.width,
        "height": image.height,
        "date_captured": taken_at,
        "score": hit.score,
        "match": hit.match,
    }


def _annotation(number: int, hit: Hit, box: HitBox, category: int) -> dict[str, Any]:
    x0, y0, x1, y1 = box.box
    return {
        "id": number,
        "image_id": hit.image.id,
        "category_id": category,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": (x1 - x0) * (y1 - y0),
        "segmentation": [[coordinate for corner in box.quad for coordinate in corner]],
        "iscrowd": 0,
        "score": box.score,
        "text": box.text,
        "match": box.match,
    }
