"""Writes a data set of any layout as JSON lines, for training and for `glyphseek evaluate`.

    python -m model.evaluation.convert ch4_test_gt test.jsonl
    python -m model.evaluation.convert IIIT_STR_V1.0 str.jsonl --queries str_queries.json

The photos stay where they are. `--queries` writes the words that the data set is searched for.
"""

import argparse
import json
import sys
from pathlib import Path

from rich.progress import track

from model.evaluation.dataset import LAYOUTS, read_dataset
from model.evaluation.layouts.json_lines import line_of


def convert(
    path: Path,
    out: Path,
    *,
    layout: str | None = None,
    images: Path | None = None,
    queries: Path | None = None,
) -> int:
    """Write a data set as JSON lines and return the number of its photos.

    Args:
        path: See `read_dataset`, as for `layout` and `images`.
        out: File to write.
        layout: Of the data set.
        images: Folder of the photos.
        queries: File to write the queries to, too.

    Raises:
        ValueError: the data set is not as it should be, or names no queries.
    """
    dataset = read_dataset(path, layout, images)
    if queries:
        if dataset.queries is None:
            raise ValueError(f"{path} names no queries")
        queries.write_text(json.dumps(dataset.queries, ensure_ascii=False), "utf-8")
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        for photo in track(dataset.photos, "photos"):
            file.write(line_of(photo, out.parent))
    part.replace(out)
    return len(dataset.photos)


def main() -> None:
    """Convert from the command line."""
    parser = argparse.ArgumentParser(description="Write a data set as JSON lines.")
    parser.add_argument("path", type=Path, help="file or folder of the annotations")
    parser.add_argument("out", type=Path, help="file to write")
    parser.add_argument("--layout", choices=LAYOUTS, help="seen from the files by default")
    parser.add_argument("--images", type=Path, help="folder of the photos")
    parser.add_argument("--queries", type=Path, help="file for the queries, too")
    given = parser.parse_args()
    try:
        convert(given.path, given.out, layout=given.layout, images=given.images, queries=given.queries)
    except (OSError, ValueError) as exc:
        sys.exit(f"{parser.prog}: {exc}")


if __name__ == "__main__":
    main()
