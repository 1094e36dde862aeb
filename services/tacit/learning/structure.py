"""Random tree structures from a committed seed: the same bits on every machine, checkable by anyone with the log.

A structure depends on public values alone (seed, contract, plan, round), so it costs no privacy.
Source: Maddock et al., Federated Boosted Decision Trees with Differential Privacy, CCS 2022, section 4.1
(totally random splits); protocol 8 (HMAC-SHA256 counter stream, integer weights, rejection sampling).
"""

import hmac
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from tacit.features.spec import Contract
from tacit.learning.types import LearningError, Structure, TreePlan, TreeStructure

SEED_BYTES = 32
MAX_DEPTH = 8
MAX_ROUND = 2**32 - 1
CANDIDATES = 16

_DOMAIN = b"tacit.trees.v1\x00"
_WORD_BYTES = 8
_WORD_RANGE = 2 ** (8 * _WORD_BYTES)


class _Stream:
    """Unbiased integers from HMAC-SHA256(seed, domain | round | tree | counter), 64-bit big-endian words."""

    def __init__(self, seed: bytes, round_: int, tree: int) -> None:
        self._seed = seed
        self._prefix = _DOMAIN + round_.to_bytes(4, "big") + tree.to_bytes(4, "big")
        self._counter = 0
        self._words: list[int] = []

    def _word(self) -> int:
        if not self._words:
            block = hmac.digest(self._seed, self._prefix + self._counter.to_bytes(8, "big"), "sha256")
            self._counter += 1
            starts = range(0, len(block), _WORD_BYTES)
            self._words = [int.from_bytes(block[start : start + _WORD_BYTES], "big") for start in starts]
        return self._words.pop(0)

    def below(self, bound: int) -> int:
        """A uniform integer in [0, bound); words beyond the last whole multiple of bound are thrown away."""
        limit = _WORD_RANGE - _WORD_RANGE % bound
        while (word := self._word()) >= limit:
            pass
        return word % bound

    def weighted(self, weights: Sequence[int]) -> int:
        """An index, each with probability weight / sum of weights."""
        ends = list(accumulate(weights))
        return bisect_right(ends, self.below(ends[-1]))


@dataclass(frozen=True)
class _Node:
    """A split and the bins [low, high) of each column that can reach it."""

    column: int
    cut: int
    reach: dict[int, tuple[int, int]]


