"""Point-in-time window features of normalised transactions (formats 2). Pure: frames in, frames out.

One pass per key: rows are sorted by (key, time, transaction) once, window ends are found by binary search in the
sorted rows, counts and sums are differences of exact int64 prefix sums. A customer's window therefore depends on
that customer's rows alone, bit for bit; the only division comes last, in float64, and is then rounded to float32.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tacit.features.spec import Aggregate, Column, ColumnType, Contract, Key

DAY = 86_400
HOUR = 3_600
CENTS = 100
"""Units of the normalised `amount` column in one unit of currency: the column counts hundredths."""

FEED_PERIOD = HOUR
"""Period of a feed frame without a `period` column, in seconds."""

AMOUNT = "amount"

TRANSACTIONS: Mapping[str, tuple[type[pl.DataType], ...]] = {
    "transaction": (pl.Int64, pl.String),
    "customer": (pl.Int64, pl.String),
    "entity": (pl.Int64, pl.String),
    "time": (pl.Int64,),
    "amount": (pl.Int64,),
    "label": (pl.UInt8, pl.Int8),
    "label_time": (pl.Int64,),
    "weekend": (pl.UInt8,),
    "night": (pl.UInt8,),
}
"""The normalised transactions frame: column to accepted types.

transaction: unique id. customer, entity (terminal or merchant): ids. time, label_time: seconds since 1970 UTC;
label_time is when the label was known. amount: hundredths of the currency's unit. label: 1 for fraud. weekend
(Saturday, Sunday) and night (hour <= 6): by the clock of the bank's zone, 0 or 1. Further numeric columns may stand
beside these, under the names of the contract's columns without `of`.
"""

FEED: Mapping[str, tuple[type[pl.DataType], ...]] = {
    "entity": (pl.Int64, pl.String),
    "start": (pl.Int64,),
    "count": (pl.Int64,),
    "frauds": (pl.Int64,),
}
"""A feed frame: entity, period start (seconds since 1970 UTC, a multiple of the period), transactions and frauds of
that period. A constant `period` column (Int64 seconds, a divisor of a day) is optional; without it the period is
`FEED_PERIOD`."""

_KEY_COLUMN = {Key.CUSTOMER: "customer", Key.TERMINAL: "entity"}
_SPAN_LIMIT = 1 << 62
_Ints = NDArray[np.int64]


class FeatureError(Exception):
    """Rows or a feed that features cannot be computed from; the message names the column and what is expected."""


def compute(
    transactions: pl.DataFrame, contract: Contract, feeds: Mapping[str, pl.DataFrame] | None = None
) -> pl.DataFrame:
    """Computes the contract's columns.

    A customer window is (t - days, t] minus `delay_days` at both ends, the row itself included when there is no delay;
    an entity window is (t - delay - days, t - delay]. Rows of the same second count in the order of their transaction
    ids. A fraud counts as one only if its label was known at t. An empty window has count 0, fraud share 0 and no mean.

    A feed row may be used from its start + period + delay on; a window of w days holds the feed rows of the last
    w days' periods usable at t.

    Args:
        transactions: Rows in any order, as `TRANSACTIONS` says; windows see these rows only.
        contract: Which columns.
        feeds: Feed frames, as `FEED` says, by the name that the contract gives them.

    Returns:
        float32 columns in contract order, aligned with the input's rows; NaN is a missing value.

    Raises:
        FeatureError: If a column or a feed is missing, has the wrong type or holds a null.
    """
    check_frame("transactions", transactions, TRANSACTIONS)
    known = feeds or {}
    _check_feeds(contract, transactions, known)
    keys = {column.key for column in contract.columns if column.key is not None and column.feed is None}
    tracks = {key: _Track.of(transactions, _KEY_COLUMN[Key(key)]) for key in sorted(keys)}
    named = sorted({column.feed for column in contract.columns if column.feed is not None})
    feed_tracks = {name: _FeedTrack.of(known[name], transactions) for name in named}
    values: dict[str, NDArray[np.float32]] = {}
    for column in contract.columns:
        if column.of is None:
            values[column.name] = _own(column, transactions)
        elif column.feed is not None:
            values[column.name] = _from_feed(column, feed_tracks[column.feed])
        else:
            values[column.name] = _from_rows(column, tracks[str(column.key)])
    return pl.DataFrame(values)


def check_frame(name: str, frame: pl.DataFrame, schema: Mapping[str, tuple[type[pl.DataType], ...]]) -> None:
    """Checks that a frame has a schema's columns, of an accepted type, without nulls.

    Raises:
        FeatureError: Naming the frame, the column and what is expected.
    """
    for column, accepted in schema.items():
        expected = " or ".join(kind.__name__ for kind in accepted)
        if column not in frame.columns:
            raise FeatureError(f"{name} has no column {column!r} ({expected}); columns are {', '.join(frame.columns)}")
        if frame.schema[column] not in accepted:
            raise FeatureError(f"{name}.{column} is {frame.schema[column]}; allowed: {expected}")
        if frame[column].null_count():
            raise FeatureError(f"{name}.{column} has {frame[column].null_count()} null values; allowed: none")


def feed_of(transactions: pl.DataFrame, period: int = FEED_PERIOD, delay_days: int = 7) -> pl.DataFrame:
    """The feed that a network seeing all these transactions would publish.

    Args:
        transactions: Rows as `TRANSACTIONS` says.
        period: Length of a period in seconds, a divisor of a day.
        delay_days: Days after a period's end when its row is released; frauds not known by then are not counted.

    Returns:
        A frame as `FEED` says, with its `period`, sorted by entity and start.

    Raises:
        FeatureError: If the rows do not fit `TRANSACTIONS` or the period does not divide a day.
    """
    check_frame("transactions", transactions, TRANSACTIONS)
    _check_period(period)
    start = pl.col("time") // period * period
    release = start + period + delay_days * DAY
    known = (pl.col("label") == 1) & (pl.col("label_time") <= release)
    rows = transactions.select("entity", start.alias("start"), known.cast(pl.Int64).alias("frauds"))
    sums = rows.group_by("entity", "start").agg(pl.len().cast(pl.Int64).alias("count"), pl.col("frauds").sum())
    return sums.with_columns(pl.lit(period, dtype=pl.Int64).alias("period")).sort("entity", "start")


def mean_amount(total: _Ints, count: _Ints) -> NDArray[np.float32]:
    """Mean amount in units of currency from sums of hundredths; NaN where the count is 0."""
    mean = np.full(total.shape, np.nan)
    np.divide(total, count * CENTS, out=mean, where=count > 0)
    return mean.astype(np.float32)


def fraud_share(frauds: _Ints, count: _Ints) -> NDArray[np.float32]:
    """Share of frauds; 0 where the count is 0."""
    share = np.zeros(frauds.shape)
    np.divide(frauds, count, out=share, where=count > 0)
    return share.astype(np.float32)


def _own(column: Column, transactions: pl.DataFrame) -> NDArray[np.float32]:
    """A column of the row itself; the normalised amount is the one that needs its unit back."""
    if column.name not in transactions.columns:
        raise FeatureError(f"transactions has no column {column.name!r}, which the contract takes of the row itself")
    series = transactions[column.name]
    if not series.dtype.is_numeric():
        raise FeatureError(f"transactions.{column.name} is {series.dtype}; allowed: a numeric type")
    values = series.cast(pl.Float64).to_numpy()
    if column.name == AMOUNT and column.type is ColumnType.AMOUNT:
        values = values / CENTS
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float32)
    # No learner takes an infinite value; one row's must not keep the others from being learned from.
    return np.where(np.isfinite(rounded), rounded, np.float32(np.nan))


@dataclass(frozen=True, eq=False)
class _Track:
    """All rows sorted by (key, time, transaction).

    Attributes:
        order: Position of each sorted row in the input.
        stamp: Group number * span + time of each sorted row, so that one binary search serves all groups.
        first: Sorted position of the first row of each row's group.
        last: One past the sorted position of the last row of each row's group.
        amounts: Prefix sums of hundredths, one longer than the rows, leading 0.
        frauds: Sorted positions of the frauds.
        known: When each fraud's label was known, on the scale of `stamp`.
        found: Window ends already searched, by seconds.
    """

    order: _Ints
    stamp: _Ints
    first: _Ints
    last: _Ints
    amounts: _Ints
    frauds: _Ints
    known: _Ints
    found: dict[int, _Ints] = field(default_factory=dict)

    @staticmethod
    def of(transactions: pl.DataFrame, key: str) -> "_Track":
        """Sorts the rows by one key."""
        rows = transactions.select(key, "time", "transaction", "amount", "label", "label_time")
        rows = rows.with_row_index("position").sort(key, "time", "transaction")
        time = rows["time"].to_numpy()
        low, high = (int(time.min()), int(time.max())) if time.size else (0, 0)
        group = rows[key].rle_id().to_numpy().astype(np.int64)
        starts = np.flatnonzero(np.diff(group, prepend=-1))
        base = group * _span("transactions", low, high, starts.size)
        frauds = np.flatnonzero(rows["label"].to_numpy() == 1)
        # Known before or after all rows is all that matters of a label time far off; unclipped it could overflow.
        label_time = np.clip(rows["label_time"].to_numpy()[frauds], low, high + 1)
        return _Track(
            order=rows["position"].to_numpy().astype(np.int64),
            stamp=base + (time - low),
            first=starts[group],
            last=np.append(starts[1:], time.size)[group],
            amounts=_prefix(rows["amount"].to_numpy()),
            frauds=frauds,
            known=base[frauds] + (label_time - low),
        )

    def later_than(self, seconds: int) -> _Ints:
        """Per row, the first sorted position of its group that is later than `seconds` before the row."""
        if seconds not in self.found:
            position = np.searchsorted(self.stamp, self.stamp - seconds, side="right")
            self.found[seconds] = np.maximum(position, self.first)
        return self.found[seconds]

    def window(self, delay: int, length: int) -> tuple[_Ints, _Ints]:
        """Per row, the sorted positions [begin, end) of (t - delay - length, t - delay], never past the row itself."""
        end = self.later_than(delay) if delay else np.arange(1, self.stamp.size + 1)
        return self.later_than(delay + length), end

    def known_frauds(self, delay: int, length: int) -> _Ints:
        """Per row, the frauds of its window whose label was known at the row.

        A fraud of time s whose label was known at k counts for the later rows of its group with
        max(s + delay, k) <= t < s + delay + length: one step up and one step down per fraud.
        """
        counted_from = np.maximum(self.stamp[self.frauds] + delay, self.known)
        up = np.searchsorted(self.stamp, counted_from)
        down = np.searchsorted(self.stamp, self.stamp[self.frauds] + delay + length)
        # The next group's rows follow on the same scale, so a window that outlives its group ends with it.
        down = np.minimum(down, self.last[self.frauds])
        counts = up < down
        steps = np.bincount(up[counts], minlength=self.stamp.size + 1).astype(np.int64)
        steps -= np.bincount(down[counts], minlength=self.stamp.size + 1)
        return np.cumsum(steps[:-1])


def _from_rows(column: Column, track: _Track) -> NDArray[np.float32]:
    delay, length = column.delay_days * DAY, (column.days or 0) * DAY
    begin, end = track.window(delay, length)
    count = end - begin
    if column.of == Aggregate.COUNT:
        values = count.astype(np.float32)
    elif column.of == Aggregate.MEAN:
        values = mean_amount(track.amounts[end] - track.amounts[begin], count)
    else:
        values = fraud_share(track.known_frauds(delay, length), count)
    aligned = np.empty_like(values)
    aligned[track.order] = values
    return aligned


@dataclass(frozen=True, eq=False)
class _FeedTrack:
    """A feed sorted by (entity, start) and the rows that ask it, sorted likewise.

    Attributes:
        period: Length of a period in seconds.
        low: Earliest start.
        span: Room of one entity on the scale of `stamp`.
        stamp: Entity number * span + start of each feed row, from 1 on.
        counts: Prefix sums of transactions.
        frauds: Prefix sums of frauds.
        order: Position in the input of each asking row, in the order of asking; entities the feed lacks are left out.
        entity: Entity number of each asking row.
        time: Time of each asking row.
        rows: Number of rows in the input.
    """

    period: int
    low: int
    span: int
    stamp: _Ints
    counts: _Ints
    frauds: _Ints
    order: _Ints
    entity: _Ints
    time: _Ints
    rows: int

    @staticmethod
    def of(feed: pl.DataFrame, transactions: pl.DataFrame) -> "_FeedTrack":
        """Sorts a feed and numbers its entities."""
        sorted_feed = feed.sort("entity", "start")
        start = sorted_feed["start"].to_numpy()
        low, high = (int(start.min()), int(start.max())) if start.size else (0, 0)
        entity = sorted_feed["entity"].rle_id().to_numpy().astype(np.int64)
        span = _span("feed", low, high + 1, feed["entity"].n_unique())
        numbers = sorted_feed.select("entity").unique(maintain_order=True).with_row_index("number")
        asking = transactions.select("entity", "time").with_row_index("position").join(numbers, on="entity")
        asking = asking.sort("number", "time", "position")
        return _FeedTrack(
            period=_period(feed),
            low=low,
            span=span,
            stamp=entity * span + (start - low + 1),
            counts=_prefix(sorted_feed["count"].to_numpy()),
            frauds=_prefix(sorted_feed["frauds"].to_numpy()),
            order=asking["position"].to_numpy().astype(np.int64),
            entity=asking["number"].to_numpy().astype(np.int64),
            time=asking["time"].to_numpy(),
            rows=transactions.height,
        )

    def window(self, delay: int, length: int) -> tuple[_Ints, _Ints]:
        """Per asking row, the feed rows [begin, end) of the last `length` seconds' periods usable at its time."""
        # A period counts once it is over and the delay has passed; periods without a row hold nothing.
        newest = (self.time - delay - self.period) // self.period * self.period
        ends = (np.clip(start - self.low + 1, 0, self.span - 1) for start in (newest - length, newest))
        begin, end = (np.searchsorted(self.stamp, self.entity * self.span + at, side="right") for at in ends)
        return begin, end

    def scatter(self, values: _Ints) -> _Ints:
        """Puts values of the asking rows where the input has them; 0 for entities that the feed lacks."""
        out = np.zeros(self.rows, dtype=np.int64)
        out[self.order] = values
        return out


