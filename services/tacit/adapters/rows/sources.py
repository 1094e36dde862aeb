"""Opening a bank's table: the mapped columns of a Parquet file or folder, or of an SQL table, as a frame."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from tacit.adapters.rows.mapping import RowMapping, RowsError, SourceKind
from tacit.adapters.rows.shape import SLACK, moment, refuse_differences


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
    if mapping.kind == SourceKind.SQL:
        from tacit.adapters.rows import sql  # noqa: PLC0415  SQLAlchemy would cost every trainer's start

        return sql.read(source, mapping, first, last)
    with _readable(source):
        return _read_parquet(source, mapping, first, last)


def empty(source: str, mapping: RowMapping) -> pl.DataFrame:
    """No row of the mapped columns: what a source says of its columns alone, whatever its rows hold.

    Raises:
        RowsError: If the source has no schema that can be read, or columns are missing or of a wrong type.
    """
    if mapping.kind == SourceKind.SQL:
        from tacit.adapters.rows import sql  # noqa: PLC0415  SQLAlchemy would cost every trainer's start

        return sql.empty(source, mapping)
    with _readable(source):
        found = _scan(source, mapping).collect_schema()
        return pl.DataFrame(schema={name: found[name] for name in sorted(set(mapping.fields.values()))})


@contextmanager
def _readable(source: str) -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        raise RowsError(f"cannot read {source}: {error}") from error


def _read_parquet(source: str, mapping: RowMapping, first: int | None, last: int | None) -> pl.DataFrame:
    lazy = _scan(source, mapping)
    found = lazy.collect_schema()
    lazy = lazy.select(sorted(set(mapping.fields.values())))
    for bound in _bounds(mapping.time, found[mapping.time], first, last):
        lazy = lazy.filter(bound)
    return lazy.collect()


def _scan(source: str, mapping: RowMapping) -> pl.LazyFrame:
    """The source, once its columns were held against the mapping."""
    path = Path(source)
    if not path.exists():
        raise RowsError(f"cannot read {source}: no such file or folder")
    if path.is_dir() and not any(path.rglob("*.parquet")):
        raise RowsError(f"cannot read {source}: the folder holds no *.parquet file")
    pattern = str(path / "**" / "*.parquet") if path.is_dir() else source
    lazy = pl.scan_parquet(pattern, hive_partitioning=path.is_dir())
    refuse_differences(source, mapping, lazy.collect_schema())
    return lazy


def _bounds(column: str, kind: pl.DataType, first: int | None, last: int | None) -> Iterator[pl.Expr]:
    """Filters that a Parquet reader can push down; they keep rows without a time."""
    time = pl.col(column)
    low: Any = first
    high: Any = last
    if kind in (pl.Datetime, pl.Date):
        zone = getattr(kind, "time_zone", None)
        literals = (
            None if seconds is None else pl.lit(moment(seconds, shift)).dt.replace_time_zone("UTC" if zone else None)
            for seconds, shift in ((first, -SLACK), (last, SLACK))
        )
        low, high = (item.dt.convert_time_zone(zone) if item is not None and zone else item for item in literals)
    elif not kind.is_integer():
        return
    if low is not None:
        yield time.is_null() | (time >= low)
    if high is not None:
        yield time.is_null() | (time < high)
