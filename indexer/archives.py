"""Zips of photos, read entry by entry; names in them are never used as paths."""

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from indexer.blobs import reporting_full_disk
from indexer.errors import ImageRejected, StorageFull

MAX_DIRECTORY_BYTES = 4 * 2**20  # the table of contents is read into memory
MAX_RATIO = 200  # pictures hardly shrink; what does so more is a bomb
_CHUNK_BYTES = 2**18
_SIGNATURE = b"PK\x03\x04"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_NOT_PHOTOS = ("__MACOSX/",)


@dataclass(frozen=True)
class Arrival:
    """A file that came from outside and lies in a temporary place."""

    path: Path
    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Refusal:
    """A file that is not taken, and why."""

    name: str
    reason: str


def is_zip(path: Path) -> bool:
    """Tell whether a file begins like a zip."""
    with path.open("rb") as file:
        return file.read(4) == _SIGNATURE


def unpack(
    path: Path, new_file: Callable[[], Path], *, max_entries: int, max_bytes: int
) -> Iterator[Arrival | Refusal]:
    """Write the entries of a zip to temporary files, one after the other.

    Args:
        path: The zip.
        new_file: Gives an unused path.
        max_entries: Most entries.
        max_bytes: Most bytes of all entries together, unpacked.

    Yields:
        A file, or the reason why an entry is refused; folders and hidden files are passed over.

    Raises:
        ImageRejected: The zip is damaged or exceeds a limit.
        StorageFull: No space left.
    """
    with _Bounded(path) as file, _opened(file) as archive:
        entries = [entry for entry in archive.infolist() if _is_wanted(entry)]
        if len(entries) > max_entries:
            raise ImageRejected(f"the zip has {len(entries)} files, the limit is {max_entries}")
        if sum(entry.file_size for entry in entries) > max_bytes:
            raise ImageRejected(f"the zip unpacks to more than {max_bytes:,} bytes")
        for entry in entries:
            yield _extract(archive, entry, new_file)


def _opened(file: IO[bytes]) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except ImageRejected:
        raise
    except Exception as exc:  # of many kinds, if lengths and places in it are wrong
        raise ImageRejected("the zip is damaged") from exc


class _Bounded(io.FileIO):
    """A file of which no large part can be read at once.

    `zipfile` reads the table of contents in one piece, as long as the zip says, and in more than one place.
    """

    def read(self, size: int | None = -1) -> bytes:
        """Read up to `size` bytes."""
        if size is not None and size > MAX_DIRECTORY_BYTES:
            raise ImageRejected("the zip has too many files")
        return super().read(MAX_DIRECTORY_BYTES if size is None or size < 0 else size) or b""


def _is_wanted(entry: zipfile.ZipInfo) -> bool:
    hidden = PurePosixPath(entry.filename).name.startswith(".")
    return not (entry.is_dir() or hidden or entry.filename.startswith(_NOT_PHOTOS))


def _extract(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, new_file: Callable[[], Path]
) -> Arrival | Refusal:
    if entry.compress_type not in _METHODS:  # others may ask for gigabytes of memory
        return Refusal(entry.filename, "the file is packed in an unusual way; use an ordinary zip")
    if entry.file_size > MAX_RATIO * max(entry.compress_size, 2**12):
        return Refusal(entry.filename, "the file is packed too tightly to be a photo")
    target = new_file()
    try:
        with archive.open(entry) as source:
            digest, size = _copy(source, target, entry.file_size)
        if is_zip(target):
            target.unlink()
            return Refusal(entry.filename, "a zip within a zip is not read")
        return Arrival(target, entry.filename, digest, size)
    except ImageRejected as exc:
        target.unlink(missing_ok=True)
        return Refusal(entry.filename, str(exc))
    except BaseException as exc:
        target.unlink(missing_ok=True)
        if isinstance(exc, StorageFull) or not isinstance(exc, Exception):
            raise
        # Of many kinds, if lengths and places in the zip are wrong.
        return Refusal(entry.filename, "the file cannot be unpacked; it is damaged or needs a password")


def _copy(source: IO[bytes], target: Path, declared_bytes: int) -> tuple[str, int]:
    """Write at most as many bytes as the zip declares; return their SHA-256 and number."""
    digest, size = hashlib.sha256(), 0
    with reporting_full_disk(), target.open("wb") as file:
        while chunk := source.read(_CHUNK_BYTES):
            size += len(chunk)
            if size > declared_bytes:
                raise ImageRejected("the file is longer than its zip declares")
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest(), size
