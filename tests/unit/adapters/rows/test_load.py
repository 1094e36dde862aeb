"""Rows are read exactly or refused with counts; the lenient reading drops what is at fault and says so."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_cases import DAY, card
from row_cases import FIRST, FIRST_SECONDS, MAPPING, SQL_MAPPING, database, table, written
from tacit.adapters.rows import AmountUnit, RowMapping, RowsError, load, load_usable
from tacit.features.windows import TRANSACTIONS, compute

NAN, INF = float("nan"), float("inf")
HOURS = [FIRST_SECONDS + 3600 * position for position in range(6)]


def read(folder: Path, mapping: RowMapping = MAPPING, **columns: Any) -> pl.DataFrame:  # noqa: ANN401
    """Loads a Parquet table with some columns given."""
    return load(written(folder, table(**columns)), mapping)


def test_a_table_is_normalised(tmp_path: Path) -> None:
    """Columns, types and values are those of the schema; other columns are not read."""
    rows = read(tmp_path, FRAUD=[0, 1, 0, 0, 0, 0])
    assert rows.columns == list(TRANSACTIONS)
    assert all(rows.schema[name] in kinds for name, kinds in TRANSACTIONS.items())
    assert rows["time"].to_list() == HOURS
    assert rows["label_time"].to_list() == [hour + 7 * DAY for hour in HOURS]
    assert rows["amount"].to_list() == [1025, 1125, 1225, 1325, 1425, 1525]
    assert rows["label"].to_list() == [0, 1, 0, 0, 0, 0]
    assert (rows["weekend"].sum(), rows["night"].sum()) == (0, 0)


def test_features_can_be_computed_of_what_was_loaded(tmp_path: Path) -> None:
    """The normalised frame is what windows take."""
    values = compute(read(tmp_path), card())
    assert values["c_nb1"].to_list() == [1, 1, 2, 2, 3, 3]


def test_rows_are_sorted_by_time_and_id(tmp_path: Path) -> None:
    """Whatever order the source has."""
    rows = read(tmp_path, AT=[FIRST] * 3 + [FIRST - timedelta(hours=1)] * 3, TX_ID=[9, 7, 8, 6, 5, 4])
    assert rows["transaction"].to_list() == [4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("kind", [pl.Int8, pl.UInt32, pl.Int64, pl.String, pl.Categorical])
def test_ids_are_integers_or_text(tmp_path: Path, kind: type[pl.DataType]) -> None:
    """Integers of any width become Int64, text and categories String."""
    rows = load(written(tmp_path, table().with_columns(pl.col("CARD").cast(pl.String).cast(kind))), MAPPING)
    text = kind in (pl.String, pl.Categorical)
    assert rows.schema["customer"] == (pl.String if text else pl.Int64)
    assert rows["customer"].to_list() == ([str(n % 2) for n in range(6)] if text else [n % 2 for n in range(6)])


@pytest.mark.parametrize(
    "times",
    [
        pl.Series([FIRST + timedelta(hours=n) for n in range(6)], dtype=pl.Datetime("ms")),
        pl.Series([FIRST + timedelta(hours=n) for n in range(6)], dtype=pl.Datetime("ns")),
        pl.Series([FIRST + timedelta(hours=n) for n in range(6)]).dt.replace_time_zone("UTC"),
        pl.Series([FIRST + timedelta(hours=n + 2) for n in range(6)]).dt.replace_time_zone("Europe/Paris"),
        pl.Series(HOURS),
        pl.Series(HOURS, dtype=pl.Int32),
        pl.Series([f"2018-06-01 {12 + n}:00:00" for n in range(6)]),
        pl.Series([f"2018-06-01T{12 + n}:00:00.250000" for n in range(6)]),
        pl.Series([f"2018-06-01T{14 + n}:00:00+02:00" for n in range(6)]),
    ],
    ids=["ms", "ns", "utc", "paris", "seconds", "int32", "text", "fraction", "offset"],
)
def test_times_of_every_kind(tmp_path: Path, times: pl.Series) -> None:
    """All ways to write a time give the same seconds, and the same rows of a range."""
    source = written(tmp_path, table(AT=times))
    assert load(source, MAPPING)["time"].to_list() == HOURS
    assert load(source, MAPPING, HOURS[1], HOURS[4])["time"].to_list() == HOURS[1:4]


def test_dates_begin_at_the_banks_midnight(tmp_path: Path) -> None:
    """A date is a time by the bank's clock."""
    paris = replace(MAPPING, zone="Europe/Paris")
    rows = read(tmp_path, paris, AT=[date(2018, 6, 1)] * 6)
    assert set(rows["time"]) == {paris.midnight(date(2018, 6, 1))}


