"""Which photos a search is among, by what is known about them; the caller owns the transaction."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

import numpy as np
from sqlalchemy import ColumnElement, Numeric, Text, case, cast, func, literal, or_, select
from sqlalchemy.orm import Session

from indexer import queries
from indexer.errors import InvalidQuery
from indexer.segment import Ids
from indexer.tables import Image

MAX_CONDITIONS, MAX_LETTERS = 20, 200
_CONDITION = re.compile(r"\s*(meta\.[^<>=]{1,100}?|width|height|bytes)\s*(>=|<=|=|<|>)\s*(.*?)\s*", re.DOTALL)
_NUMBER = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?")
_SIZES = {"width": Image.width, "height": Image.height, "bytes": Image.size_bytes}
HINT = 'such as meta.year>=2020, meta.city=Paris, meta.code="007", width>=1000, height<500 or bytes<=1000000'


class Condition(NamedTuple):
    """What must hold of a photo; `text` is the value as written, `number` what it says if without quotes."""

    field: str
    operator: str
    text: str
    number: Decimal | None


@dataclass(frozen=True)
class Filters:
    """Which photos count.

    Attributes:
        collection: Only those of this one.
        where: Conditions, as `parse_condition` understands them; all must hold.
        taken_after: Only those taken then or later.
        taken_before: Only those taken before.
    """

    collection: str | None = None
    where: tuple[str, ...] = ()
    taken_after: datetime | None = None
    taken_before: datetime | None = None


NO_FILTERS = Filters()


def parse_condition(text: str) -> Condition:
    """Take a condition apart: a field, an operator of = < <= > >=, and a number or a text.

    Raises:
        InvalidQuery: It is none.
    """
    found = _CONDITION.fullmatch(text)
    if found is None or len(text) > MAX_LETTERS or any(unicodedata.category(c) in ("Cc", "Cs") for c in text):
        raise InvalidQuery(f"where: {text[:40]!r} is no condition {HINT}")
    field, operator, value = found.groups()
    if _NUMBER.fullmatch(value):
        return Condition(field, operator, value, Decimal(value))
    if field in _SIZES:
        raise InvalidQuery(f"where: {field} is a number, as in {field}>=1000, not {value[:40]!r}")
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    return Condition(field, operator, value, None)


def photos(session: Session, filters: Filters) -> Ids | None:
    """Return the ids of the photos that count, or `None` if all do.

    Raises:
        InvalidQuery: A condition is none, or there are more than 20.
        NotFound: There is no such collection.
    """
    if len(filters.where) > MAX_CONDITIONS:
        raise InvalidQuery(f"where: there may be {MAX_CONDITIONS} conditions at most")
    conditions = [_holds(parse_condition(text)) for text in filters.where]
    if filters.collection is not None:
        conditions.append(Image.collection_id == queries.get_collection(session, name=filters.collection).id)
    if filters.taken_after is not None:
        conditions.append(Image.taken_at >= _in_utc(filters.taken_after))
    if filters.taken_before is not None:
        conditions.append(Image.taken_at < _in_utc(filters.taken_before))
    if not conditions:
        return None
    return np.fromiter(session.scalars(select(Image.id).where(*conditions)), np.int64)


def _in_utc(moment: datetime) -> datetime:
    """Return a moment; one without a time zone is in UTC, as for photos that name none."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _holds(condition: Condition) -> ColumnElement[bool]:
    field, operator, text, number = condition
    if field in _SIZES:
        return _SIZES[field].bool_op(operator)(cast(literal(number), Numeric))
    value = Image.extra[field.removeprefix("meta.")]
    if operator == "=":  # of a list, any element
        as_text = value.contains(func.to_jsonb(cast(literal(text), Text)))
        if number is None:
            return as_text
        return or_(as_text, value.contains(func.to_jsonb(cast(literal(number), Numeric))))
    kind = func.jsonb_typeof(value)
    if number is not None:  # CASE: the cast of anything else would be an error
        found = case((kind == "number", cast(value.astext, Numeric)))
        return found.bool_op(operator)(cast(literal(number), Numeric))
    return case((kind == "string", value.astext)).collate("C").bool_op(operator)(literal(text))
