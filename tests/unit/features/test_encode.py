"""One encoding for training and scoring: total, in float32, the same for a frame, an array and a row."""

import math
from collections.abc import Mapping
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from feature_cases import card, card_document, contract_of, random_rows
from tacit.features.encode import (
    encode,
    encode_row,
    group_by_unit,
    missing_bin,
    ratio_names,
    ratio_values,
    unit_order,
)
from tacit.features.spec import Contract, ContractError, Side
from tacit.features.windows import FeatureError, compute

ANY_FLOAT = st.floats(width=32, allow_nan=True, allow_infinity=True)
NAMES = list(card().index)
INF, NAN = math.inf, math.nan


def by_definition(value: float, contract: Contract, position: int) -> int:
    """The bin by comparing with every edge in float32."""
    column = contract.columns[position]
    if math.isnan(value):
        return 0 if column.missing is Side.LEFT else column.bins - 1
    return sum(bool(np.float32(value) >= np.float32(float(edge))) for edge in column.edges)


def right_missing() -> Contract:
    """The card contract with the missing side of the amount turned."""
    document = card_document()
    document["columns"][0]["missing"] = "right"
    return contract_of(document)


def matrix(rows: int = 50, seed: int = 0) -> NDArray[np.float32]:
    """Values of the card contract's columns, some missing."""
    rng = np.random.default_rng(seed)
    values = rng.exponential(30, (rows, len(NAMES))).astype(np.float32)
    values[rng.random(values.shape) < 0.1] = np.nan
    return values


@given(arrays(np.float32, (3, 15), elements=ANY_FLOAT))
def test_every_float_has_the_bin_of_its_definition(values: NDArray[np.float32]) -> None:
    """Any float32, NaN and infinities included, goes where the edges say."""
    for contract in (card(), right_missing()):
        bins = encode(values, contract)
        assert bins.shape == (15, 3)
        assert bins.dtype == np.uint8
        wanted = [[by_definition(float(values[row, at]), contract, at) for row in range(3)] for at in range(15)]
        assert bins.tolist() == wanted


@given(st.lists(st.one_of(st.none(), st.floats()), min_size=15, max_size=15))
def test_a_row_has_the_bins_of_the_frame(values: list[float | None]) -> None:
    """Scoring one row and training on many give the same bins, for any float64."""
    held = np.array([[NAN if value is None else value for value in values]])
    row = encode_row(dict(zip(NAMES, values, strict=True)), card())
    assert row.dtype == np.uint8
    assert row.tolist() == encode(held, card())[:, 0].tolist()


@pytest.mark.parametrize("position", range(15))
def test_edges_belong_to_the_bin_on_their_right(position: int) -> None:
    """X < edge goes left in float32: the edge itself and its float32 neighbour are told apart."""
    column = card().columns[position]
    for bin_left, cut in enumerate(column.cuts):
        below = float(np.nextafter(np.float32(cut), np.float32(-np.inf)))
        values = np.full((2, 15), np.nan, dtype=np.float32)
        values[:, position] = [below, cut]
        assert encode(values, card())[position].tolist() == [bin_left, bin_left + 1]


def test_float64_values_are_rounded_before_they_are_compared() -> None:
    """A value that is the edge once rounded lies on the edge's right."""
    just_below = float(np.float32(132.7)) - 1e-9
    assert encode_row({"amount": just_below}, card())[0] == encode_row({"amount": 132.7}, card())[0]
    assert encode(np.full((1, 15), just_below), card())[0, 0] == encode_row({"amount": 132.7}, card())[0]


@pytest.mark.parametrize(
    ("value", "bin_of_amount"), [(INF, 60), (-INF, 0), (1e300, 60), (-0.0, 0), (NAN, 0), (1000, 60)]
)
def test_extremes_go_to_the_outer_bins(value: float, bin_of_amount: int) -> None:
    """Nothing overflows or raises."""
    assert encode_row({"amount": value}, card())[0] == bin_of_amount
    assert encode(np.full((2, 15), value), card())[0].tolist() == [bin_of_amount] * 2


