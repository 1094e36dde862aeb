"""The finished model as one ordinary XGBoost model file.

One-column tables become stair trees, two-column tables become trees over blocks of cells, each guarded by cuts
and zero outside its block, tree rounds stay what they are. No tree is deeper than 8. Siblings are numbered next
to each other (right = left + 1), because XGBoost 3.2 has a one-row traversal that assumes it.

XGBoost adds leaves in float32. Where the margins' range allows it, tables are centred and leaves are rounded to
a power of two so coarse that every partial sum is a float32 number: then no addition rounds, any order of
additions gives the same bits, and the error is at most half a step per table, below `MARGIN_ERROR`. Otherwise
(`leaf_grid` reads `float32`) leaves are rounded to float32 alone. Small trees come first and the largest table
takes the intercept, which halves the roundings' error against a large start.
"""

import hashlib
import json
from itertools import pairwise
from math import frexp, isfinite, log2

import numpy as np
from numpy.typing import NDArray

from tacit import canonical
from tacit.features.spec import Column, Contract, Side
from tacit.learning.nodes import Axis, Leaf, Node, Split, Table, forest_tree, numbered, shifted, table_trees
from tacit.learning.structure import depth_of, leaf_of
from tacit.learning.types import Ensemble, LearningError, Leaves, LineTable, PlaneTable, Structure

API = "tacit.booster/v1"
MARGIN_ERROR = 1e-5
MAX_VALUE = 2.0**62

_FLOAT32_BITS = 24
_FINEST_STEP = 30
_FILE_VERSION = (2, 1, 0)

_Floats = NDArray[np.float64]


def _finite(what: str, values: tuple[float, ...]) -> None:
    if not all(isfinite(value) and abs(value) <= MAX_VALUE for value in values):
        raise LearningError(f"{what} must be finite and within +-2^62, got {values}")


def _column(contract: Contract, position: int) -> Column:
    if not 0 <= position < len(contract.columns):
        raise LearningError(f"column must be from 0 to {len(contract.columns) - 1}, got {position}")
    return contract.columns[position]


def _check_line(line: LineTable, contract: Contract) -> None:
    column = _column(contract, line.column)
    if len(line.values) != column.bins:
        raise LearningError(f"the table of {column.name} needs {column.bins} values, got {len(line.values)}")
    _finite(f"the table of {column.name}", line.values)


def _check_plane(plane: PlaneTable, contract: Contract) -> None:
    for position, firsts in zip(plane.columns, plane.firsts, strict=True):
        column = _column(contract, position)
        rising = all(low < high for low, high in pairwise(firsts))
        if not firsts or firsts[0] != 0 or not rising or firsts[-1] >= column.bins:
            raise LearningError(f"groups of {column.name} must start at 0 and rise below {column.bins}, got {firsts}")
    shape = tuple(len(firsts) for firsts in plane.firsts)
    if len(plane.values) != shape[0] or any(len(row) != shape[1] for row in plane.values):
        raise LearningError(f"the table of columns {plane.columns} needs {shape[0]} x {shape[1]} values")
    for row in plane.values:
        _finite(f"the table of columns {plane.columns}", row)


def _check_forest(structure: Structure, leaves: Leaves, contract: Contract) -> None:
    if not len(structure.trees) == len(leaves.values) == len(leaves.covers):
        raise LearningError(f"{len(structure.trees)} trees need as many rows of leaves and covers")
    for tree, values, covers in zip(structure.trees, leaves.values, leaves.covers, strict=True):
        size = 2 ** depth_of(tree)
        if len(values) != size or len(covers) != size:
            raise LearningError(f"a tree needs {size} leaves and covers, got {len(values)} and {len(covers)}")
        _finite("leaves", values)
        _finite("covers", covers)
        for position, cut in zip(tree.columns, tree.cuts, strict=True):
            column = _column(contract, position)
            if not 1 <= cut < column.bins:
                raise LearningError(f"a cut of {column.name} must be from 1 to {column.bins - 1}, got {cut}")


def _check(ensemble: Ensemble, contract: Contract) -> None:
    _finite("the intercept", (ensemble.intercept,))
    for line in ensemble.lines:
        _check_line(line, contract)
    for plane in ensemble.planes:
        _check_plane(plane, contract)
    for structure, leaves in ensemble.forests:
        _check_forest(structure, leaves, contract)


