import hashlib
import os
import zipfile
from pathlib import Path

import pytest

from app.photos import Photo, ZipEntry


@pytest.mark.parametrize("kind", ["bytes", "file", "zip"])
def test_a_photo_is_the_same_wherever_it_lies(tmp_path: Path, kind: str) -> None:
    data = b"a photo" * 1000
    (tmp_path / "a.jpg").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "a.jpg", "a.jpg")
    archive = zipfile.ZipFile(tmp_path / "a.zip")
    content = {"bytes": data, "file": tmp_path / "a.jpg", "zip": ZipEntry(archive, archive.infolist()[0])}
    photo = Photo("a.jpg", content[kind])
    assert photo.size_bytes == len(data)
    assert photo.sha256() == hashlib.sha256(data).hexdigest()
    with photo.open() as file:
        assert file.read() == data


def test_a_name_in_no_encoding_becomes_one_that_can_be_sent() -> None:
    assert Photo(os.fsdecode(b"caf\xe9.jpg"), b"").name == "caf?.jpg"
    assert Photo("café ☕.jpg", b"").name == "café ☕.jpg"