def test_codes_never_seen_before_fall_in_the_outer_bins() -> None:
    """A category outside the public codes has a bin like any other number."""
    document = card_document()
    code = {
        "name": "code",
        "type": "count",
        "provenance": "customer",
        "edges": ["0.5", "1.5", "2.5"],
        "centre": 0,
        "spread": 1,
    }
    contract = contract_of({**document, "columns": [*document["columns"], code]})
    assert [encode_row({"code": value}, contract)[15] for value in (-7, 0, 1, 2, 3, 99)] == [0, 0, 1, 2, 3, 3]


@pytest.mark.parametrize(("contract", "wanted"), [(card(), 0), (right_missing(), 60)])
def test_missing_values_take_their_side(contract: Contract, wanted: int) -> None:
    """None, NaN and an absent name are one and the same."""
    assert missing_bin(contract.columns[0]) == wanted
    rows: list[Mapping[str, float | None]] = [{}, {"amount": None}, {"amount": NAN}]
    assert [encode_row(row, contract)[0] for row in rows] == [wanted] * 3


def test_frames_arrays_and_mappings_are_equal() -> None:
    """The form in which values come does not matter, nor the order of a frame's columns."""
    values = matrix()
    wanted = encode(values, card())
    frame = pl.DataFrame(dict(zip(NAMES, values.T, strict=True)))
    assert np.array_equal(encode(frame.select(reversed(NAMES)), card()), wanted)
    assert np.array_equal(encode(dict(zip(NAMES, values.T, strict=True)), card()), wanted)
    assert np.array_equal(encode(np.asfortranarray(values), card()), wanted)


def test_nulls_of_a_frame_are_missing() -> None:
    """A null in a frame is a missing value."""
    frame = pl.DataFrame({name: [1.0, None] for name in NAMES})
    assert encode(frame, right_missing())[:, 1].tolist() == [60] + [0] * 14


def test_batches_of_any_size_give_the_same_bins() -> None:
    """A row's bins do not depend on its neighbours."""
    values = matrix(31)
    parts = [encode(values[at : at + 7], card()) for at in range(0, 31, 7)]
    assert np.array_equal(np.concatenate(parts, axis=1), encode(values, card()))


def test_no_rows_have_no_bins() -> None:
    """An empty frame encodes to (columns, 0)."""
    assert encode(compute(random_rows(1).head(0), card()), card()).shape == (15, 0)


@pytest.mark.parametrize("shape", [(3,), (3, 14), (15, 3), (1, 3, 15)])
def test_arrays_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    """A turned or short array is refused, not read askew."""
    with pytest.raises(ContractError, match=r"allowed: \(rows, 15\)"):
        encode(np.zeros(shape), card())


def test_missing_columns_are_named() -> None:
    """A frame without some of the columns is refused."""
    with pytest.raises(ContractError, match="values lack the columns amount, t_risk30"):
        encode(pl.DataFrame({name: [1.0] for name in NAMES[1:-1]}), card())


def test_unknown_names_of_a_row_are_refused() -> None:
    """A misspelt name is not taken for a missing value."""
    with pytest.raises(ContractError, match="no columns amonut, zeta; columns are amount, weekend"):
        encode_row({"zeta": 1.0, "amonut": 3.0}, card())


@pytest.mark.parametrize(
    ("amount", "mean", "ratio"),
    [(100, 50, 2.0), (0, 50, 0.01), (100, 0, 200.0), (0.1, 0.2, 1.0), (0.5, 0.5, 1.0), (-3, 1, 0.5)],
)
def test_ratios_are_logarithms_with_a_floor(amount: float, mean: float, ratio: float) -> None:
    """Values below .5 count as .5."""
    values = np.zeros((1, 15), dtype=np.float32)
    values[0, 0], values[0, NAMES.index("c_avg30")] = amount, mean
    logs = ratio_values(values, card())
    assert logs.dtype == np.float32
    assert logs.tolist() == [[pytest.approx(math.log(ratio), abs=1e-6)]]


@pytest.mark.parametrize(
    ("amount", "mean", "wanted"), [(NAN, 1, NAN), (1, NAN, NAN), (INF, INF, NAN), (INF, 1, INF), (1, INF, -INF)]
)
def test_ratios_of_any_floats(amount: float, mean: float, wanted: float) -> None:
    """Missing stays missing and nothing raises."""
    values = np.zeros((1, 15), dtype=np.float32)
    values[0, 0], values[0, NAMES.index("c_avg30")] = amount, mean
    np.testing.assert_array_equal(ratio_values(values, card()), np.array([[wanted]], dtype=np.float32))


