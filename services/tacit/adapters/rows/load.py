"""From a bank's table to normalised rows: exact amounts, seconds, local flags; faulty rows found and counted."""

import polars as pl

from tacit.adapters.rows import sources
from tacit.adapters.rows.amounts import FAULTS, hundredths
from tacit.adapters.rows.mapping import Finding, RowMapping, RowsError
from tacit.features.windows import DAY

LATEST = 7_258_118_400
"""Latest time: 2200-01-01 UTC. The earliest is 1970-01-01."""

NIGHT_HOUR = 6
SATURDAY = 6
_EXAMPLES = 3
_IDS = ("transaction", "customer", "entity")
_TEXT_TIMES = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f")
_TEXT_TIMES_UTC = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z")
_ORDER = ("transaction", "customer", "entity", "time", "amount", "label", "label_time", "weekend", "night")


def load(source: str, mapping: RowMapping, first: int | None = None, last: int | None = None) -> pl.DataFrame:
    """Reads rows and refuses the source if any row is at fault.

    Args:
        source: A Parquet file or folder, or an SQLAlchemy URL with the table as fragment (``URL#table``).
        mapping: Which column is which.
        first: Earliest time, seconds since 1970 UTC, inclusive; None: no bound.
        last: Latest time, exclusive; None: no bound.

    Returns:
        Rows as `features.windows.TRANSACTIONS` says and the mapping's further features as Float64, sorted by time and
        transaction id.

    Raises:
        RowsError: If the source cannot be read or does not fit the mapping, or rows are at fault: it lists which.
    """
    rows, findings = load_usable(source, mapping, first, last)
    refused = [finding for finding in findings if finding.refused]
    if refused:
        raise RowsError(f"{mapping.kind} source has rows at fault, {rows.height} rows are usable", findings=refused)
    return rows


def load_usable(
    source: str, mapping: RowMapping, first: int | None = None, last: int | None = None
) -> tuple[pl.DataFrame, tuple[Finding, ...]]:
    """Reads the rows that are not at fault, and says which others there are.

    Whether a row is usable depends on that row and on its customer's others alone, so that no customer's vector depends
    on another customer: of rows with one transaction id the earliest of each customer is kept. A row counts under the
    first fault it has.

    Args:
        source: As in `load`.
        mapping: As in `load`.
        first: As in `load`.
        last: As in `load`.

    Returns:
        Usable rows as `load` returns them, and the findings.

    Raises:
        RowsError: If the source cannot be read or does not fit the mapping.
    """
    raw = sources.read(source, mapping, first, last)
    return _checked(_cut(_normalised(raw, mapping), first, last), mapping)


def load_empty(source: str, mapping: RowMapping) -> pl.DataFrame:
    """No row, with the columns and types of `load`: judges a source by its schema alone.

    Raises:
        RowsError: If the source has no schema that can be read, or it does not fit the mapping.
    """
    return _checked(_normalised(sources.empty(source, mapping), mapping), mapping)[0]


def _normalised(raw: pl.DataFrame, mapping: RowMapping) -> pl.DataFrame:
    """Normalised columns, null where a value cannot be used, and `fault` for amounts at fault."""
    amounts, faults = hundredths(raw[mapping.amount], mapping.amount_unit, mapping.digits)
    fault = pl.Series("fault", [None] * raw.height, dtype=pl.String)
    for name, at in faults.items():
        fault = fault.set(pl.Series(at) & fault.is_null(), name)
    late = mapping.label_time
    label_time = pl.lit(None, pl.Int64) if late is None else _seconds(raw, late, mapping.zone)
    rows = raw.select(
        *(_id(raw, name, mapping.fields[name]) for name in _IDS),
        _seconds(raw, mapping.time, mapping.zone).alias("time"),
        pl.Series("amount", amounts),
        pl.col(mapping.label).cast(pl.Int64, strict=False).alias("label"),
        label_time.alias("label_time"),
        *(pl.col(column).cast(pl.Float64).alias(name) for name, column in mapping.features.items()),
        fault,
    )
    delay = mapping.label_delay_days * DAY
    return rows.with_columns(pl.col("label_time").fill_null(pl.col("time") + delay), *_local_flags(mapping.zone))


def _id(raw: pl.DataFrame, name: str, column: str) -> pl.Expr:
    kind = pl.Int64 if raw.schema[column].is_integer() else pl.String
    return pl.col(column).cast(kind, strict=False).alias(name)


