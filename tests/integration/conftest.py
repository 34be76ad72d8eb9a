"""A small gallery whose pictures spell their words in pixels, and a network of random numbers for them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pictures
from sqlalchemy import Engine, select

from indexer import pipeline, queries, queue, versions
from indexer.blobs import BlobStore
from indexer.database import create_engine, session_scope
from indexer.follower import Follower
from indexer.queue import Claimed
from indexer.sandbox import Sandbox
from indexer.tables import Image
from indexer.vector_index import FaissIndex
from model.charset import Charset

DIMENSION = 24
MAX_PIXELS = 1_000_000


@dataclass
class RandomEncoder:
    """Projects counts of letter pairs at random, so that words with common pairs are alike.

    `broken` and `too_many` make it fail: on a picture that shows this word, and on more pictures than this.
    `seen` has the posteriors of words, none by default.
    """

    version: str = "1" * 64
    dimension: int = DIMENSION
    charset: Charset = field(default_factory=Charset)
    query_basis: None = None
    broken: str = "?"
    too_many: int = 1000
    batches: list[int] = field(default_factory=list)
    seen: dict[str, bytes] = field(default_factory=dict)

    def encode_texts(self, words: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([self._embed(word) for word in words])

    def _embed(self, word: str) -> NDArray[np.float32]:
        if not word.isalnum():
            raise ValueError("a query needs a letter or a digit")
        marked = f"^{self.charset.fold(word)}$"
        pairs = [marked[start : start + 2] for start in range(len(marked) - 1)]
        vector = sum(
            np.random.default_rng([ord(letter) for letter in pair + self.version[:1]]).normal(
                size=self.dimension
            )
            for pair in pairs
        )
        return (vector / np.linalg.norm(vector)).astype(np.float32)

    def encode_images(self, pictures: Sequence[NDArray[np.uint8]]) -> list[Any]:
        self.batches.append(len(pictures))
        if len(pictures) > self.too_many:
            raise MemoryError
        return [self._read(picture) for picture in pictures]

    def _read(self, picture: NDArray[np.uint8]) -> Any:
        words = picture[0, :, 0].tobytes().rstrip(b"\0").decode().split()
        if self.broken in words:
            raise RuntimeError("the network failed in /a/secret/path")
        count = len(words)
        boxes = np.array([[10 * n, 0, 10 * n + 8, 4] for n in range(count)], np.float32).reshape(count, 4)
        return SimpleNamespace(
            boxes=boxes,
            quads=boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(count, 4, 2),
            scores=np.linspace(0.9, 0.5, count, dtype=np.float32),
            transcripts=words,
            confidences=np.full(count, 0.8, np.float32),
            embeddings=np.array([self._embed(word) for word in words], np.float32).reshape(count, DIMENSION),
            posteriors=[self.seen.get(word, b"") for word in words],
        )


@dataclass
class Gallery:
    """Puts photos in as the service does, and indexes them in this thread."""

    engine: Engine
    blobs: BlobStore
    encoder: RandomEncoder
    sandbox: Sandbox

    def add(self, words: str, collection: str = "default", name: str = "photo.png") -> int:
        """Store a picture that shows these words (none: without text) and queue it; return its id."""
        pixels = np.zeros((8, 64, 3), np.uint8)
        letters = words.encode()
        pixels[0, : len(letters), 0] = np.frombuffer(letters, np.uint8)
        temporary = self.blobs.temporary()
        Pictures.fromarray(pixels).save(temporary, "PNG")
        digest = sha256(temporary.read_bytes()).hexdigest()
        with session_scope(self.engine) as session:
            queries.lock_bytes(session, sha256=digest)
            collection_id = queries.get_or_create_collection(session, name=collection).id
            self.blobs.put(temporary, digest)
            new = queries.insert_image(
                session,
                collection_id=collection_id,
                sha256=digest,
                name=name,
                media_type="image/png",
                size_bytes=self.blobs.path(digest).stat().st_size,
                width=64,
                height=8,
            )
        return new.id

    def claim(self, owner: str = "me", limit: int = 100, **options: Any) -> list[Claimed]:
        """Claim photos, for 30 s if nothing else is said."""
        with session_scope(self.engine) as session:
            options = {"max_pixels": MAX_PIXELS, "lease_seconds": 30, **options}
            return queue.claim(session, owner=owner, limit=limit, **options)

    def index(self, claimed: Sequence[Claimed], owner: str = "me") -> pipeline.BatchResult:
        """Index claimed photos."""
        with session_scope(self.engine) as session:
            versions.add(session, version=self.encoder.version, dimension=DIMENSION)
        batch = [
            pipeline.prepare(self.blobs, self.sandbox, photo, max_pixels=MAX_PIXELS) for photo in claimed
        ]
        return pipeline.index_batch(self.engine, self.encoder, batch, owner=owner)

    def index_all(self) -> pipeline.BatchResult:
        """Claim and index all that is due."""
        return self.index(self.claim())

    def image(self, image_id: int) -> Image:
        """Return the row of a photo."""
        with session_scope(self.engine) as session:
            return queries.get_image(session, image_id=image_id)

    def statuses(self) -> dict[int, str]:
        """Return the status of every photo."""
        with session_scope(self.engine) as session:
            return {image.id: image.status for image in session.scalars(select(Image))}

    def follower(self, snapshot: Path | None = None, **options: Any) -> Follower:
        """Return a follower that has caught up once; its thread is not started."""
        follower = Follower(self.engine, _index, snapshot=snapshot, poll_seconds=0.05, **options)
        follower.catch_up()
        return follower


def _index(dimension: int) -> FaissIndex:
    return FaissIndex(dimension, threads=1)


@pytest.fixture
def encoder() -> RandomEncoder:
    return RandomEncoder()


@pytest.fixture
def gallery(engine: Engine, encoder: RandomEncoder, sandbox: Sandbox, tmp_path: Path) -> Gallery:
    return Gallery(engine, BlobStore(tmp_path / "blobs"), encoder, sandbox)


@pytest.fixture
def other_engine(empty_database_url: str) -> Any:
    """Another migrated database."""
    from indexer.database import migrate

    migrate(empty_database_url)
    engine = create_engine(empty_database_url)
    yield engine
    engine.dispose()
