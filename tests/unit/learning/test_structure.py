"""Random structures: reproducible, unbiased, and within the contract."""

import dataclasses
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacit import canonical
from tacit.features.spec import Column, ColumnType, Contract, Provenance
from tacit.learning import structure as subject
from tacit.learning.types import LearningError, Structure, TreePlan, TreeStructure

SEED = bytes(range(32))
KNOWN = "8b2956a5a464dd3a3baad81cdec75c998a032c2ae97d032e8616a5177fa0e0a7"


def contract_of(*bins: int, weights: tuple[int, ...] | None = None) -> Contract:
    """A contract with columns of the given numbers of bins."""
    columns = tuple(
        Column(
            name=f"c{number}",
            type=ColumnType.AMOUNT,
            provenance=Provenance.CUSTOMER,
            edges=tuple(Fraction(edge) for edge in range(1, count)),
            centre=Fraction(0),
            spread=Fraction(1),
            weight=weights[number] if weights else 1,
        )
        for number, count in enumerate(bins)
    )
    return Contract(columns=columns, linear=("c0",), scale=Fraction(1))


CONTRACT = contract_of(63, 2, 17, 40, 5)


def walk(tree: TreeStructure, bins: list[int]) -> int:
    """The leaf of one row, node by node."""
    node = 0
    while node < len(tree.columns):
        node = 2 * node + 1 + (bins[tree.columns[node]] >= tree.cuts[node])
    return node - len(tree.columns)


def test_same_seed_same_trees() -> None:
    """The draw is a function of its arguments."""
    assert subject.draw(SEED, CONTRACT, TreePlan(), 3) == subject.draw(SEED, CONTRACT, TreePlan(), 3)


def test_known_draw() -> None:
    """Published bits: any machine must rebuild the structures of an old log."""
    drawn = subject.draw(SEED, CONTRACT, TreePlan(), 1)
    assert canonical.digest(drawn).hex() == KNOWN


@pytest.mark.parametrize("other", [(bytes(32), 3), (SEED, 4)])
def test_seed_and_round_separate(other: tuple[bytes, int]) -> None:
    """Another seed or round gives other trees."""
    assert subject.draw(other[0], CONTRACT, TreePlan(), other[1]) != subject.draw(SEED, CONTRACT, TreePlan(), 3)


def test_trees_of_a_round_differ_and_do_not_depend_on_their_number() -> None:
    """A tree has its own stream."""
    few = subject.draw(SEED, CONTRACT, TreePlan(trees_per_round=2), 0)
    many = subject.draw(SEED, CONTRACT, TreePlan(trees_per_round=5), 0)
    assert many.trees[:2] == few.trees
    assert len(set(many.trees)) == 5


@given(st.binary(min_size=32, max_size=32), st.integers(1, 8), st.integers(1, 5))
def test_every_tree_is_valid(seed: bytes, depth: int, columns: int) -> None:
    """Perfect trees over few columns, cuts among the candidates."""
    plan = TreePlan(depth=depth, columns_per_tree=columns, trees_per_round=2)
    for tree in subject.draw(seed, CONTRACT, plan, 0).trees:
        assert subject.depth_of(tree) == depth
        assert len(set(tree.columns)) <= columns
        for column, cut in zip(tree.columns, tree.cuts, strict=True):
            assert cut in subject.candidates(CONTRACT.columns[column].bins)


@given(st.binary(min_size=32, max_size=32))
def test_a_split_is_reachable_or_its_parents(seed: bytes) -> None:
    """Both sides of a node can be reached by some bin, unless it repeats its parent."""
    tree = subject.draw(seed, CONTRACT, TreePlan(depth=6, trees_per_round=1, columns_per_tree=2), 0).trees[0]
    for node in range(1, len(tree.columns)):
        low, high, path = 0, CONTRACT.columns[tree.columns[node]].bins, node
        while path:
            parent, right = (path - 1) // 2, path % 2 == 0
            if tree.columns[parent] == tree.columns[node]:
                low, high = (max(low, tree.cuts[parent]), high) if right else (low, min(high, tree.cuts[parent]))
            path = parent
        above = (node - 1) // 2
        copied = (tree.columns[node], tree.cuts[node]) == (tree.columns[above], tree.cuts[above])
        assert low < tree.cuts[node] < high or copied


def test_exhausted_columns_copy_the_parent() -> None:
    """A flag has one cut; below it every node repeats the root's split."""
    tree = subject.draw(SEED, contract_of(2), TreePlan(columns_per_tree=1, depth=3), 0).trees[0]
    assert tree == TreeStructure((0,) * 7, (1,) * 7)