def margins(ensemble: Ensemble, bins: NDArray[np.uint8]) -> _Floats:
    """The model's margins in float64: intercept, lines, planes and trees, added in that order.

    Args:
        ensemble: The model.
        bins: uint8, shape (columns, rows): the contract's bins.

    Returns:
        float64, shape (rows,).
    """
    total = np.full(bins.shape[1], ensemble.intercept, dtype=np.float64)
    for line in ensemble.lines:
        total += np.array(line.values, dtype=np.float64)[bins[line.column]]
    for plane in ensemble.planes:
        first, second = (
            np.searchsorted(np.array(firsts), bins[column], side="right") - 1
            for column, firsts in zip(plane.columns, plane.firsts, strict=True)
        )
        total += np.array(plane.values, dtype=np.float64)[first, second]
    for structure, leaves in ensemble.forests:
        for tree, values in zip(structure.trees, leaves.values, strict=True):
            total += np.array(values, dtype=np.float64)[leaf_of(bins, tree)]
    return total


def _axis(contract: Contract, position: int, firsts: tuple[int, ...]) -> Axis:
    column = contract.columns[position]
    edges = column.cuts
    ends = (*firsts[1:], column.bins)
    return Axis(
        column=position,
        thresholds=tuple(edges[max(first, 1) - 1] for first in firsts),
        shares=tuple((end - first) / column.bins for first, end in zip(firsts, ends, strict=True)),
        missing_left=column.missing is Side.LEFT,
    )


def _distinct(values: _Floats, firsts: tuple[int, ...]) -> tuple[_Floats, tuple[int, ...]]:
    """Joins neighbouring groups (rows of values) that hold the same margins."""
    kept = [0] + [i for i in range(1, len(firsts)) if not np.array_equal(values[i], values[i - 1])]
    return values[kept], tuple(firsts[i] for i in kept)


def _lines(ensemble: Ensemble, contract: Contract) -> list[PlaneTable]:
    """One table a column, as a plane of one group on its second axis (the column itself)."""
    merged: dict[int, _Floats] = {}
    for line in ensemble.lines:
        values = np.array(line.values, dtype=np.float64)
        merged[line.column] = merged[line.column] + values if line.column in merged else values
    return [
        PlaneTable(
            (column, column),
            (tuple(range(contract.columns[column].bins)), (0,)),
            tuple((value,) for value in merged[column].tolist()),
        )
        for column in sorted(merged)
    ]


def _tables(ensemble: Ensemble, contract: Contract) -> tuple[float, list[Table]]:
    """Centred tables without those that are constant, and the intercept that no table took."""
    intercept, tables = ensemble.intercept, []
    for plane in [*_lines(ensemble, contract), *ensemble.planes]:
        values, rows = _distinct(np.array(plane.values, dtype=np.float64), plane.firsts[0])
        turned, columns = _distinct(values.T, plane.firsts[1])
        middle = float(turned.min() + turned.max()) / 2.0
        intercept += middle
        if turned.size > 1:
            axes = _axis(contract, plane.columns[0], rows), _axis(contract, plane.columns[1], columns)
            tables.append(Table(axes, turned.T - middle))
    return _arranged(intercept, tables)


def _arranged(intercept: float, tables: list[Table]) -> tuple[float, list[Table]]:
    """Tables by rising size, the last one with the intercept: partial sums stay small, and so do their roundings."""
    if not tables:
        return intercept, tables
    *small, last = sorted(tables, key=lambda table: float(np.abs(table.values).max()))
    return 0.0, [*small, Table(last.axes, last.values + intercept)]


def _step(intercept: float, parts: list[_Floats]) -> float | None:
    """The leaves' step at which float32 sums are exact; None if rounding to it could cost `MARGIN_ERROR`."""
    bound = abs(intercept) + sum(float(np.abs(part).max()) for part in parts)
    roundings = len(parts) + 1
    power = min(_FINEST_STEP, _FLOAT32_BITS - frexp(bound)[1])
    if bound + roundings * 2.0 ** (-power - 1) > 2.0 ** (_FLOAT32_BITS - power):
        power -= 1
    return 2.0**-power if roundings * 2.0 ** (-power - 1) <= MARGIN_ERROR else None


def _rounded(values: _Floats, step: float | None) -> _Floats:
    if step is None:
        return values.astype(np.float32).astype(np.float64)
    return np.asarray(np.rint(values / step) * step, dtype=np.float64)


