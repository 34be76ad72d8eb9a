"""Data sets for retrieval in folders, without places: COCO-Text Retrieval (CTR) and CSVTR.

| layout | files |
|---|---|
| ctr | `queries.txt`, a word a line; `gts/NAME.txt`, the words of a photo, one a line; `images/NAME.jpg` |
| csvtr | a folder for each query, named like it, with its photos |
"""

from pathlib import Path

from model.evaluation.layouts.pictures import Pictures, is_picture
from model.evaluation.layouts.text_files import read_text
from model.evaluation.records import Dataset, Photo


def read_ctr(folder: Path, images: Path | None) -> Dataset:
    """Return the photos and queries of CTR.

    Args:
        folder: Holds `queries.txt` and `gts`.
        images: Folder of the photos; by default `images`.

    Raises:
        ValueError: a file or a photo is missing; names it.
    """
    queries = _words(folder / "queries.txt")
    annotations = sorted((folder / "gts").glob("*.txt"))
    if not queries or not annotations:
        raise ValueError(f"{folder} has no {'files in gts' if queries else 'words in queries.txt'}")
    pictures = Pictures(folder / "gts", images or folder / "images")
    photos = []
    for path in annotations:
        picture = pictures.of(path, path.stem)
        photos.append(Photo(picture.name, picture, [], tuple(_words(path))))
    return Dataset(photos, queries)


def read_csvtr(folder: Path, images: Path | None) -> Dataset:
    """Return the photos of all queries' folders; `images` may stand for the folder.

    Raises:
        ValueError: there are no photos, or a query has none; names it.
    """
    root = images or folder
    photos = []
    queries = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    for query in queries:
        pictures = sorted(path for path in query.iterdir() if is_picture(path))
        if not pictures:
            raise ValueError(f"{query} has no photos")
        photos += [Photo(f"{query.name}/{path.name}", path, [], (query.name,)) for path in pictures]
    return Dataset(photos, [query.name for query in queries])


def _words(path: Path) -> list[str]:
    return [word for line in read_text(path).split("\n") if (word := line.strip())]
