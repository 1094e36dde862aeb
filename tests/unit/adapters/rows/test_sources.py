"""A source that does not fit is refused with a readable difference, and nothing secret is shown."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from row_cases import FIRST, FIRST_SECONDS, MAPPING, SQL_MAPPING, database, table, written
from tacit.adapters.rows import RowsError, load, load_empty, load_usable, shape, sources, sql

HOUR = 3600


def refusal(source: str, **change: Any) -> RowsError:  # noqa: ANN401
    """The error with which a source is refused, strict or not."""
    mapping = replace(SQL_MAPPING if "://" in source else MAPPING, **change)
    with pytest.raises(RowsError) as strict:
        load(source, mapping)
    with pytest.raises(RowsError) as lenient:
        load_usable(source, mapping)
    assert str(strict.value) == str(lenient.value)
    return strict.value


def test_a_source_is_judged_by_its_schema(tmp_path: Path) -> None:
    """No row, the columns and types of the whole source, from Parquet and SQL alike."""
    path = written(tmp_path, table())
    assert load_empty(path, MAPPING).equals(load(path, MAPPING).clear())
    url = database(tmp_path, table())
    assert load_empty(url, SQL_MAPPING).schema == load(url, SQL_MAPPING).schema
    assert load_empty(url, SQL_MAPPING).height == 0
    with pytest.raises(RowsError, match="does not fit"):
        load_empty(written(tmp_path, table().drop("CARD")), MAPPING)


@pytest.mark.parametrize("column", ["TX_ID", "CARD", "AT", "AMOUNT", "SHOP", "FRAUD"])
def test_missing_columns_are_named(tmp_path: Path, column: str) -> None:
    """Each mapped column has to be there."""
    (difference,) = refusal(written(tmp_path, table().drop(column))).differences
    assert (difference.column, difference.found) == (column, "no such column")


@pytest.mark.parametrize(
    ("renamed", "suggestion"), [("AMOUNTS", "AMOUNTS"), ("amount", "amount"), ("Amnt", "Amnt"), ("BETRAG", None)]
)
def test_renamed_columns_are_suggested(tmp_path: Path, renamed: str, suggestion: str | None) -> None:
    """The nearest name is offered, in whatever case; a far one is not."""
    (difference,) = refusal(written(tmp_path, table().rename({"AMOUNT": renamed}))).differences
    assert difference.suggestion == suggestion


@pytest.mark.parametrize(
    ("column", "value", "found"),
    [
        ("TX_ID", 1.5, "Float64"),
        ("CARD", 1.5, "Float64"),
        ("SHOP", True, "Boolean"),
        ("AT", 1.5, "Float64"),
        ("AMOUNT", "12.50", "String"),
        ("AMOUNT", True, "Boolean"),
        ("FRAUD", "yes", "String"),
        ("FRAUD", 0.5, "Float64"),
    ],
)
def test_wrong_types_are_named(tmp_path: Path, column: str, value: object, found: str) -> None:
    """What was expected stands beside what was found."""
    (difference,) = refusal(written(tmp_path, table().with_columns(pl.Series(column, [value] * 6)))).differences
    assert (difference.column, difference.found, difference.suggestion) == (column, found, None)
    assert f"column {column!r}: expected" in difference.render()


def test_all_differences_are_told_at_once(tmp_path: Path) -> None:
    """Three faults, three lines, and the columns that there are."""
    frame = table(AMOUNT=["1"] * 6).drop("CARD").rename({"FRAUD": "IS_FRAUD"})
    error = refusal(written(tmp_path, frame))
    assert [difference.field for difference in error.differences] == ["customer", "amount", "label"]
    assert "its columns are TX_ID, AT, AMOUNT, SHOP, IS_FRAUD, NOTE" in str(error)
    assert len(str(error).splitlines()) == 4


def test_text_features_are_refused(tmp_path: Path) -> None:
    """A category has to come as a public code."""
    (difference,) = refusal(written(tmp_path, table(KIND=["a"] * 6)), features={"kind": "KIND"}).differences
    assert (difference.field, difference.expected, difference.found) == ("features.kind", "a number", "String")


def test_a_fitting_source_has_no_difference() -> None:
    """Nothing is made up."""
    assert shape.compare(MAPPING, table().schema) == []


def test_missing_files_are_named(tmp_path: Path) -> None:
    """No such file, and a folder without Parquet files."""
    assert "no such file or folder" in str(refusal(str(tmp_path / "none.parquet")))
    assert "the folder holds no *.parquet file" in str(refusal(str(tmp_path)))


def test_files_that_are_not_parquet_are_refused(tmp_path: Path) -> None:
    """A broken file is an error with its path."""
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"TX_ID,CARD\n1,2\n")
    assert f"cannot read {path}" in str(refusal(str(path)))


def test_files_of_different_shapes_are_refused(tmp_path: Path) -> None:
    """A folder whose files do not agree is not half read."""
    written(tmp_path, table(), "a.parquet")
    written(tmp_path, table(AMOUNT=["x"] * 6), "b.parquet")
    assert "cannot read" in str(refusal(str(tmp_path)))


def test_only_mapped_columns_are_read(tmp_path: Path) -> None:
    """Other columns never enter memory."""
    frame = sources.read(written(tmp_path, table()), MAPPING, None, None)
    assert frame.columns == sorted(MAPPING.fields.values())


@pytest.mark.parametrize("days", [3, 30])
def test_only_the_time_range_is_read(tmp_path: Path, days: int) -> None:
    """Rows more than a day outside are not read, rows without a time are."""
    times = [FIRST + timedelta(days=day) for day in range(days)] + [None]
    frame = table(days + 1, AT=times)
    for source, mapping in ((written(tmp_path, frame), MAPPING), (database(tmp_path, frame), SQL_MAPPING)):
        raw = sources.read(source, mapping, FIRST_SECONDS, FIRST_SECONDS + 1)
        assert raw.height == 3
        assert raw["AT"].null_count() == 1


@pytest.mark.parametrize(
    ("kind", "times"),
    [
        (sa.Integer, [FIRST_SECONDS + HOUR * n for n in range(6)]),
        (sa.Text, [f"2018-06-01 {12 + n}:00:00" for n in range(6)]),
        (sa.Text, [f"2018-06-01T{12 + n}:00:00.5Z" for n in range(6)]),
        (sa.DateTime, [FIRST + timedelta(hours=n) for n in range(6)]),
    ],
)
def test_times_of_a_database(tmp_path: Path, kind: type, times: list[object]) -> None:
    """Timestamps, seconds and ISO text are read with their range."""
    source = database(tmp_path, table(AT=times), {"AT": kind})
    wanted = [FIRST_SECONDS + HOUR * n for n in range(6)]
    assert load(source, SQL_MAPPING)["time"].to_list() == wanted
    assert load(source, SQL_MAPPING, wanted[1], wanted[4])["time"].to_list() == wanted[1:4]


def test_ranges_of_a_database_reach_over_days(tmp_path: Path) -> None:
    """A range over ISO text keeps exactly its rows."""
    times = [f"2018-06-0{day}T00:00:00" for day in range(1, 9)]
    source = database(tmp_path, table(8, AT=times), {"AT": sa.Text})
    midnight = FIRST_SECONDS - 12 * HOUR
    rows = load(source, SQL_MAPPING, midnight + 24 * 2 * HOUR, midnight + 24 * 5 * HOUR)
    assert rows["transaction"].to_list() == [102, 103, 104]


@pytest.mark.filterwarnings("ignore:Dialect sqlite.* does \\*not\\* support Decimal")
def test_decimals_and_booleans_of_a_database(tmp_path: Path) -> None:
    """Numeric and boolean columns keep their exact values."""
    frame = table(AMOUNT=[Decimal("0.125")] * 6, FRAUD=[True, False] * 3)
    rows = load(database(tmp_path, frame, {"AMOUNT": sa.Numeric(12, 3), "FRAUD": sa.Boolean}), SQL_MAPPING)
    assert rows["amount"].to_list() == [12] * 6
    assert rows["label"].to_list() == [1, 0] * 3


def test_many_batches_are_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows fetched in parts are all there, in order."""
    monkeypatch.setattr(sql, "BATCH", 4)
    frame = table(11)
    assert load(database(tmp_path, frame), SQL_MAPPING).equals(load(written(tmp_path, frame), MAPPING))


