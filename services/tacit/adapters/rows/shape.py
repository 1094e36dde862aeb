"""Which columns a mapping expects of a source, and how a source differs."""

import difflib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import polars as pl

from tacit.adapters.rows.mapping import Difference, RowMapping, RowsError

# A source's clock is at most 14 hours from UTC, so a day on both sides loses no row; the exact cut comes later.
SLACK = timedelta(days=1)

_ID = ("an integer or text", lambda kind: kind.is_integer() or kind in (pl.String, pl.Categorical, pl.Enum))
_TIME = (
    "a timestamp, date, ISO 8601 text or integer seconds",
    lambda kind: kind.is_integer() or kind in (pl.Datetime, pl.Date, pl.String),
)
_NUMBER = ("a number", lambda kind: kind.is_numeric() or kind == pl.Boolean)
_LABEL = ("an integer or boolean", lambda kind: kind.is_integer() or kind == pl.Boolean)
_AMOUNT = ("a number", lambda kind: kind.is_numeric())
_EXPECTED: Mapping[str, tuple[str, Callable[[pl.DataType], bool]]] = {
    "transaction": _ID,
    "customer": _ID,
    "time": _TIME,
    "amount": _AMOUNT,
    "entity": _ID,
    "label": _LABEL,
    "label_time": _TIME,
}


def compare(mapping: RowMapping, found: Mapping[str, pl.DataType]) -> list[Difference]:
    """How a source's columns differ from what the mapping expects; empty if they fit."""
    differences = []
    for name, column in mapping.fields.items():
        expected, fits = _EXPECTED.get(name, _NUMBER)
        if column not in found:
            near = _nearest(column, found)
            differences.append(Difference(name, column, expected, "no such column", near))
        elif not fits(found[column]):
            differences.append(Difference(name, column, expected, str(found[column])))
    return differences


def _nearest(column: str, found: Mapping[str, object]) -> str | None:
    by_lower = {name.lower(): name for name in found}
    near = difflib.get_close_matches(column.lower(), by_lower, n=1)
    return by_lower[near[0]] if near else None


def refuse_differences(source: str, mapping: RowMapping, found: Mapping[str, pl.DataType]) -> None:
    """Raises `RowsError` with every difference; nothing if the columns fit."""
    differences = compare(mapping, found)
    if differences:
        raise RowsError(f"{source} does not fit the mapping; its columns are {', '.join(found)}", differences)


def moment(seconds: int, shift: timedelta) -> datetime:
    """Seconds since 1970 UTC as a naive timestamp, shifted."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None) + shift
