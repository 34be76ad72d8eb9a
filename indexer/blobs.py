"""Photo files and thumbnails on disk, named by the SHA-256 of the photo; callers hold the locks."""

import errno
import logging
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator, Set
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO

from indexer.errors import NotFound, StorageFull

log = logging.getLogger(__name__)


@contextmanager
def reporting_full_disk() -> Iterator[None]:
    """Turn "no space left" and "quota exceeded", raised by any write in the body, into StorageFull."""
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull from exc
        raise


class BlobStore:
    """Files under one folder: `photos/ab/cd/<sha256>`, `thumbnails/ab/cd/<sha256>.jpg`, `tmp/`.

    Beside the folder, in `<its name>.database`, stands the id of the database that has their rows, once
    `sweep` has noted it. A file appears under its name only when all of it is on disk. Methods that take a
    sha256 raise ValueError unless it is 64 lower-case hex digits, so that no name from outside becomes a
    path.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._photos, self._thumbnails, self._tmp = (root / name for name in ("photos", "thumbnails", "tmp"))
        self._database = root.with_name(f"{root.name}.database")
        with reporting_full_disk():
            for folder in (self._photos, self._thumbnails, self._tmp):
                folder.mkdir(parents=True, exist_ok=True)
            _fsync(root)

    def temporary(self) -> Path:
        """Return an unused path, on the same file system, to write a photo to; `put` moves it into place."""
        return self._tmp / uuid.uuid4().hex

    def put(self, temporary: Path, sha256: str) -> None:
        """Move a written file into place; when this returns, it survives a power cut.

        Args:
            temporary: A path from `temporary()`; left where it is if this fails.
            sha256: Digest of its bytes. If they are stored already, they are replaced by themselves.

        Raises:
            StorageFull: No space left.
        """
        move_into_place(temporary, self.path(sha256))

    def path(self, sha256: str) -> Path:
        """Return where a photo is, or would be."""
        return _sharded(self._photos, sha256)

    def thumbnail_path(self, sha256: str) -> Path:
        """Return where a photo's thumbnail is, or would be."""
        return _sharded(self._thumbnails, sha256).with_suffix(".jpg")

    def exists(self, sha256: str) -> bool:
        """Tell whether the photo is stored."""
        return self.path(sha256).is_file()

    def open(self, sha256: str) -> BinaryIO:
        """Open a photo for reading.

        Raises:
            NotFound: It is not stored.
        """
        try:
            return self.path(sha256).open("rb")
        except FileNotFoundError as exc:
            raise NotFound("the file of this photo is not there") from exc

    def write_thumbnail(self, sha256: str, data: bytes) -> None:
        """Store a thumbnail, all of it or nothing, in place of an earlier one.

        Raises:
            StorageFull: No space left.
        """
        target, temporary = self.thumbnail_path(sha256), self.temporary()
        try:
            with reporting_full_disk():
                temporary.write_bytes(data)
            move_into_place(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)

    def delete(self, sha256: str) -> None:
        """Remove a photo and its thumbnail; what is not there is no error."""
        self.path(sha256).unlink(missing_ok=True)
        self.thumbnail_path(sha256).unlink(missing_ok=True)

    def sweep(
        self,
        database_id: str,
        needed: Set[str],
        unneeded: Callable[[str], AbstractContextManager[bool]],
        older_than_seconds: float,
    ) -> int:
        """Remove old temporaries, and old photos and thumbnails that no row of their database knows.

        Args:
            database_id: That is asked. If the files are another one's, as when a new and empty database took
                its place, none goes but temporaries.
            needed: Digests of all its photos, a moment ago.
            unneeded: Tells whether a photo is not needed now either. Within the context it must hold the
                lock of that digest: else an upload of the same bytes could come in between.
            older_than_seconds: Spare younger files, whose row may not be committed yet.

        Returns:
            How many files were removed.
        """
        newest = time.time() - older_than_seconds
        removed = sum(_remove_older(path, newest) for path in self._tmp.iterdir())
        known, orphans = 0, []
        for folder in (self._photos, self._thumbnails):
            for path in folder.glob("*/*/*"):
                if _is_sha256(path.stem) and _is_older(path, newest):
                    if path.stem in needed:
                        known += 1
                    else:
                        orphans.append(path)
        if not self._is_of(database_id, mostly_known=known >= len(orphans)):
            log.warning(
                "photos without a row are kept: all here belong to another database than the one in use. "
                "If that one is gone for good, write this one's id, %s, to %s",
                database_id,
                self._database,
                extra={"action": "sweep"},
            )
            return removed
        for path in orphans:
            with unneeded(path.stem) as is_unneeded:
                # Age counts again: before the lock was there, somebody may have put the photo.
                removed += is_unneeded and _remove_older(path, newest)
        return removed

    def _is_of(self, database_id: str, *, mostly_known: bool) -> bool:
        """Tell whether the files are a database's; whose nobody noted become its if it knows most of them."""
        try:
            return self._database.read_text().strip() == database_id
        except FileNotFoundError:
            if mostly_known:
                # Not of `temporary`: the photos may have a file system of their own.
                part = self._database.with_name(f"{self._database.name}.{uuid.uuid4().hex}")
                with reporting_full_disk():
                    part.write_text(database_id + "\n")
                    _fsync(part)
                part.replace(self._database)
            return mostly_known


def _is_sha256(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{64}", text) is not None


def _sharded(folder: Path, sha256: str) -> Path:
    if not _is_sha256(sha256):
        raise ValueError("a sha256 is 64 lower-case hex digits")
    return folder / sha256[:2] / sha256[2:4] / sha256


def move_into_place(temporary: Path, target: Path) -> None:
    """Give a written file its name; when this returns, it survives a power cut.

    Raises:
        StorageFull: No space left.
    """
    with reporting_full_disk():
        target.parent.mkdir(parents=True, exist_ok=True)
        _fsync(temporary)
        os.replace(temporary, target)
        for folder in target.parents[
            :3
        ]:  # ab/cd, ab and photos: all of them may be new or hold something new
            _fsync(folder)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_older(path: Path, newest: float) -> bool:
    try:
        return path.stat().st_mtime <= newest
    except FileNotFoundError:  # somebody else was faster
        return False


def _remove_older(path: Path, newest: float) -> bool:
    if not _is_older(path, newest):
        return False
    path.unlink(missing_ok=True)
    return True