def test_columns_are_drawn_by_weight() -> None:
    """A weight of 8 among 8 + 1 + 1 takes about 80 % of the first places."""
    contract = contract_of(9, 9, 9, weights=(1, 8, 1))
    plan = TreePlan(trees_per_round=16, columns_per_tree=1, depth=1)
    trees = [tree for number in range(100) for tree in subject.draw(SEED, contract, plan, number).trees]
    share = sum(tree.columns[0] == 1 for tree in trees) / len(trees)
    assert abs(share - 0.8) < 0.04


def test_cuts_are_uniform() -> None:
    """Every candidate of a column comes about equally often at a root."""
    plan = TreePlan(trees_per_round=16, columns_per_tree=1, depth=1)
    drawn = [tree.cuts[0] for r in range(150) for tree in subject.draw(SEED, contract_of(63), plan, r).trees]
    counts = Counter(drawn)
    assert set(counts) == set(subject.candidates(63))
    assert max(abs(count - 150) for count in counts.values()) < 60


def test_words_beyond_the_last_multiple_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    """A word in the uneven rest is thrown away, not folded."""
    stream = subject._Stream(SEED, 0, 0)
    words = iter([2**64 - 1, 2**64 - 2, 7])
    monkeypatch.setattr(stream, "_word", lambda: next(words))
    assert stream.below(3) == (2**64 - 2) % 3
    assert stream.below(5) == 2


def test_stream_repeats_no_word() -> None:
    """The counter moves on: a thousand words are distinct."""
    stream = subject._Stream(SEED, 0, 0)
    assert len({stream._word() for _ in range(1000)}) == 1000


@given(st.integers(2, 300))
def test_candidates_match_numpy(bins: int) -> None:
    """The whole-number rule equals round(linspace(1, bins - 1, 16))."""
    expected = sorted({int(value) for value in np.rint(np.linspace(1, bins - 1, 16))})
    assert list(subject.candidates(bins)) == expected


@given(st.binary(min_size=32, max_size=32), st.integers(1, 8), st.randoms(use_true_random=False))
def test_leaf_of_matches_a_walk(seed: bytes, depth: int, random: object) -> None:
    """Vectorised leaves are those of the node-by-node walk."""
    tree = subject.draw(seed, CONTRACT, TreePlan(depth=depth, trees_per_round=1), 0).trees[0]
    rng = np.random.default_rng(random.getrandbits(32))  # type: ignore[attr-defined]
    bins = np.stack([rng.integers(0, column.bins, 50) for column in CONTRACT.columns]).astype(np.uint8)
    leaves = subject.leaf_of(bins, tree)
    assert leaves.dtype == np.uint8
    assert leaves.tolist() == [walk(tree, row) for row in bins.T.tolist()]


def test_depth_eight_reaches_leaf_255() -> None:
    """The last leaf of the deepest tree fits its type."""
    tree = TreeStructure((0,) * 255, (1,) * 255)
    assert subject.leaf_of(np.array([[0, 5]], dtype=np.uint8), tree).tolist() == [0, 255]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"depth": 0}, "depth"),
        ({"depth": 9}, "depth"),
        ({"trees_per_round": 0}, "trees_per_round"),
        ({"columns_per_tree": 0}, "columns_per_tree"),
        ({"columns_per_tree": 6}, "columns_per_tree"),
    ],
)
def test_plan_out_of_range(change: dict[str, int], words: str) -> None:
    """The value out of range is named."""
    with pytest.raises(LearningError, match=words):
        subject.draw(SEED, CONTRACT, dataclasses.replace(TreePlan(), **change), 0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seed", "number", "words"), [(b"short", 0, "seed"), (SEED, -1, "round"), (SEED, 2**32, "round")]
)
def test_seed_and_round_out_of_range(seed: bytes, number: int, words: str) -> None:
    """A short seed or an impossible round is refused."""
    with pytest.raises(LearningError, match=words):
        subject.draw(seed, CONTRACT, TreePlan(), number)


def test_a_column_with_one_bin_is_refused() -> None:
    """There is nothing to split."""
    with pytest.raises(LearningError, match="2 or more bins"):
        subject.candidates(1)


@pytest.mark.parametrize("tree", [TreeStructure((), ()), TreeStructure((0, 0), (1, 1)), TreeStructure((0,), ())])
def test_trees_that_are_not_perfect_are_refused(tree: TreeStructure) -> None:
    """Only 2^depth - 1 nodes with a cut each make a tree."""
    with pytest.raises(LearningError, match="tree needs"):
        subject.depth_of(tree)


def test_leaf_of_refuses_unknown_columns() -> None:
    """A tree over a column that the rows lack is refused."""
    with pytest.raises(LearningError, match="columns"):
        subject.leaf_of(np.zeros((1, 3), dtype=np.uint8), TreeStructure((1,), (1,)))


def test_structure_holds_its_trees() -> None:
    """A round is a Structure of as many trees as the plan says."""
    drawn = subject.draw(SEED, CONTRACT, TreePlan(), 0)
    assert isinstance(drawn, Structure)
    assert len(drawn.trees) == 4
