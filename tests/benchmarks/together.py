"""Indexing and searching at once: how much each slows the other.

    python -m tests.benchmarks.together FOLDER [--photos N] [--pause S] [--json FILE]

A fresh service indexes photos of the folder: a first part to warm up, a second one alone, and once more, when
it was deleted, while a client searches. The same client searches once more when nothing is indexed. It pauses
between its searches as people do; without a pause (`--pause 0`) it takes a core for itself.
"""

import argparse
import tempfile
import threading
import time
from itertools import cycle
from pathlib import Path
from typing import Any

from app.client import Client
from app.ingest import Photo, find_photos
from tests.benchmarks import measuring

WARM_UP_PHOTOS, SEARCHES_ALONE, WARM_UP_SEARCHES = 16, 500, 20
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="photos")
    parser.add_argument("--photos", type=int, default=100, help="so many a part")
    parser.add_argument("--pause", type=float, default=0.05, help="seconds between two searches")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    photos = find_photos([str(options.folder)])
    needed = WARM_UP_PHOTOS + options.photos
    if len(photos) < needed:
        parser.error(f"{options.folder} holds {len(photos)} photos, {needed} are needed")
    with tempfile.TemporaryDirectory() as folder, measuring.service("serve", Path(folder)) as (url, _):
        _index(url, photos[:WARM_UP_PHOTOS])
        alone = _index(url, photos[WARM_UP_PHOTOS:needed])
        _delete(url, photos[WARM_UP_PHOTOS:needed])
        searching = Searching(url, options.pause)
        together = _index(url, photos[WARM_UP_PHOTOS:needed])
        searching.stop()
        quiet = Searching(url, options.pause)
        while len(quiet.milliseconds) < SEARCHES_ALONE and quiet.error is None:
            time.sleep(0.1)
        quiet.stop()
    rows = {
        "alone": {"photos/s": alone, **quiet.row()},
        "at once": {"photos/s": together, **searching.row()},
    }
    rows["at once : alone"] = {
        name: value / rows["alone"][name] for name, value in rows["at once"].items() if rows["alone"][name]
    }
    measuring.show(f"{options.photos} photos, {options.pause} s between searches", rows, options.json)


class Searching:
    """A client that searches in a thread until it is told to stop."""

    def __init__(self, url: str, pause: float) -> None:
        self.milliseconds: list[float] = []
        self.error: Exception | None = None
        self._url, self._pause = url, pause
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._search()
        except Exception as exc:  # raised where somebody waits for the figures
            self.error = exc

    def _search(self) -> None:
        words = measuring.random_words(2000)
        asker = measuring.Asker(self._url)
        for word in words[:WARM_UP_SEARCHES]:
            asker.milliseconds(word, limit=20)
        for word in cycle(words):
            self.milliseconds.append(asker.milliseconds(word, limit=20))
            if self._stopped.wait(self._pause):
                break

    def stop(self) -> None:
        """Return when the last search is answered; raises what went wrong with one."""
        self._stopped.set()
        self._thread.join()
        if self.error is not None:
            raise self.error

    def row(self) -> Row:
        """Return what the searches took."""
        row = measuring.percentiles(self.milliseconds, "20 hits ms")
        return row | {"slowest ms": max(self.milliseconds), "searches": len(self.milliseconds)}


def _index(url: str, photos: list[Photo]) -> float:
    """Return the photos a second from sending them to their being searchable."""
    started = time.perf_counter()
    with Client(url) as client:
        measuring.index(client, photos)
    return len(photos) / (time.perf_counter() - started)


def _delete(url: str, photos: list[Photo]) -> None:
    """Delete photos, and return when no search finds them any more."""
    digests = {photo.sha256() for photo in photos}
    with Client(url) as client:
        for image in client.images(limit=1000).items:
            if image.sha256 in digests:
                client.delete_image(image.id)
        while client.search("a").total > WARM_UP_PHOTOS:
            time.sleep(0.05)


if __name__ == "__main__":
    main()
