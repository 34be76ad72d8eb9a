"""Photos in buckets of Amazon S3, and of other services that answer like it.

Region, keys and endpoint come from the usual variables: AWS_REGION, AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL; AWS_SKIP_SIGNATURE=true reads a public bucket without keys.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from app.fetch import NotFetched, save
from app.ingest import is_photo
from indexer.archives import Arrival
from indexer.errors import GlyphseekError

SCHEME = "s3://"
TIMEOUT, CONNECT_TIMEOUT = timedelta(seconds=60), timedelta(seconds=10)
RETRIES = 3


def find(address: str) -> list[str]:
    """Return the addresses of the photos in a folder of a bucket and its folders, sorted.

    Args:
        address: `s3://BUCKET/FOLDER`, or of one photo.

    Raises:
        GlyphseekError: The bucket does not answer, or there is no photo.
    """
    bucket, path = _parts(address)
    with _explaining(address):
        pages = obstore.list(store(bucket), path or None)
        names = [str(entry["path"]) for page in pages for entry in page]
        if not names and is_photo(path):
            names = [str(obstore.head(store(bucket), path)["path"])]
    photos = sorted(f"{SCHEME}{bucket}/{name}" for name in names if is_photo(name))
    if not photos:
        raise GlyphseekError(f"there are no photos below {address}")
    return photos


def fetch(address: str, target: Path, *, max_bytes: int) -> Arrival:
    """Write a photo of a bucket to `target`.

    Raises:
        NotFetched: It cannot be had, or is longer than `max_bytes`.
        StorageFull: No space left.
    """
    bucket, path = _parts(address)
    with _explaining(address):
        found = obstore.get(store(bucket), path)
        digest, size_bytes = save(found.stream(), found.meta["size"], target, max_bytes)
    return Arrival(target, PurePosixPath(path).name, digest, size_bytes)


def _parts(address: str) -> tuple[str, str]:
    """Return bucket and path of an address."""
    bucket, _, path = address.removeprefix(SCHEME).partition("/")
    if not re.fullmatch(r"[\w.-]+", bucket, re.ASCII):
        raise GlyphseekError(f"{address} names no bucket; write s3://BUCKET/FOLDER")
    return bucket, path.strip("/")


@cache
def store(bucket: str) -> S3Store:
    """Return the connection to a bucket."""
    retries: Any = {"max_retries": RETRIES, "retry_timeout": TIMEOUT}
    options: Any = {"timeout": TIMEOUT, "connect_timeout": CONNECT_TIMEOUT, "allow_http": True}
    return S3Store(bucket, client_options=options, retry_config=retries)


@contextmanager
def _explaining(address: str) -> Iterator[None]:
    """Turn the library's errors, which are long, into one line."""
    try:
        yield
    except FileNotFoundError as exc:
        raise NotFetched(f"there is no {address}") from exc
    except (BaseError, OSError) as exc:
        reason = " ".join(str(exc).split("\n\nDebug source")[0].split())
        raise NotFetched(
            f"{address}: {reason[:300]}; check AWS_REGION, the keys and AWS_ENDPOINT_URL"
        ) from exc