@pytest.mark.parametrize(
    ("zone", "weekend", "night"), [("UTC", 0, 0), ("Asia/Tokyo", 1, 1), ("Pacific/Auckland", 1, 0)]
)
def test_weekend_and_night_are_by_the_banks_clock(tmp_path: Path, zone: str, weekend: int, night: int) -> None:
    """Friday 21:30 UTC is Saturday morning further east."""
    at = datetime(2018, 6, 1, 21, 30, tzinfo=UTC)
    rows = load(written(tmp_path, table(1, AT=pl.Series([at]))), replace(MAPPING, zone=zone))
    assert rows.select("weekend", "night").row(0) == (weekend, night)


@pytest.mark.parametrize(("hour", "night"), [(0, 1), (6, 1), (7, 0), (23, 0)])
def test_night_ends_with_hour_six(tmp_path: Path, hour: int, night: int) -> None:
    """Hours 0 to 6 are night, to their last second."""
    rows = read(tmp_path, AT=[datetime(2018, 6, 1, hour, 59, 59)] * 6)  # noqa: DTZ001
    assert set(rows["night"]) == {night}


def test_naive_times_are_read_in_the_banks_zone(tmp_path: Path) -> None:
    """Of an hour that comes twice the first is taken; an hour that never was is a fault."""
    times = [datetime(2018, 10, 28, 2, 30), datetime(2018, 3, 25, 2, 30)]  # noqa: DTZ001
    rows, findings = load_usable(written(tmp_path, table(2, AT=times)), replace(MAPPING, zone="Europe/Paris"))
    assert rows["time"].to_list() == [int(datetime(2018, 10, 28, 0, 30, tzinfo=UTC).timestamp())]
    assert [(finding.field, finding.rows) for finding in findings] == [("time", 1)]


