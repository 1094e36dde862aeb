"""Tree rounds: exact contributions whatever the order, and the damped Newton step."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacit.features.spec import Column, ColumnType, Contract, Provenance
from tacit.features.types import Encoded
from tacit.learning import leaves as subject
from tacit.learning.structure import draw, leaf_of
from tacit.learning.types import LearningError, Leaves, Structure, TreePlan, TreeStructure
from tacit.privacy.types import GRID

PLAN = TreePlan(depth=3, trees_per_round=2, columns_per_tree=2)
CONTRACT = Contract(
    columns=tuple(
        Column(
            name=f"c{number}",
            type=ColumnType.AMOUNT,
            provenance=Provenance.CUSTOMER,
            edges=tuple(Fraction(edge) for edge in range(1, 12)),
            centre=Fraction(0),
            spread=Fraction(1),
        )
        for number in range(3)
    ),
    linear=("c0",),
    scale=Fraction(1),
)
STRUCTURE = draw(bytes(32), CONTRACT, PLAN, 0)


def rows_of(seed: int, units: int = 7) -> tuple[Encoded, np.ndarray]:
    """Random rows of some units (one of them empty) and margins."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 9, units)
    counts[units // 2] = 0
    rows = int(counts.sum())
    encoded = Encoded(
        bins=rng.integers(0, 12, (3, rows)).astype(np.uint8),
        starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        labels=(rng.random(rows) < 0.3).astype(np.uint8),
    )
    return encoded, rng.normal(-2, 3, rows)


def shuffled(encoded: Encoded, margins: np.ndarray, seed: int) -> tuple[Encoded, np.ndarray]:
    """The same rows, in another order inside every unit."""
    rng = np.random.default_rng(seed)
    parts = [rng.permutation(np.arange(encoded.starts[u], encoded.starts[u + 1])) for u in range(encoded.units)]
    order = np.concatenate(parts).astype(np.int64)
    return Encoded(encoded.bins[:, order], encoded.starts, encoded.labels[order]), margins[order]


def test_contributions_match_a_slow_loop() -> None:
    """Every cell is the sum of g or h over the unit's rows in that leaf, in the documented order."""
    encoded, margins = rows_of(0)
    expected = np.zeros((encoded.units, 2, 8, 2))
    for unit in range(encoded.units):
        for row in range(encoded.starts[unit], encoded.starts[unit + 1]):
            p = 1 / (1 + math.exp(-margins[row]))
            for number, tree in enumerate(STRUCTURE.trees):
                leaf = leaf_of(encoded.bins[:, row : row + 1], tree)[0]
                expected[unit, number, leaf] += p - encoded.labels[row], p * (1 - p)
    found = subject.contributions(encoded, STRUCTURE, margins, 0, encoded.units)
    assert found.dtype == np.int64
    np.testing.assert_allclose(found / 2**32, expected.reshape(encoded.units, -1), atol=1e-8)


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_order_of_rows_changes_nothing(seed: int, order: int) -> None:
    """Integer sums: the same bits for any order of a unit's rows."""
    encoded, margins = rows_of(seed)
    other, moved = shuffled(encoded, margins, order)
    first = subject.contributions(encoded, STRUCTURE, margins, 0, encoded.units)
    assert np.array_equal(first, subject.contributions(other, STRUCTURE, moved, 0, encoded.units))


@given(st.integers(0, 10_000), st.integers(0, 7))
def test_partition_changes_nothing(seed: int, cut: int) -> None:
    """Two ranges of units together are the whole, bit for bit."""
    encoded, margins = rows_of(seed)
    whole = subject.contributions(encoded, STRUCTURE, margins, 0, 7)
    parts = [subject.contributions(encoded, STRUCTURE, margins, *part) for part in ((0, cut), (cut, 7))]
    assert np.array_equal(whole, np.concatenate(parts))


def test_contributions_refuse_what_does_not_fit() -> None:
    """Shapes, units and depths are checked."""
    encoded, margins = rows_of(1)
    with pytest.raises(LearningError, match="shape"):
        subject.contributions(encoded, STRUCTURE, margins[1:], 0, 1)
    with pytest.raises(LearningError, match="units"):
        subject.contributions(encoded, STRUCTURE, margins, 3, 2)
    with pytest.raises(LearningError, match="units"):
        subject.contributions(encoded, STRUCTURE, margins, 0, 8)
    mixed = Structure((TreeStructure((0,), (1,)), TreeStructure((0,) * 3, (1,) * 3)))
    with pytest.raises(LearningError, match="one depth"):
        subject.contributions(encoded, mixed, margins, 0, 1)
    with pytest.raises(LearningError, match="one depth"):
        subject.contributions(encoded, Structure(()), margins, 0, 1)


def test_cells_count_trees_leaves_and_both_sums() -> None:
    """The default plan asks for 4 x 32 x 2 numbers."""
    assert subject.cells(TreePlan()) == 256
    assert subject.cells(PLAN) == 32


@pytest.mark.parametrize("trees", [1, 2, 3, 4, 5, 16])
@pytest.mark.parametrize("base", [Fraction(1, 2), Fraction(7, 3), Fraction(1, 1000)])
def test_clip_rounds_down_to_the_grid(trees: int, base: Fraction) -> None:
    """The bound is the largest grid multiple not above clip sqrt(trees)."""
    clip = subject.clip(TreePlan(trees_per_round=trees, clip=base))
    steps = clip * 2**16
    assert steps.denominator == 1
    assert clip**2 <= base**2 * trees < (clip + Fraction(1, 2**16)) ** 2


def test_clip_of_the_default_plan() -> None:
    """0.5 sqrt(4) = 1, exactly."""
    assert subject.clip(TreePlan()) == 1


@pytest.mark.parametrize("base", [Fraction(0), Fraction(-1), Fraction(1, 2**20)])
def test_clip_refuses_nothing(base: Fraction) -> None:
    """A clip below the grid would leave no room for any row."""
    with pytest.raises(LearningError, match="clip"):
        subject.clip(TreePlan(clip=base))


def test_solve_by_hand() -> None:
    """One leaf with G = -3, H = 2, sigma = 4: w = 6 / (4 + 1 + 4), times 2 / 1."""
    plan = TreePlan(depth=1, trees_per_round=1)
    solved = subject.solve([-3 * 2**16, 2 * 2**16, 2**16, -(2**16)], 16 * 2**32, plan)
    assert solved.values == ((2 * 6 / 9, 0.0),)
    assert solved.covers == ((2.0, -1.0),)


def test_solve_orders_trees_and_leaves() -> None:
    """Sums land in their own tree and leaf."""
    sums = [0] * 32
    sums[(1 * 8 + 5) * 2 : (1 * 8 + 5) * 2 + 2] = [-(2**16), 2**16]
    solved = subject.solve(sums, 0, PLAN)
    nonzero = [(t, i) for t, row in enumerate(solved.values) for i, value in enumerate(row) if value]
    assert nonzero == [(1, 5)]
    assert solved.covers[1][5] == 1.0
    assert [len(row) for row in solved.values + solved.covers] == [8] * 4


@given(st.lists(st.integers(-(2**40), 2**40), min_size=32, max_size=32), st.integers(0, 2**60))
def test_steps_are_bounded_and_against_the_gradient(sums: list[int], variance: int) -> None:
    """|w| <= 3 x 2 / trees, its sign opposes G, and it is 0 where H <= 0."""
    solved = subject.solve(sums, variance, PLAN)
    flat = [value for row in solved.values for value in row]
    for value, g, h in zip(flat, sums[::2], sums[1::2], strict=True):
        assert abs(value) <= 3.0
        assert value * g <= 0
        assert h > 0 or value == 0


def test_more_noise_means_smaller_steps() -> None:
    """The achieved noise shrinks the step."""
    sums = [-(2**18), 2**18] * 16
    quiet, loud = (subject.solve(sums, variance, PLAN).values[0][0] for variance in (0, 2**40))
    assert 0 < loud < quiet


def test_solve_refuses_bad_sums() -> None:
    """Too few sums or a negative variance are named."""
    with pytest.raises(LearningError, match="32 sums, got 3"):
        subject.solve([1, 2, 3], 0, PLAN)
    with pytest.raises(LearningError, match="variance"):
        subject.solve([0] * 32, -1, PLAN)


def test_margins_add_the_leaves() -> None:
    """A row's increment is the sum of its leaves."""
    encoded, _ = rows_of(5)
    values = tuple(tuple(float(10**tree * (leaf + 1)) for leaf in range(8)) for tree in range(2))
    found = subject.margins(encoded, STRUCTURE, Leaves(values, values))
    leaves = [leaf_of(encoded.bins, tree) for tree in STRUCTURE.trees]
    assert found.tolist() == [(a + 1.0) + 10.0 * (b + 1.0) for a, b in zip(*leaves, strict=True)]


@pytest.mark.parametrize("values", [((0.0,) * 8,), ((0.0,) * 8, (0.0,) * 7), ((0.0,) * 8, (math.nan,) * 8)])
def test_margins_refuse_leaves_that_do_not_fit(values: tuple[tuple[float, ...], ...]) -> None:
    """Missing, short and NaN leaves are refused."""
    encoded, _ = rows_of(5)
    with pytest.raises(LearningError, match=r"leaves|leaf"):
        subject.margins(encoded, STRUCTURE, Leaves(values, values))


def test_newton_rounds_learn() -> None:
    """Ten noiseless rounds on separable rows push frauds above the rest."""
    encoded, _ = rows_of(9, units=200)
    encoded = Encoded(encoded.bins, encoded.starts, (encoded.bins[0] > 6).astype(np.uint8))
    margins = np.full(encoded.rows, -1.0)
    for number in range(10):
        trees = draw(bytes(32), CONTRACT, PLAN, number)
        total = subject.contributions(encoded, trees, margins, 0, encoded.units).sum(axis=0)
        margins += subject.margins(encoded, trees, subject.solve([int(v) >> 16 for v in total], 0, PLAN))
    assert margins[encoded.labels == 1].mean() > margins[encoded.labels == 0].mean() + 2


PAIRS = st.lists(st.integers(-(2**30), 2**30), min_size=32, max_size=32)


@given(sums=PAIRS, variance=st.integers(0, 2**40))
def test_turning_the_gradients_turns_the_leaves(sums: list[int], variance: int) -> None:
    """Frauds and others are treated alike: the step is odd in the gradient, bit for bit."""
    turned = [-value if at % 2 == 0 else value for at, value in enumerate(sums)]
    one, other = subject.solve(sums, variance, PLAN), subject.solve(turned, variance, PLAN)
    assert [[-value for value in tree] for tree in one.values] == [list(tree) for tree in other.values]
    assert one.covers == other.covers


@given(sums=PAIRS, variance=st.integers(0, 2**40))
def test_a_leaf_depends_on_its_own_cells(sums: list[int], variance: int) -> None:
    """Another cell's noise moves no other leaf."""
    changed = [*sums[:-2], sums[-2] + 12345, abs(sums[-1]) + 2**20]
    one, other = subject.solve(sums, variance, PLAN), subject.solve(changed, variance, PLAN)
    assert one.values[0] == other.values[0]
    assert one.values[1][:-1] == other.values[1][:-1]


@given(sums=PAIRS, one=st.integers(0, 2**40), other=st.integers(0, 2**40))
def test_a_known_noise_level_never_lengthens_a_step(sums: list[int], one: int, other: int) -> None:
    """Leaf by leaf."""
    low, high = sorted((one, other))
    quiet, loud = subject.solve(sums, low, PLAN), subject.solve(sums, high, PLAN)
    for short, long in zip(loud.values, quiet.values, strict=True):
        assert all(abs(left) <= abs(right) for left, right in zip(short, long, strict=True))


@given(sums=PAIRS)
def test_no_released_curvature_is_no_step(sums: list[int]) -> None:
    """A leaf that is empty but for noise stays at 0, and its cover says what was released."""
    below = [value if at % 2 == 0 else -abs(value) for at, value in enumerate(sums)]
    solved = subject.solve(below, 2**30, PLAN)
    assert all(value == 0 for tree in solved.values for value in tree)
    assert [cover for tree in solved.covers for cover in tree] == [value / GRID for value in below[1::2]]


@given(seed=st.integers(0, 1000))
def test_margins_of_two_rounds_add(seed: int) -> None:
    """Leaves twice as high are margins twice as high; those of opposite leaves are opposite."""
    encoded, _ = rows_of(seed)
    values = np.random.default_rng(seed).normal(size=(2, 8)).tolist()

    def margins(factor: float) -> list[float]:
        held = tuple(tuple(factor * value for value in tree) for tree in values)
        return list(subject.margins(encoded, STRUCTURE, Leaves(held, held)))

    assert margins(2.0) == [2 * value for value in margins(1.0)]
    assert margins(-1.0) == [-value for value in margins(1.0)]
    assert margins(0.0) == [0.0] * encoded.rows


@given(seed=st.integers(0, 1000), margin=st.floats(-30, 30))
def test_gradients_of_a_tree_add_up_to_the_rows(seed: int, margin: float) -> None:
    """Every row is in exactly one leaf of each tree: all trees have the same totals."""
    encoded, _ = rows_of(seed)
    found = subject.contributions(encoded, STRUCTURE, np.full(encoded.rows, margin), 0, encoded.units)
    by_tree = found.reshape(encoded.units, 2, 8, 2).sum(axis=2)
    assert np.array_equal(by_tree[:, 0], by_tree[:, 1])
    sizes = np.diff(encoded.starts)
    assert (np.abs(by_tree[:, 0, 0]) <= sizes * 2**32).all()
    assert (by_tree[:, 0, 1] >= 0).all()
    assert (by_tree[:, 0, 1] <= sizes * 2**30).all()
