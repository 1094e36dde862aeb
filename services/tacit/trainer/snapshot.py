"""A run's rows, frozen before JOIN and read by all of its rounds (protocol 4, Bank)."""

import datetime as dt
import hashlib
import hmac
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tacit.features import encode, windows
from tacit.features.spec import Contract
from tacit.features.types import Encoded
from tacit.privacy.types import Unit
from tacit.rounds.plan import Plan, Window

TRAINING = 0
QUALITY = 1


@dataclass(frozen=True, eq=False)
class Part:
    """Encoded rows of one span of days, and what only local models use.

    Attributes:
        encoded: Binned rows by unit.
        values: float32, shape (rows, columns): the contract's raw columns, in the order of `encoded`.
        times: int64, shape (rows,): seconds since 1970 UTC.
    """

    encoded: Encoded
    values: NDArray[np.float32]
    times: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The rows of a run: those it learns from, and those that its quality round counts."""

    training: Part
    quality: Part


@dataclass(frozen=True)
class Span:
    """Days of a window as seconds since 1970 UTC, at midnights of a zone.

    Attributes:
        first: Earliest row that any feature of the window looks back to.
        start: First training row.
        end: First row after the training rows.
        last: First row after the quality rows.
        ready: When all labels of the window are final.
    """

    first: int
    start: int
    end: int
    last: int
    ready: int


def span(window: Window, look_back_days: int, zone: str) -> Span:
    """Computes the midnights of a plan's window in the zone of the bank's mapping."""

    def midnight(day: dt.date) -> int:
        return int(dt.datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).timestamp())

    days = dt.timedelta(days=look_back_days)
    return Span(
        first=midnight(window.start - days),
        start=midnight(window.start),
        end=midnight(window.end),
        last=midnight(window.end + dt.timedelta(days=window.quality_days)),
        ready=midnight(window.ready),
    )


def build(
    rows: pl.DataFrame,
    contract: Contract,
    plan: Plan,
    reach: Span,
    *,
    feeds: Mapping[str, pl.DataFrame],
    kept: Callable[[str], bool],
) -> Snapshot:
    """Computes features, bins and groups the rows of a plan's window.

    Args:
        rows: Normalised rows from `reach.first` to `reach.last`.
        contract: The feature contract.
        plan: The plan.
        reach: The window's midnights.
        feeds: Feed frames by name.
        kept: The keyed rule of subsampling, by row id; asked only if the plan subsamples.

    Returns:
        The snapshot. A label that was not final at `reach.ready` counts as no fraud.
    """
    settled = (pl.col("label_time") <= reach.ready).fill_null(value=False) & (pl.col("label") == 1)
    rows = rows.with_columns(settled.fill_null(value=False).cast(pl.UInt8).alias("label"))
    columns = windows.compute(rows, contract, feeds)
    training = rows["time"].is_between(reach.start, reach.end, closed="left")
    if plan.subsample < 1:
        training &= pl.Series([kept(str(row)) for row in rows["transaction"]], dtype=pl.Boolean)
    quality = rows["time"].is_between(reach.end, reach.last, closed="left")
    parts = [_part(rows.filter(inside), columns.filter(inside), contract, plan.unit) for inside in (training, quality)]
    return Snapshot(*parts)


def empty(contract: Contract) -> Snapshot:
    """The snapshot of a bank that has no rows it could use: its answers are zeros plus noise (protocol 2)."""
    count = len(contract.columns)
    bins, none = np.empty((count, 0), dtype=np.uint8), np.empty(0, dtype=np.int64)
    encoded = Encoded(bins, np.zeros(1, dtype=np.int64), np.empty(0, dtype=np.uint8))
    part = Part(encoded, np.empty((0, count), dtype=np.float32), none)
    return Snapshot(part, replace(part))


def _part(rows: pl.DataFrame, columns: pl.DataFrame, contract: Contract, unit: Unit) -> Part:
    encoded = encode.group_by_unit(encode.encode(columns, contract), rows, unit)
    order = encode.unit_order(rows)
    return Part(encoded, columns.to_numpy().astype(np.float32)[order], rows["time"].to_numpy()[order])


def keyed_rule(key: bytes, run: bytes, rate: Fraction) -> Callable[[str], bool]:
    """The subsampling rule: a row is kept iff HMAC-SHA256(key, run, row id) is below the rate (protocol 6).

    Args:
        key: Secret of the bank, fixed for good, so that the same run keeps the same rows.
        run: Run id.
        rate: Rate of rows kept, (0, 1].

    Returns:
        The rule; it looks at one row alone.
    """

    def kept(row: str) -> bool:
        draw = int.from_bytes(hmac.digest(key, run + row.encode(), hashlib.sha256), "big")
        return draw * rate.denominator < rate.numerator << 256

    return kept


def save(snapshot: Snapshot, path: Path) -> None:
    """Writes a snapshot as one Arrow file, whole or not at all.

    Raises:
        OSError: If the disk is full or the folder cannot be written.
    """
    frames = [_frame(snapshot.training, TRAINING), _frame(snapshot.quality, QUALITY)]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            pl.concat(frames).write_ipc(file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load(path: Path) -> Snapshot:
    """Reads a snapshot.

    Raises:
        OSError: If it cannot be read.
    """
    frame = pl.read_ipc(path)
    return Snapshot(_from_frame(frame, TRAINING), _from_frame(frame, QUALITY))


def _frame(part: Part, number: int) -> pl.DataFrame:
    encoded = part.encoded
    units = np.repeat(np.arange(encoded.units, dtype=np.int64), np.diff(encoded.starts))
    columns = {f"bin{index}": row for index, row in enumerate(encoded.bins)}
    columns |= {f"value{index}": part.values[:, index] for index in range(part.values.shape[1])}
    rest = {"label": encoded.labels, "time": part.times, "unit": units}
    frame = pl.DataFrame({**columns, **rest})
    return frame.with_columns(pl.lit(number, pl.UInt8).alias("part"))


def _from_frame(frame: pl.DataFrame, number: int) -> Part:
    rows = frame.filter(pl.col("part") == number)
    count = sum(name.startswith("bin") for name in rows.columns)
    bins = np.stack([rows[f"bin{index}"].to_numpy() for index in range(count)])
    values = np.stack([rows[f"value{index}"].to_numpy() for index in range(count)], axis=1)
    firsts = np.flatnonzero(np.diff(rows["unit"].to_numpy(), prepend=-1)).astype(np.int64)
    starts = np.append(firsts, rows.height)
    return Part(Encoded(bins, starts, rows["label"].to_numpy()), values, rows["time"].to_numpy())
