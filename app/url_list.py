"""Photos on the web and in buckets: fetched here, and sent to a service like files of a folder."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from app import buckets, fetch
from app.client import Client, Photo
from app.ingest import Progress, Report, ingest
from indexer.errors import GlyphseekError

MAX_BYTES = 256 * 2**20
FETCH_THREADS = 4
FETCHED_AT_ONCE = 64  # photos that lie in the temporary folder


def read_list(path: Path) -> list[str]:
    """Return the addresses in a file, one a line; empty lines and lines that begin with # are left out.

    A line `s3://BUCKET/FOLDER` stands for all photos there.

    Raises:
        GlyphseekError: A line is no http, https or s3 address, there is none, or a bucket does not answer.
    """
    urls = []
    for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), start=1):
        if (url := line.strip()) and not url.startswith("#"):
            try:
                urls += _addresses(url)
            except GlyphseekError as exc:
                raise GlyphseekError(f"{path}, line {number}: {exc}") from exc
    if not urls:
        raise GlyphseekError(f"there is no address in {path}")
    return urls


def _addresses(url: str) -> list[str]:
    if url.startswith(buckets.SCHEME):
        return buckets.find(url)
    fetch.check(url)
    return [url]


def ingest_urls(client: Client, urls: Sequence[str], *, collection: str, progress: Progress) -> Report:
    """Fetch photos, send what the service does not know, and wait until it is indexed.

    Args:
        client: Of the service.
        urls: http, https and s3.
        collection: Where to put them.
        progress: As that of `ingest`, with the step `fetch` too.
    """
    total = Report()
    for start in range(0, len(urls), FETCHED_AT_ONCE):
        part = urls[start : start + FETCHED_AT_ONCE]
        with TemporaryDirectory(prefix="glyphseek-") as folder:
            photos = []
            for done, (url, photo) in enumerate(_fetch_all(part, Path(folder)), start=start + 1):
                progress("fetch", done, len(urls))
                if isinstance(photo, Photo):
                    photos.append(photo)
                else:
                    total.refused.append((url, str(photo)))
            total += ingest(client, photos, collection=collection, progress=progress)
    total.found = len(urls)
    return total


def _fetch_all(urls: Sequence[str], folder: Path) -> Iterator[tuple[str, Photo | fetch.NotFetched]]:
    def get(numbered: tuple[int, str]) -> Photo | fetch.NotFetched:
        number, url = numbered
        try:
            source = buckets if url.startswith(buckets.SCHEME) else fetch
            arrival = source.fetch(url, folder / str(number), max_bytes=MAX_BYTES)
        except fetch.NotFetched as exc:
            return exc
        return Photo(arrival.name, arrival.path)

    with ThreadPoolExecutor(FETCH_THREADS) as pool:
        yield from zip(urls, pool.map(get, enumerate(urls)), strict=True)
