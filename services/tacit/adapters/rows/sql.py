"""A bank's table behind an SQLAlchemy URL. Loaded only for a bank that has one: SQLAlchemy costs every start time."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sa

from tacit.adapters.rows.mapping import RowMapping, RowsError
from tacit.adapters.rows.shape import SLACK, moment, refuse_differences

BATCH = 50_000
"""Rows fetched from a database at once."""

_SQL_TYPES: Mapping[type, pl.DataType] = {
    bool: pl.Boolean(),
    int: pl.Int64(),
    float: pl.Float64(),
    str: pl.String(),
    Decimal: pl.Decimal(38, 6),
    datetime: pl.Datetime("us"),
}


@contextmanager
def _readable(source: str) -> Iterator[None]:
    try:
        yield
    except (sa.exc.SQLAlchemyError, ValueError) as error:
        # The driver's own text may repeat the connection string.
        raise RowsError(f"cannot read {hidden(source)}: {type(error).__name__}") from None


def hidden(source: str) -> str:
    """A source for a message, without its password."""
    address, mark, table = source.rpartition("#")
    try:
        return sa.make_url(address or table).render_as_string(hide_password=True) + (mark and f"#{table}")
    except sa.exc.ArgumentError:
        return "an SQL URL that cannot be parsed"


def read(source: str, mapping: RowMapping, first: int | None, last: int | None) -> pl.DataFrame:
    """Reads the mapped columns of a table; as `sources.read`.

    Raises:
        RowsError: If the table cannot be read, or columns are missing or of a wrong type; never shows a password.
    """
    with _readable(source):
        return _read(source, mapping, lambda time: _sql_bounds(time, first, last))


def empty(source: str, mapping: RowMapping) -> pl.DataFrame:
    """No row of the mapped columns; as `sources.empty`.

    Raises:
        RowsError: As `read`.
    """
    with _readable(source):
        return _read(source, mapping, lambda _: iter([sa.false()]))


def _read(
    source: str, mapping: RowMapping, bounds: Callable[[sa.Column[Any]], Iterator[sa.ColumnElement[bool]]]
) -> pl.DataFrame:
    address, _, name = source.rpartition("#")
    if not address or not name:
        raise RowsError(f"{hidden(source)} names no table; expected URL#table or URL#schema.table")
    url = sa.make_url(address)
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).exists():
        raise RowsError(f"cannot read {hidden(source)}: no such file")
    engine = sa.create_engine(url)
    try:
        schema, _, table_name = name.rpartition(".")
        table = sa.Table(table_name, sa.MetaData(), schema=schema or None, autoload_with=engine)
        found = {column.name: _sql_type(column) for column in table.columns}
        refuse_differences(hidden(source), mapping, found)
        names = sorted(set(mapping.fields.values()))
        # SQLite keeps timestamps as text, and its driver would fail at the first row that holds anything else.
        as_text = url.get_backend_name() == "sqlite"
        texts = {name for name in names if as_text and found[name] == pl.Datetime}
        query = sa.select(*(_as_text(table.c[name]) if name in texts else table.c[name] for name in names))
        query = query.where(*bounds(table.c[mapping.time]))
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
    for seconds, shift, low in ((first, -SLACK, True), (last, SLACK, False)):
        if seconds is None:
            continue
        bound: Any = seconds
        if kind == pl.Datetime:
            bound = moment(seconds, shift)
        elif kind == pl.String:
            # ISO 8601 text sorts as time does; a whole day more, for its end may carry more digits.
            bound = moment(seconds, 2 * shift).date().isoformat()
        yield sa.or_(column.is_(None), column >= bound if low else column < bound)


def _fetch(engine: sa.Engine, query: sa.Select[Any], schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    frames = [pl.DataFrame(schema=dict(schema))]
    with engine.connect().execution_options(yield_per=BATCH) as connection:
        for part in connection.execute(query).partitions():
            columns = zip(schema.items(), zip(*part, strict=True), strict=True)
            frames.append(pl.DataFrame([pl.Series(name, held, kind, strict=False) for (name, kind), held in columns]))
    return pl.concat(frames)
