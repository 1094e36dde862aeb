"""The frozen rows: windows, labels, subsampling, and one file that is whole or not there."""

import datetime as dt
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import federation_cases as cases
from tacit.privacy.types import Unit
from tacit.rounds.plan import Window
from tacit.trainer import snapshot as subject
from tacit.trainer.snapshot import Part, Snapshot, build, keyed_rule, load, save, span

DAY = 86_400
PLAN = cases.any_plan()
REACH = span(PLAN.window, 0, "UTC")


def made(frame: pl.DataFrame, **changes: object) -> Snapshot:
    """A snapshot of rows under the plan with changes."""
    plan = replace(PLAN, **changes)  # type: ignore[arg-type]
    return build(frame, cases.CONTRACT, plan, REACH, feeds={}, kept=keyed_rule(b"k" * 32, b"r", plan.subsample))


def same(one: Part, other: Part) -> bool:
    """Whether two parts are equal to the bit."""
    pairs = [
        (one.encoded.bins, other.encoded.bins),
        (one.encoded.starts, other.encoded.starts),
        (one.encoded.labels, other.encoded.labels),
        (one.values, other.values),
        (one.times, other.times),
    ]
    return all(np.array_equal(left, right) and left.dtype == right.dtype for left, right in pairs)


def test_midnights_of_a_zone() -> None:
    """Spans are midnights of the mapping's zone, whole days of 23 to 25 hours."""
    utc, berlin = span(PLAN.window, 3, "UTC"), span(PLAN.window, 3, "Europe/Berlin")
    assert utc.start - utc.first == 3 * DAY
    assert (utc.end - utc.start, utc.last - utc.end, utc.ready - utc.last) == (31 * DAY, 7 * DAY, 7 * DAY)
    assert utc.end == int(dt.datetime(2018, 2, 1, tzinfo=dt.UTC).timestamp())
    assert utc.end - berlin.end == 3600


def test_rows_are_split_at_the_windows_end() -> None:
    """Training before the end, quality from it on, nothing outside."""
    frame = cases.rows(1, count=200)
    found = made(frame)
    assert (found.training.times < REACH.end).all()
    assert (found.quality.times >= REACH.end).all()
    inside = frame.filter(pl.col("time") < REACH.last)
    assert found.training.encoded.rows + found.quality.encoded.rows == inside.height


def test_labels_that_are_not_final_count_as_no_fraud() -> None:
    """A label known only after the window is ready is none."""
    frame = cases.rows(2).with_columns(pl.lit(1, pl.UInt8).alias("label"))
    late = frame.with_columns(pl.lit(REACH.ready + 1, pl.Int64).alias("label_time"))
    assert made(frame).training.encoded.labels.all()
    assert not made(late).training.encoded.labels.any()


