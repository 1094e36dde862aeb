"""The report of `tacit data check`: what fits, what does not, and the values of every column."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from feature_cases import card, card_document, contract_of, random_rows
from row_cases import FIRST, MAPPING, SQL_MAPPING, database, table, written
from tacit.adapters.rows import Report, check
from tacit.features.windows import feed_of


def report(folder: Path, **columns: list[Any]) -> Report:
    """The report of a small table."""
    return check(written(folder, table(6, **columns)), MAPPING, card())


def test_a_fitting_table(tmp_path: Path) -> None:
    """Counts, times and one line per contract column."""
    result = report(tmp_path, FRAUD=[1, 0, 0, 0, 0, 0])
    assert result.ok
    assert (result.rows, result.customers, result.entities, result.frauds) == (6, 2, 1, 1)
    assert (result.latest or 0) - (result.earliest or 0) == 5 * 3600
    assert [column.name for column in result.columns] == list(card().index)
    assert result.findings == ()


def test_shares_of_a_column(tmp_path: Path) -> None:
    """Lowest, highest, and how much lies in the outer bins."""
    amount = report(tmp_path, AMOUNT=[1.0, 4.99, 5.0, 999.99, 1000.0, 5000.0]).columns[0]
    assert (amount.low, amount.high) == (1.0, 5000.0)
    assert (amount.below_share, amount.above_share) == pytest.approx((2 / 6, 2 / 6))
    assert amount.null_share == 0.0


def test_missing_values_of_a_column(tmp_path: Path) -> None:
    """Missing values are counted apart; a column of nothing else has no range."""
    flag = {"type": "flag", "provenance": "customer", "edges": ["0.5"], "centre": 0, "spread": 1}
    columns = [*card_document()["columns"], {**flag, "name": "half"}, {**flag, "name": "none"}]
    mapping = replace(MAPPING, features={"half": "HALF", "none": "NONE"})
    frame = table(HALF=[1.0, None] * 3, NONE=[float("nan")] * 6)
    half, none = check(written(tmp_path, frame), mapping, contract_of({**card_document(), "columns": columns})).columns[
        15:
    ]
    assert (half.null_share, half.low, half.above_share) == (0.5, 1.0, 0.5)
    assert (none.null_share, none.low, none.high) == (1.0, None, None)


def test_rows_at_fault_do_not_fit(tmp_path: Path) -> None:
    """The usable rows are described beside the findings."""
    result = report(tmp_path, AMOUNT=[-1.0, 2, 3, 4, 5, 6])
    assert not result.ok
    assert (result.rows, result.findings[0].rows) == (5, 1)
    assert len(result.columns) == 15


def test_unknown_labels_fit(tmp_path: Path) -> None:
    """A finding that leaves no row out is only told."""
    result = report(tmp_path, FRAUD=[None, 0, 0, 0, 0, 1])
    assert result.ok
    assert "finding    label: column 'FRAUD': 1 rows kept" in result.render()


def test_differences_stand_in_the_report(tmp_path: Path) -> None:
    """A source of another shape is an answer, not an exception."""
    result = check(written(tmp_path, table().rename({"CARD": "CARDS"})), MAPPING, card())
    assert not result.ok
    assert result.error is not None
    assert "did you mean 'CARDS'?" in result.render()


def test_a_source_without_usable_rows(tmp_path: Path) -> None:
    """Nothing to describe."""
    result = report(tmp_path, AMOUNT=[-1.0] * 6)
    assert (result.ok, result.rows, result.error) == (False, 0, "no usable row")
    assert (result.earliest, result.columns) == (None, ())


def test_a_feed_that_is_not_given(tmp_path: Path) -> None:
    """The contract's feed is asked for by name; with it the columns are there."""
    source = written(tmp_path, table())
    missing = check(source, MAPPING, card("card-feed.yaml"))
    assert missing.error == "the contract needs feed 'network'; feeds given: none"
    assert check(source, MAPPING, card("card-feed.yaml"), {"network": feed_of(random_rows(1))}).ok


def test_text_of_a_report(tmp_path: Path) -> None:
    """Plain text: facts, then an aligned table."""
    times = [FIRST + timedelta(days=day) for day in range(6)]
    lines = report(tmp_path, AT=times).render().splitlines()
    assert lines[1] == "verdict    fits"
    assert lines[2:5] == ["rows       6 (0 fraud)", "customers  2", "entities   1"]
    assert lines[5] == "time       2018-06-01 12:00:00 to 2018-06-06 12:00:00 UTC"
    assert {len(line) for line in lines[6:]} == {82}
    assert lines[7].split() == ["amount", "0.00%", "10.25", "15.25", "0.00%", "0.00%"]


def test_text_of_missing_ranges(tmp_path: Path) -> None:
    """A column of missing values has no range to print."""
    document = card_document()
    document["columns"][3].update(of="mean(amount)", type="amount", delay_days=300)
    text = check(written(tmp_path, table()), MAPPING, contract_of(document)).render()
    assert [line.split() for line in text.splitlines() if line.startswith("c_nb1 ")] == [
        ["c_nb1", "100.00%", "-", "-", "0.00%", "0.00%"]
    ]


def test_a_database_is_described_without_its_password(tmp_path: Path) -> None:
    """The source stands in the report, a password does not."""
    assert check(database(tmp_path, table()), SQL_MAPPING, card()).ok
    result = check("nodialect://me:geheim@host/db#tx", SQL_MAPPING, card())
    assert "geheim" not in result.render()
    assert "host/db#tx" in result.source
