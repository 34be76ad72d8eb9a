"""Search in galleries of many proposals, through HTTP: time to start, memory, latency with 1 and 16 clients.

    python -m tests.benchmarks.search_scale [--proposals 30000 100000 ...] [--json FILE]

The gallery is the sample gallery as the network sees it, filled up with random photos of 20 regions: random
words, few of them often, with their transcripts, and with their embeddings turned at random as far as real
regions lie from the words. Half of what is asked are such words, as often as they are there, half are other
ones. Of every size one `glyphseek api` is started twice: first it reads the database, then its snapshot.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from sqlalchemy import make_url

from app.ingest import find_photos
from indexer import images, queries, versions
from indexer.database import create_engine, migrate, session_scope
from indexer.embedded import EmbeddedPostgres
from indexer.folding import fold, trigrams
from model import reranking
from model.encoder import Encoder, Proposals
from tests.benchmarks import measuring

GALLERY = Path(measuring.__file__).parents[2] / "app" / "gallery"
PROPOSALS_A_PHOTO, FILLING_WORDS = 20, 3000
TURN = 0.2  # sine of the angle by which real regions leave the space of the words
SEARCHES, WARM_UP_SEARCHES, OTHERS, WARM_UP_OTHERS = 1000, 50, 300, 10
CLIENTS = (1, 16)
IMAGES = """COPY images (id, collection_id, sha256, name, media_type, size_bytes, width, height, status,
    model_version, proposal_count, indexed_at) FROM STDIN"""
PROPOSALS = """COPY proposals (image_id, model_version, ordinal, box, quad, score, transcript, confidence,
    folded, trigrams, embedding, posteriors) FROM STDIN"""
Vector = NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--proposals", type=int, nargs="+", default=[10_000, 100_000, 200_000])
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    encoder = Encoder(device="cpu")
    paths = [photo.content for photo in find_photos([str(GALLERY)])]
    real = [
        encoder.encode_images([images.decode(path, 10**8)])[0] for path in paths if isinstance(path, Path)
    ]
    rows = {f"{count:,} proposals": _measure(count, real, encoder) for count in options.proposals}
    measuring.show("search", rows, options.json)


def _measure(count: int, real: list[Proposals], encoder: Encoder) -> dict[str, Any]:
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
    words = _asked(SEARCHES)
    row = {}
    measuring.latencies_ms(url, words[:WARM_UP_SEARCHES], clients=1, limit=20)
    for clients in CLIENTS:
        started = time.perf_counter()
        latencies = measuring.latencies_ms(url, words, clients=clients, limit=20)
        row |= measuring.percentiles(latencies, f"{clients} clients ms")
        row[f"{clients} clients searches/s"] = SEARCHES / (time.perf_counter() - started)
    for name, ask in _others(measuring.Asker(url), words).items():
        for number in range(WARM_UP_OTHERS):
            ask(number)
        row |= measuring.percentiles([ask(number) for number in range(OTHERS)], f"{name} ms")
    return row


def _asked(count: int) -> list[str]:
    """Return words of the gallery and, every second one, words that it does not have."""
    there, strange = _drawn(count, seed=3), measuring.random_words(count)
    return [word for pair in zip(there, strange, strict=True) for word in pair][:count]


def _others(asker: measuring.Asker, words: list[str]) -> dict[str, Callable[[int], float]]:
    """Return what else is asked, by its name: each returns what an answer took, given a number."""
    ask = partial(asker.milliseconds, limit=20)
    return {
        "two words": lambda n: ask(f"{words[n]} {words[n + 1]}"),
        "a phrase": lambda n: ask(f'"{words[n]} {words[n + 1]}"'),
        "suggested cut": lambda n: ask(words[n], min_score="suggested"),
        "beginnings": lambda n: ask(words[n][:3], match="prefix"),
        "suggestions for a letter": lambda n: ask(words[n][:1], "/suggest"),
        "suggestions for two": lambda n: ask(words[n][:2], "/suggest"),
    }


def _drawn(count: int, seed: int) -> list[str]:
    """Return words of the gallery, few of them often: the first 2.6 % of all, the tenth 1 %.

    In the photos to train on of ICDAR 2015 the first has 2.8 %, the third 1.2 %, the tenth 0.4 %.
    """
    words = measuring.random_words(FILLING_WORDS, seed=1)
    shares = 1 / (np.arange(len(words)) + 6)
    chosen: list[str] = np.random.default_rng(seed).choice(words, count, p=shares / shares.sum()).tolist()
    return chosen


def _fill(url: str, count: int, real: list[Proposals], encoder: Encoder) -> int:
    """Write photos with so many proposals into a migrated database; return how many photos."""
    engine = create_engine(url)
    with session_scope(engine) as session:
        collection_id = queries.get_or_create_collection(session, name="default").id
        versions.add(session, version=encoder.version, dimension=encoder.dimension)
    engine.dispose()
    photos = len(real) + max(0, count - sum(len(found.scores) for found in real)) // PROPOSALS_A_PHOTO
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
            seen: dict[str, bytes] = {}
            for image_id, regions in zip(ids, _regions(real, photos, encoder), strict=True):
                for ordinal, (word, vector) in enumerate(regions):
                    embedding = vector.astype("<f2").tobytes()
                    box, quad = [10, 10, 90, 40], [10, 10, 90, 10, 90, 40, 10, 40]
                    if word not in seen:
                        seen[word] = _posteriors(word)
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


def _regions(real: list[Proposals], photos: int, encoder: Encoder) -> Iterator[list[tuple[str, Vector]]]:
    """Yield what was read in the regions of each photo, folded, with their embeddings."""
    for found in real:
        yield list(zip(map(fold, found.transcripts), found.embeddings, strict=True))
    generator = np.random.default_rng(1)
    words = measuring.random_words(FILLING_WORDS, seed=1)
    embeddings = dict(zip(words, encoder.encode_texts(words), strict=True))
    read = iter(_drawn(PROPOSALS_A_PHOTO * (photos - len(real)), seed=2))
    for _ in range(photos - len(real)):
        of_photo = list(islice(read, PROPOSALS_A_PHOTO))
        noise = generator.normal(size=(PROPOSALS_A_PHOTO, encoder.dimension)).astype(np.float32)
        noise *= TURN / np.linalg.norm(noise, axis=1, keepdims=True)
        vectors = np.stack([embeddings[word] for word in of_photo]) + noise
        yield list(zip(of_photo, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), strict=True))


if __name__ == "__main__":
    main()
