"""Scores rows with an XGBoost model file, without XGBoost: a level walk over flat arrays in NumPy.

All trees take one step at a time: each level is a handful of array operations, whatever the number of trees.
A missing value is written twice, as -inf for splits where it goes left and as +inf where it goes right, so that
one comparison serves every case. Leaves point to themselves.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tacit.features.spec import Contract

MAX_BYTES = 64 * 2**20
MAX_TREES = 4096
MAX_NODES = 2**20
MAX_DEPTH = 64

_CHUNK_CELLS = 2**15
_FLOAT32_MAX = float(np.finfo(np.float32).max)


class ModelError(Exception):
    """A model file that cannot be served; the message names the place, the value and what is allowed."""


def _field(value: object, *path: str) -> object:
    """The value at a path of nested objects."""
    for depth, name in enumerate(path):
        if not isinstance(value, dict) or name not in value:
            raise ModelError(f"the model file has no {'.'.join(path[: depth + 1])}")
        value = value[name]
    return value


def _list(value: object, what: str) -> list[object]:
    if not isinstance(value, list):
        raise ModelError(f"{what} must be a list, got {type(value).__name__}")
    return value


def _whole(values: list[object], what: str, low: int, high: int) -> NDArray[np.int64]:
    """Whole numbers from low to high."""
    for value in values:
        if not isinstance(value, int) or not low <= value <= high:
            raise ModelError(f"{what} must be whole numbers from {low} to {high}, got {str(value)[:40]}")
    return np.array(values, dtype=np.int64)


def _reals(values: list[object], what: str) -> NDArray[np.float32]:
    """Numbers that are finite as float32."""
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _FLOAT32_MAX:
            raise ModelError(f"{what} must be finite float32 numbers, got {str(value)[:40]}")
    return np.array(values, dtype=np.float32)


def _no_constant(name: str) -> float:
    raise ModelError(f"the model file holds {name}; only finite numbers are allowed")


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuses a repeated key: readers differ in which value they take."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ModelError(f"the model file repeats a key among {str(sorted(found))[:80]}")
    return found


def _parse(model: bytes) -> object:
    if len(model) > MAX_BYTES:
        raise ModelError(f"the model file has {len(model)} bytes; at most {MAX_BYTES} are allowed")
    try:
        return json.loads(model, object_pairs_hook=_distinct, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"the model file is not JSON: {str(error)[:80]}") from error


@dataclass(frozen=True)
class _Tree:
    """One tree, renumbered breadth first with siblings adjacent.

    Attributes:
        lefts: Left child; the right one follows it. A leaf points to itself.
        columns: Column of the split, plus the number of columns where a missing value goes right; 0 for a leaf.
        thresholds: Split threshold; NaN for a leaf, so that no value is at or above it.
        values: Margin of a leaf; 0 for a split.
        depth: Levels below the root.
    """

    lefts: NDArray[np.int64]
    columns: NDArray[np.int64]
    thresholds: NDArray[np.float32]
    values: NDArray[np.float32]
    depth: int


def _order(lefts: NDArray[np.int64], rights: NDArray[np.int64], where: str) -> tuple[list[int], int]:
    """Reachable nodes, breadth first, siblings adjacent, and the tree's depth.

    Raises:
        ModelError: If a node is reached twice (a cycle or a shared child), or has one child only.
    """
    order, seen, level, depth = [0], {0}, [0], 0
    while level:
        below: list[int] = []
        for node in level:
            pair = [int(lefts[node]), int(rights[node])]
            if pair == [-1, -1]:
                continue
            if -1 in pair or pair[0] == pair[1] or not seen.isdisjoint(pair):
                raise ModelError(f"{where}: children {pair} of node {node} are not two new nodes")
            seen.update(pair)
            below += pair
        order += below
        depth, level = depth + bool(below), below
        if depth > MAX_DEPTH:
            raise ModelError(f"{where} is deeper than {MAX_DEPTH} levels")
    return order, depth


def _check_plain(raw: object, where: str) -> None:
    """Refuses categorical splits and vector leaves, which the walk would misread."""
    if any(_list(_field(raw, "split_type"), f"{where} split_type")) or _list(
        _field(raw, "categories_nodes"), f"{where} categories_nodes"
    ):
        raise ModelError(f"{where} has categorical splits; only numerical ones are allowed")
    size = _field(raw, "tree_param", "size_leaf_vector")
    if size not in ("0", "1"):
        raise ModelError(f"{where} has leaves of size {str(size)[:40]}; only 1 is allowed")


def _tree(raw: object, columns: int, where: str) -> _Tree:
    _check_plain(raw, where)
    names = ("left_children", "right_children", "split_indices", "default_left", "split_conditions")
    parts = {name: _list(_field(raw, name), f"{where} {name}") for name in names}
    size = len(parts["left_children"])
    if size < 1 or any(len(part) != size for part in parts.values()):
        raise ModelError(f"{where} needs lists of one length from 1 on, got {[len(part) for part in parts.values()]}")
    lefts, rights = (_whole(parts[name], f"{where} {name}", -1, size - 1) for name in names[:2])
    indices = _whole(parts["split_indices"], f"{where} split_indices", 0, columns - 1)
    missing_left = _whole(parts["default_left"], f"{where} default_left", 0, 1)
    conditions = _reals(parts["split_conditions"], f"{where} split_conditions")
    order, depth = _order(lefts, rights, where)
    place = np.zeros(size, dtype=np.int64)
    place[order] = np.arange(len(order))
    leaf = lefts[order] < 0
    return _Tree(
        lefts=np.where(leaf, np.arange(len(order)), place[lefts[order]]),
        columns=np.where(leaf, 0, indices[order] + columns * (1 - missing_left[order])),
        thresholds=np.where(leaf, np.float32(np.nan), conditions[order]),
        values=np.where(leaf, conditions[order], np.float32(0)),
        depth=depth,
    )


def _base_margin(learner: object) -> float:
    """Log-odds of the file's base score; XGBoost 3.1 and later write it as a list of one."""
    text = _field(learner, "learner_model_param", "base_score")
    try:
        score = float(str(text).strip("[]"))
    except ValueError as error:
        raise ModelError(f"base_score must be a number, got {str(text)[:40]!r}") from error
    if not 0.0 < score < 1.0:
        raise ModelError(f"base_score must lie between 0 and 1, got {score}")
    return 0.0 if score == 0.5 else float(np.float32(log(score / (1.0 - score))))  # noqa: PLR2004  even odds


