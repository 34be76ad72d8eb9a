"""The file that saves an index between two runs.

MAGIC, the SHA-256 of all that follows, a JSON header in one line, then parts. A part is the number of its
images and of its proposals, then its arrays. Integers have 8 bytes and vectors float16, all little-endian.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from indexer.errors import SnapshotInvalid

MAGIC = b"glyphidx"
FORMAT_VERSION = 1

# Image ids (I,), their numbers of proposals (I,), proposal ids (N,), vectors (N, D) float16.
Part = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.floating[Any]]]


class SnapshotHeader(NamedTuple):
    """What a snapshot must agree with to be used, and how far it follows the table of changes."""

    dimension: int
    model_version: str
    database_id: str
    watermark: int


def write_snapshot(path: Path, header: SnapshotHeader, parts: Iterable[Part]) -> None:
    """Replace the file at `path` in one step, so that a crash leaves the old one or the new one.

    Raises:
        OSError: the disk is full or cannot be written; the old file stays.
    """
    temporary = path.with_name(path.name + ".tmp")
    digest = hashlib.sha256()
    try:
        with temporary.open("wb") as file:
            file.write(MAGIC + digest.digest())  # holds the place
            for piece in _pieces(header, parts):
                digest.update(piece)
                file.write(piece)
            file.seek(len(MAGIC))
            file.write(digest.digest())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # without it the new name may be lost with the power
    finally:
        os.close(folder)


@contextmanager
def open_snapshot(
    path: Path, dimension: int, model_version: str, database_id: str
) -> Iterator[tuple[int, Iterator[Part]]]:
    """Give the watermark and the parts of a file whose every byte has been checked.

    Raises:
        SnapshotInvalid: the file is missing, damaged, or of another model, database or dimension.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise SnapshotInvalid(f"{path} is not a snapshot of an index")
            digest = file.read(hashlib.sha256().digest_size)
            start = file.tell()
            if hashlib.file_digest(file, "sha256").digest() != digest:
                raise SnapshotInvalid(f"{path} is damaged")
            file.seek(start)
            found = json.loads(file.readline())
            wanted = SnapshotHeader(dimension, model_version, database_id, found["watermark"])
            if found != {"format": FORMAT_VERSION, **wanted._asdict()}:
                raise SnapshotInvalid(f"{path} is of another format, model, database or dimension")
            yield wanted.watermark, _parts(file, dimension)
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise SnapshotInvalid(f"{path} cannot be read: {exc}") from exc


def _pieces(header: SnapshotHeader, parts: Iterable[Part]) -> Iterator[bytes]:
    yield json.dumps({"format": FORMAT_VERSION, **header._asdict()}).encode() + b"\n"
    for image_ids, counts, proposal_ids, vectors in parts:
        sizes = np.array([len(image_ids), len(proposal_ids)])
        for numbers in (sizes, image_ids, counts, proposal_ids):
            yield numbers.astype("<i8").tobytes()
        yield vectors.astype("<f2", copy=False).tobytes()


def _parts(file: BinaryIO, dimension: int) -> Iterator[Part]:
    while sizes := file.read(16):
        images, proposals = np.frombuffer(sizes, "<i8").tolist()
        ids = np.frombuffer(file.read(8 * (2 * images + proposals)), "<i8", 2 * images + proposals)
        vectors = np.frombuffer(file.read(2 * proposals * dimension), "<f2").reshape(proposals, dimension)
        yield ids[:images], ids[images : 2 * images], ids[2 * images :], vectors
