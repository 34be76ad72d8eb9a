"""Street View Text: `train.xml` or `test.xml`.

    <tagset><image><imageName>img/14_03.jpg</imageName> <lex>LIVING,ROOM,...</lex>
      <taggedRectangles><taggedRectangle height="75" width="236" x="375" y="253"><tag>LIVING</tag>
      ...

The words of an image's lexicon that are not in it are for readers that choose among given words; nothing
here does.
"""

from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

from model.evaluation.records import Dataset, Photo, Word


def read(path: Path, images: Path | None) -> Dataset:
    """Return the photos, searched for all of their words.

    Args:
        path: The XML file, or a folder that holds one of the two.
        images: Folder that the names of the photos start from; by default that of the file.

    Raises:
        ValueError: the file is not as described above; names file and image.
    """
    path = _file(path)
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as exc:
        raise ValueError(f"{path} cannot be read: {exc}") from exc
    photos = []
    for number, image in enumerate(root.iter("image"), start=1):
        try:
            name = _text(image, "imageName")
            words = [_word(tagged) for tagged in image.iter("taggedRectangle")]
        except ValueError as exc:
            raise ValueError(f"{path}, image {number}: {exc}") from exc
        photos.append(Photo(name, (images or path.parent) / name, words))
    return Dataset(photos, sorted({text for photo in photos for text in photo.readable()}))


def _file(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = [path / name for name in ("train.xml", "test.xml") if (path / name).exists()]
    if len(found) != 1:
        both = "both train.xml and" if found else "neither train.xml nor"
        raise ValueError(f"{path} has {both} test.xml; name the file")
    return found[0]


def _word(tagged: Element) -> Word:
    text = _text(tagged, "tag")
    try:
        x, y, width, height = (float(tagged.attrib[name]) for name in ("x", "y", "width", "height"))
    except KeyError as exc:
        raise ValueError(f"{text!r} has no {exc}") from exc
    return Word.of_box(np.array([x, y, x + width, y + height], np.float32), text)


def _text(parent: Element, name: str) -> str:
    text = (parent.findtext(name) or "").strip()
    if not text:
        raise ValueError(f"{name} is missing")
    return text
