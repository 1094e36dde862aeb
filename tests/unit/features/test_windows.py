"""Window features equal a slow reading of their definition, row by row, and see nothing that is later."""

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_cases import DAY, card, contract_of, random_rows
from tacit.features.spec import Column, Contract
from tacit.features.windows import TRANSACTIONS, FeatureError, compute, fraud_share, mean_amount

Row = dict[str, Any]
TYPES = {"count": "count", "mean(amount)": "amount", "fraud_share": "share"}
START = 1_522_540_800


def window(of: str, key: str, days: int, delay_days: int) -> Row:
    """A window column's document."""
    short = {"count": "nb", "mean(amount)": "avg", "fraud_share": "risk"}[of]
    return {
        "name": f"{key[0]}_{short}{days}_{delay_days}",
        "type": TYPES[of],
        "provenance": "mixing",
        "edges": ["0.5"],
        "centre": 0,
        "spread": 1,
        "of": of,
        "key": key,
        "days": days,
        "delay_days": delay_days,
    }


def contract_with(*columns: Row) -> Contract:
    """A contract with these columns and a linear term each."""
    names = [column["name"] for column in columns]
    return contract_of({"api": "tacit.contract/v1", "columns": columns, "linear": names, "scale": 1})


def every_window() -> Contract:
    """Each aggregate over each key, with and without a delay."""
    return contract_with(
        *(
            window(of, key, days, delay)
            for of in TYPES
            for key in ("customer", "terminal")
            for days, delay in ((1, 0), (7, 0), (30, 0), (1, 7), (7, 7), (30, 7), (3, 1))
            if of != "fraud_share" or delay
        )
    )


def expected(rows: list[Row], row: Row, column: Column) -> float:
    """One value straight from the definition."""
    key = "customer" if column.key == "customer" else "entity"
    end = row["time"] - column.delay_days * DAY
    begin = end - (column.days or 0) * DAY
    inside = [
        other
        for other in rows
        if other[key] == row[key]
        and begin < other["time"] <= end
        and (other["time"], other["transaction"]) <= (row["time"], row["transaction"])
    ]
    if column.of == "count":
        return float(len(inside))
    if column.of == "mean(amount)":
        total = sum(other["amount"] for other in inside)
        return float(np.float32(total / (100 * len(inside)))) if inside else math.nan
    frauds = sum(other["label"] == 1 and other["label_time"] <= row["time"] for other in inside)
    return float(np.float32(frauds / len(inside))) if inside else 0.0


def reference(transactions: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """All values straight from the definition."""
    rows = transactions.to_dicts()
    return pl.DataFrame(
        {column.name: [expected(rows, row, column) for row in rows] for column in contract.columns},
        schema={column.name: pl.Float32 for column in contract.columns},
    )


def same(left: pl.DataFrame, right: pl.DataFrame) -> bool:
    """Equal bit for bit, NaN included."""
    return left.columns == right.columns and left.to_numpy().tobytes() == right.to_numpy().tobytes()


def small(**columns: list[Any]) -> pl.DataFrame:
    """Normalised rows of one customer at one terminal, with some columns given."""
    rows = len(next(iter(columns.values())))
    time = columns.get("time", [START + position for position in range(rows)])
    held: dict[str, list[Any]] = {
        "transaction": list(range(rows)),
        "customer": [1] * rows,
        "entity": [1] * rows,
        "time": time,
        "amount": [100] * rows,
        "label": [0] * rows,
        "label_time": [moment + 7 * DAY for moment in time],
        "weekend": [0] * rows,
        "night": [0] * rows,
    }
    return pl.DataFrame(held | columns, schema={name: kinds[0] for name, kinds in TRANSACTIONS.items()})


def values(transactions: pl.DataFrame, column: Row) -> list[float]:
    """The values of one column."""
    held: list[float] = compute(transactions, contract_with(column))[column["name"]].to_list()
    return held


@pytest.mark.parametrize("seed", range(4))
def test_windows_equal_their_definition(seed: int) -> None:
    """Every aggregate, key and delay, on rows with many ties and labels known late."""
    transactions, contract = random_rows(seed), every_window()
    assert same(compute(transactions, contract), reference(transactions, contract))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.sampled_from([1, 3600, DAY, 7 * DAY]))
def test_windows_equal_their_definition_on_any_rows(seed: int, rows: int, tie: int) -> None:
    """The same for few rows, where ends of groups and windows meet."""
    transactions, contract = random_rows(seed, rows=rows, days=40, ids=3, tie=tie), every_window()
    assert same(compute(transactions, contract), reference(transactions, contract))


def test_text_ids_give_the_same_windows() -> None:
    """Ids are only compared: text of equal length orders as the numbers do."""
    transactions, contract = random_rows(7), every_window()
    names = ("transaction", "customer", "entity")
    text = transactions.with_columns(pl.col(name).cast(pl.String).str.zfill(4) for name in names)
    assert same(compute(text, contract), compute(transactions, contract))