def _check_head(learner: object, names: tuple[str, ...]) -> None:
    objective = _field(learner, "objective", "name")
    kind = _field(learner, "gradient_booster", "name")
    if (objective, kind) != ("binary:logistic", "gbtree"):
        raise ModelError(f"only binary:logistic trees (gbtree) are served, got {str(objective)[:40]}, {str(kind)[:40]}")
    found = _list(_field(learner, "feature_names"), "feature_names")
    if found != list(names):
        raise ModelError(f"feature_names must be the contract's {list(names)}, got {str(found)[:200]}")
    count = _field(learner, "learner_model_param", "num_feature")
    if count != str(len(names)):
        raise ModelError(f"num_feature must be {len(names)}, got {str(count)[:40]}")
    outputs = [_field(learner, "learner_model_param", name) for name in ("num_class", "num_target")]
    if outputs[0] not in ("0", "1") or outputs[1] != "1":
        raise ModelError(f"one margin a row is served; got num_class and num_target {str(outputs)[:40]}")


def _trees(learner: object, columns: int) -> list[_Tree]:
    raw = _list(_field(learner, "gradient_booster", "model", "trees"), "trees")
    if len(raw) > MAX_TREES:
        raise ModelError(f"the model has {len(raw)} trees; at most {MAX_TREES} are allowed")
    trees, nodes = [], 0
    for number, one in enumerate(raw):
        trees.append(_tree(one, columns, f"tree {number}"))
        nodes += trees[-1].lefts.shape[0]
        if nodes > MAX_NODES:
            raise ModelError(f"the model has more than {MAX_NODES} nodes")
    return trees


def _attributes(learner: object) -> dict[str, str]:
    found = _field(learner, "attributes")
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ModelError("attributes must be texts by name")
    return found


