"""Writes a data set of any layout as JSON lines, for training and for `glyphseek evaluate`.

    python -m model.evaluation.convert ch4_test_gt test.jsonl
    python -m model.evaluation.convert IIIT_STR_V1.0 str.jsonl --queries str_queries.json
    python -m model.evaluation.convert MLT2017 mlt.jsonl --images MLT2017/images --latin

The photos stay where they are. `--queries` writes the words that the data set is searched for. `--latin`
makes a subset as the paper's MLT-5k is one: photos with Latin words, all other words unreadable.
"""

import argparse
import json
import sys
import unicodedata
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from rich.progress import track

from model.evaluation.dataset import LAYOUTS, read_dataset
from model.evaluation.layouts.json_lines import line_of
from model.evaluation.records import Photo


def convert(
    path: Path,
    out: Path,
    *,
    layout: str | None = None,
    images: Path | None = None,
    queries: Path | None = None,
    latin: bool = False,
) -> int:
    """Write a data set as JSON lines and return the number of its photos.

    Args:
        path: See `read_dataset`, as for `layout` and `images`.
        out: File to write.
        layout: Of the data set.
        images: Folder of the photos.
        queries: File to write the queries to, too.
        latin: Leave out photos without a readable word in Latin letters; other words become unreadable.

    Raises:
        ValueError: the data set is not as it should be, or names no queries.
    """
    dataset = read_dataset(path, layout, images)
    if queries:
        if dataset.queries is None:
            raise ValueError(f"{path} names no queries")
        queries.write_text(json.dumps(dataset.queries, ensure_ascii=False), "utf-8")
    photos = only_latin(dataset.photos) if latin else dataset.photos
    if not photos:
        raise ValueError(f"{path} shows no word in Latin letters")
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        for photo in track(photos, "photos"):
            file.write(line_of(photo, out.parent))
    part.replace(out)
    return len(photos)


def only_latin(photos: Iterable[Photo]) -> list[Photo]:
    """Return the photos with a readable word in Latin letters, all words with other letters unreadable."""
    found = []
    for photo in photos:
        words = [replace(word, ignore=word.ignore or not _is_latin(word.text or "")) for word in photo.words]
        shown = replace(photo, words=words, texts=[text for text in photo.texts if _is_latin(text)])
        if shown.readable():
            found.append(shown)
    return found


def _is_latin(text: str) -> bool:
    """Tell whether a text has letters or digits, and no letters but Latin ones."""
    names = [unicodedata.name(character, "") for character in text if character.isalpha()]
    return any(map(str.isalnum, text)) and all("LATIN" in name for name in names)


def main() -> None:
    """Convert from the command line."""
    parser = argparse.ArgumentParser(description="Write a data set as JSON lines.")
    parser.add_argument("path", type=Path, help="file or folder of the annotations")
    parser.add_argument("out", type=Path, help="file to write")
    parser.add_argument("--layout", choices=LAYOUTS, help="seen from the files by default")
    parser.add_argument("--images", type=Path, help="folder of the photos")
    parser.add_argument("--queries", type=Path, help="file for the queries, too")
    parser.add_argument("--latin", action="store_true", help="photos with Latin words, others unreadable")
    given = parser.parse_args()
    try:
        convert(
            given.path,
            given.out,
            layout=given.layout,
            images=given.images,
            queries=given.queries,
            latin=given.latin,
        )
    except (OSError, ValueError) as exc:
        sys.exit(f"{parser.prog}: {exc}")


if __name__ == "__main__":
    main()