def test_rows_in_any_order_keep_their_values() -> None:
    """The result is aligned with the input."""
    transactions, contract = random_rows(8), every_window()
    shuffled = transactions.with_row_index("at").sample(fraction=1.0, shuffle=True, seed=1)
    back = compute(shuffled.drop("at"), contract).with_columns(shuffled["at"]).sort("at").drop("at")
    assert same(back, compute(transactions, contract))


@pytest.mark.parametrize("gap", [-1, 0, 1])
def test_customer_window_is_open_at_its_begin(gap: int) -> None:
    """A row exactly w days ago is outside, one second later inside."""
    transactions = small(time=[START, START + DAY + gap])
    assert values(transactions, window("count", "customer", 1, 0)) == [1, 2 if gap < 0 else 1]


@pytest.mark.parametrize("gap", [-1, 0, 1])
def test_delayed_window_is_closed_at_its_end(gap: int) -> None:
    """A row exactly the delay ago is inside, one second less is not."""
    transactions = small(time=[START, START + 7 * DAY + gap])
    assert values(transactions, window("count", "terminal", 1, 7)) == [0, 0 if gap < 0 else 1]


def test_ties_count_by_transaction_id() -> None:
    """Of rows of one second the later ids see the earlier ones, wherever they stand."""
    transactions = small(time=[START] * 3, transaction=[5, 1, 3])
    assert values(transactions, window("count", "customer", 1, 0)) == [3, 1, 2]


def test_other_customers_change_nothing_bit_for_bit() -> None:
    """Leaving out any customer leaves all others' customer columns as they are."""
    transactions = random_rows(9, ids=5)
    columns = [column for column in every_window().columns if column.key == "customer"]
    contract = Contract(tuple(columns), (columns[0].name,), card().scale)
    together = compute(transactions, contract)
    for customer in range(5):
        others = transactions["customer"] != customer
        assert same(compute(transactions.filter(others), contract), together.filter(others))


@given(st.integers(0, 1000), st.integers(1, 59))
@settings(max_examples=20, deadline=None)
def test_later_rows_and_labels_change_nothing(seed: int, day: int) -> None:
    """Values of rows before a moment do not depend on rows after it, nor on labels that were not known."""
    transactions, contract, cut = random_rows(seed, rows=80), every_window(), START + day * DAY
    before = transactions["time"] < cut
    known_later = pl.col("label_time") >= cut
    hidden = transactions.with_columns(label=pl.when(known_later).then(0).otherwise("label").cast(pl.UInt8))
    past = compute(transactions, contract).filter(before)
    assert same(compute(hidden.filter(before), contract), past)
    assert same(compute(hidden, contract).filter(before), past)


@pytest.mark.parametrize(("known", "share"), [(7 * DAY, 1.0), (7 * DAY + 1, 0.0), (0, 1.0), (900 * DAY, 0.0)])
def test_a_fraud_counts_from_when_it_was_known(known: int, share: float) -> None:
    """The window holds the transaction, but its fraud counts once the label was known."""
    transactions = small(time=[START, START + 7 * DAY], label=[1, 0], label_time=[START + known, START + 14 * DAY])
    assert values(transactions, window("fraud_share", "terminal", 1, 7)) == [0.0, share]


def test_label_times_far_off_do_not_reach_other_terminals() -> None:
    """A label known at the end of time touches no row of the next terminal."""
    times = [START, START + 8 * DAY, START, START + 8 * DAY]
    late = [2**62, 0, START, 0]
    transactions = small(time=times, entity=[1, 1, 2, 2], label=[1, 0, 0, 0], label_time=late)
    assert values(transactions, window("fraud_share", "terminal", 7, 7)) == [0.0] * 4


def test_empty_windows() -> None:
    """Nothing to count is 0, nothing to divide is share 0 and no mean."""
    transactions = small(time=[START])
    assert values(transactions, window("count", "terminal", 1, 7)) == [0.0]
    assert values(transactions, window("fraud_share", "terminal", 1, 7)) == [0.0]
    assert math.isnan(values(transactions, window("mean(amount)", "customer", 1, 7))[0])


def test_no_rows_give_empty_columns() -> None:
    """An empty frame has all columns and no rows."""
    empty = random_rows(1).head(0)
    result = compute(empty, card())
    assert result.columns == list(card().index)
    assert result.height == 0


def test_means_divide_last() -> None:
    """Sums stay whole numbers however large; the division is one float64 operation."""
    big = 10**14 - 1
    transactions = small(amount=[big, big, 1])
    wanted = [float(np.float32(total / (100 * count))) for total, count in ((big, 1), (2 * big, 2), (2 * big + 1, 3))]
    assert values(transactions, window("mean(amount)", "customer", 1, 0)) == wanted


