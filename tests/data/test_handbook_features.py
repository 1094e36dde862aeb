"""The Handbook's data: its 15 published features, its documented mapping, and the hourly feed beside exact windows."""

import os
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from feature_cases import DAY, card
from tacit.adapters.rows import RowMapping, banks_of, check, load
from tacit.features.encode import encode, encode_row, group_by_unit
from tacit.features.windows import compute, feed_of
from tacit.wire import documents

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("TACIT_DATA", ROOT.parent / "shared" / "data"))
HANDBOOK = FOLDER / "handbook.parquet"

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not HANDBOOK.is_file(), reason=f"needs {HANDBOOK.name}: set TACIT_DATA to its folder"),
]


@pytest.fixture(scope="module")
def mapping() -> RowMapping:
    """The documented mapping file."""
    text = (ROOT / "docs" / "examples" / "handbook.yaml").read_text("utf-8")
    return documents.parse(RowMapping, yaml.safe_load(text))


@pytest.fixture(scope="module")
def rows(mapping: RowMapping) -> pl.DataFrame:
    """All transactions, normalised."""
    return load(str(HANDBOOK), mapping)


@pytest.fixture(scope="module")
def values(rows: pl.DataFrame) -> pl.DataFrame:
    """All features."""
    return compute(rows, card())


@pytest.fixture(scope="module")
def fed(rows: pl.DataFrame) -> pl.DataFrame:
    """All features, the terminal's from an hourly feed of all banks."""
    return compute(rows, card("card-feed.yaml"), {"network": feed_of(rows)})


def published(rows: pl.DataFrame, key: str, value: int, delay: int) -> list[list[float]]:
    """Count, mean and risk over 1, 7, 30 days of one customer or terminal, as the book defines them."""
    held = rows.filter(pl.col(key) == value).sort("time", "transaction").to_dicts()
    result = []
    for position, row in enumerate(held):
        past = [other for other in held[: position + 1] if other["time"] <= row["time"] - delay]
        line: list[float] = []
        for days in (1, 7, 30):
            inside = [other for other in past if other["time"] > row["time"] - delay - days * DAY]
            total, frauds = sum(other["amount"] for other in inside), sum(other["label"] for other in inside)
            count = len(inside)
            line += [count, total / (100 * count) if count else np.nan, frauds / count if count else 0.0]
        result.append(line)
    rounded: list[list[float]] = np.asarray(result, dtype=np.float32).tolist()
    return rounded


def computed(rows: pl.DataFrame, values: pl.DataFrame, key: str, value: int, columns: list[str]) -> list[list[float]]:
    """The same values as the product computes them."""
    held = pl.concat([rows.select(key, "time", "transaction"), values], how="horizontal").filter(pl.col(key) == value)
    found: list[list[float]] = held.sort("time", "transaction").select(columns).to_numpy().tolist()
    return found


def test_rows_and_frauds(rows: pl.DataFrame) -> None:
    """As many as the book says."""
    assert (rows.height, rows["label"].sum(), rows["customer"].n_unique()) == (1_754_155, 14_681, 4_990)


@pytest.mark.parametrize("customer", [0, 596, 2468, 4961])
def test_customer_features_are_the_published_ones(rows: pl.DataFrame, values: pl.DataFrame, customer: int) -> None:
    """Counts and means over 1, 7 and 30 days, the current transaction included."""
    columns = [f"c_{kind}{days}" for days in (1, 7, 30) for kind in ("nb", "avg")]
    wanted = [line[0:2] + line[3:5] + line[6:8] for line in published(rows, "customer", customer, 0)]
    assert computed(rows, values, "customer", customer, columns) == wanted


@pytest.mark.parametrize("terminal", [0, 3156, 3412, 9999])
def test_terminal_features_are_the_published_ones(rows: pl.DataFrame, values: pl.DataFrame, terminal: int) -> None:
    """Counts and risks over 1, 7 and 30 days that end 7 days ago."""
    columns = [f"t_{kind}{days}" for days in (1, 7, 30) for kind in ("nb", "risk")]
    wanted = [line[0:1] + line[2:4] + line[5:7] + line[8:9] for line in published(rows, "entity", terminal, 7 * DAY)]
    assert computed(rows, values, "entity", terminal, columns) == wanted


