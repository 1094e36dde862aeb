"""The frozen rows: windows, labels, subsampling, and one file that is whole or not there."""

import datetime as dt
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import federation_cases as cases
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
