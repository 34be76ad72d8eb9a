"""The door to all data sets: photos with the words in them, whatever the layout on disk.

    python -m model.evaluation.convert PATH OUT.jsonl      # any of them as JSON lines

The layouts are described in `model.evaluation.layouts`; which one it is, is seen from the files, or named.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from model.evaluation.layouts import folders, json_lines, matlab, svt, text_files
from model.evaluation.layouts.pictures import is_picture
from model.evaluation.records import Dataset, Photo, Word

__all__ = ["LAYOUTS", "Dataset", "Photo", "Word", "read_dataset", "read_photos", "spread"]

Reader = Callable[[Path, Path | None], Dataset]


def _total_text(folder: Path, images: Path | None) -> Dataset:
    has_mat = any(folder.glob("*.mat"))
    return matlab.read_total_text(folder, images) if has_mat else text_files.read_total_text(folder, images)


LAYOUTS: dict[str, Reader] = {
    "json-lines": json_lines.read,
    "svt": svt.read,
    "iiit-str": matlab.read_iiit_str,
    "ctr": folders.read_ctr,
    "csvtr": folders.read_csvtr,
    "icdar2013": text_files.read_icdar2013,
    "icdar2015": text_files.read_icdar2015,
    "mlt": text_files.read_mlt,
    "total-text": _total_text,
    "synthtext": matlab.read_synthtext,
}
# Whose places were drawn on photos as their files have them, whatever EXIF says: so mmocr's authors found of
# MLT 2017 (their pull request 375); of the others it is taken for granted.
_AS_STORED = ("svt", "icdar2013", "icdar2015", "mlt", "total-text", "synthtext")
_OF_FOLDERS = ("ctr", "csvtr", "icdar2013", "icdar2015", "mlt", "total-text")


def read_dataset(path: Path, layout: str | None = None, images: Path | None = None) -> Dataset:
    """Return a data set.

    Args:
        path: File or folder of the annotations.
        layout: A name of `LAYOUTS`; seen from the files if it is None.
        images: Folder of the photos, where they do not lie where the layout has them.

    Raises:
        ValueError: the layout is unknown, `images` is no folder, there are no photos, or a file is not as its
            layout has it; names the file and the line or entry.
    """
    if not path.exists():
        raise ValueError(f"{path} cannot be read: there is no such file or folder")
    if images and not images.is_dir():
        raise ValueError(f"{images} is no folder of photos")
    name = layout or _recognise(path)
    if name not in LAYOUTS:
        raise ValueError(f"{name!r} is no layout; there are {', '.join(LAYOUTS)}")
    if name == "json-lines" and path.is_dir():
        raise ValueError(f"{path} is a folder; name the file of JSON lines")
    if name in _OF_FOLDERS and not path.is_dir():
        raise ValueError(f"{path} is no folder; a data set of the layout {name} is one")
    dataset = LAYOUTS[name](path, images)
    if not dataset.photos:
        raise ValueError(f"{path} has no photos")
    if name in _AS_STORED:
        photos = [replace(photo, as_stored=True) for photo in dataset.photos]
        return replace(dataset, photos=photos)
    return dataset


def read_photos(path: Path) -> list[Photo]:
    """Return the photos of a data set in any layout; errors as for `read_dataset`."""
    return read_dataset(path).photos


def _recognise(path: Path) -> str:
    """Return the name of the layout that the files have.

    Raises:
        ValueError: it is none.
    """
    found = _layout_of_folder(path) if path.is_dir() else _layout_of_file(path)
    if found is None:
        raise ValueError(f"{path} has none of the known layouts; if it is one, name it: {', '.join(LAYOUTS)}")
    return found


def _layout_of_file(path: Path) -> str | None:
    if path.suffix == ".xml":
        return "svt"
    if path.suffix == ".mat":
        named = matlab.variables(path)
        return "synthtext" if "wordBB" in named else "iiit-str" if "data" in named else None
    return "json-lines"


def _layout_of_folder(folder: Path) -> str | None:
    signs = {
        "gt.mat": "synthtext",
        "data.mat": "iiit-str",
        "queries.txt": "ctr",
        "train.xml": "svt",
        "test.xml": "svt",
    }
    for name, layout in signs.items():
        if (folder / name).exists():
            return layout
    if any(folder.glob("*gt_*.mat")):
        return "total-text"
    if any(folder.glob("*.txt")):
        return text_files.recognise(folder)
    return "csvtr" if any(is_picture(path) for path in folder.glob("*/*")) else None


def spread(photos: list[Photo], count: int) -> list[Photo]:
    """Return so many of the photos, evenly spread."""
    return photos[:: max(1, len(photos) // max(1, count))][:count]