def _trees(ensemble: Ensemble, contract: Contract) -> tuple[list[Node], float | None]:
    """All trees of the model, an intercept that no table took in the first one, and the leaves' step."""
    intercept, tables = _tables(ensemble, contract)
    grown = [
        (tree, np.array(values, dtype=np.float64), covers)
        for structure, leaves in ensemble.forests
        for tree, values, covers in zip(structure.trees, leaves.values, leaves.covers, strict=True)
        if any(values)
    ]
    step = _step(intercept, [table.values for table in tables] + [values for _, values, _ in grown])
    nodes = [forest_tree(tree, _rounded(values, step), covers, contract) for tree, values, covers in grown]
    for table in tables:
        nodes += table_trees(Table(table.axes, _rounded(table.values, step)))
    first = nodes[0] if nodes else Leaf(0.0, 1.0)
    return [shifted(first, float(_rounded(np.array(intercept), step))), *nodes[1:]], step


def _short(value: float) -> float:
    """The float whose repr is that of the float32 value."""
    return float(str(np.float32(value + 0.0)))


def _tree_json(root: Node, number: int, columns: int) -> dict[str, object]:
    nodes, lefts, parents = numbered(root)
    zeros = [0] * len(nodes)
    conditions = [_short(node.threshold if isinstance(node, Split) else node.value) for node in nodes]
    return {
        "base_weights": [0.0 if isinstance(node, Split) else _short(node.value) for node in nodes],
        "categories": [],
        "categories_nodes": [],
        "categories_segments": [],
        "categories_sizes": [],
        "default_left": [int(isinstance(node, Split) and node.missing_left) for node in nodes],
        "id": number,
        "left_children": lefts,
        "loss_changes": [0.0] * len(nodes),
        "parents": parents,
        "right_children": [left if left < 0 else left + 1 for left in lefts],
        "split_conditions": conditions,
        "split_indices": [node.column if isinstance(node, Split) else 0 for node in nodes],
        "split_type": zeros,
        "sum_hessian": [_short(node.cover) for node in nodes],
        "tree_param": {
            "num_deleted": "0",
            "num_feature": str(columns),
            "num_nodes": str(len(nodes)),
            "size_leaf_vector": "1",
        },
    }


def _attributes(contract: Contract, step: float | None) -> dict[str, str]:
    grid = "float32" if step is None else f"2^{log2(step):.0f}"
    return {
        "api": API,
        "contract": canonical.label(contract.digest),
        "contract_api": contract.api,
        "cover_reference": "released curvature in tree rounds, uniform over the contract's bins elsewhere",
        "leaf_grid": grid,
    }


def booster(ensemble: Ensemble, contract: Contract) -> bytes:
    """Writes the model as an XGBoost JSON model (binary:logistic); the same bytes on every machine.

    The file holds public and released numbers alone. Its margins equal `margins` within `MARGIN_ERROR` where
    `leaf_grid` names a power of two, for any order of additions and for one row as for many.

    Args:
        ensemble: The finished model.
        contract: Columns, edges and sides of missing values; its names become the file's feature names.

    Returns:
        JSON that XGBoost 2.1 and later load.

    Raises:
        LearningError: If a table or tree does not fit the contract, or a number is not finite.
    """
    _check(ensemble, contract)
    nodes, step = _trees(ensemble, contract)
    columns = len(contract.columns)
    model = {
        "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(len(nodes))},
        "iteration_indptr": list(range(len(nodes) + 1)),
        "tree_info": [0] * len(nodes),
        "trees": [_tree_json(node, number, columns) for number, node in enumerate(nodes)],
    }
    learner = {
        "attributes": _attributes(contract, step),
        "feature_names": [column.name for column in contract.columns],
        "feature_types": ["float"] * columns,
        "gradient_booster": {"model": model, "name": "gbtree"},
        "learner_model_param": {
            "base_score": "5E-1",
            "boost_from_average": "1",
            "num_class": "0",
            "num_feature": str(columns),
            "num_target": "1",
        },
        "objective": {"name": "binary:logistic", "reg_loss_param": {"scale_pos_weight": "1"}},
    }
    return json.dumps({"learner": learner, "version": _FILE_VERSION}, separators=(",", ":"), allow_nan=False).encode()


def digest(model: bytes) -> bytes:
    """SHA-256 of the file, 32 bytes: the model's identity."""
    return hashlib.sha256(model).digest()
