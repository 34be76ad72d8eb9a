"""Stand-ins for a decoder, called in the sandbox; small, because a process there imports this first."""

from pathlib import Path

from indexer import images


def inspect(path: Path, max_pixels: int) -> images.ImageInfo:
    """Read a picture; one whose bytes hold "hang" or "devour" does that."""
    _misbehave(path.read_bytes())
    return images.inspect(path, max_pixels)


def decode(path: Path, max_pixels: int) -> object:
    """Likewise."""
    _misbehave(path.read_bytes())
    return images.decode(path, max_pixels)


def _misbehave(data: bytes) -> None:
    if b"hang" in data:
        sum(iter(int, 1))
    held = []
    while b"devour" in data:
        held.append(bytes(2**24))
