"""Precision and recall of searching by the beginning of a word and by a phrase, through HTTP.

    python -m tests.benchmarks.queries DATA/icdar2015/val.jsonl [--json FILE]

A fresh service indexes the photos. Asked for is every beginning of three letters or more of a longer readable
word, with `match=prefix`, and every two readable words that stand next to each other on a line, as a phrase:
once with the page's cut (`min_score=suggested`), once with `match=exact`. Relevant is a photo with a readable
word that begins so, or with the two words next to each other.
"""

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from app.client import Client, Photo
from indexer.folding import fold
from model.evaluation import records
from model.evaluation.dataset import read_photos
from model.evaluation.evaluate import Queries
from tests.benchmarks import measuring

LETTERS = range(3, 8)  # the last stands for all longer beginnings too
# In heights of a word: most off the line, most from the end of a word to the next one, and most overlap.
OFF_LINE, GAP, OVERLAP = 0.5, 1.0, 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path, help="annotated photos, see model.evaluation.dataset")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    photos = read_photos(options.dataset)
    with (
        tempfile.TemporaryDirectory() as folder,
        measuring.service("serve", Path(folder)) as (url, _),
        Client(url) as client,
    ):
        measuring.index(client, [Photo(short_name(photo), photo.path) for photo in photos])
        rows = measure(client, photos)
    measuring.show(f"{len(photos)} photos, % of the pairs of a query and a photo", rows, options.json)


def measure(client: Client, photos: list[records.Photo]) -> dict[str, dict[str, float]]:
    """Return a line for all beginnings, for those of each length, and for the phrases."""
    starts, together = beginnings(photos), phrases(photos)
    found = ask(client, starts, match="prefix")
    rows = {"beginnings": measuring.precision_and_recall(found, starts)}
    for letters in LETTERS:
        some = {start: names for start, names in starts.items() if min(len(start), LETTERS[-1]) == letters}
        name = f"of {letters} letters" + " or more" * (letters == LETTERS[-1])
        rows[name] = measuring.precision_and_recall({start: found[start] for start in some}, some)
    for name, option in {
        "suggested cut": {"min_score": "suggested"},
        "match=exact": {"match": "exact"},
    }.items():
        rows[f"phrases, {name}"] = measuring.precision_and_recall(ask(client, together, **option), together)
    return rows


def short_name(photo: records.Photo) -> str:
    """Return the name under which the service has a photo."""
    return PurePosixPath(photo.name).name


def ask(client: Client, queries: Queries, **options: str) -> Queries:
    """Return the queries with the names of all photos that the service finds."""
    return {
        query: {hit.image.name for hit in client.search(query, limit=1000, **options).hits}
        for query in queries
    }


def beginnings(photos: list[records.Photo]) -> Queries:
    """Return the beginnings with the photos that have a word beginning so."""
    words = {short_name(photo): [fold(text) for text in photo.readable()] for photo in photos}
    starts = {word[:n] for texts in words.values() for word in texts for n in range(LETTERS[0], len(word))}
    return {
        start: {name for name, texts in words.items() if any(word.startswith(start) for word in texts)}
        for start in sorted(starts)
    }


def phrases(photos: list[records.Photo]) -> Queries:
    """Return the phrases of two words, in quotes, with the photos that have them."""
    found: Queries = defaultdict(set)
    for photo in photos:
        for first, second in pairs(photo):
            found[f'"{fold(first)} {fold(second)}"'].add(short_name(photo))
    return found


def pairs(photo: records.Photo) -> Iterator[tuple[str, str]]:
    """Yield the texts of two words of which the second stands next to the first, on its line."""
    words = [word for word in photo.words if word.text and not word.ignore and fold(word.text)]
    for first in words:
        for second in words:
            if second is not first and _next_to(first, second):
                yield first.text or "", second.text or ""


def _next_to(first: records.Word, second: records.Word) -> bool:
    """Tell whether the second word's left edge is near the first one's right edge, by their middles."""
    start, end, next_start = first.quad[[0, 3]].mean(0), first.quad[1:3].mean(0), second.quad[[0, 3]].mean(0)
    height = max(1.0, float(np.linalg.norm(first.quad[[3, 2]] - first.quad[[0, 1]], axis=1).mean()))
    along = (end - start) / max(1.0, float(np.linalg.norm(end - start)))
    right = (next_start - end) @ along / height
    down = (next_start - end) @ np.array([-along[1], along[0]]) / height
    return bool(-OVERLAP <= right <= GAP and abs(down) <= OFF_LINE)


if __name__ == "__main__":
    main()
