"""Trees of tables: blocks tile, depths hold, and a walk gives the table's value."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tacit.features.spec import Column, ColumnType, Contract, Provenance
from tacit.learning import nodes as subject
from tacit.learning.nodes import Axis, Leaf, Node, Split, Table
from tacit.learning.types import TreeStructure


def axis_of(column: int, groups: int) -> Axis:
    """Groups with thresholds 1, 2, ... (the first one is not used)."""
    return Axis(column, tuple(float(group) for group in range(groups)), (1 / groups,) * groups, missing_left=True)


def table_of(values: np.ndarray) -> Table:
    """A table over columns 0 and 1."""
    return Table((axis_of(0, values.shape[0]), axis_of(1, values.shape[1])), values)


def split(threshold: float, left: Node, right: Node) -> Split:
    """A split of column 0 with missing values on the left."""
    return Split(0, threshold, missing_left=True, left=left, right=right)


def value_at(node: Node, row: tuple[float, ...]) -> float:
    """The leaf that a row reaches."""
    while isinstance(node, Split):
        node = node.left if row[node.column] < node.threshold else node.right
    return node.value


def depth(node: Node) -> int:
    """Levels below a node."""
    return 1 + max(depth(node.left), depth(node.right)) if isinstance(node, Split) else 0


def leaves(node: Node) -> list[Leaf]:
    """Leaves from the left."""
    return [*leaves(node.left), *leaves(node.right)] if isinstance(node, Split) else [node]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 63), st.integers(1, 63))
def test_blocks_tile_the_table(rows: int, columns: int) -> None:
    """Every cell lies in one block, and every block fits into depth 8 with its guards."""
    seen = np.zeros((rows, columns), dtype=int)
    for (top, bottom), (low, high) in subject.blocks((rows, columns), ((0, rows), (0, columns))):
        seen[top:bottom, low:high] += 1
        guards = (top > 0) + (bottom < rows) + (low > 0) + (high < columns)
        assert guards + math.ceil(math.log2(bottom - top)) + math.ceil(math.log2(high - low)) <= 8
    assert np.all(seen == 1)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 1000))
def test_trees_add_up_to_the_table(rows: int, columns: int, seed: int) -> None:
    """In every cell exactly one tree holds the value, all others are zero; none is deeper than 8."""
    values = np.random.default_rng(seed).integers(1, 4, (rows, columns)).astype(np.float64)
    trees = subject.table_trees(table_of(values))
    assert max(depth(tree) for tree in trees) <= 8
    for i in range(rows):
        for j in range(columns):
            found = [value_at(tree, (i + 0.5, j + 0.5)) for tree in trees]
            assert [value for value in found if value] == [values[i, j]]


@given(st.integers(1, 40), st.integers(1, 20))
def test_covers_of_a_tree_add_up_to_one(rows: int, columns: int) -> None:
    """Shares of the bins, whatever the guards, never 0."""
    values = np.arange(1.0, rows * columns + 1).reshape(rows, columns)
    for tree in subject.table_trees(table_of(values)):
        assert tree.cover == pytest.approx(1.0)
        assert min(leaf.cover for leaf in leaves(tree)) > 0


def test_a_table_of_16_by_16_is_one_tree() -> None:
    """256 cells without a guard fit exactly; 61 by 16 needs several."""
    assert len(subject.table_trees(table_of(np.arange(1.0, 257).reshape(16, 16)))) == 1
    assert 4 <= len(subject.table_trees(table_of(np.arange(1.0, 977).reshape(61, 16)))) <= 16


def test_blocks_of_zeros_need_no_tree() -> None:
    """Only blocks that hold something are written."""
    values = np.zeros((61, 16))
    assert subject.table_trees(table_of(values)) == []
    values[30, 3] = 1.0
    assert len(subject.table_trees(table_of(values))) == 1


def test_equal_cells_share_a_leaf() -> None:
    """A step needs one split."""
    tree = subject.table_trees(table_of(np.array([[1.0], [1.0], [2.0], [2.0]])))[0]
    assert tree == split(2.0, Leaf(1.0, 0.5), Leaf(2.0, 0.5))


CONTRACT = Contract(
    columns=(
        Column(
            "a",
            ColumnType.AMOUNT,
            Provenance.CUSTOMER,
            (Fraction(1, 10), Fraction(2)),
            Fraction(0),
            Fraction(1),
        ),
    ),
    linear=("a",),
    scale=Fraction(1),
)


def test_forest_tree_takes_edges_and_least_covers() -> None:
    """Cut k is edge k - 1 as float32; a cover below 2^-10 is 2^-10."""
    tree = subject.forest_tree(TreeStructure((0,), (1,)), np.array([0.5, -0.5]), (-7.0, 3.0), CONTRACT)
    assert tree == split(float(np.float32(0.1)), Leaf(0.5, 2**-10), Leaf(-0.5, 3.0))


def test_forest_tree_keeps_heap_order() -> None:
    """Leaves from the left are the structure's."""
    tree = subject.forest_tree(TreeStructure((0, 0, 0), (2, 1, 2)), np.arange(4.0), (1.0,) * 4, CONTRACT)
    assert [leaf.value for leaf in leaves(tree)] == [0.0, 1.0, 2.0, 3.0]


def test_shifted_moves_every_leaf() -> None:
    """Values move, covers and splits stay."""
    tree = split(2.0, Leaf(1.0, 0.25), Leaf(-1.0, 0.75))
    assert subject.shifted(tree, 0.5) == split(2.0, Leaf(1.5, 0.25), Leaf(-0.5, 0.75))


def test_numbered_puts_siblings_side_by_side() -> None:
    """Breadth first, right = left + 1, parents as XGBoost writes them."""
    inner = split(1.0, Leaf(1.0, 1.0), Leaf(2.0, 1.0))
    nodes, lefts, parents = subject.numbered(split(2.0, inner, Leaf(3.0, 1.0)))
    assert lefts == [1, 3, -1, -1, -1]
    assert parents == [2**31 - 1, 0, 0, 1, 1]
    assert nodes[1] == inner
    assert nodes[2] == Leaf(3.0, 1.0)
