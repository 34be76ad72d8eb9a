"""Ranking and speed of the whole service on an annotated data set, through HTTP.

    python -m tests.benchmarks.retrieval DATA/icdar2015 [--url URL of an empty running service] [--json FILE]

Sends the photos of DATA/icdar2015/test to a service with an empty gallery, then asks every query of
test_queries.json for the full ranking. The first photos are not timed: with them the worker prepares its
kernels.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import httpx2
import numpy as np
from numpy.typing import NDArray

from app.client import Client
from app.ingest import find_photos
from indexer.errors import GlyphseekError
from model.evaluation.dataset import read_photos
from model.evaluation.evaluate import Queries, read_queries
from tests.benchmarks import measuring

WARM_UP_PHOTOS = 16
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path, help="folder with test/, test_queries.json")
    parser.add_argument("--url", help="a running service with an empty gallery, instead of one of our own")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    queries = read_queries(options.dataset / "test_queries.json")
    if not isinstance(queries, dict):
        parser.error("test_queries.json names no photos")
    with _service(options.url) as (url, pid), Client(url) as client:
        row = _ingest(client, options.dataset / "test")
        if pid:
            row |= _memory(pid, "after ingest")
        names = [photo.name for photo in read_photos(options.dataset / "test.jsonl")]
        row |= _search(client, queries, names)
        short = measuring.latencies_ms(url, list(queries), clients=1, limit=20)
        row |= measuring.percentiles(short, "20 hits ms")
        if pid:
            row |= _memory(pid, "after search")
    measuring.show("retrieval", {"service": row}, options.json)


def _memory(pid: int, when: str) -> Row:
    return {f"{name} MiB {when}": size for name, size in measuring.resident_mib(pid).items()}


@contextmanager
def _service(url: str | None) -> Iterator[tuple[str, int]]:
    if url:
        yield url, 0
        return
    with tempfile.TemporaryDirectory() as folder, measuring.service("serve", Path(folder)) as running:
        yield running


def _ingest(client: Client, folder: Path) -> Row:
    if client.health().images:
        raise GlyphseekError("the gallery of this service is not empty")
    photos = find_photos([str(folder)])
    seconds = []
    for part in (photos[:WARM_UP_PHOTOS], photos[WARM_UP_PHOTOS:]):
        started = time.perf_counter()
        measuring.index(client, part)
        seconds.append(time.perf_counter() - started)
    listed = httpx2.get(f"{client.url}/images", params={"limit": 1000}, timeout=60).json()["items"]
    return {
        "photos": len(photos),
        f"first {WARM_UP_PHOTOS} s": seconds[0],
        "photos/s": (len(photos) - WARM_UP_PHOTOS) / seconds[1],
        "proposals a photo": sum(image["proposals"] for image in listed) / len(listed),
    }


def _search(client: Client, queries: Queries, names: list[str]) -> Row:
    """Ask all queries for the full ranking."""
    steps: dict[str, list[float]] = {}
    latencies = []

    def ask(word: str) -> NDArray[np.float32]:
        started = time.perf_counter()
        answer = client.search(word, limit=1000)
        latencies.append((time.perf_counter() - started) * 1000)
        for step, milliseconds in answer.took_ms.items():
            steps.setdefault(step, []).append(milliseconds)
        # By their places: the first photos are not in the order of their scores.
        places = {hit.image.name: place for place, hit in enumerate(answer.hits)}
        return np.array([-places[PurePosixPath(name).name] for name in names], np.float32)

    row = measuring.mean_average_precision(ask, queries, names)
    row |= measuring.percentiles(latencies, "full ranking ms")
    for step, milliseconds in steps.items():
        row |= measuring.percentiles(milliseconds, f"its {step} ms")
    return row


if __name__ == "__main__":
    main()