def _from_feed(column: Column, track: _FeedTrack) -> NDArray[np.float32]:
    begin, end = track.window(column.delay_days * DAY, (column.days or 0) * DAY)
    count = track.scatter(track.counts[end] - track.counts[begin])
    if column.of == Aggregate.COUNT:
        return count.astype(np.float32)
    return fraud_share(track.scatter(track.frauds[end] - track.frauds[begin]), count)


def _prefix(values: _Ints) -> _Ints:
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(values, dtype=np.int64)])


def _span(name: str, low: int, high: int, groups: int) -> int:
    span = high - low + 1
    if span * max(groups, 1) >= _SPAN_LIMIT:
        raise FeatureError(f"{name} spans {span} s over {groups} ids; allowed: a product below 2^62")
    return span


def _check_period(period: int) -> None:
    if not (0 < period <= DAY and DAY % period == 0):
        raise FeatureError(f"feed period is {period} s; allowed: a divisor of {DAY}")


def _period(feed: pl.DataFrame) -> int:
    if "period" not in feed.columns or not feed.height:
        return FEED_PERIOD
    return int(feed["period"][0])


def _check_feeds(contract: Contract, transactions: pl.DataFrame, feeds: Mapping[str, pl.DataFrame]) -> None:
    for name in sorted({column.feed for column in contract.columns if column.feed is not None}):
        if name not in feeds:
            raise FeatureError(f"the contract needs feed {name!r}; feeds given: {', '.join(sorted(feeds)) or 'none'}")
        check_feed(name, feeds[name])
        kinds = feeds[name].schema["entity"], transactions.schema["entity"]
        if kinds[0] != kinds[1]:
            raise FeatureError(f"feed {name}: entity is {kinds[0]}; allowed: {kinds[1]}, as in the transactions")


def check_feed(name: str, feed: pl.DataFrame) -> None:
    """Checks a feed frame.

    Raises:
        FeatureError: If a column is missing, of a wrong type or null, the period does not divide a day or changes, a
            start is no multiple of it, a period stands twice, or not 0 <= frauds <= count.
    """
    check_frame(f"feed {name}", feed, FEED)
    period = _period(feed)
    _check_period(period)
    faults = {
        "a period other than the first row's": feed.filter(pl.col("period") != period) if "period" in feed else None,
        f"a start that is no multiple of {period} s": feed.filter(pl.col("start") % period != 0),
        "frauds outside 0 to count": feed.filter(~pl.col("frauds").is_between(0, pl.col("count"))),
        "an entity and start that stand twice": feed.filter(pl.struct("entity", "start").is_duplicated()),
    }
    for fault, rows in faults.items():
        if rows is not None and rows.height:
            raise FeatureError(f"feed {name} has {rows.height} rows with {fault}, such as {rows.row(0, named=True)}")
