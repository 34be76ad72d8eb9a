"""Fetches files from the web without letting their addresses lead into the network of this machine.

A name is resolved once, every address that it stands for is checked, and the connection goes to one of
these; so does each redirect. A name that points elsewhere a moment later leads nowhere.
"""

import hashlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from indexer.archives import Arrival
from indexer.blobs import reporting_full_disk
from indexer.errors import GlyphseekError

FETCH_SECONDS = 30.0
IDLE_SECONDS = 10.0
MAX_REDIRECTS = 5
MAX_URL_CHARACTERS = 2000
_REDIRECTS = (301, 302, 303, 307, 308)
_CHUNK_BYTES = 2**16
_NAT64 = ip_network("64:ff9b::/96")
# For translation inside of a network, and two former ways to write addresses of version 4.
_LOCAL = [ip_network(each) for each in ("64:ff9b:1::/48", "::/96", "::ffff:0:0:0/96")]
# Public by its number, but it answers inside a cloud's machines alone: with their secrets.
_PLATFORM = ip_address("168.63.129.16")

Address = IPv4Address | IPv6Address


class NotFetched(GlyphseekError):
    """The file could not be fetched."""


def is_public(address: Address) -> bool:
    """Tell whether an address is one of the Internet: not private, loopback, link-local, or for metadata."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or (IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None)
        if inner is not None:
            return is_public(inner)
        if address.sixtofour or address.teredo or address.is_site_local:  # which could end anywhere
            return False
        if any(address in network for network in _LOCAL):
            return False
    return address.is_global and not address.is_multicast and address != _PLATFORM


def check(url: str) -> SplitResult:
    """Return the parts of an address that can be fetched.

    Raises:
        NotFetched: It is none.
    """
    try:
        parts = urlsplit(url.strip())
        fits = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError as exc:
        raise NotFetched("this is not a http or https address") from exc
    if not fits or len(url) > MAX_URL_CHARACTERS:
        raise NotFetched("this is not a http or https address")
    if parts.username is not None:
        raise NotFetched("an address with a user name in it is not fetched")
    return parts


def name_of(url: str) -> str:
    """Return what a file from this address is called."""
    with suppress(ValueError):
        parts = urlsplit(url)
        return unquote(parts.path).rstrip("/").rpartition("/")[2] or parts.hostname or url
    return url


def fetch(url: str, target: Path, *, max_bytes: int, seconds: float = FETCH_SECONDS) -> Arrival:
    """Write the file at an address to `target`, and nothing there if that fails.

    Args:
        url: http or https; up to 5 redirects are followed.
        target: Where nothing is yet.
        max_bytes: Longest file.
        seconds: How long everything may take.

    Raises:
        NotFetched: It cannot be had, or may not.
        StorageFull: No space left.
    """
    deadline = time.monotonic() + seconds
    here = url
    try:
        for _ in range(MAX_REDIRECTS + 1):
            with _get(check(here), deadline) as response:
                location = response.headers["Location"]
                if response.status in _REDIRECTS and location:
                    here = urljoin(here, location)
                    continue
                if response.status != http.client.OK:
                    raise NotFetched(f"the server answered {response.status}")
                digest, size_bytes = _save(response, target, max_bytes)
            if time.monotonic() > deadline:
                raise NotFetched(f"fetching it took more than {seconds:g} s")
            return Arrival(target, name_of(url), digest, size_bytes)
        raise NotFetched(f"there are more than {MAX_REDIRECTS} redirects")
    except BaseException as exc:
        target.unlink(missing_ok=True)
        if isinstance(exc, OSError | http.client.HTTPException | ValueError):
            if time.monotonic() > deadline:
                raise NotFetched(f"fetching it took more than {seconds:g} s") from exc
            raise NotFetched(f"it could not be fetched: {exc}") from exc
        raise


def _save(response: http.client.HTTPResponse, target: Path, max_bytes: int) -> tuple[str, int]:
    """Write the body; return its SHA-256 and length."""
    saved = save(iter(partial(response.read, _CHUNK_BYTES), b""), response.length, target, max_bytes)
    if response.length:  # bytes that were announced and have not come
        raise NotFetched("the connection broke off")
    return saved


def save(chunks: Iterable[bytes], announced: int | None, target: Path, max_bytes: int) -> tuple[str, int]:
    """Write a file as it comes; return its SHA-256 and length.

    Args:
        chunks: Its parts.
        announced: Its length, if it is known before.
        target: Where nothing is yet.
        max_bytes: Longest file.

    Raises:
        NotFetched: It is longer.
        StorageFull: No space left.
    """
    digest, size_bytes = hashlib.sha256(), 0
    too_long = NotFetched(f"it has more than {max_bytes:,} bytes")
    if (announced or 0) > max_bytes:
        raise too_long
    with reporting_full_disk(), target.open("wb") as file:
        for chunk in chunks:
            size_bytes += len(chunk)
            if size_bytes > max_bytes:
                raise too_long
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest(), size_bytes


@contextmanager
def _get(parts: SplitResult, deadline: float) -> Iterator[http.client.HTTPResponse]:
    """Yield the response of one address; at the deadline the connection is cut, whatever it is doing."""
    host = (parts.hostname or "").encode("idna").decode()
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    stream = _connect(host, port, deadline)
    if secure:  # takes the connection over
        stream = ssl.create_default_context().wrap_socket(
            stream, server_hostname=host, do_handshake_on_connect=False
        )
    timer = threading.Timer(max(0, deadline - time.monotonic()), _cut, [stream])
    timer.daemon = True
    timer.start()
    try:
        if isinstance(stream, ssl.SSLSocket):
            stream.do_handshake()
        connection = http.client.HTTPConnection(host, port)
        connection.sock = stream
        shown = f"[{host}]" if ":" in host else host
        headers = {"Host": f"{shown}:{parts.port}" if parts.port else shown}
        headers |= {"User-Agent": "glyphseek", "Connection": "close"}
        path, query = (quote(part, safe="%/?:@!$&'()*+,;=~") for part in (parts.path or "/", parts.query))
        connection.request("GET", f"{path}?{query}" if query else path, headers=headers)
        with connection.getresponse() as response:
            yield response
    finally:
        timer.cancel()
        stream.close()


def _connect(host: str, port: int, deadline: float) -> socket.socket:
    """Connect to one of the addresses of a name, all of which must be public."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    if not all(is_public(ip_address(address)) for address in addresses):
        raise NotFetched(f"{host} leads into a private network")
    error: OSError = ConnectionError("the name has no address")
    for address in addresses:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        try:
            return socket.create_connection((address, port), timeout=min(IDLE_SECONDS, left))
        except OSError as exc:
            error = exc
    raise error


def _cut(stream: socket.socket) -> None:
    with suppress(OSError, ValueError):
        stream.shutdown(socket.SHUT_RDWR)
