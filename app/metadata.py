"""Metadata of photos: JSON objects from outside, checked for what database and answers can carry."""

import json
from typing import Any

# Each hit of a search carries the metadata of its photo, and an answer may have 10,000 hits.
MAX_BYTES = 16 * 1024
MAX_DEPTH = 32
# Postgres writes numbers out: 1e300 would come back as 301 digits.
LARGEST_FLOAT = 1e30


def parse(text: str) -> dict[str, Any]:
    """Return the JSON object in `text`; without text an empty one.

    Raises:
        ValueError: It is none, or holds what cannot be kept; the message says what.
    """
    if len(text.encode()) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
    try:
        metadata = json.loads(text or "{}", parse_constant=_refuse, parse_float=_float)
    except RecursionError as exc:
        raise ValueError("it is nested too deeply") from exc
    if not isinstance(metadata, dict):
        raise ValueError("it is something else")
    _check(metadata, depth=1)
    return metadata


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _float(text: str) -> float:
    value = float(text)
    if value and not 1 / LARGEST_FLOAT <= abs(value) <= LARGEST_FLOAT:
        raise ValueError(f"a number is beyond {LARGEST_FLOAT:g}, or nearer to zero than its reciprocal")
    return value


def _check(value: Any, depth: int) -> None:
    """Raise ValueError for texts that Postgres refuses, and for nesting that our answers could not hold."""
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError("it holds a NUL or half a character")
    elif isinstance(value, dict | list):
        if depth > MAX_DEPTH:
            raise ValueError("it is nested too deeply")
        for part in [*value, *value.values()] if isinstance(value, dict) else value:
            _check(part, depth + 1)