def test_ratio_columns_have_names() -> None:
    """One name per ratio, in the contract's order."""
    assert ratio_names(card()) == ["log_amount_over_c_avg30"]
    assert ratio_values(matrix(4), card()).shape == (4, 1)


def test_a_contract_without_ratios_has_no_ratio_values() -> None:
    """No ratio, no column."""
    contract = Contract(card().columns, ("amount",), Fraction(1))
    assert ratio_values(matrix(4), contract).shape == (4, 0)


@pytest.mark.parametrize("unit", ["customer", "record"])
def test_rows_are_sorted_by_customer_time_and_id(unit: str) -> None:
    """Bins and labels follow the sorted rows, for either unit."""
    rows = random_rows(1)
    bins = encode(compute(rows, card()), card())
    encoded, order = group_by_unit(bins, rows, unit), unit_order(rows)
    keys = [rows.row(at)[:1] for at in order]
    assert len(set(keys)) == rows.height
    listed = [(row["customer"], row["time"], row["transaction"]) for row in rows[order].to_dicts()]
    assert listed == sorted(listed)
    assert np.array_equal(encoded.bins, bins[:, order])
    assert encoded.labels.tolist() == rows["label"].gather(order).to_list()


def test_a_customer_is_one_unit() -> None:
    """Every unit holds all rows of one customer and no other row."""
    rows = random_rows(2)
    encoded = group_by_unit(np.zeros((1, rows.height), dtype=np.uint8), rows, "customer")
    customers = rows["customer"].gather(unit_order(rows)).to_numpy()
    assert encoded.units == rows["customer"].n_unique()
    assert encoded.starts[0] == 0
    assert encoded.starts[-1] == encoded.rows == rows.height
    held = [set(customers[begin:end]) for begin, end in zip(encoded.starts, encoded.starts[1:], strict=False)]
    assert [len(unit) for unit in held] == [1] * encoded.units
    assert len(set.union(*held)) == encoded.units


def test_a_record_is_one_unit() -> None:
    """With unit record every row is its own unit."""
    rows = random_rows(3)
    encoded = group_by_unit(np.zeros((1, rows.height), dtype=np.uint8), rows, "record")
    assert encoded.starts.tolist() == list(range(rows.height + 1))


def test_customers_named_by_text_are_grouped() -> None:
    """Text ids group as numbers do."""
    rows = random_rows(4)
    bins = np.zeros((1, rows.height), dtype=np.uint8)
    text = rows.with_columns(pl.col("customer").cast(pl.String))
    assert np.array_equal(group_by_unit(bins, text, "customer").starts, group_by_unit(bins, rows, "customer").starts)


@pytest.mark.parametrize("unit", ["customer", "record"])
def test_no_rows_have_no_units(unit: str) -> None:
    """An empty bank has no unit, and says so."""
    encoded = group_by_unit(np.zeros((15, 0), dtype=np.uint8), random_rows(1).head(0), unit)
    assert (encoded.units, encoded.rows) == (0, 0)
    assert encoded.starts.tolist() == [0]


def test_unknown_unit_is_refused() -> None:
    """There are two units."""
    with pytest.raises(FeatureError, match="unit is 'account'; allowed: 'customer', 'record'"):
        group_by_unit(np.zeros((1, 300), dtype=np.uint8), random_rows(1), "account")


def test_bins_of_other_rows_are_refused() -> None:
    """Bins and rows have to be aligned."""
    with pytest.raises(FeatureError, match="bins have 299 rows; allowed: 300, as the transactions have"):
        group_by_unit(np.zeros((1, 299), dtype=np.uint8), random_rows(1), "customer")


@pytest.mark.parametrize("label", [2, None])
def test_labels_are_zero_or_one(label: int | None) -> None:
    """A label that is neither is refused."""
    rows = random_rows(1).with_columns(label=pl.lit(label, pl.UInt8))
    with pytest.raises(FeatureError, match="label has values other than 0 and 1"):
        group_by_unit(np.zeros((1, 300), dtype=np.uint8), rows, "customer")
