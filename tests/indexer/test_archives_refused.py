"""Zips made to break the reader."""

import io
import tracemalloc
import zipfile
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from indexer import archives
from indexer.archives import Arrival, Refusal, unpack
from indexer.errors import ImageRejected


def zipped(names: list[str], data: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def read(folder: Path, data: bytes, max_entries: int = 100) -> list[Arrival | Refusal]:
    path = folder.parent / "all.zip"
    path.write_bytes(data)
    numbers = count()
    return list(unpack(path, lambda: folder / str(next(numbers)), max_entries=max_entries, max_bytes=10**7))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the files of a zip are unpacked to."""
    folder = tmp_path / "unpacked"
    folder.mkdir()
    return folder


def test_second_longer_table_of_contents(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = zipped([f"{number:050}" for number in range(20)])
    start, end = data.index(b"PK\x01\x02"), data.rindex(b"PK\x05\x06")
    # The record of a zip beyond 4 GB. Python believes it, whatever the record at the end says.
    lengths = (20).to_bytes(8, "little") * 2 + (end - start).to_bytes(8, "little")
    large = b"PK\x06\x06" + (44).to_bytes(8, "little") + bytes(12) + lengths + start.to_bytes(8, "little")
    place = b"PK\x06\x07" + bytes(4) + end.to_bytes(8, "little") + b"\x01\0\0\0"
    modest = data[end : end + 12] + (46).to_bytes(4, "little") + data[end + 16 :]
    whole = data[:end] + large + place + modest
    assert len(read(folder, whole)) == 20
    monkeypatch.setattr(archives, "MAX_DIRECTORY_BYTES", 1000)
    with pytest.raises(ImageRejected, match="too many files"):
        read(folder, whole)


def test_length_of_the_table_of_contents_that_looks_like_its_signature(folder: Path) -> None:
    end = bytearray(zipped([])[-22:])
    end[12:16] = b"PK\x05\x06"  # 101 MB; whoever looks for the last signature finds it here
    with pytest.raises(ImageRejected, match="too many files"):
        read(folder, b"PK\x03\x04" + bytes(120_000_000) + bytes(end))


def test_many_entries_cost_little(folder: Path) -> None:
    data = zipped([str(number) for number in range(5_000)])
    tracemalloc.start()
    with pytest.raises(ImageRejected, match="5000 files, the limit is 1000"):
        read(folder, data, max_entries=1000)
    assert tracemalloc.get_traced_memory()[1] < 10e6
    tracemalloc.stop()


def test_method_that_may_ask_for_gigabytes(folder: Path) -> None:
    data = bytearray(zipped(["a.jpg"], b"x" * 100))
    for place in (data.index(b"PK\x03\x04") + 8, data.index(b"PK\x01\x02") + 10):
        data[place : place + 2] = zipfile.ZIP_LZMA.to_bytes(2, "little")
    (refusal,) = read(folder, bytes(data))
    assert isinstance(refusal, Refusal)
    assert "ordinary zip" in refusal.reason


def test_random_damage_gives_files_or_a_reason(folder: Path) -> None:
    random = np.random.default_rng(5)
    good = np.frombuffer(zipped(["a.jpg", "b/c.jpg"], bytes(range(256))), np.uint8)
    for _ in range(600):
        data = good.copy()
        data[random.integers(0, len(data), 4)] = random.integers(0, 256, 4)
        try:
            found = read(folder, data.tobytes())
        except ImageRejected:
            continue  # nothing else may be raised
        arrived = {entry.path for entry in found if isinstance(entry, Arrival)}
        assert set(folder.iterdir()) == arrived
        for path in arrived:
            path.unlink()