@pytest.mark.parametrize("count", [60, 1, 0])
def test_a_file_gives_back_what_was_saved(tmp_path: Path, count: int) -> None:
    """Bit for bit, empty parts included; nothing partial is left."""
    snapshot = made(cases.rows(3, count=max(count, 1)).head(count))
    path = tmp_path / "deep" / "run.arrow"
    save(snapshot, path)
    found = load(path)
    assert same(found.training, snapshot.training)
    assert same(found.quality, snapshot.quality)
    assert [item.name for item in path.parent.iterdir()] == ["run.arrow"]


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk: an error, no file, no part of one."""

    def full(_: int) -> None:
        raise OSError(28, "no space left")

    monkeypatch.setattr(subject.os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        save(made(cases.rows(4)), tmp_path / "run.arrow")
    assert list(tmp_path.iterdir()) == []


def test_the_sample_looks_at_one_row_alone() -> None:
    """The rule depends on key, run and row; its rate is met; rate 1 keeps all."""
    names = [f"row-{number}" for number in range(4_000)]
    rule = keyed_rule(b"k" * 32, b"run", Fraction(1, 4))
    kept = [name for name in names if rule(name)]
    assert abs(len(kept) - 1_000) < 120
    assert [name for name in reversed(names) if rule(name)] == kept[::-1]
    assert kept != [name for name in names if keyed_rule(b"k" * 32, b"other", Fraction(1, 4))(name)]
    assert all(keyed_rule(b"k" * 32, b"run", Fraction(1))(name) for name in names)


def test_subsampling_drops_training_rows_only() -> None:
    """Quality rows are all counted."""
    frame = cases.rows(5, count=300)
    whole, half = made(frame), made(frame, subsample=Fraction(1, 2))
    assert 0 < half.training.encoded.rows < whole.training.encoded.rows
    assert same(half.quality, whole.quality)


HOUR = 3_600
SPRING = Window(dt.date(2018, 4, 1), 14, 0, 7)
"""Clocks of Berlin go forward on 25 March 2018, within these training days."""

AUTUMN = Window(dt.date(2018, 10, 24), 7, 0, 7)
"""And back on 28 October 2018, within these quality days."""


@pytest.mark.parametrize(
    ("window", "zone", "training", "quality"),
    [
        (SPRING, "UTC", 14 * DAY, 7 * DAY),
        (SPRING, "Europe/Berlin", 14 * DAY - HOUR, 7 * DAY),
        (AUTUMN, "Europe/Berlin", 7 * DAY, 7 * DAY + HOUR),
        (Window(dt.date(2018, 3, 12), 2, 0, 7), "America/New_York", 2 * DAY - HOUR, 7 * DAY),
        (SPRING, "Asia/Kolkata", 14 * DAY, 7 * DAY),
    ],
)
def test_days_of_23_and_25_hours(window: Window, zone: str, training: int, quality: int) -> None:
    """A window has whole days of its zone, whatever the clocks do within it."""
    found = span(window, 0, zone)
    assert (found.end - found.start, found.last - found.end) == (training, quality)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Sao_Paulo", "Pacific/Apia"])
def test_every_end_of_a_span_is_a_midnight(zone: str) -> None:
    """Of its zone, and in the order of time."""
    found = span(SPRING, 40, zone)
    ends = [found.first, found.start, found.end, found.last, found.ready]
    assert ends == sorted(ends)
    local = [dt.datetime.fromtimestamp(end, ZoneInfo(zone)) for end in ends]
    assert {(moment.hour, moment.minute, moment.second) for moment in local} == {(0, 0, 0)}
    assert [moment.date() for moment in local][1:3] == [dt.date(2018, 3, 18), dt.date(2018, 4, 1)]


def at(*times: int, label: int | None = 1, label_time: int | None = 0) -> pl.DataFrame:
    """One row at each of these seconds, each of a customer of its own."""
    frame = cases.rows(1, count=len(times)).with_columns(pl.Series("time", times, dtype=pl.Int64))
    return frame.with_columns(
        pl.Series("customer", [f"c{number}" for number in range(len(times))]),
        pl.lit(label, pl.UInt8).alias("label"),
        pl.lit(label_time, pl.Int64).alias("label_time"),
    )


def test_midnights_belong_to_the_day_that_begins() -> None:
    """To the second, at every end of the window."""
    frame = at(REACH.start - 1, REACH.start, REACH.end - 1, REACH.end, REACH.last - 1, REACH.last)
    found = made(frame)
    assert found.training.times.tolist() == [REACH.start, REACH.end - 1]
    assert found.quality.times.tolist() == [REACH.end, REACH.last - 1]


@pytest.mark.parametrize(
    ("label", "label_time", "expected"),
    [
        (1, REACH.ready - 1, 1),
        (1, REACH.ready, 1),
        (1, REACH.ready + 1, 0),
        (0, REACH.ready - 1, 0),
        (None, REACH.ready, 0),
    ],
)
def test_a_label_counts_once_it_is_settled(label: int | None, label_time: int, expected: int) -> None:
    """Final when the window is ready, to the second; what nobody knows is no fraud, in both parts."""
    found = made(at(REACH.start, REACH.end, label=label, label_time=label_time))
    assert found.training.encoded.labels.tolist() == found.quality.encoded.labels.tolist() == [expected]


def test_features_look_back_before_the_window() -> None:
    """A row before the window is learnt from by nobody, but the mean of thirty days holds it."""
    columns = (cases.month_column(), *cases.CONTRACT.columns[1:])
    contract = replace(cases.CONTRACT, columns=columns)
    both = at(REACH.start - DAY, REACH.start + DAY).with_columns(
        pl.lit("c").alias("customer"), pl.Series("amount", [1_000, 3_000])
    )

    def value(frame: pl.DataFrame) -> list[float]:
        found = build(frame, contract, PLAN, REACH, feeds={}, kept=lambda _: True)
        return [float(row) for row in found.training.values[:, 0]]

    assert value(both) == [20.0]
    assert value(both.tail(1)) == [30.0]


def test_values_labels_and_times_stay_together() -> None:
    """Sorted by customer, then time: row by row the same transaction in every array."""
    frame = cases.rows(7, count=120)
    part = made(frame.sample(fraction=1.0, shuffle=True, seed=3)).training
    inside = frame.filter(pl.col("time") < REACH.end).sort("customer", "time", "transaction")
    assert part.times.tolist() == inside["time"].to_list()
    assert part.encoded.labels.tolist() == inside["label"].to_list()
    assert part.values[:, 0].tolist() == (inside["amount"] / 100).cast(pl.Float32).to_list()
    assert (
        np.diff(part.encoded.starts).tolist() == inside.group_by("customer", maintain_order=True).len()["len"].to_list()
    )


def test_a_sampled_snapshot_holds_exactly_the_kept_rows() -> None:
    """The rule decides by row id, and is not asked where the plan keeps all."""
    frame = cases.rows(8, count=100)
    rule = keyed_rule(b"k" * 32, b"r", Fraction(1, 3))
    kept = frame.filter(pl.Series([rule(name) for name in frame["transaction"]]) & (pl.col("time") < REACH.end))
    assert sorted(made(frame, subsample=Fraction(1, 3)).training.times) == sorted(kept["time"])

    def never(_: str) -> bool:
        raise AssertionError("asked for a row")

    whole = build(frame, cases.CONTRACT, PLAN, REACH, feeds={}, kept=never)
    assert whole.training.encoded.rows == frame.filter(pl.col("time") < REACH.end).height


@pytest.mark.parametrize("unit", [Unit.CUSTOMER, Unit.RECORD])
def test_units_are_the_plans(unit: Unit) -> None:
    """One per customer, or one per row."""
    frame = cases.rows(9, count=90)
    part = made(frame, unit=unit).training.encoded
    customers = frame.filter(pl.col("time") < REACH.end)["customer"].n_unique()
    assert part.units == (customers if unit is Unit.CUSTOMER else part.rows)


@given(st.fractions(Fraction(1, 50), 1), st.fractions(Fraction(1, 50), 1), st.text(max_size=8))
def test_a_larger_rate_keeps_what_a_smaller_one_kept(one: Fraction, other: Fraction, row: str) -> None:
    """Row by row: the draw does not depend on the rate."""
    low, high = sorted((one, other))
    assert keyed_rule(b"k" * 32, b"r", low)(row) <= keyed_rule(b"k" * 32, b"r", high)(row)


def test_the_sample_is_the_banks_secret() -> None:
    """Another key keeps other rows, so that nobody outside can say which."""
    names = [f"row-{number}" for number in range(200)]
    kept = [[keyed_rule(key * 32, b"run", Fraction(1, 2))(name) for name in names] for key in (b"k", b"l")]
    assert kept[0] != kept[1]
