"""What `tacit data check` tells a bank's operator about its rows. BANK ONLY."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl

from tacit.adapters.rows.load import load_usable
from tacit.adapters.rows.mapping import Finding, RowMapping, RowsError
from tacit.features.spec import Column, Contract
from tacit.features.windows import FeatureError, compute


@dataclass(frozen=True)
class ColumnReport:
    """Values of one contract column over all usable rows.

    Attributes:
        name: The column.
        null_share: Share of missing values.
        low: Smallest value; None if all are missing.
        high: Largest value; None if all are missing.
        below_share: Share of values in the first bin.
        above_share: Share of values in the last bin.
    """

    name: str
    null_share: float
    low: float | None
    high: float | None
    below_share: float
    above_share: float


@dataclass(frozen=True)
class Report:
    """A bank's rows against a mapping and a contract; for the bank's operator only.

    Attributes:
        source: Where the rows were read from, without a password.
        rows: Usable rows.
        customers: Distinct customers among them.
        entities: Distinct terminals or merchants among them.
        frauds: Rows labelled fraud.
        earliest: Earliest time, seconds since 1970 UTC; None without rows.
        latest: Latest time; None without rows.
        columns: One entry per contract column that could be computed.
        findings: Rows at fault.
        error: Why nothing, or no column, could be computed; None if all went well.
    """

    source: str
    rows: int = 0
    customers: int = 0
    entities: int = 0
    frauds: int = 0
    earliest: int | None = None
    latest: int | None = None
    columns: tuple[ColumnReport, ...] = ()
    findings: tuple[Finding, ...] = ()
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Whether `load` would take the source as it is, and the contract's columns can be computed from it."""
        return self.error is None and self.rows > 0 and not any(finding.refused for finding in self.findings)

    def render(self) -> str:
        """The report as plain text, one fact a line."""
        lines = [f"source     {self.source}", f"verdict    {'fits' if self.ok else 'does not fit'}"]
        if self.error is not None:
            lines.append(f"error      {self.error}")
        lines.append(f"rows       {self.rows} ({self.frauds} fraud)")
        lines.append(f"customers  {self.customers}")
        lines.append(f"entities   {self.entities}")
        if self.earliest is not None and self.latest is not None:
            lines.append(f"time       {_moment(self.earliest)} to {_moment(self.latest)} UTC")
        lines += [f"finding    {finding.render()}" for finding in self.findings]
        return "\n".join(lines + _table(self.columns)) + "\n"


def check(
    source: str, mapping: RowMapping, contract: Contract, feeds: Mapping[str, pl.DataFrame] | None = None
) -> Report:
    """Reads a bank's whole table and says how it fits a mapping and a contract. Never raises for what it reads.

    Args:
        source: A Parquet file or folder, or an SQLAlchemy URL with the table as fragment.
        mapping: Which column is which.
        contract: Which columns to compute.
        feeds: Feed frames that the contract names.

    Returns:
        The report.
    """
    shown = source if "://" not in source else source.rpartition("@")[2]
    try:
        rows, findings = load_usable(source, mapping)
    except RowsError as error:
        return Report(shown, error=str(error))
    summary = Report(
        shown,
        rows=rows.height,
        customers=rows["customer"].n_unique(),
        entities=rows["entity"].n_unique(),
        frauds=int(rows["label"].sum()),
        earliest=_whole(rows["time"].min()),
        latest=_whole(rows["time"].max()),
        findings=findings,
    )
    return _with_columns(summary, rows, contract, feeds or {})


def _with_columns(summary: Report, rows: pl.DataFrame, contract: Contract, feeds: Mapping[str, pl.DataFrame]) -> Report:
    if not rows.height:
        return dataclasses.replace(summary, error="no usable row")
    try:
        values = compute(rows, contract, feeds)
    except FeatureError as error:
        return dataclasses.replace(summary, error=str(error))
    columns = tuple(_column(column, values[column.name]) for column in contract.columns)
    return dataclasses.replace(summary, columns=columns)


def _column(column: Column, series: pl.Series) -> ColumnReport:
    values = series.to_numpy()
    held = values[~np.isnan(values)]
    share = 1.0 / values.size
    cuts = np.asarray(column.cuts, dtype=np.float32)
    return ColumnReport(
        name=column.name,
        null_share=(values.size - held.size) * share,
        low=float(held.min()) if held.size else None,
        high=float(held.max()) if held.size else None,
        below_share=int((held < cuts[0]).sum()) * share,
        above_share=int((held >= cuts[-1]).sum()) * share,
    )


def _table(columns: tuple[ColumnReport, ...]) -> list[str]:
    if not columns:
        return []
    head = f"{'column':<24}{'missing':>9}{'lowest':>14}{'highest':>14}{'first bin':>11}{'last bin':>10}"
    return [head, *(_line(column) for column in columns)]


def _line(column: ColumnReport) -> str:
    low, high = ("-" if value is None else f"{value:.6g}" for value in (column.low, column.high))
    shares = f"{column.below_share:>11.2%}{column.above_share:>10.2%}"
    return f"{column.name:<24}{column.null_share:>9.2%}{low:>14}{high:>14}{shares}"


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
