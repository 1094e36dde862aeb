"""Feeds of a network (entity, period start, count, frauds), and ready splits of customers over banks."""

from pathlib import Path

import polars as pl

from tacit.adapters.rows.mapping import RowsError
from tacit.features.windows import FEED, FEED_PERIOD, FeatureError, check_feed


def load_feed(path: str, period: int = FEED_PERIOD) -> pl.DataFrame:
    """Reads a feed file.

    Args:
        path: A Parquet file with columns entity (integer or text), start (timestamp, UTC where it names no zone, or
            integer seconds since 1970 UTC), count, frauds, and perhaps a constant period in seconds.
        period: Length of a period in seconds where the file has no `period` column; a divisor of a day.

    Returns:
        A frame as `features.windows.FEED` says, with `period`.

    Raises:
        RowsError: If the file cannot be read, columns are missing or of a wrong type, or rows are at fault.
    """
    return _feed(path, _read(path), period)


def load_empty_feed(path: str, period: int = FEED_PERIOD) -> pl.DataFrame:
    """No row of a feed file, with the columns and types of `load_feed`: judges the file by its schema alone.

    Raises:
        RowsError: If the file has no schema that can be read, or columns are missing or of a wrong type.
    """
    try:
        schema = pl.read_parquet_schema(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise RowsError(f"cannot read {path}: {error}") from error
    return _feed(path, pl.DataFrame(schema=schema), period)


def _feed(path: str, raw: pl.DataFrame, period: int) -> pl.DataFrame:
    absent = [name for name in FEED if name not in raw.columns]
    if absent:
        raise RowsError(f"feed {path} lacks the columns {', '.join(absent)}; its columns are {', '.join(raw.columns)}")
    declared = pl.col("period") if "period" in raw.columns else pl.lit(period)
    start = pl.col("start").dt.epoch("s") if raw.schema["start"] == pl.Datetime else pl.col("start")
    entity = pl.Int64 if raw.schema["entity"].is_integer() else pl.String
    try:
        feed = raw.select(
            pl.col("entity").cast(entity),
            start.cast(pl.Int64),
            *(_whole(raw, name) for name in ("count", "frauds")),
            declared.cast(pl.Int64).alias("period"),
        )
        check_feed(path, feed)
    except (FeatureError, pl.exceptions.PolarsError) as error:
        raise RowsError(f"feed {path} cannot be used: {error}") from error
    return feed


def banks_of(path: str, column: str, customer: str = "CUSTOMER_ID") -> dict[int | str, int | str]:
    """Reads a ready split of customers over banks.

    Args:
        path: A Parquet file with one row per customer.
        column: Column of the bank.
        customer: Column of the customer id.

    Returns:
        Customer to bank.

    Raises:
        RowsError: If the file cannot be read, a column is missing, a value is null or a customer stands twice.
    """
    raw = _read(path)
    for name in (column, customer):
        if name not in raw.columns:
            raise RowsError(f"{path} has no column {name!r}; its columns are {', '.join(raw.columns)}")
        if raw[name].null_count():
            raise RowsError(f"{path}: column {name!r} has {raw[name].null_count()} null values; allowed: none")
    repeated = int(raw[customer].is_duplicated().sum())
    if repeated:
        raise RowsError(f"{path}: {repeated} rows repeat a customer; allowed: one row per customer")
    return dict(zip(raw[customer].to_list(), raw[column].to_list(), strict=True))


def _whole(raw: pl.DataFrame, name: str) -> pl.Expr:
    if not raw.schema[name].is_integer():
        raise FeatureError(f"{name} is {raw.schema[name]}; allowed: an integer")
    return pl.col(name).cast(pl.Int64)


def _read(path: str) -> pl.DataFrame:
    if not Path(path).is_file():
        raise RowsError(f"cannot read {path}: no such file")
    try:
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise RowsError(f"cannot read {path}: {error}") from error
