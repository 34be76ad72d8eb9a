"""Finds the photo that belongs to a file of annotations."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

ENDINGS = {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"}


def is_picture(path: Path) -> bool:
    """Return whether the name of a file is that of a picture."""
    return path.suffix.lower() in ENDINGS


class Pictures:
    """The photos of a folder of annotations.

    They are looked for in the folder that was named, however deep. Without one: beside the annotations, else
    in the folders beside theirs (`test_gts` and `test_images`), else in those of the same name one level
    higher (`txt_format/Test` and `Images/Test`).
    """

    def __init__(self, annotations: Path, images: Path | None) -> None:
        """Look through the folders."""
        self._images = images
        places = [images.rglob("*")] if images else _near(annotations.resolve())
        self._found = [_by_stem(place) for place in places]

    def of(self, annotation: Path, stem: str) -> Path:
        """Return the photo of that name.

        Args:
            annotation: The file of annotations, for the error.
            stem: Name of the photo without its ending.

        Raises:
            ValueError: there is none, or there are several.
        """
        found = sorted(next((place[stem] for place in self._found if stem in place), ()))
        if len(found) == 1:
            return found[0]
        hint = f"in {self._images}" if self._images else "near it; name the folder of the photos (images)"
        if not found:
            raise ValueError(f"{annotation}: no photo {stem}.* {hint}")
        raise ValueError(f"{annotation}: several photos {stem}.* {hint}: {found[0]}, {found[1]}")


def _near(folder: Path) -> list[Iterable[Path]]:
    places = [[folder], folder.parent.iterdir(), folder.parent.parent.glob(f"*/{folder.name}")]
    return [(path for near in place if near.is_dir() for path in near.iterdir()) for place in places]


def _by_stem(paths: Iterable[Path]) -> dict[str, set[Path]]:
    found: dict[str, set[Path]] = defaultdict(set)
    for path in paths:
        if is_picture(path):
            found[path.stem].add(path)
    return dict(found)
