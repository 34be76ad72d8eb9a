"""Where the time of indexing goes: milliseconds a photo of every stage, one after the other.

    python -m tests.benchmarks.profile_stages FOLDER [--photos N] [--json FILE]

Runs the service's own functions on the photos of a folder, on one thread, with stop watches around the
stages; nothing overlaps, so divided by the cores the sum is what the service needs at best. Processor time is
that of this process alone, without sandbox and database.
"""

import argparse
import hashlib
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from numpy.typing import NDArray
from sqlalchemy import Engine

from app.ingest import find_photos
from indexer import images, intake, pipeline, queries, queue, versions
from indexer.archives import Arrival
from indexer.blobs import BlobStore
from indexer.database import create_engine, migrate, session_scope
from indexer.embedded import EmbeddedPostgres
from indexer.sandbox import Sandbox
from model import finder
from model.encoder import Encoder
from model.photo import WorkingPhoto
from tests.benchmarks import measuring

WARM_UP_PHOTOS, BATCH = 32, 16
MAX_PIXELS = 64_000_000
Seconds = NDArray[np.float64]  # passed, and of processor time of this process
OWNER = "benchmark"


class StopWatch:
    """Sums up the time of every stage, without that of the stages inside it."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, Seconds] = defaultdict(lambda: np.zeros(2))
        self._inside = np.zeros(2)

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with a stop watch around it."""

        def call(*args: Any, **options: Any) -> Any:
            # What runs in the sandbox goes by its own name.
            name = f"{stage}: {args[0].__name__}" if stage == "sandbox" else stage
            before, self._inside = self._inside, np.zeros(2)
            started = _now()
            try:
                return function(*args, **options)
            finally:
                duration = _now() - started
                self.seconds[name] += duration - self._inside
                self._inside = before + duration

        return call

    def wrap(self, stack: ExitStack, owner: Any, function: str, stage: str) -> None:
        """Time every call of a module's or an object's function, as long as the stack lives."""
        stack.enter_context(mock.patch.object(owner, function, self.timed(stage, getattr(owner, function))))

    def wrap_entering(self, stack: ExitStack, owner: Any, function: str, stage: str) -> None:
        """Time the work of a function that returns a context: that of entering it."""
        make = getattr(owner, function)

        @contextmanager
        def context(*args: Any) -> Iterator[Any]:
            with ExitStack() as inner:
                yield self.timed(stage, inner.enter_context)(make(*args))

        stack.enter_context(mock.patch.object(owner, function, context))


def _now() -> Seconds:
    return np.array([time.perf_counter(), time.process_time()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="photos")
    parser.add_argument("--photos", type=int, default=100, help="so many, after those to warm up")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    paths = [photo.content for photo in find_photos([str(options.folder)]) if isinstance(photo.content, Path)]
    warm_up, paths = paths[:WARM_UP_PHOTOS], paths[WARM_UP_PHOTOS:][: options.photos]
    if not paths:
        parser.error(f"{options.folder} holds {len(warm_up)} photos, more than {WARM_UP_PHOTOS} are needed")
    torch.set_num_threads(1)
    encoder, watch = Encoder(device="cpu", threads=1), StopWatch()
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder)) as postgres:
        migrate(postgres.url)
        engine, blobs = create_engine(postgres.url), BlobStore(Path(folder) / "photos")
        encoder.encode_images([images.decode(path, MAX_PIXELS) for path in warm_up[:1]])
        with Sandbox(max_pixels=MAX_PIXELS, processes=1) as sandbox, ExitStack() as stack:
            sandbox.call(images.inspect, warm_up[0], MAX_PIXELS)  # it starts its process with the first call
            _watch(watch, stack, sandbox, encoder)
            encoder.encode_images([images.decode(path, MAX_PIXELS) for path in warm_up])
            watch.seconds.clear()
            proposals = _index(engine, blobs, sandbox, encoder, paths)
        engine.dispose()
    _report(watch, len(paths), proposals, options.json)


def _watch(watch: StopWatch, stack: ExitStack, sandbox: Sandbox, encoder: Encoder) -> None:
    """Put stop watches around the stages; the networks must be compiled already."""
    watch.wrap(stack, sandbox, "call", "sandbox")
    watch.wrap(stack, intake, "take_in", "take in: file, database")
    watch.wrap(stack, pipeline, "prepare", "prepare")
    watch.wrap(stack, BlobStore, "write_thumbnail", "write thumbnail")
    watch.wrap(stack, encoder, "encode_images", "rest of the encoder")
    photos = encoder._photos
    assert isinstance(photos, finder.Finder)
    watch.wrap(stack, photos, "_find", "detect: resize, select")
    watch.wrap_entering(stack, photos.parts.detect, "lend", "detect: network")
    watch.wrap(stack, finder, "_corners", "second look: sample")
    watch.wrap(stack, photos.parts, "look", "second look: network")
    watch.wrap(stack, photos.parts, "read", "read: network")
    watch.wrap(stack, photos.parts, "embed", "embed: network")
    watch.wrap(stack, WorkingPhoto, "crops", "crop")
    watch.wrap(stack, finder, "read", "transcripts")
    watch.wrap(stack, queue, "claim", "database: claim")
    watch.wrap(stack, queries, "finish_image", "database: statements")
    watch.wrap(stack, pipeline, "_store", "database: begin, commit")


def _index(engine: Engine, blobs: BlobStore, sandbox: Sandbox, encoder: Encoder, paths: list[Path]) -> int:
    """Take photos in and index them as API and worker do; return the number of proposals."""
    with session_scope(engine) as session:
        versions.add(session, version=encoder.version, dimension=encoder.dimension)
    for path in paths:
        temporary = blobs.temporary()
        temporary.write_bytes(path.read_bytes())
        digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
        arrival = Arrival(temporary, path.name, digest, temporary.stat().st_size)
        intake.take_in(
            engine, blobs, sandbox, arrival, collection="default", metadata={}, max_pixels=MAX_PIXELS
        )
    while True:
        with session_scope(engine) as session:
            claimed = queue.claim(session, owner=OWNER, limit=BATCH, max_pixels=MAX_PIXELS, lease_seconds=600)
        if not claimed:
            break
        batch = [pipeline.prepare(blobs, sandbox, photo, max_pixels=MAX_PIXELS) for photo in claimed]
        pipeline.index_batch(engine, encoder, batch, owner=OWNER)
    with session_scope(engine) as session:
        return sum(image.proposal_count for image in queries.list_images(session, limit=len(paths)))


def _report(watch: StopWatch, photos: int, proposals: int, json_path: Path | None) -> None:
    seconds = dict(sorted(watch.seconds.items(), key=lambda item: -item[1][0]))
    seconds["sum"] = np.sum([*seconds.values()], axis=0)
    rows = {
        stage: {
            "ms a photo": float(1000 * passed / photos),
            "%": float(100 * passed / seconds["sum"][0]),
            "processor ms": float(1000 * busy / photos),
        }
        for stage, (passed, busy) in seconds.items()
    }
    measuring.show(f"{photos} photos, {proposals / photos:.1f} proposals a photo", rows, json_path)


if __name__ == "__main__":
    main()
