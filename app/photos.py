"""Photos to send: bytes, files, or entries of zips."""

import hashlib
import io
import zipfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from indexer.errors import GlyphseekError


@dataclass(frozen=True)
class ZipEntry:
    """A file in a zip, unpacked when it is read: zips of photos are larger than the memory."""

    archive: zipfile.ZipFile
    info: zipfile.ZipInfo

    def read(self) -> bytes:
        """Return its content.

        Raises:
            GlyphseekError: it is damaged.
        """
        try:
            return self.archive.read(self.info)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as exc:
            raise GlyphseekError(f"{self.archive.filename} cannot be unpacked: {exc}") from exc


def printable(text: str) -> str:
    """Return a text without what stands for bytes of no encoding in the names of files."""
    return text.encode(errors="replace").decode()


@dataclass(frozen=True)
class Photo:
    """A photo to upload: its name, and its bytes or the file that holds them."""

    name: str
    content: bytes | Path | ZipEntry

    def __post_init__(self) -> None:
        """Make the name one that can be sent: files of old disks may have others."""
        object.__setattr__(self, "name", printable(self.name))

    @property
    def size_bytes(self) -> int:
        """Length of the photo."""
        if isinstance(self.content, ZipEntry):
            return self.content.info.file_size
        return self.content.stat().st_size if isinstance(self.content, Path) else len(self.content)

    def sha256(self) -> str:
        """Return the digest by which the service knows the photo; it is read once."""
        return self._sha256

    @cached_property
    def _sha256(self) -> str:
        with self.open() as file:
            return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]

    def open(self) -> BinaryIO:
        """Open it for reading.

        Raises:
            GlyphseekError: it lies in a damaged zip.
            OSError: the file cannot be read.
        """
        if isinstance(self.content, Path):
            return self.content.open("rb")
        return io.BytesIO(self.content.read() if isinstance(self.content, ZipEntry) else self.content)
