"""The one encoding of values to public bins, used by training and by scoring, and the grouping of rows by unit. Pure.

Encoding is total: every float has a bin. Bin b holds edge[b-1] <= x < edge[b], compared in float32; infinities go to
the outer bins and NaN to the column's missing side.
"""

from array import array
from bisect import bisect_right
from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tacit.features.representatives import LOG_FLOOR
from tacit.features.spec import Column, Contract, ContractError, Side
from tacit.features.types import Encoded
from tacit.features.windows import FeatureError

Values = NDArray[np.floating] | Mapping[str, NDArray[np.floating]] | pl.DataFrame
"""Values of a contract's columns: shape (rows, columns) in contract order, or arrays or series by column name."""

UNIT_CUSTOMER = "customer"
UNIT_RECORD = "record"


def encode(values: Values, contract: Contract) -> NDArray[np.uint8]:
    """Bins values by the contract's float32 edges.

    Args:
        values: Values in contract order or by name; any float, NaN for missing. Rounded to float32 first.
        contract: The contract.

    Returns:
        uint8, shape (columns, rows): the bin of each value, 0 to `column.bins` - 1.

    Raises:
        ContractError: If a column is missing or the shape is not (rows, columns).
    """
    columns = _by_column(values, contract)
    bins = np.empty((len(columns), columns[0].shape[0]), dtype=np.uint8)
    for row, (column, raw) in enumerate(zip(contract.columns, columns, strict=True)):
        found = np.searchsorted(np.asarray(column.cuts, dtype=np.float32), raw, side="right")
        found[np.isnan(raw)] = missing_bin(column)
        bins[row] = found
    return bins


def encode_row(values: Mapping[str, float | None], contract: Contract) -> NDArray[np.uint8]:
    """Bins one row, with the same result as `encode`.

    Args:
        values: Value by column name; a column that is absent, None or NaN is missing.
        contract: The contract.

    Returns:
        uint8, shape (columns,).

    Raises:
        ContractError: If a name is not a column of the contract.
    """
    if not values.keys() <= contract.index.keys():
        unknown = sorted(values.keys() - contract.index.keys())
        raise ContractError(f"no columns {', '.join(unknown)}; columns are {', '.join(contract.index)}")
    nan = float("nan")
    given = (values.get(column.name) for column in contract.columns)
    # A C float array rounds as numpy does; numpy itself costs more than the whole row.
    rounded = array("f", [nan if value is None else value for value in given])
    pairs = zip(contract.columns, rounded, strict=True)
    bins = [bisect_right(column.cuts, x) if x == x else missing_bin(column) for column, x in pairs]  # noqa: PLR0124  NaN
    return np.array(bins, dtype=np.uint8)


def missing_bin(column: Column) -> int:
    """The bin of a missing value."""
    return 0 if column.missing is Side.LEFT else column.bins - 1


def ratio_values(values: Values, contract: Contract) -> NDArray[np.float32]:
    """The logarithms of the contract's ratios, as further raw features of a bank's own models.

    Args:
        values: Values in contract order or by name.
        contract: The contract.

    Returns:
        float32, shape (rows, ratios): log(max(numerator, .5) / max(denominator, .5)); NaN if either is missing or both
        are infinite.

    Raises:
        ContractError: If a column is missing or the shape is not (rows, columns).
    """
    columns = _by_column(values, contract)
    logs = np.empty((columns[0].shape[0], len(contract.ratios)), dtype=np.float32)
    for position, ratio in enumerate(contract.ratios):
        numerator = columns[contract.index[ratio.numerator]].astype(np.float64)
        denominator = columns[contract.index[ratio.denominator]].astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            logs[:, position] = np.log(np.maximum(numerator, LOG_FLOOR) / np.maximum(denominator, LOG_FLOOR))
    return logs


def ratio_names(contract: Contract) -> list[str]:
    """Names for the columns of `ratio_values`."""
    return [f"log_{ratio.numerator}_over_{ratio.denominator}" for ratio in contract.ratios]


def local_names(contract: Contract) -> tuple[str, ...]:
    """Features of a bank's own models: the contract's columns, then the logarithms of its ratios."""
    return (*(column.name for column in contract.columns), *ratio_names(contract))


def local_values(values: NDArray[np.float32], contract: Contract) -> NDArray[np.float32]:
    """Values of `local_names`.

    Args:
        values: float32, shape (rows, columns) in contract order, NaN for missing.
        contract: The contract.

    Returns:
        float32, shape (rows, columns + ratios).

    Raises:
        ContractError: If the shape is not (rows, columns).
    """
    return np.ascontiguousarray(np.hstack([values, ratio_values(values, contract)]), dtype=np.float32)


def unit_order(transactions: pl.DataFrame) -> NDArray[np.int64]:
    """The positions of the rows when sorted by customer, then time, then transaction id."""
    rows = transactions.select("customer", "time", "transaction").with_row_index("position")
    return rows.sort("customer", "time", "transaction")["position"].to_numpy().astype(np.int64)


def group_by_unit(bins: NDArray[np.uint8], transactions: pl.DataFrame, unit: str) -> Encoded:
    """Groups binned rows by privacy unit.

    All rows of one customer are one unit, or every row is its own. Either way the rows are sorted as `unit_order` says,
    so that raw values can be put beside them.

    Args:
        bins: uint8, shape (columns, rows), as `encode` gives them, aligned with the transactions.
        transactions: Columns customer, time, transaction and label (0 or 1).
        unit: "customer" or "record".

    Returns:
        The rows grouped by unit.

    Raises:
        FeatureError: If the unit is unknown, the numbers of rows differ, or a label is not 0 or 1.
    """
    if unit not in {UNIT_CUSTOMER, UNIT_RECORD}:
        raise FeatureError(f"unit is {unit!r}; allowed: {UNIT_CUSTOMER!r}, {UNIT_RECORD!r}")
    if bins.shape[1] != transactions.height:
        raise FeatureError(f"bins have {bins.shape[1]} rows; allowed: {transactions.height}, as the transactions have")
    if not transactions["label"].is_in([0, 1]).fill_null(value=False).all():
        raise FeatureError("label has values other than 0 and 1")
    order = unit_order(transactions)
    labels = transactions["label"].to_numpy().astype(np.uint8)[order]
    starts = np.arange(order.size + 1, dtype=np.int64)
    if unit == UNIT_CUSTOMER:
        group = transactions["customer"].gather(order).rle_id().to_numpy().astype(np.int64)
        starts = np.append(np.flatnonzero(np.diff(group, prepend=-1)), order.size).astype(np.int64)
    return Encoded(bins=np.ascontiguousarray(bins[:, order]), starts=starts, labels=labels)


def _by_column(values: Values, contract: Contract) -> list[NDArray[np.float32]]:
    names = list(contract.index)
    if isinstance(values, np.ndarray):
        if values.ndim != 2 or values.shape[1] != len(names):  # noqa: PLR2004
            raise ContractError(f"values have shape {values.shape}; allowed: (rows, {len(names)})")
        columns = [values[:, position] for position in range(len(names))]
    else:
        held = set(values.columns) if isinstance(values, pl.DataFrame) else set(values)
        absent = [name for name in names if name not in held]
        if absent:
            raise ContractError(f"values lack the columns {', '.join(absent)}")
        columns = [np.asarray(values[name]) for name in names]
    with np.errstate(over="ignore"):
        return [np.ascontiguousarray(column, dtype=np.float32) for column in columns]
