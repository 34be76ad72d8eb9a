"""Search in galleries of many proposals, through HTTP: time to start, memory, latency with 1 and 16 clients.

    python -m tests.benchmarks.search_scale [--proposals 30000 100000 ...] [--json FILE]

The gallery is the sample gallery as the network sees it, filled up with random photos of 20 regions: the
embeddings of random words, turned at random as far as real regions lie from the words. Of every size one
`glyphseek api` is started twice: first it reads the database, then its snapshot.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from sqlalchemy import make_url

from app.client import Client
from app.ingest import find_photos
from indexer import images, queries, versions
from indexer.database import create_engine, migrate, session_scope
from indexer.embedded import EmbeddedPostgres
from indexer.folding import trigrams
from model import reranking
from model.encoder import Encoder
from tests.benchmarks import measuring

GALLERY = Path(measuring.__file__).parents[2] / "app" / "gallery"
PROPOSALS_A_PHOTO, FILLING_WORDS = 20, 3000
TURN = 0.2  # sine of the angle by which real regions leave the space of the words
SEARCHES, WARM_UP_SEARCHES, OTHERS = 1000, 50, 100
CLIENTS = (1, 16)
IMAGES = """COPY images (id, collection_id, sha256, name, media_type, size_bytes, width, height, status,
    model_version, proposal_count, indexed_at) FROM STDIN"""
PROPOSALS = """COPY proposals (image_id, model_version, ordinal, box, quad, score, transcript, confidence,
    folded, trigrams, embedding, posteriors) FROM STDIN"""
Vectors = NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--proposals", type=int, nargs="+", default=[10_000, 100_000, 200_000])
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    encoder = Encoder(device="cpu")
    paths = [photo.content for photo in find_photos([str(GALLERY)])]
    real = [
        encoder.encode_images([images.decode(path, 10**8)])[0].embeddings
        for path in paths
        if isinstance(path, Path)
    ]
    rows = {f"{count:,} proposals": _measure(count, real, encoder) for count in options.proposals}
    measuring.show("search", rows, options.json)


def _measure(count: int, real: list[Vectors], encoder: Encoder) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder)) as postgres:
        migrate(postgres.url)
        photos = _fill(postgres.url, count, real, encoder)
        row: dict[str, Any] = {"photos": photos}
        for origin in ("database", "snapshot"):
            started = time.perf_counter()
            with measuring.service("api", Path(folder), DATABASE_URL=postgres.url) as (url, pid):
                row[f"start from {origin} s"] = time.perf_counter() - started
                if origin == "snapshot":
                    row["MiB"] = measuring.resident_mib(pid)["api"]
                    row |= _search(url)
                    row["MiB after"] = measuring.resident_mib(pid)["api"]
    return row


def _search(url: str) -> dict[str, float]:
    words = measuring.random_words(SEARCHES)
    row = {}
    measuring.latencies_ms(url, words[:WARM_UP_SEARCHES], clients=1, limit=20)
    for clients in CLIENTS:
        started = time.perf_counter()
        latencies = measuring.latencies_ms(url, words, clients=clients, limit=20)
        row |= measuring.percentiles(latencies, f"{clients} clients ms")
        row[f"{clients} clients searches/s"] = SEARCHES / (time.perf_counter() - started)
    with Client(url) as client:
        for name, ask in _others(client, words).items():
            latencies = [_milliseconds(ask, number) for number in range(OTHERS)]
            row |= measuring.percentiles(latencies, f"{name} ms")
    return row


def _others(client: Client, words: list[str]) -> dict[str, Callable[[int], object]]:
    """Return what else is asked, by its name, each to be called with a number."""
    return {
        "two words": lambda n: client.search(f"{words[n]} {words[n + 1]}"),
        "a phrase": lambda n: client.search(f'"{words[n]} {words[n + 1]}"'),
        "suggested cut": lambda n: client.search(words[n], min_score="suggested"),
        "beginnings": lambda n: client.search(words[n][:3], match="prefix"),
        "suggestions for a letter": lambda n: client.suggest(words[n][:1]),
        "suggestions for two": lambda n: client.suggest(words[n][:2]),
    }


def _milliseconds(ask: Callable[[int], object], number: int) -> float:
    started = time.perf_counter()
    ask(number)
    return (time.perf_counter() - started) * 1000


def _fill(url: str, count: int, real: list[Vectors], encoder: Encoder) -> int:
    """Write photos with so many proposals into a migrated database; return how many photos."""
    engine = create_engine(url)
    with session_scope(engine) as session:
        collection_id = queries.get_or_create_collection(session, name="default").id
        versions.add(session, version=encoder.version, dimension=encoder.dimension)
    engine.dispose()
    photos = len(real) + max(0, count - sum(map(len, real))) // PROPOSALS_A_PHOTO
    conninfo = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(conninfo) as connection, connection.cursor() as cursor:
        with cursor.copy(IMAGES.replace("(id, ", "(")) as copy:
            for number in range(photos):
                name, digest = f"{number}.jpg", f"{number:064x}"
                size = (10**5, 1280, 720)
                state = ("indexed", encoder.version, PROPOSALS_A_PHOTO, "now")
                copy.write_row((collection_id, digest, name, "image/jpeg", *size, *state))
        ids = [row[0] for row in cursor.execute("SELECT id FROM images ORDER BY id")]
        with cursor.copy(PROPOSALS) as copy:
            # Few are read often, as in life: the n-th word 1/n as often as the first.
            words = measuring.random_words(FILLING_WORDS, seed=1)
            shares = 1 / np.arange(1, len(words) + 1)
            chosen = np.random.default_rng(2).choice(words, 2 * count + 10**5, p=shares / shares.sum())
            read = iter(chosen.tolist())
            seen = {word: _posteriors(word) for word in words}
            for image_id, vectors in zip(ids, _vectors(real, photos, encoder), strict=True):
                for ordinal, vector in enumerate(vectors):
                    embedding = vector.astype("<f2").tobytes()
                    box, quad = [10, 10, 90, 40], [10, 10, 90, 10, 90, 40, 10, 40]
                    word = next(read)
                    row = (box, quad, 0.5, word, 0.9, word, trigrams(word), embedding, seen[word])
                    copy.write_row((image_id, encoder.version, ordinal, *row))
    with psycopg.connect(conninfo, autocommit=True) as connection:  # as it is after a minute
        connection.execute("VACUUM ANALYZE proposals")
    return photos


def _posteriors(word: str) -> bytes:
    """Return what a rather sure reader sees of a word."""
    steps: list[tuple[float, dict[str, float]]] = [(0.99, {})]
    for letter in word:
        steps += [(0.04, dict.fromkeys("aei", 0.02) | {letter: 0.9}), (0.99, {})]
    return reranking.packed(steps)


def _vectors(real: list[Vectors], photos: int, encoder: Encoder) -> Iterator[Vectors]:
    yield from real
    generator = np.random.default_rng(1)
    words = encoder.encode_texts(measuring.random_words(FILLING_WORDS, seed=1))
    for _ in range(photos - len(real)):
        noise = generator.normal(size=(PROPOSALS_A_PHOTO, encoder.dimension)).astype(np.float32)
        noise *= TURN / np.linalg.norm(noise, axis=1, keepdims=True)
        vectors = words[generator.integers(len(words), size=PROPOSALS_A_PHOTO)] + noise
        yield vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


if __name__ == "__main__":
    main()