def test_an_empty_database_table(tmp_path: Path) -> None:
    """No rows is not an error."""
    source = database(tmp_path, table(1))
    assert load(source, SQL_MAPPING, FIRST_SECONDS + 90 * HOUR).height == 0


def test_columns_of_a_database_are_compared(tmp_path: Path) -> None:
    """Missing and wrong-typed columns of a table are told as those of a file."""
    source = database(tmp_path, table().drop("CARD"), {"AMOUNT": sa.Text})
    error = refusal(source)
    assert [difference.field for difference in error.differences] == ["customer", "amount"]


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("sqlite:///nothing.db#tx", "no such file"),
        ("sqlite:///nothing.db", "names no table; expected URL#table or URL#schema.table"),
        ("sqlite:///nothing.db#", "names no table"),
        ("nodialect://host#tx", "cannot read nodialect://host#tx: NoSuchModuleError"),
        ("://#tx", "cannot read an SQL URL that cannot be parsed"),
    ],
)
def test_databases_that_cannot_be_read(source: str, part: str) -> None:
    """No file is made, no table guessed."""
    assert part in str(refusal(source))
    assert not Path("nothing.db").exists()


def test_missing_tables_are_refused(tmp_path: Path) -> None:
    """A table that is not there."""
    source = database(tmp_path, table()).replace("#tx", "#rows")
    assert str(refusal(source)).endswith("NoSuchTableError")


