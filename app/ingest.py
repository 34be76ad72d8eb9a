"""Sends folders of photos to a service; what is known is not sent again, so it can be run at any time."""

import os
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from glob import glob
from http import HTTPStatus
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from app.client import Client, Photo, ServiceError
from app.photos import ZipEntry
from app.schemas import UploadAnswer
from app.settings import LOCK_NAME
from indexer.errors import GlyphseekError

BATCH_FILES = 16
BATCH_BYTES = 32 * 2**20
_NAMES = ("jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff", "heic", "heif", "avif")
EXTENSIONS = frozenset(f".{name}" for name in _NAMES)

Progress = Callable[[str, int, int], None]
OnError = Callable[[OSError], None]


@dataclass
class Report:
    """What became of the photos.

    Attributes:
        found: How many there are.
        sent: Of them, that the service did not know.
        known: That it did.
        indexed: That are found now.
        refused: Name and reason of those that came to nothing.
        unread: Of those, the ones that could not be read: another time they may be.
    """

    found: int = 0
    sent: int = 0
    known: int = 0
    indexed: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)
    unread: list[Photo] = field(default_factory=list)

    def __iadd__(self, other: "Report") -> "Report":
        self.found += other.found
        self.sent += other.sent
        self.known += other.known
        self.indexed += other.indexed
        self.refused += other.refused
        self.unread += other.unread
        return self

    def note_unread(self, photo: Photo, exc: Exception) -> None:
        """Add a photo that could not be read."""
        self.refused.append((photo.name, str(exc)))
        self.unread.append(photo)


def find_photos(paths: Sequence[str], onerror: OnError | None = None) -> list[Photo]:
    """Return the photos that paths, folders, globs and zips name, sorted.

    Args:
        paths: A file that is named itself is taken whatever its extension; the service decides.
        onerror: See `files_below`.

    Raises:
        GlyphseekError: A path does not exist, a pattern matches nothing, or something is no zip.
    """
    photos: list[Photo] = []
    for path in paths:
        names = [path] if path and Path(path).exists() else sorted(glob(path, recursive=True))
        if not names:
            raise GlyphseekError(f"there is no file or folder {path}")
        for name in names:
            photos.extend(_photos_at(Path(name), onerror))
    return photos


def is_photo(path: PurePath | str) -> bool:
    """Tell whether a file is a photo by its name."""
    return PurePath(path).suffix.lower() in EXTENSIONS


def _photos_at(path: Path, onerror: OnError | None) -> Iterator[Photo]:
    if path.is_dir():
        for file in sorted(files_below(path, onerror)):
            yield Photo(file.name, file)
    elif path.suffix.lower() == ".zip":
        try:
            archive = zipfile.ZipFile(path)
        except zipfile.BadZipFile as exc:
            raise GlyphseekError(f"{path} cannot be unpacked: {exc}") from exc
        for entry in archive.infolist():
            name = PurePosixPath(entry.filename)
            if is_photo(name) and not entry.filename.startswith("__MACOSX/"):
                yield Photo(name.name, ZipEntry(archive, entry))
    else:
        yield Photo(path.name, path)


def files_below(folder: Path, onerror: OnError | None = None) -> Iterator[Path]:
    """Yield the files in a folder and its folders that are photos by their names.

    Args:
        folder: Where to look.
        onerror: Called with the error of a folder or file that cannot be looked at.
    """
    for parent, folders, files in os.walk(folder, onerror=onerror):
        if LOCK_NAME in files:  # data of a `glyphseek serve`: its thumbnails are no photos of the user
            folders.clear()
            continue
        for name in files:
            path = Path(parent, name)
            try:
                if is_photo(path) and path.is_file():
                    yield path
            except OSError as exc:  # in a folder that may be listed only, or on a share that has gone away
                if onerror is not None:
                    onerror(exc)


def ingest(
    client: Client,
    photos: Sequence[Photo],
    *,
    collection: str,
    progress: Progress,
    metadata: dict[str, Any] | None = None,
) -> Report:
    """Send what the service does not know, and wait until it is indexed.

    Args:
        client: Of the service.
        photos: To send.
        collection: Where to put them.
        progress: Called with a step (`check`, `send` or `index`), how many photos are done, and of how many.
        metadata: Kept with each of them.
    """
    report = Report(found=len(photos))
    unknown = _unknown(client, photos, collection, report, progress)
    not_sent = len(report.refused)
    jobs = []
    for batch in _batches(unknown):
        for answer in _send(client, batch, collection, metadata, report):
            jobs.append(answer.job)
            for item in answer.items:
                report.known += item.status == "duplicate"
                if item.status == "rejected":
                    report.refused.append((item.name, item.reason or ""))
        report.sent += len(batch)
        progress("send", report.sent, len(unknown))
    _wait(client, jobs, report, progress, total=report.sent - (len(report.refused) - not_sent))
    return report


def _send(
    client: Client,
    batch: list[Photo],
    collection: str,
    metadata: dict[str, Any] | None,
    report: Report,
) -> Iterator[UploadAnswer]:
    """Send a batch, in halves if the service finds it too large, or a photo cannot be read any more."""
    try:
        yield client.upload(batch, collection=collection, metadata=metadata)
    except (ServiceError, OSError) as exc:
        if isinstance(exc, ServiceError) and exc.status != HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            raise
        if len(batch) == 1:
            if isinstance(exc, OSError):
                report.note_unread(batch[0], exc)
            else:
                report.refused.append((batch[0].name, str(exc)))
            return
        half = len(batch) // 2
        yield from _send(client, batch[:half], collection, metadata, report)
        yield from _send(client, batch[half:], collection, metadata, report)


def _unknown(
    client: Client, photos: Sequence[Photo], collection: str, report: Report, progress: Progress
) -> list[Photo]:
    readable = []
    for checked, photo in enumerate(photos, 1):
        try:
            photo.sha256()
            readable.append(photo)
        except (OSError, GlyphseekError) as exc:
            report.note_unread(photo, exc)
        progress("check", checked, len(photos))
    known = client.known([photo.sha256() for photo in readable], collection)
    unknown = {photo.sha256(): photo for photo in readable if photo.sha256() not in known}
    report.known = len(readable) - len(unknown)
    return list(unknown.values())


def _batches(photos: Sequence[Photo]) -> Iterator[list[Photo]]:
    batch: list[Photo] = []
    size = 0
    for photo in photos:
        length = 0
        with suppress(OSError):  # it is gone, as sending it will tell
            length = photo.size_bytes
        if batch and (len(batch) == BATCH_FILES or size + length > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(photo)
        size += length
    if batch:
        yield batch


def _wait(client: Client, jobs: list[int], report: Report, progress: Progress, *, total: int) -> None:
    finished = 0
    while jobs:
        job = client.job(jobs[0])
        indexed, failed = job.counts.get("indexed", 0), job.counts.get("failed", 0)
        progress("index", finished + indexed + failed, total)
        if not job.done:
            time.sleep(0.3)
            continue
        finished += indexed + failed
        report.indexed += indexed
        report.refused.extend((failure.name, failure.reason or "") for failure in job.failures)
        jobs.pop(0)