class Engine:
    """A loaded model: immutable, safe to share between threads.

    Attributes:
        names: Feature names in the order of the columns.
        base: Margin that every row starts with when the caller gives none.
        attributes: Text attributes of the file.
    """

    def __init__(self, names: tuple[str, ...], base: float, attributes: dict[str, str], trees: Sequence[_Tree]) -> None:
        self.names = names
        self.base = base
        self.attributes = attributes
        ends = np.cumsum([0, *(tree.lefts.shape[0] for tree in trees)], dtype=np.int64)
        self._roots = ends[:-1]
        self._depth = max((tree.depth for tree in trees), default=0)
        none = np.empty(0, dtype=np.int64)
        lefts = [tree.lefts + start for tree, start in zip(trees, self._roots, strict=True)]
        self._lefts = np.concatenate([none, *lefts])
        self._columns = np.concatenate([none, *(tree.columns for tree in trees)])
        self._thresholds = np.concatenate([none.astype(np.float32), *(tree.thresholds for tree in trees)])
        self._values = np.concatenate([none.astype(np.float64), *(tree.values for tree in trees)])

    @classmethod
    def load(cls, model: bytes, contract: Contract) -> Self:
        """Reads a global model, whose features must be the contract's columns.

        Args:
            model: XGBoost JSON model file.
            contract: The contract that rows follow.

        Returns:
            The engine.

        Raises:
            ModelError: If the file is not a sound model of these columns, or is too large.
        """
        return cls.of(model, tuple(column.name for column in contract.columns))

    @classmethod
    def of(cls, model: bytes, names: tuple[str, ...]) -> Self:
        """Reads a model over any named columns, such as a bank's local residual.

        Raises:
            ModelError: If the file is not a sound model of these columns, or is too large.
        """
        try:
            learner = _field(_parse(model), "learner")
            _check_head(learner, names)
            return cls(names, _base_margin(learner), _attributes(learner), _trees(learner, len(names)))
        except RecursionError as error:
            raise ModelError("the model file is nested too deeply") from error

    @property
    def trees(self) -> int:
        """Number of trees."""
        return int(self._roots.shape[0])

    def margins(self, values: NDArray[np.float32], base: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Margins of many rows; each row's bits are those of `margin`.

        Args:
            values: float32, shape (rows, columns), NaN for missing.
            base: float64, shape (rows,): margins to start from instead of the file's base score.

        Returns:
            float64, shape (rows,).

        Raises:
            ModelError: If a shape does not fit.
        """
        if values.ndim != 2 or values.shape[1] != len(self.names):  # noqa: PLR2004  rows by columns
            raise ModelError(f"values must have shape (rows, {len(self.names)}), got {values.shape}")
        if base is not None and base.shape != (values.shape[0],):
            raise ModelError(f"base must have shape ({values.shape[0]},), got {base.shape}")
        total = np.empty(values.shape[0], dtype=np.float64)
        rows = max(1, _CHUNK_CELLS // max(1, self.trees))
        for start in range(0, values.shape[0], rows):
            total[start : start + rows] = self._walk(values[start : start + rows])
        total += self.base if base is None else base
        return total

    def _walk(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        rows, columns = values.shape
        both = np.empty((rows, 2 * columns), dtype=np.float32)
        missing = np.isnan(values)
        both[:, :columns] = np.where(missing, np.float32(-np.inf), values)
        both[:, columns:] = np.where(missing, np.float32(np.inf), values)
        flat = both.ravel()
        offsets = (np.arange(rows, dtype=np.int64) * (2 * columns))[:, None]
        nodes = np.broadcast_to(self._roots, (rows, self.trees))
        for _ in range(self._depth):
            right = flat.take(self._columns.take(nodes) + offsets) >= self._thresholds.take(nodes)
            nodes = self._lefts.take(nodes) + right
        return np.asarray(self._values.take(nodes).sum(axis=1))

    def margin(self, values: NDArray[np.float32], base: float | None = None) -> float:
        """Margin of one row: the short way for single transactions.

        Args:
            values: float32, shape (columns,), NaN for missing.
            base: Margin to start from instead of the file's base score.

        Returns:
            The margin.

        Raises:
            ModelError: If the shape does not fit.
        """
        if values.shape != (len(self.names),):
            raise ModelError(f"values must have shape ({len(self.names)},), got {values.shape}")
        both = np.concatenate((values, values))
        missing = np.isnan(both)
        if missing.any():
            half = len(self.names)
            both[:half][missing[:half]] = -np.inf
            both[half:][missing[half:]] = np.inf
        nodes = self._roots
        for _ in range(self._depth):
            right = both.take(self._columns.take(nodes)) >= self._thresholds.take(nodes)
            nodes = self._lefts.take(nodes) + right
        return float(self._values.take(nodes).sum()) + (self.base if base is None else base)