def candidates(bins: int) -> tuple[int, ...]:
    """Cuts that a random split may use: round(linspace(1, bins - 1, 16)), distinct, in whole numbers.

    Args:
        bins: Number of bins of the column, 2 or more.

    Returns:
        Rising cuts between 1 and bins - 1.

    Raises:
        LearningError: If bins is below 2.
    """
    if bins < 2:  # noqa: PLR2004  one bin cannot be split
        raise LearningError(f"a column that trees split on needs 2 or more bins, got {bins}")
    steps = CANDIDATES - 1
    # No ties: 2 i (bins - 2) is even and never an odd multiple of 15.
    return tuple(sorted({1 + (2 * step * (bins - 2) + steps) // (2 * steps) for step in range(steps + 1)}))


def _check(seed: bytes, contract: Contract, plan: TreePlan, round_: int) -> None:
    if len(seed) != SEED_BYTES:
        raise LearningError(f"seed must have {SEED_BYTES} bytes, got {len(seed)}")
    if not 0 <= round_ <= MAX_ROUND:
        raise LearningError(f"round must be from 0 to {MAX_ROUND}, got {round_}")
    if not 1 <= plan.depth <= MAX_DEPTH:
        raise LearningError(f"depth must be from 1 to {MAX_DEPTH}, got {plan.depth}")
    if plan.trees_per_round < 1:
        raise LearningError(f"trees_per_round must be 1 or more, got {plan.trees_per_round}")
    if not 1 <= plan.columns_per_tree <= len(contract.columns):
        raise LearningError(f"columns_per_tree must be from 1 to {len(contract.columns)}, got {plan.columns_per_tree}")


def _columns(stream: _Stream, contract: Contract, count: int) -> list[int]:
    """Distinct columns, drawn one after the other by weight among those left."""
    left = list(range(len(contract.columns)))
    chosen = []
    for _ in range(count):
        position = stream.weighted([contract.columns[column].weight for column in left])
        chosen.append(left.pop(position))
    return chosen


def _below(parent: _Node, *, right: bool) -> dict[int, tuple[int, int]]:
    """The reach of a child; a repeated split has a side that nothing reaches."""
    low, high = parent.reach[parent.column]
    side = (max(low, parent.cut), high) if right else (low, min(high, parent.cut))
    return {**parent.reach, parent.column: side}


def _split(
    stream: _Stream, columns: list[int], reach: dict[int, tuple[int, int]], bins: dict[int, int], parent: _Node | None
) -> _Node:
    column = columns[stream.below(len(columns))]
    low, high = reach[column]
    inside = [cut for cut in candidates(bins[column]) if low < cut < high]
    if inside:
        return _Node(column, inside[stream.below(len(inside))], reach)
    if parent is None:
        raise LearningError(f"column {column} has no candidate cut")
    return _Node(parent.column, parent.cut, reach)


def _tree(seed: bytes, contract: Contract, plan: TreePlan, round_: int, tree: int) -> TreeStructure:
    stream = _Stream(seed, round_, tree)
    columns = _columns(stream, contract, plan.columns_per_tree)
    bins = {column: contract.columns[column].bins for column in columns}
    nodes = [_split(stream, columns, {column: (0, bins[column]) for column in columns}, bins, None)]
    for position in range(1, 2**plan.depth - 1):
        parent = nodes[(position - 1) // 2]
        nodes.append(_split(stream, columns, _below(parent, right=position % 2 == 0), bins, parent))
    return TreeStructure(tuple(node.column for node in nodes), tuple(node.cut for node in nodes))


def draw(seed: bytes, contract: Contract, plan: TreePlan, round: int) -> Structure:  # noqa: A002  the protocol's word
    """The trees of one round.

    Every tree has its own stream, so a tree does not depend on how many stand beside it. A tree first draws
    `plan.columns_per_tree` distinct columns by integer weight; each node then draws one of them uniformly and
    one of its candidate cuts that rows can still reach. A node without such a cut copies its parent's split.

    Args:
        seed: The committed 32 bytes, H(plan, roster).
        contract: Columns, bins and weights.
        plan: Trees a round, depth, columns a tree.
        round: Number of the round, 0 to 2^32 - 1.

    Returns:
        `plan.trees_per_round` trees of depth `plan.depth`.

    Raises:
        LearningError: If the seed, the round or the plan is out of range for the contract.
    """
    _check(seed, contract, plan, round)
    return Structure(tuple(_tree(seed, contract, plan, round, tree) for tree in range(plan.trees_per_round)))


def depth_of(tree: TreeStructure) -> int:
    """Depth of a perfect tree.

    Raises:
        LearningError: If it does not have 2^depth - 1 nodes for a depth from 1 to 8, with a cut each.
    """
    nodes = len(tree.columns)
    depth = (nodes + 1).bit_length() - 1
    if not 1 <= depth <= MAX_DEPTH or nodes + 1 != 2**depth or len(tree.cuts) != nodes:
        raise LearningError(
            f"a tree needs 2^depth - 1 columns and cuts, depth 1 to {MAX_DEPTH}; got {nodes} and {len(tree.cuts)}"
        )
    return depth


def leaf_of(bins: NDArray[np.uint8], tree: TreeStructure) -> NDArray[np.uint8]:
    """The leaf that each row falls into.

    Args:
        bins: uint8, shape (columns, rows): the contract's bins.
        tree: The tree.

    Returns:
        uint8, shape (rows,): leaves from 0 (left) to 2^depth - 1 (right).

    Raises:
        LearningError: If the tree is not perfect or names a column that the rows do not have.
    """
    depth = depth_of(tree)
    if not all(0 <= column < bins.shape[0] for column in tree.columns):
        raise LearningError(f"tree columns must be from 0 to {bins.shape[0] - 1}, got {sorted(set(tree.columns))}")
    rows = bins.shape[1]
    leaf = np.zeros(rows, dtype=np.uint8)
    for level in range(depth):
        right = np.zeros(rows, dtype=np.bool_)
        first = 2**level - 1
        for place in range(2**level):
            above = bins[tree.columns[first + place]] >= tree.cuts[first + place]
            right |= above & (leaf == place) if level else above
        leaf = (leaf << np.uint8(1)) | right.astype(np.uint8)
    return leaf