def _seconds(raw: pl.DataFrame, column: str, zone: str) -> pl.Expr:
    """Seconds since 1970 UTC, null where there is no such time or it is out of range."""
    kind, value = raw.schema[column], pl.col(column)
    if kind.is_integer():
        seconds = value.cast(pl.Int64, strict=False)
    elif kind == pl.String:
        local = pl.coalesce(value.str.to_datetime(form, time_unit="us", strict=False) for form in _TEXT_TIMES)
        marked = (value.str.to_datetime(form, time_unit="us", strict=False) for form in _TEXT_TIMES_UTC)
        seconds = pl.coalesce(_epoch(local, zone), *(_whole(item) for item in marked))
    elif isinstance(kind, pl.Datetime) and kind.time_zone is not None:
        seconds = _whole(value)
    else:
        seconds = _epoch(value.cast(pl.Datetime("us")), zone)
    return pl.when(seconds.is_between(0, LATEST, closed="left")).then(seconds)


def _epoch(local: pl.Expr, zone: str) -> pl.Expr:
    """Of a clock that was set back the earlier hour is taken; a time that the clock skipped is no time."""
    return _whole(local.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null"))


def _whole(moment: pl.Expr) -> pl.Expr:
    return moment.dt.epoch("us") // 1_000_000


def _local_flags(zone: str) -> tuple[pl.Expr, pl.Expr]:
    local = pl.from_epoch("time", time_unit="s").dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    weekend = (local.dt.weekday() >= SATURDAY).cast(pl.UInt8).alias("weekend")
    return weekend, (local.dt.hour() <= NIGHT_HOUR).cast(pl.UInt8).alias("night")


def _cut(rows: pl.DataFrame, first: int | None, last: int | None) -> pl.DataFrame:
    time = pl.col("time")
    if first is not None:
        rows = rows.filter(time.is_null() | (time >= first))
    if last is not None:
        rows = rows.filter(time.is_null() | (time < last))
    return rows


def _checked(rows: pl.DataFrame, mapping: RowMapping) -> tuple[pl.DataFrame, tuple[Finding, ...]]:
    rows = rows.sort("time", "transaction", nulls_last=True, maintain_order=True)
    findings = []
    columns = mapping.fields
    for name, fault, at in _row_faults():
        mask = rows.select(at.fill_null(value=False)).to_series()
        if mask.any():
            findings.append(_finding(rows, mask, name, columns.get(name, columns["time"]), fault, dropped=True))
            rows = rows.filter(~mask)
    # Kept: dropping one of them would let a customer's rows decide about another customer's.
    shared = rows["transaction"].is_duplicated()
    if shared.any():
        fault = "an id that several customers have; allowed: unique ids"
        findings.append(_finding(rows, shared, "transaction", mapping.transaction, fault, dropped=False))
    unknown = rows["label"].is_null()
    if unknown.any():
        fault = "no label yet; they count as not fraud"
        findings.append(_finding(rows, unknown, "label", mapping.label, fault, dropped=False))
    rows = rows.with_columns(pl.col("label").fill_null(0).cast(pl.UInt8))
    return rows.select(*_ORDER, *mapping.features), tuple(findings)


def _row_faults() -> list[tuple[str, str, pl.Expr]]:
    """Field, what is wrong and the rows, in the order in which rows are left out; duplicates last."""
    ids = [(name, "no usable id", pl.col(name).is_null()) for name in _IDS]
    allowed = "no usable time; allowed: 1970-01-01 to 2199-12-31"
    times = [("time", allowed, pl.col("time").is_null())]
    amounts = [("amount", fault, pl.col("fault") == fault) for fault in FAULTS]
    label = pl.col("label")
    labels = [
        ("label", "neither 0 nor 1", label.is_not_null() & ~label.is_in([0, 1])),
        ("label_time", "label known before the transaction", pl.col("label_time") < pl.col("time")),
    ]
    first = pl.struct("customer", "transaction").is_first_distinct()
    repeated = ("transaction", "an id that the customer has earlier already", ~first)
    return [*ids, *times, *amounts, *labels, repeated]


def _finding(rows: pl.DataFrame, mask: pl.Series, name: str, column: str, fault: str, *, dropped: bool) -> Finding:
    examples = rows.filter(mask)["transaction"].drop_nulls().head(_EXAMPLES).cast(pl.String).to_list()
    return Finding(name, column, fault, int(mask.sum()), dropped, tuple(examples))
