"""Leaves of random trees: what a unit contributes, and the Newton step from noised sums.

Cells of a tree round, in order: tree by tree, leaf by leaf from the left, first the gradient sum g, then the
curvature sum h; cell (tree * leaves + leaf) * 2 is g and the next one h.
"""

from collections.abc import Sequence
from fractions import Fraction
from math import isfinite, isqrt

import numpy as np
from numpy.typing import NDArray

from tacit.features.types import Encoded
from tacit.learning.sigmoid import sigmoid
from tacit.learning.structure import depth_of, leaf_of
from tacit.learning.types import LearningError, Leaves, Structure, TreePlan
from tacit.privacy.types import CONTRIBUTION_SCALE, GRID

MAX_STEP = 3.0


def cells(plan: TreePlan) -> int:
    """Length of a tree round's vector: trees x leaves x 2."""
    return int(plan.trees_per_round * 2**plan.depth * 2)


def clip(plan: TreePlan) -> Fraction:
    """L2 bound of one unit's vector: plan.clip sqrt(trees_per_round), rounded down to a multiple of 2^-16.

    Raises:
        LearningError: If the plan's clip is not above 2^-16.
    """
    squared = plan.clip * plan.clip * plan.trees_per_round * GRID * GRID
    steps = isqrt(squared.numerator // squared.denominator) if plan.clip > 0 else 0
    if steps < 1:
        raise LearningError(f"clip must be above 2^-16, got {plan.clip}")
    return Fraction(steps, GRID)


def _check(encoded: Encoded, structure: Structure, margins: NDArray[np.float64], first: int, last: int) -> int:
    """The depth that the trees share."""
    if margins.shape != (encoded.rows,):
        raise LearningError(f"margins must have shape ({encoded.rows},), got {margins.shape}")
    if not 0 <= first <= last <= encoded.units:
        raise LearningError(f"units must satisfy 0 <= first <= last <= {encoded.units}, got {first} and {last}")
    depths = {depth_of(tree) for tree in structure.trees}
    if len(depths) != 1:
        raise LearningError(f"a round needs trees of one depth, got depths {sorted(depths)}")
    return depths.pop()


def contributions(
    encoded: Encoded, structure: Structure, margins: NDArray[np.float64], first_unit: int, last_unit: int
) -> NDArray[np.int64]:
    """Each unit's sums of gradient and curvature by leaf, before clipping.

    With p = sigmoid(margin), a row adds g = p - y and h = p (1 - p) to its leaf of every tree, each rounded to a
    multiple of 2^-32. The sums are integer sums, so neither the order of rows nor their partition changes a bit.
    Nothing here is private yet: the result goes to `privacy.clipping` and nowhere else.

    Args:
        encoded: The bank's rows, grouped by unit.
        structure: The round's trees, all of one depth.
        margins: float64, shape (rows,): margin of every row before this round, finite.
        first_unit: First unit that is wanted.
        last_unit: The unit after the last one that is wanted.

    Returns:
        int64, shape (last_unit - first_unit, trees x leaves x 2), units of 2^-32; order as in the module's head.

    Raises:
        LearningError: If shapes, units or trees do not fit, or a margin is not finite.
    """
    leaves = 2 ** _check(encoded, structure, margins, first_unit, last_unit)
    low, high = int(encoded.starts[first_unit]), int(encoded.starts[last_unit])
    p = sigmoid(margins[low:high])
    g = np.rint((p - encoded.labels[low:high]) * CONTRIBUTION_SCALE).astype(np.int64)
    h = np.rint(p * (1.0 - p) * CONTRIBUTION_SCALE).astype(np.int64)
    units, trees = last_unit - first_unit, len(structure.trees)
    unit = np.repeat(np.arange(units, dtype=np.int64), np.diff(encoded.starts[first_unit : last_unit + 1]))
    sums = np.zeros(units * trees * leaves * 2, dtype=np.int64)
    bins = encoded.bins[:, low:high]
    for number, tree in enumerate(structure.trees):
        cell = ((unit * trees + number) * leaves + leaf_of(bins, tree)) * 2
        np.add.at(sums, cell, g)
        np.add.at(sums, cell + 1, h)
    return sums.reshape(units, trees * leaves * 2)


def _step(gradient: float, curvature: float, sigma: float) -> float:
    """Newton step -G H / (H^2 + H / 2 + sigma^2 / 4), clipped; 0 where no curvature was released."""
    if curvature <= 0.0:
        return 0.0
    step = -gradient * curvature / (curvature * curvature + 0.5 * curvature + sigma * sigma / 4.0)
    return max(-MAX_STEP, min(MAX_STEP, step))


def solve(sums: Sequence[int], variance: int, plan: TreePlan) -> Leaves:
    """Leaf margins from the released sums of one round.

    Post-processing of a release: it costs no privacy. Plain float64 arithmetic in a fixed order, the same bits on
    every machine. Leaf: w = -G H+ / (H+^2 + H+ / 2 + sigma^2 / 4), H+ = max(H, 0), clipped to +-3, times
    2 / trees_per_round.

    Args:
        sums: The exact sum of the banks' noised vectors, grid units of 2^-16; order as in the module's head.
        variance: Achieved total noise variance in grid units squared, 0 or more.
        plan: Trees a round and depth.

    Returns:
        Leaf margins, and the released curvature H of each leaf (any sign).

    Raises:
        LearningError: If there are not `cells(plan)` sums, or the variance is negative.
    """
    if len(sums) != cells(plan):
        raise LearningError(f"a round of this plan has {cells(plan)} sums, got {len(sums)}")
    if variance < 0:
        raise LearningError(f"variance must be 0 or more, got {variance}")
    sigma = isqrt(variance) / GRID
    shrink = 2.0 / plan.trees_per_round
    decoded = [value / GRID for value in sums]
    steps = [shrink * _step(g, h, sigma) for g, h in zip(decoded[::2], decoded[1::2], strict=True)]
    size = 2**plan.depth
    starts = range(0, len(steps), size)
    values = tuple(tuple(steps[start : start + size]) for start in starts)
    covers = tuple(tuple(decoded[2 * start + 1 : 2 * (start + size) : 2]) for start in starts)
    return Leaves(values, covers)


def margins(encoded: Encoded, structure: Structure, leaves: Leaves) -> NDArray[np.float64]:
    """What a round's trees add to every row's margin, tree by tree in order.

    Args:
        encoded: Rows.
        structure: The round's trees.
        leaves: Their leaf margins.

    Returns:
        float64, shape (rows,).

    Raises:
        LearningError: If leaves and trees do not fit together, or a leaf is not finite.
    """
    if len(leaves.values) != len(structure.trees):
        raise LearningError(f"{len(structure.trees)} trees need as many leaf rows, got {len(leaves.values)}")
    total = np.zeros(encoded.rows, dtype=np.float64)
    for tree, values in zip(structure.trees, leaves.values, strict=True):
        if len(values) != 2 ** depth_of(tree) or not all(isfinite(value) for value in values):
            raise LearningError(f"a tree of depth {depth_of(tree)} needs {2 ** depth_of(tree)} finite leaves")
        total += np.array(values, dtype=np.float64)[leaf_of(encoded.bins, tree)]
    return total