def test_mean_and_share_of_nothing() -> None:
    """The two divisions that scoring shares."""
    counts, sums = np.array([0, 2]), np.array([0, 301])
    np.testing.assert_array_equal(mean_amount(sums, counts), np.array([np.nan, 1.505], dtype=np.float32))
    np.testing.assert_array_equal(fraud_share(np.array([0, 1]), counts), np.array([0, 0.5], dtype=np.float32))


def test_own_columns_are_taken_of_the_row() -> None:
    """The amount gets its unit back; flags and further columns stay."""
    age = {"name": "age", "type": "count", "provenance": "customer", "edges": [18], "centre": 40, "spread": 20}
    flag = {"name": "night", "type": "flag", "provenance": "customer", "edges": ["0.5"], "centre": 0, "spread": 1}
    amount = {"name": "amount", "type": "amount", "provenance": "customer", "edges": [5], "centre": 0, "spread": 1}
    transactions = small(amount=[1234, 5], night=[1, 0]).with_columns(age=pl.Series([1e300, 7.0]))
    result = compute(transactions, contract_with(age, flag, amount))
    np.testing.assert_array_equal(result["age"].to_numpy(), np.array([np.nan, 7], dtype=np.float32))
    assert result["night"].to_list() == [1.0, 0.0]
    assert result["amount"].to_list() == [float(np.float32(12.34)), float(np.float32(0.05))]


@pytest.mark.parametrize("value", [math.inf, -math.inf, -1e300, math.nan, None])
def test_own_values_that_are_not_finite_are_missing(value: float | None) -> None:
    """Infinite values, and those beyond float32, count as missing; the other rows keep theirs."""
    age = {"name": "age", "type": "count", "provenance": "customer", "edges": [18], "centre": 40, "spread": 20}
    transactions = small(amount=[1, 2]).with_columns(age=pl.Series([value, 2.5]))
    found = compute(transactions, contract_with(age))["age"].to_numpy()
    np.testing.assert_array_equal(found, np.array([np.nan, 2.5], dtype=np.float32))


def test_card_contract_gives_float32_in_order() -> None:
    """The default contract's columns come in order, as float32, without missing values."""
    result = compute(random_rows(3), card())
    assert result.schema == pl.Schema(dict.fromkeys(card().index, pl.Float32))
    assert not np.isnan(result.to_numpy()).any()


def test_one_customer_with_ten_thousand_rows() -> None:
    """A customer far larger than any other is counted exactly."""
    rows = 10_000
    transactions = small(time=[START + 60 * position for position in range(rows)])
    counts = values(transactions, window("count", "customer", 1, 0))
    assert counts == [float(min(position + 1, DAY // 60)) for position in range(rows)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.drop("entity"), r"transactions has no column 'entity' \(Int64 or String\); columns are"),
        (lambda rows: rows.rename({"amount": "betrag"}), r"has no column 'amount' \(Int64\)"),
        (lambda rows: rows.cast({"amount": pl.Float64}), r"transactions.amount is Float64; allowed: Int64"),
        (lambda rows: rows.cast({"customer": pl.Int32}), r"transactions.customer is Int32; allowed: Int64 or String"),
        (
            lambda rows: rows.with_columns(time=pl.when(pl.col("transaction") > 297).then(None).otherwise("time")),
            r"transactions.time has 2 null values; allowed: none",
        ),
    ],
)
def test_frames_of_another_shape_are_refused(change: Any, message: str) -> None:  # noqa: ANN401
    """Missing, renamed and wrong-typed columns and nulls are named."""
    with pytest.raises(FeatureError, match=message):
        compute(change(random_rows(1)), card())


@pytest.mark.parametrize(
    ("column", "message"), [(None, "no column 'age', which the contract takes of the row"), (["x"], "age is String")]
)
def test_own_column_has_to_be_there_and_numeric(column: list[str] | None, message: str) -> None:
    """A column of the row itself is not invented, nor text taken for a number."""
    age = {"name": "age", "type": "count", "provenance": "customer", "edges": [18], "centre": 40, "spread": 20}
    rows = small(time=[START])
    rows = rows if column is None else rows.with_columns(age=pl.Series(column))
    with pytest.raises(FeatureError, match=message):
        compute(rows, contract_with(age))


def test_times_too_far_apart_are_refused() -> None:
    """Rows whose times do not fit the search's scale are refused, not wrapped around."""
    rows = small(time=[0, 2**61, 2**61], customer=[1, 2, 3], label_time=[0, 0, 0])
    with pytest.raises(FeatureError, match=r"spans 2305843009213693953 s over 3 ids; allowed: a product below 2\^62"):
        compute(rows, contract_with(window("count", "customer", 1, 0)))
