"""Tables and drawn structures as trees of splits, none deeper than 8.

A one-column table is a stair tree. A two-column table is cut into blocks that fit one tree each, with the cuts
around them; outside its block a tree is zero.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tacit.features.spec import Contract, Side
from tacit.learning.types import TreeStructure

MAX_DEPTH = 8
LEAST_COVER = 2.0**-10

_NO_PARENT = 2**31 - 1

_Floats = NDArray[np.float64]
_Span = tuple[int, int]
_Box = tuple[_Span, _Span]


@dataclass(frozen=True)
class Leaf:
    """The end of a path: its margin and its cover, a share or a released curvature, above 0."""

    value: float
    cover: float


@dataclass(frozen=True)
class Split:
    """Goes left where x < threshold."""

    column: int
    threshold: float
    missing_left: bool
    left: "Node"
    right: "Node"

    @property
    def cover(self) -> float:
        """The sum of both sides."""
        return self.left.cover + self.right.cover


Node = Leaf | Split


@dataclass(frozen=True)
class Axis:
    """Groups of bins of one column.

    Attributes:
        column: Position in the contract.
        thresholds: Edge below each group; the first one is not used.
        shares: Share of the column's bins in each group.
        missing_left: Side of a missing value.
    """

    column: int
    thresholds: tuple[float, ...]
    shares: tuple[float, ...]
    missing_left: bool


@dataclass(frozen=True)
class Table:
    """Margins over the groups of two axes; a line has one group on its second axis."""

    axes: tuple[Axis, Axis]
    values: _Floats


def _levels(span: _Span) -> int:
    return (span[1] - span[0] - 1).bit_length()


def blocks(shape: tuple[int, int], box: _Box) -> Iterator[_Box]:
    """Boxes that a tree of `MAX_DEPTH` can hold together with the cuts around it."""
    guards = sum((low > 0) + (high < size) for (low, high), size in zip(box, shape, strict=True))
    if guards + _levels(box[0]) + _levels(box[1]) <= MAX_DEPTH:
        yield box
        return
    # One axis is cut as far as possible: every further axis would cost up to two more guards.
    axis = 0 if (shape[0] >= shape[1] and _levels(box[0])) or not _levels(box[1]) else 1
    for half in _halves(box, axis):
        yield from blocks(shape, half)


def _replaced(box: _Box, axis: int, span: _Span) -> _Box:
    return (span, box[1]) if axis == 0 else (box[0], span)


def _halves(box: _Box, axis: int) -> tuple[_Box, _Box]:
    low, high = box[axis]
    middle = (low + high + 1) // 2
    return _replaced(box, axis, (low, middle)), _replaced(box, axis, (middle, high))


def _cover(table: Table, box: _Box) -> float:
    """The box's share of all bins: the uniform reference, in want of another public one."""
    first, second = (sum(axis.shares[low:high]) for axis, (low, high) in zip(table.axes, box, strict=True))
    return first * second


def _cut(table: Table, axis: int, group: int, left: Node, right: Node) -> Split:
    chosen = table.axes[axis]
    return Split(chosen.column, chosen.thresholds[group], chosen.missing_left, left, right)


def _inside(table: Table, box: _Box) -> Node:
    (top, bottom), (low, high) = box
    values = table.values[top:bottom, low:high]
    if float(values.min()) == float(values.max()):
        return Leaf(float(values[0, 0]), _cover(table, box))
    axis = 0 if values.shape[0] >= values.shape[1] else 1
    left, right = _halves(box, axis)
    return _cut(table, axis, right[axis][0], _inside(table, left), _inside(table, right))


def _guarded(table: Table, region: _Box, box: _Box) -> Node:
    """The tree of a box: zero in the rest of the region."""
    for axis in (0, 1):
        (first, last), (low, high) = region[axis], box[axis]
        if first < low:
            outside = Leaf(0.0, _cover(table, _replaced(region, axis, (first, low))))
            return _cut(table, axis, low, outside, _guarded(table, _replaced(region, axis, (low, last)), box))
        if high < last:
            outside = Leaf(0.0, _cover(table, _replaced(region, axis, (high, last))))
            return _cut(table, axis, high, _guarded(table, _replaced(region, axis, (first, high)), box), outside)
    return _inside(table, box)


def table_trees(table: Table) -> list[Node]:
    """Trees whose sum is the table; blocks of zeros need none."""
    rows, columns = table.values.shape
    whole = ((0, rows), (0, columns))
    boxes = blocks((rows, columns), whole)
    return [_guarded(table, whole, box) for box in boxes if table.values[slice(*box[0]), slice(*box[1])].any()]


def forest_tree(tree: TreeStructure, values: _Floats, covers: tuple[float, ...], contract: Contract) -> Node:
    """A drawn structure with its leaves.

    Args:
        tree: The structure, valid for the contract.
        values: float64, shape (2^depth,): leaf margins.
        covers: Released curvature by leaf, any sign; below `LEAST_COVER` that is taken.
        contract: Edges and sides of missing values.

    Returns:
        The root.
    """

    def node(position: int) -> Node:
        if position >= len(tree.columns):
            leaf = position - len(tree.columns)
            return Leaf(float(values[leaf]), max(covers[leaf], LEAST_COVER))
        column = contract.columns[tree.columns[position]]
        threshold = column.cuts[tree.cuts[position] - 1]
        left, right = node(2 * position + 1), node(2 * position + 2)
        return Split(tree.columns[position], threshold, column.missing is Side.LEFT, left, right)

    return node(0)


def shifted(node: Node, by: float) -> Node:
    """The same tree with `by` added to every leaf."""
    if isinstance(node, Leaf):
        return Leaf(node.value + by, node.cover)
    left, right = shifted(node.left, by), shifted(node.right, by)
    return Split(node.column, node.threshold, node.missing_left, left, right)


def numbered(root: Node) -> tuple[list[Node], list[int], list[int]]:
    """Nodes in breadth-first order, each one's left child (-1 for a leaf) and parent; right = left + 1."""
    nodes, lefts, parents = [root], [], [_NO_PARENT]
    for position, node in enumerate(nodes):  # grows while it is walked
        lefts.append(len(nodes) if isinstance(node, Split) else -1)
        if isinstance(node, Split):
            nodes += [node.left, node.right]
            parents += [position, position]
    return nodes, lefts, parents