@pytest.mark.parametrize(
    "source", ["nodialect://me:geheim@host/db#tx", "sqlite://me:geheim@host/x.db", "a:b:geheim://#x"]
)
def test_passwords_are_not_shown(source: str) -> None:
    """No error repeats the connection string's password."""
    assert "geheim" not in str(refusal(source))


def test_objects_of_a_database_are_wrong_types(tmp_path: Path) -> None:
    """A column type that no field takes is a difference, not a crash."""
    source = database(tmp_path, table(CARD=[b"1"] * 6), {"CARD": sa.LargeBinary})
    (difference,) = refusal(source).differences
    assert difference.field == "customer"


def test_values_that_do_not_fit_their_type_are_faults(tmp_path: Path) -> None:
    """SQLite lets text into a number's column; such a row is counted."""
    source = database(tmp_path, table())
    engine = sa.create_engine(source.partition("#")[0])
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE tx SET CARD = 'who' WHERE TX_ID = 103"))
    engine.dispose()
    rows, findings = load_usable(source, SQL_MAPPING)
    assert rows.height == 5
    assert [(finding.field, finding.examples) for finding in findings] == [("customer", ("103",))]


def test_timestamps_that_cannot_be_parsed_are_faults(tmp_path: Path) -> None:
    """A value that is no time is counted like any other and stops nothing."""
    source = database(tmp_path, table())
    engine = sa.create_engine(source.partition("#")[0])
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE tx SET AT = 'noon' WHERE TX_ID = 103"))
    engine.dispose()
    rows, findings = load_usable(source, SQL_MAPPING)
    assert rows.height == 5
    assert [(finding.field, finding.examples) for finding in findings] == [("time", ("103",))]


def test_a_nearest_name_is_only_a_near_one() -> None:
    """Suggestions come from the source's own columns."""
    found = {"customer_id": pl.Int64(), "terminal_id": pl.Int64()}
    differences = shape.compare(replace(MAPPING, customer="CUSTOMERID", entity="TERMINAL"), found)
    assert {d.field: d.suggestion for d in differences if d.suggestion} == {
        "customer": "customer_id",
        "entity": "terminal_id",
    }