@pytest.mark.parametrize(
    ("first", "last", "wanted"),
    [
        (None, None, HOURS),
        (HOURS[2], None, HOURS[2:]),
        (None, HOURS[2], HOURS[:2]),
        (HOURS[1] + 1, HOURS[3] + 1, HOURS[2:4]),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Etc/GMT+12"])
def test_a_time_range_is_exact(
    tmp_path: Path, first: int | None, last: int | None, wanted: list[int], zone: str
) -> None:
    """First is inside, last outside, however far the bank's clock is from UTC."""
    local = pl.from_epoch(pl.Series(HOURS)).dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    source = written(tmp_path, table(AT=local.dt.replace_time_zone(None)))
    assert load(source, replace(MAPPING, zone=zone), first, last)["time"].to_list() == wanted


@pytest.mark.parametrize(("hive", "count"), [(True, 3), (False, 3)])
def test_folders_of_files(tmp_path: Path, hive: bool, count: int) -> None:
    """A folder of files, plain or hive, is one table; a hive key may be a mapped column."""
    for part in range(count):
        frame = table(2, TX_ID=[part * 2, part * 2 + 1], CARD=[part] * 2)
        frame = frame.drop("CARD") if hive else frame
        written(tmp_path, frame, f"CARD={part}/a.parquet" if hive else f"{part}/a.parquet")
    rows = load(str(tmp_path), MAPPING)
    assert sorted(zip(rows["transaction"], rows["customer"], strict=True)) == [(n, n // 2) for n in range(6)]


def test_label_times_are_taken_where_there_are_any(tmp_path: Path) -> None:
    """A missing label time is the default one."""
    known = [FIRST + timedelta(days=30)] * 3 + [None] * 3
    rows = read(tmp_path, replace(MAPPING, label_time="KNOWN", label_delay_days=10), KNOWN=known)
    assert rows["label_time"].to_list() == [HOURS[0] + 30 * DAY] * 3 + [hour + 10 * DAY for hour in HOURS[3:]]


def test_further_features_come_along(tmp_path: Path) -> None:
    """Numeric columns of the bank stand under the contract's names, missing values and all."""
    mapping = replace(MAPPING, features={"age": "AGE", "vip": "VIP"})
    rows = read(tmp_path, mapping, AGE=[30, None, 32, 33, 34, 35], VIP=[True, False] * 3)
    assert rows.columns == [*TRANSACTIONS, "age", "vip"]
    assert rows["age"].to_list() == [30.0, None, 32.0, 33.0, 34.0, 35.0]
    assert rows["vip"].to_list() == [1.0, 0.0] * 3


def test_labels_may_be_boolean_or_unknown(tmp_path: Path) -> None:
    """An unknown label counts as not fraud, and that is said."""
    source = written(tmp_path, table(FRAUD=[True, None, False, None, True, False]))
    rows, findings = load_usable(source, MAPPING)
    assert rows["label"].to_list() == [1, 0, 0, 0, 1, 0]
    assert [(finding.rows, finding.dropped) for finding in findings] == [(2, False)]
    assert load(source, MAPPING).equals(rows)


def test_minor_units(tmp_path: Path) -> None:
    """Integers may be minor units of the currency."""
    mapping = replace(MAPPING, amount_unit=AmountUnit.MINOR, currency="JPY", digits=0)
    assert read(tmp_path, mapping, AMOUNT=[7] * 6)["amount"].to_list() == [700] * 6


@pytest.mark.parametrize(
    ("column", "bad", "field", "fault"),
    [
        ("TX_ID", None, "transaction", "no usable id"),
        ("CARD", None, "customer", "no usable id"),
        ("SHOP", None, "entity", "no usable id"),
        ("AT", None, "time", "no usable time"),
        ("AMOUNT", None, "amount", "null; allowed: a number"),
        ("AMOUNT", NAN, "amount", "not finite"),
        ("AMOUNT", INF, "amount", "not finite"),
        ("AMOUNT", -INF, "amount", "not finite"),
        ("AMOUNT", -0.01, "amount", "negative; allowed: 0 or more"),
        ("AMOUNT", 1e13, "amount", "above 1000000000000"),
        ("FRAUD", 2, "label", "neither 0 nor 1"),
        ("FRAUD", -1, "label", "neither 0 nor 1"),
        ("TX_ID", 103, "transaction", "an id that the customer has earlier already"),
    ],
)
def test_rows_at_fault(tmp_path: Path, column: str, bad: Any, field: str, fault: str) -> None:  # noqa: ANN401
    """One bad value in the last row: refused when strict, left out and counted when not."""
    frame = table()
    source = written(tmp_path, frame.with_columns(pl.Series(column, [*frame[column].to_list()[:5], bad], strict=False)))
    with pytest.raises(RowsError, match="has rows at fault, 5 rows are usable") as caught:
        load(source, MAPPING)
    rows, findings = load_usable(source, MAPPING)
    assert rows["transaction"].to_list() == [100, 101, 102, 103, 104]
    assert findings == caught.value.findings
    assert [(finding.field, finding.column, finding.rows, finding.dropped) for finding in findings] == [
        (field, column, 1, True)
    ]
    assert findings[0].fault.startswith(fault)


@pytest.mark.parametrize(("at", "usable"), [(-1, False), (0, True), (7_258_118_399, True), (7_258_118_400, False)])
def test_times_have_a_range(tmp_path: Path, at: int, usable: bool) -> None:
    """Seconds outside 1970 to 2199 are no time: milliseconds are not mistaken for seconds."""
    assert load_usable(written(tmp_path, table(1, AT=[at])), MAPPING)[0].height == usable


def test_text_that_is_no_time_is_a_fault(tmp_path: Path) -> None:
    """Text in another form is counted, not guessed at."""
    rows, findings = load_usable(written(tmp_path, table(2, AT=["2018-06-01 12:00:00", "01/06/18 noon"])), MAPPING)
    assert rows.height == 1
    assert (findings[0].field, findings[0].examples) == ("time", ("101",))


def test_a_label_known_too_early_is_a_fault(tmp_path: Path) -> None:
    """Nobody knows of a fraud before it happens."""
    known = [FIRST - timedelta(seconds=1)] + [FIRST + timedelta(days=1)] * 5
    rows, findings = load_usable(written(tmp_path, table(KNOWN=known)), replace(MAPPING, label_time="KNOWN"))
    assert rows.height == 5
    assert findings[0].field == "label_time"


def test_of_repeated_ids_the_earliest_is_kept(tmp_path: Path) -> None:
    """Three rows of one id: two are left out, whatever their order."""
    rows, findings = load_usable(written(tmp_path, table(3, TX_ID=[1, 1, 1], CARD=[7, 7, 7]).reverse()), MAPPING)
    assert rows["time"].to_list() == HOURS[:1]
    assert findings[0].rows == 2


def test_an_id_of_several_customers_is_refused_but_kept(tmp_path: Path) -> None:
    """Leaving one out would make a customer's rows depend on another customer's."""
    source = written(tmp_path, table(4, TX_ID=[1, 2, 2, 3], CARD=[7, 7, 8, 8]))
    with pytest.raises(RowsError, match="2 rows kept: an id that several customers have; allowed: unique ids"):
        load(source, MAPPING)
    rows, findings = load_usable(source, MAPPING)
    assert rows["transaction"].to_list() == [1, 2, 2, 3]
    assert [(finding.rows, finding.dropped) for finding in findings] == [(2, False)]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 4), st.sampled_from([1.0, -1.0, None])), min_size=1, max_size=20
    )
)
def test_usable_rows_of_a_customer_do_not_depend_on_others(
    tmp_path: Path, drawn: list[tuple[int, int, float | None]]
) -> None:
    """Taking a customer out of the source leaves the usable rows of all others as they were."""
    cards, ids, amounts = zip(*drawn, strict=True)
    frame = table(len(drawn), CARD=list(cards), TX_ID=list(ids), AMOUNT=pl.Series(amounts, dtype=pl.Float64))
    together, _ = load_usable(written(tmp_path, frame), MAPPING)
    for card_id in range(4):
        apart, _ = load_usable(written(tmp_path, frame.filter(pl.col("CARD") != card_id)), MAPPING)
        assert apart.equals(together.filter(pl.col("customer") != card_id))


