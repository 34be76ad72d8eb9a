import hashlib
import io
import zipfile
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from indexer import archives
from indexer.archives import Arrival, Refusal, is_zip, unpack
from indexer.errors import ImageRejected, StorageFull


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the files of a zip are unpacked to."""
    folder = tmp_path / "unpacked"
    folder.mkdir()
    return folder


@pytest.fixture
def new_file(folder: Path) -> Callable[[], Path]:
    numbers = count()
    return lambda: folder / str(next(numbers))


def zipped(*entries: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in entries:
            # Of a fixed time: the bytes are part of the names of tests, which all processes must agree on.
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return buffer.getvalue()


def read(
    tmp_path: Path, new_file: Callable[[], Path], data: bytes, *, entries: int = 10, size: int = 10**7
) -> list[Arrival | Refusal]:
    path = tmp_path / "all.zip"
    path.write_bytes(data)
    return list(unpack(path, new_file, max_entries=entries, max_bytes=size))


def test_files_come_out_with_name_digest_and_size(
    tmp_path: Path, folder: Path, new_file: Callable[[], Path]
) -> None:
    names = ("a.jpg", "deep/er/b.jpg", "../../evil.jpg", "/etc/passwd", "empty.jpg", "日本.jpg")
    data = {name: b"" if name == "empty.jpg" else name.encode() for name in names}
    found = read(tmp_path, new_file, zipped(*data.items()))
    for arrival in found:
        assert isinstance(arrival, Arrival)
        assert arrival.path.parent == folder  # wherever the name would lead
        assert arrival.path.read_bytes() == data[arrival.name]
        assert arrival.sha256 == hashlib.sha256(data[arrival.name]).hexdigest()
        assert arrival.size_bytes == len(data[arrival.name])
    assert [arrival.name for arrival in found] == list(names)


def test_folders_and_hidden_files_are_passed_over(tmp_path: Path, new_file: Callable[[], Path]) -> None:
    data = zipped(("x/", b""), (".DS_Store", b"x"), ("x/.hidden.jpg", b"x"), ("__MACOSX/a.jpg", b"x"))
    assert read(tmp_path, new_file, data) == []


def test_same_name_twice_is_two_files(tmp_path: Path, new_file: Callable[[], Path]) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = zipped(("a.jpg", b"1"), ("a.jpg", b"2"))
    assert [arrival.path.read_bytes() for arrival in read(tmp_path, new_file, data)] == [b"1", b"2"]


@pytest.mark.parametrize(
    ("entries", "size", "reason"),
    [
        (2, 10**6, "has 3 files, the limit is 2"),
        (3, 29, "unpacks to more than 29 bytes"),
    ],
)
def test_limits_are_checked_before_anything_is_unpacked(
    tmp_path: Path, folder: Path, new_file: Callable[[], Path], entries: int, size: int, reason: str
) -> None:
    data = zipped(*[(f"{number}.jpg", bytes(10)) for number in range(3)])
    with pytest.raises(ImageRejected, match=reason):
        read(tmp_path, new_file, data, entries=entries, size=size)
    assert list(folder.iterdir()) == []
    assert len(read(tmp_path, new_file, data, entries=3, size=30)) == 3  # the limits themselves are allowed


@pytest.mark.parametrize(
    "data",
    [
        b"",  # nothing
        b"PK\x03\x04",  # only begins like one
        b"hello " * 100,  # something else
        zipped(("a.jpg", b"x" * 1000))[:-5],  # cut off at the end
    ],
)
def test_what_is_no_whole_zip_is_refused(
    tmp_path: Path, folder: Path, new_file: Callable[[], Path], data: bytes
) -> None:
    with pytest.raises(ImageRejected, match="the zip is damaged"):
        read(tmp_path, new_file, data)
    assert list(folder.iterdir()) == []


def encrypted(data: bytes) -> bytes:
    """Set the bit of an entry that says: needs a password."""
    at = data.index(b"PK\x01\x02")
    return data[:6] + b"\x01" + data[7 : at + 8] + b"\x01" + data[at + 9 :]


def declared(data: bytes, size: int) -> bytes:
    """Have a zip of one entry declare another size."""
    at = data.index(b"PK\x01\x02")
    number = size.to_bytes(4, "little")
    return data[:22] + number + data[26 : at + 24] + number + data[at + 28 :]


def flipped(data: bytes) -> bytes:
    """Change the check sum of the first entry."""
    at = data.index(b"PK\x01\x02") + 16
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


BODY = bytes(range(256)) * 8


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (zipped(("a.zip", zipped(("b.jpg", b"x")))), "zip within a zip"),
        (zipped(("a.jpg", bytes(10**6))), "packed too tightly"),
        (zipped(("a.jpg", BODY))[40:], "damaged"),  # cut off at the beginning
        (zipped(("a.jpg", BODY), method=zipfile.ZIP_LZMA), "unusual"),  # may ask for gigabytes of memory
        (encrypted(zipped(("a.jpg", BODY))), "password"),
        (flipped(zipped(("a.jpg", BODY))), "damaged"),  # wrong check sum
        (zipped(("a.jpg", BODY))[:40] + b"\xff" * 100 + zipped(("a.jpg", BODY))[140:], "damaged"),  # rubbish
        (declared(zipped(("a.jpg", BODY)), 10), "longer than|damaged"),  # lies about its size
    ],
)
def test_a_bad_file_is_refused_and_leaves_nothing(
    tmp_path: Path, folder: Path, new_file: Callable[[], Path], data: bytes, reason: str
) -> None:
    (refusal,) = read(tmp_path, new_file, data)
    assert isinstance(refusal, Refusal)
    assert any(part in refusal.reason for part in reason.split("|"))
    assert list(folder.iterdir()) == []


def test_a_bad_file_does_not_spoil_the_others(tmp_path: Path, new_file: Callable[[], Path]) -> None:
    data = zipped(("a.jpg", b"1"), ("bad.zip", zipped(("x", b"x"))), ("c.jpg", b"3"))
    assert [type(found) for found in read(tmp_path, new_file, data)] == [Arrival, Refusal, Arrival]


def test_a_giant_table_of_contents_is_refused_unread(
    tmp_path: Path, new_file: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_DIRECTORY_BYTES", 1000)
    with pytest.raises(ImageRejected, match="too many files"):
        read(tmp_path, new_file, zipped(*[(f"{number:050}", b"") for number in range(20)]), entries=100)


def test_a_full_disk_is_said_and_leaves_nothing(
    tmp_path: Path, folder: Path, new_file: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = zipped(("a.jpg", b"x"))
    opened = Path.open

    def open_full(self: Path, mode: str = "r", *rest: object, **options: object) -> object:
        file = opened(self, mode, *rest, **options)
        if mode == "wb" and self.parent == folder:
            file.close()
            raise OSError(28, "No space left on device")
        return file

    path = tmp_path / "all.zip"
    path.write_bytes(data)
    monkeypatch.setattr(Path, "open", open_full)
    with pytest.raises(StorageFull):
        list(unpack(path, new_file, max_entries=10, max_bytes=1000))
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("data", "answer"), [(b"", False), (b"PK", False), (zipped(("a", b"x")), True)])
def test_is_zip(tmp_path: Path, data: bytes, answer: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    assert is_zip(path) is answer
