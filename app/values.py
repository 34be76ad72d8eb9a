"""The values that requests may have, and what is said of others, to go on after the name of the value."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal
from unicodedata import normalize

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, ValidationError, WrapValidator

Id = Annotated[int, Field(ge=1, le=2**63 - 1)]
Bytes = Annotated[int, Field(strict=True, ge=0, le=2**63 - 1)]
QueryText = Annotated[str, StringConstraints(max_length=200)]
Condition = Annotated[str, StringConstraints(max_length=200)]


def _written(value: Any) -> Any:
    """Refuse numbers, which pydantic takes for seconds since 1970."""
    if not isinstance(value, str | datetime) or (isinstance(value, str) and value[4:5] != "-"):
        raise ValueError("must be a moment, written as in 2024-05-01 or 2024-05-01T12:00:00Z")
    return value


def _or_say(message: str) -> WrapValidator:
    """Have one message stand for all that can be wrong with a value."""

    def validate(value: Any, handler: Callable[[Any], Any]) -> Any:
        try:
            return handler(value)
        except ValidationError as exc:
            raise ValueError(message) from exc

    return WrapValidator(validate)


def _tidied(name: str) -> str:
    """Return a name by which it is found again, however its accents were typed."""
    if (tidied := normalize("NFC", name.strip())) in ("", ".", ".."):
        raise ValueError("blank, or a path that leads elsewhere")
    return tidied


Moment = Annotated[datetime, BeforeValidator(_written)]
_SCORE_HINT = _or_say("must be a number from -1 to 1, or `suggested`")
MinScore = Annotated[Annotated[float, Field(ge=-1, le=1)] | Literal["suggested"], _SCORE_HINT]
JsonMinScore = Annotated[
    Annotated[float, Field(strict=True, ge=-1, le=1)] | Literal["suggested"], _SCORE_HINT
]
CollectionName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$"),
    AfterValidator(_tidied),
    _or_say("must have 1 to 100 characters, not only spaces, no control character, and not be . or .."),
]
Sha256 = Annotated[
    str,
    StringConstraints(pattern="^[0-9a-f]{64}$"),
    _or_say("must have 64 characters, each of 0 to 9 and a to f"),
]