def test_a_row_counts_under_one_fault(tmp_path: Path) -> None:
    """Counts of faults add up to the rows left out; at most three ids are shown."""
    source = written(
        tmp_path, table(AMOUNT=[-1.0, -1.0, -1.0, -1.0, 1.0, 1.0], CARD=[None, 1, 1, 1, 1, 1], FRAUD=[9] * 5 + [0])
    )
    rows, findings = load_usable(source, MAPPING)
    assert [(finding.field, finding.rows) for finding in findings] == [("customer", 1), ("amount", 3), ("label", 1)]
    assert findings[1].examples == ("101", "102", "103")
    assert rows.height == 1


def test_faults_outside_the_range_are_not_seen(tmp_path: Path) -> None:
    """A range reads its own rows; only rows without a time are always counted."""
    source = written(tmp_path, table(AMOUNT=[-1.0, 1, 1, 1, 1, -1]))
    assert load(source, MAPPING, HOURS[1], HOURS[5]).height == 4


def test_an_empty_table_has_no_rows(tmp_path: Path) -> None:
    """No rows is not an error."""
    rows = load(written(tmp_path, table().head(0)), MAPPING)
    assert rows.columns == list(TRANSACTIONS)
    assert rows.height == 0


def test_one_customer_with_ten_thousand_rows(tmp_path: Path) -> None:
    """A large customer is read like any other."""
    rows = load(written(tmp_path, table(10_000, CARD=[1] * 10_000)), MAPPING)
    assert rows.height == 10_000
    assert compute(rows, card())["c_nb1"].max() == 24


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([None, NAN, -1.0, INF, 5.0, 1e13]), min_size=1, max_size=12))
def test_usable_and_left_out_rows_add_up(tmp_path: Path, amounts: list[float | None]) -> None:
    """Every row is either usable or in exactly one finding."""
    amount = pl.Series(amounts, dtype=pl.Float64)
    rows, findings = load_usable(written(tmp_path, table(len(amounts), AMOUNT=amount)), MAPPING)
    assert rows.height == amounts.count(5.0)
    assert rows.height + sum(finding.rows for finding in findings) == len(amounts)


def test_a_database_gives_the_same_rows(tmp_path: Path) -> None:
    """SQL and Parquet are read alike, ranges included."""
    frame = table(FRAUD=[0, 1, 0, 0, None, 1])
    source, parquet = database(tmp_path, frame), written(tmp_path, frame)
    assert load(source, SQL_MAPPING).equals(load(parquet, MAPPING))
    assert load(source, SQL_MAPPING, HOURS[1], HOURS[3]).equals(load(parquet, MAPPING, HOURS[1], HOURS[3]))