def test_terminals_with_many_frauds_are_the_published_ones(rows: pl.DataFrame, values: pl.DataFrame) -> None:
    """The terminal with most frauds has risks in every window."""
    terminal = rows.filter(pl.col("label") == 1)["entity"].value_counts(sort=True)["entity"][0]
    wanted = [[line[2], line[5], line[8]] for line in published(rows, "entity", terminal, 7 * DAY)]
    assert computed(rows, values, "entity", terminal, ["t_risk1", "t_risk7", "t_risk30"]) == wanted
    assert max(line[0] for line in wanted) == 1.0


def test_own_columns_are_the_published_ones(rows: pl.DataFrame, values: pl.DataFrame) -> None:
    """Amount, weekend and night as the file's own columns give them."""
    raw = pl.read_parquet(HANDBOOK, columns=["TRANSACTION_ID", "TX_AMOUNT", "TX_DATETIME"]).sort("TRANSACTION_ID")
    ours = pl.concat([rows.select("transaction"), values], how="horizontal").sort("transaction")
    assert np.array_equal(ours["amount"].to_numpy(), raw["TX_AMOUNT"].to_numpy().astype(np.float32))
    assert ours["weekend"].eq((raw["TX_DATETIME"].dt.weekday() > 5).cast(pl.Float32)).all()
    assert ours["night"].eq((raw["TX_DATETIME"].dt.hour() < 7).cast(pl.Float32)).all()


def test_training_window_of_the_first_fold(mapping: RowMapping) -> None:
    """90 days from 2018-05-03 hold 862,577 rows."""
    first, last = mapping.midnight(date(2018, 5, 3)), mapping.midnight(date(2018, 8, 1))
    assert load(str(HANDBOOK), mapping, first, last).height == 862_577


def test_rows_are_encoded_alike_for_training_and_scoring(rows: pl.DataFrame, values: pl.DataFrame) -> None:
    """A row scored alone has the bins that it was trained with; units hold all rows."""
    bins = encode(values, card())
    for position in range(0, rows.height, 9973):
        assert encode_row(values.row(position, named=True), card()).tolist() == bins[:, position].tolist()
    encoded = group_by_unit(bins, rows, "customer")
    assert (encoded.units, encoded.rows, int(encoded.labels.sum())) == (4_990, 1_754_155, 14_681)


@pytest.mark.parametrize("terminal", [0, 3412, 9999])
def test_feed_windows_end_with_the_last_whole_hour(
    rows: pl.DataFrame, values: pl.DataFrame, fed: pl.DataFrame, terminal: int
) -> None:
    """The hourly feed holds the transactions of whole hours that ended at least 7 days before the row."""
    at = (rows["entity"] == terminal).to_numpy()
    times = rows["time"].to_numpy()[at]
    for days in (1, 7, 30):
        hours = (times - 7 * DAY) // 3600 * 3600
        wanted = [int(((times >= hour - days * DAY) & (times < hour)).sum()) for hour in hours]
        assert fed[f"t_nb{days}"].to_numpy()[at].tolist() == wanted
        assert np.abs(fed[f"t_nb{days}"].to_numpy() - values[f"t_nb{days}"].to_numpy()).mean() < 0.1


def test_feed_contract_leaves_other_columns_alone(values: pl.DataFrame, fed: pl.DataFrame) -> None:
    """Only the terminal's columns come from the feed."""
    own = [name for name in fed.columns if not name.startswith("t_")]
    assert fed.select(own).equals(values.select(own))


def test_report_of_the_file(mapping: RowMapping) -> None:
    """The file fits its documented mapping, without a finding."""
    report = check(str(HANDBOOK), mapping, card())
    assert report.ok
    assert report.findings == ()
    assert all(column.null_share == 0 for column in report.columns)


def test_bank_splits_cover_every_customer(rows: pl.DataFrame) -> None:
    """Each customer that has transactions is in one bank of each split."""
    for split in ("BANK_IID10", "BANK_REGION9", "BANK_SIZE10", "BANK_SKEW10"):
        banks = banks_of(str(FOLDER / "handbook_customers.parquet"), split)
        assert set(rows["customer"].unique()) <= set(banks)
