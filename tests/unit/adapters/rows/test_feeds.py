"""Feeds and bank splits are read from files, or refused with the reason."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from feature_cases import random_rows
from row_cases import written
from tacit.adapters.rows import RowsError, banks_of, load_empty_feed, load_feed
from tacit.features.windows import feed_of

HOUR = 3600


def feed(**columns: Any) -> pl.DataFrame:  # noqa: ANN401
    """A feed of three hours."""
    held = {"entity": [1, 1, 2], "start": [0, HOUR, 0], "count": [5, 6, 7], "frauds": [0, 1, 2]}
    return pl.DataFrame(held | columns, strict=False)


def test_a_published_feed_reads_back(tmp_path: Path) -> None:
    """What a network writes is what a bank reads."""
    published = feed_of(random_rows(1), 900)
    assert load_feed(written(tmp_path, published)).equals(published)


def test_a_feed_is_judged_by_its_schema(tmp_path: Path) -> None:
    """Columns and types as of the whole feed; rows at fault are not looked at, columns at fault are."""
    assert load_empty_feed(written(tmp_path, feed())).equals(load_feed(written(tmp_path, feed())).clear())
    assert load_empty_feed(written(tmp_path, feed(frauds=[9, 9, 9]))).height == 0
    with pytest.raises(RowsError, match="lacks the columns frauds"):
        load_empty_feed(written(tmp_path, feed().drop("frauds")))
    with pytest.raises(RowsError, match="count is Float64"):
        load_empty_feed(written(tmp_path, feed(count=[0.5, 1.0, 2.0])))
    with pytest.raises(RowsError, match="cannot read"):
        load_empty_feed(str(tmp_path / "absent.parquet"))


@pytest.mark.parametrize(
    "start",
    [
        pl.Series([0, HOUR, 0], dtype=pl.Int32),
        pl.Series([0, HOUR * 1000, 0]).cast(pl.Datetime("ms")),
        pl.Series([0, HOUR * 10**6, 0]).cast(pl.Datetime("us", "Europe/Paris")),
    ],
)
def test_starts_are_seconds_or_timestamps(tmp_path: Path, start: pl.Series) -> None:
    """Timestamps become seconds; the period is hourly unless said."""
    read = load_feed(written(tmp_path, feed(start=start)))
    assert read["start"].to_list() == [0, HOUR, 0]
    assert read.schema == pl.Schema(dict.fromkeys(["entity", "start", "count", "frauds", "period"], pl.Int64))
    assert set(read["period"]) == {HOUR}


def test_text_entities_stay_text(tmp_path: Path) -> None:
    """Merchants may have names."""
    assert load_feed(written(tmp_path, feed(entity=["a", "a", "b"])))["entity"].to_list() == ["a", "a", "b"]


@pytest.mark.parametrize(("period", "file_period", "wanted"), [(1800, None, 1800), (1800, 900, 900)])
def test_the_files_own_period_wins(tmp_path: Path, period: int, file_period: int | None, wanted: int) -> None:
    """The argument counts where the file says nothing."""
    frame = feed() if file_period is None else feed(period=[file_period] * 3)
    assert set(load_feed(written(tmp_path, frame), period)["period"]) == {wanted}


@pytest.mark.parametrize(
    ("columns", "part"),
    [
        ({"frauds": [9, 1, 2]}, "1 rows with frauds outside 0 to count"),
        ({"count": [5, -6, 7], "frauds": [0, 0, 0]}, "1 rows with frauds outside 0 to count"),
        ({"start": [0, 5, 0]}, "1 rows with a start that is no multiple of 3600 s"),
        ({"start": [0, 0, 0]}, "2 rows with an entity and start that stand twice"),
        ({"count": [5.5, 6.0, 7.0]}, "count is Float64; allowed: an integer"),
        ({"start": ["a", "b", "c"]}, "cannot be used"),
        ({"entity": [1, None, 2]}, "entity has 1 null values; allowed: none"),
        ({"period": [7000] * 3}, "feed period is 7000 s; allowed: a divisor of 86400"),
        ({"period": [3600, 3600, 1800]}, "1 rows with a period other than the first row's"),
    ],
)
def test_feeds_at_fault_are_refused(tmp_path: Path, columns: dict[str, Any], part: str) -> None:
    """The error names the file and what is wrong."""
    path = written(tmp_path, feed(**columns))
    with pytest.raises(RowsError) as caught:
        load_feed(path)
    assert part in str(caught.value)
    assert path in str(caught.value)


def test_missing_columns_of_a_feed_are_named(tmp_path: Path) -> None:
    """A renamed column is missing."""
    with pytest.raises(RowsError, match="lacks the columns start; its columns are entity, hour, count, frauds"):
        load_feed(written(tmp_path, feed().rename({"start": "hour"})))


@pytest.mark.parametrize("read", [load_feed, lambda path: banks_of(path, "BANK")])
def test_files_that_cannot_be_read_are_refused(tmp_path: Path, read: Any) -> None:  # noqa: ANN401
    """Missing and broken files."""
    with pytest.raises(RowsError, match="no such file"):
        read(str(tmp_path / "none.parquet"))
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"nothing")
    with pytest.raises(RowsError, match="cannot read"):
        read(str(broken))


def test_banks_of_customers(tmp_path: Path) -> None:
    """Every customer has one bank, by the split that is asked for."""
    frame = pl.DataFrame(
        {"CUSTOMER_ID": [1, 2, 3], "BANK_A": [0, 0, 1], "BANK_B": ["x", "y", "y"], "K": ["a", "b", "c"]}
    )
    path = written(tmp_path, frame)
    assert banks_of(path, "BANK_A") == {1: 0, 2: 0, 3: 1}
    assert banks_of(path, "BANK_B", customer="K") == {"a": "x", "b": "y", "c": "y"}


@pytest.mark.parametrize(
    ("columns", "part"),
    [
        ({"BANK_C": [0, 1]}, "has no column 'BANK'; its columns are CUSTOMER_ID, BANK_C"),
        ({"BANK": [0, None]}, "column 'BANK' has 1 null values; allowed: none"),
        ({"CUSTOMER_ID": [7, 7], "BANK": [0, 1]}, "2 rows repeat a customer"),
    ],
)
def test_splits_at_fault_are_refused(tmp_path: Path, columns: dict[str, Any], part: str) -> None:
    """A customer is in exactly one bank."""
    with pytest.raises(RowsError) as caught:
        banks_of(written(tmp_path, pl.DataFrame({"CUSTOMER_ID": [1, 2]} | columns)), "BANK")
    assert part in str(caught.value)
