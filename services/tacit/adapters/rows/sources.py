"""Opening a bank's table: which columns it has, and the mapped ones as a frame. Parquet and SQL."""

import difflib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sa

from tacit.adapters.rows.mapping import Difference, RowMapping, RowsError, SourceKind

BATCH = 50_000
"""Rows fetched from a database at once."""

# A source's clock is at most 14 hours from UTC, so a day on both sides loses no row; the exact cut comes later.
_SLACK = timedelta(days=1)

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
_SQL_TYPES: Mapping[type, pl.DataType] = {
    bool: pl.Boolean(),
    int: pl.Int64(),
    float: pl.Float64(),
    str: pl.String(),
    Decimal: pl.Decimal(38, 6),
    datetime: pl.Datetime("us"),
}


def read(source: str, mapping: RowMapping, first: int | None, last: int | None) -> pl.DataFrame:
    """Reads the mapped columns, and of the rows those that may lie in a time range.

    Args:
        source: Path of a Parquet file or folder (plain or hive), or an SQLAlchemy URL with the table as fragment, such
            as ``sqlite:///bank.db#transactions`` or ``postgresql://host/db#schema.table``.
        mapping: The mapping.
        first: Earliest time in seconds since 1970 UTC; None: no bound. Up to a day earlier is read.
        last: Latest time likewise.

    Returns:
        The columns under the source's names. Rows without a time are there.

    Raises:
        RowsError: If the source cannot be read, or columns are missing or of a wrong type.
    """
    with _readable(source):
        if mapping.kind == SourceKind.SQL:
            return _read_sql(source, mapping, first, last)
        return _read_parquet(source, mapping, first, last)


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


def _refuse_differences(source: str, mapping: RowMapping, found: Mapping[str, pl.DataType]) -> None:
    differences = compare(mapping, found)
    if differences:
        raise RowsError(f"{source} does not fit the mapping; its columns are {', '.join(found)}", differences)


@contextmanager
def _readable(source: str) -> Iterator[None]:
    shown = source if "://" not in source else _hidden(source)
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        raise RowsError(f"cannot read {shown}: {error}") from error
    except (sa.exc.SQLAlchemyError, ValueError) as error:
        # The driver's own text may repeat the connection string.
        raise RowsError(f"cannot read {shown}: {type(error).__name__}") from None


def _hidden(source: str) -> str:
    address, mark, table = source.rpartition("#")
    try:
        return sa.make_url(address or table).render_as_string(hide_password=True) + (mark and f"#{table}")
    except sa.exc.ArgumentError:
        return "an SQL URL that cannot be parsed"


def _moment(seconds: int, shift: timedelta) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None) + shift


def _read_parquet(source: str, mapping: RowMapping, first: int | None, last: int | None) -> pl.DataFrame:
    path = Path(source)
    if not path.exists():
        raise RowsError(f"cannot read {source}: no such file or folder")
    if path.is_dir() and not any(path.rglob("*.parquet")):
        raise RowsError(f"cannot read {source}: the folder holds no *.parquet file")
    pattern = str(path / "**" / "*.parquet") if path.is_dir() else source
    lazy = pl.scan_parquet(pattern, hive_partitioning=path.is_dir())
    found = lazy.collect_schema()
    _refuse_differences(source, mapping, found)
    lazy = lazy.select(sorted(set(mapping.fields.values())))
    for bound in _bounds(mapping.time, found[mapping.time], first, last):
        lazy = lazy.filter(bound)
    return lazy.collect()


def _bounds(column: str, kind: pl.DataType, first: int | None, last: int | None) -> Iterator[pl.Expr]:
    """Filters that a Parquet reader can push down; they keep rows without a time."""
    time = pl.col(column)
    low: Any = first
    high: Any = last
    if kind in (pl.Datetime, pl.Date):
        zone = getattr(kind, "time_zone", None)
        literals = (
            None if seconds is None else pl.lit(_moment(seconds, shift)).dt.replace_time_zone("UTC" if zone else None)
            for seconds, shift in ((first, -_SLACK), (last, _SLACK))
        )
        low, high = (item.dt.convert_time_zone(zone) if item is not None and zone else item for item in literals)
    elif not kind.is_integer():
        return
    if low is not None:
        yield time.is_null() | (time >= low)
    if high is not None:
        yield time.is_null() | (time < high)


def _read_sql(source: str, mapping: RowMapping, first: int | None, last: int | None) -> pl.DataFrame:
    address, _, name = source.rpartition("#")
    if not address or not name:
        raise RowsError(f"{_hidden(source)} names no table; expected URL#table or URL#schema.table")
    url = sa.make_url(address)
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).exists():
        raise RowsError(f"cannot read {_hidden(source)}: no such file")
    engine = sa.create_engine(url)
    try:
        schema, _, table_name = name.rpartition(".")
        table = sa.Table(table_name, sa.MetaData(), schema=schema or None, autoload_with=engine)
        found = {column.name: _sql_type(column) for column in table.columns}
        _refuse_differences(_hidden(source), mapping, found)
        names = sorted(set(mapping.fields.values()))
        # SQLite keeps timestamps as text, and its driver would fail at the first row that holds anything else.
        as_text = url.get_backend_name() == "sqlite"
        texts = {name for name in names if as_text and found[name] == pl.Datetime}
        query = sa.select(*(_as_text(table.c[name]) if name in texts else table.c[name] for name in names))
        query = query.where(*_sql_bounds(table.c[mapping.time], first, last))
        return _fetch(engine, query, {name: pl.String() if name in texts else found[name] for name in names})
    finally:
        engine.dispose()


def _as_text(column: sa.Column[Any]) -> sa.Label[Any]:
    return sa.type_coerce(column, sa.String()).label(column.name)


def _sql_type(column: sa.Column[Any]) -> pl.DataType:
    try:
        return _SQL_TYPES.get(column.type.python_type, pl.Object())
    except NotImplementedError:
        return pl.Object()


def _sql_bounds(column: sa.Column[Any], first: int | None, last: int | None) -> Iterator[sa.ColumnElement[bool]]:
    kind = _sql_type(column)
    for seconds, shift, low in ((first, -_SLACK, True), (last, _SLACK, False)):
        if seconds is None:
            continue
        bound: Any = seconds
        if kind == pl.Datetime:
            bound = _moment(seconds, shift)
        elif kind == pl.String:
            # ISO 8601 text sorts as time does; a whole day more, for its end may carry more digits.
            bound = _moment(seconds, 2 * shift).date().isoformat()
        yield sa.or_(column.is_(None), column >= bound if low else column < bound)


def _fetch(engine: sa.Engine, query: sa.Select[Any], schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    frames = [pl.DataFrame(schema=dict(schema))]
    with engine.connect().execution_options(yield_per=BATCH) as connection:
        for part in connection.execute(query).partitions():
            columns = zip(schema.items(), zip(*part, strict=True), strict=True)
            frames.append(pl.DataFrame([pl.Series(name, held, kind, strict=False) for (name, kind), held in columns]))
    return pl.concat(frames)
