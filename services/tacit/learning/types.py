"""Values of learning that travel: what a query asks with, and what a plan says of the learner."""

import enum
from dataclasses import dataclass
from fractions import Fraction


class LearningError(Exception):
    """A learner, basis or model that cannot be used; the message names the value and the allowed range."""


class StageKind(enum.StrEnum):
    """What a round's vector holds."""

    PRECONDITIONER = "preconditioner"
    GRADIENT = "gradient"
    TREES = "trees"
    QUALITY = "quality"


@dataclass(frozen=True)
class Stage:
    """One round's question, fixed by the plan and the contract.

    Attributes:
        kind: What the vector holds.
        cells: Length of the vector, at most 4,096.
        clip: L2 bound of one unit's vector, in units of 1.0.
        share: This round's share of the privacy budget; the shares of all rounds add up to 1.
    """

    kind: StageKind
    cells: int
    clip: Fraction
    share: Fraction


@dataclass(frozen=True)
class Weights:
    """Coefficients on the contract's basis, in its order; the intercept is last. Finite."""

    values: tuple[float, ...]


@dataclass(frozen=True)
class TreeStructure:
    """A perfect binary tree without leaf values, nodes in heap order (children of i: 2i+1, 2i+2).

    A row goes left at a node when its bin of `columns[i]` is below `cuts[i]`; that is x < edges[cuts[i] - 1].

    Attributes:
        columns: Column index per inner node, 2^depth - 1 of them.
        cuts: First bin that goes right, from 1 to the column's number of bins - 1; as many as `columns`.
    """

    columns: tuple[int, ...]
    cuts: tuple[int, ...]


@dataclass(frozen=True)
class Structure:
    """The trees of one round, all of one depth."""

    trees: tuple[TreeStructure, ...]


class LearnerKind(enum.StrEnum):
    """The learners that a plan may name."""

    ADDITIVE = "additive"
    TREES = "trees"
    ADDITIVE_TREES = "additive+trees"


@dataclass(frozen=True)
class Clip:
    """L2 bounds of one unit's vector, in units of 1.0, each in (0, 16]."""

    preconditioner: Fraction = Fraction(1)
    gradient: Fraction = Fraction(2)


@dataclass(frozen=True)
class TreePlan:
    """Random-structure boosted trees (algorithm 4, learner `trees`).

    Attributes:
        rounds: Boosting rounds, 1 to 64.
        trees_per_round: Trees whose leaves one round asks for, 1 to 16.
        depth: Depth of every tree, 1 to 8.
        columns_per_tree: Distinct columns that one tree may split on, 1 or more.
        clip: L2 bound of one unit's (g, h) sums per sqrt(trees_per_round).
    """

    rounds: int = 16
    trees_per_round: int = 4
    depth: int = 5
    columns_per_tree: int = 3
    clip: Fraction = Fraction(1, 2)


@dataclass(frozen=True)
class Learner:
    """The `learner:` part of a plan (formats 1); ranges are checked in `rounds.plan`.

    Attributes:
        kind: Which learner.
        rounds: Gradient rounds R of the additive learner, 1 to 256.
        momentum: Heavy-ball momentum, [0, 1).
        damp: First step size, (0, 2].
        kappa: Weight of the noise level in the preconditioner, [0, 10].
        ridge: Weight of the mean curvature in the preconditioner, (0, 10].
        average: Last iterates that are averaged, 1 to rounds.
        starting_margin: Log-odds of the public starting rate, [-20, 20].
        clip: Bounds of the additive rounds.
        expected_fraud_units: Public guess of units with a fraud, over all banks.
        trees: The tree rounds; None unless the kind has trees.
    """

    kind: LearnerKind = LearnerKind.ADDITIVE
    rounds: int = 32
    momentum: Fraction = Fraction(4, 5)
    damp: Fraction = Fraction(1, 2)
    kappa: Fraction = Fraction(3, 10)
    ridge: Fraction = Fraction(3, 10)
    average: int = 8
    starting_margin: Fraction = Fraction("-4.59512")
    clip: Clip = Clip()
    expected_fraud_units: int = 2000
    trees: TreePlan | None = None


@dataclass(frozen=True)
class Shares:
    """Shares of the privacy budget by kind of round; they add up to 1, unused ones are left out or 0."""

    preconditioner: Fraction = Fraction(0)
    gradients: Fraction = Fraction(0)
    trees: Fraction = Fraction(0)
    quality: Fraction = Fraction(0)


@dataclass(frozen=True)
class LineTable:
    """Margin per bin of one column.

    Attributes:
        column: Position of the column in the contract.
        values: One margin per bin.
    """

    column: int
    values: tuple[float, ...]


@dataclass(frozen=True)
class PlaneTable:
    """Margin per cell of two columns whose bins are grouped.

    Attributes:
        columns: Positions of the two columns.
        firsts: For each column, the first bin of each group, rising, starting with 0.
        values: values[i][j] is the margin of group i of the first column and group j of the second.
    """

    columns: tuple[int, int]
    firsts: tuple[tuple[int, ...], tuple[int, ...]]
    values: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Leaves:
    """Leaf margins of one round's trees, left to right, and the released curvature behind each.

    Attributes:
        values: One tuple of 2^depth margins per tree.
        covers: Released H per leaf (any sign), same shape as `values`.
    """

    values: tuple[tuple[float, ...], ...]
    covers: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Ensemble:
    """The finished global model: a sum of tables and trees over binned columns.

    Attributes:
        intercept: Margin that every row starts with.
        lines: One-column tables.
        planes: Two-column tables.
        forests: Structure and leaves of each tree round, in order.
    """

    intercept: float
    lines: tuple[LineTable, ...] = ()
    planes: tuple[PlaneTable, ...] = ()
    forests: tuple[tuple[Structure, Leaves], ...] = ()


@dataclass(frozen=True)
class QualityPlan:
    """The `quality:` part of a plan (formats 1, algorithm 4).

    Attributes:
        edges: Public margin edges, rising, within +-40; one more bin than edges.
        weights: Weight of a non-fraud row below edges[0], between edges[0] and edges[1], and above.
        review_rate: Share of rows that go to review.
        decline_rate: Share of rows that are declined, at most `review_rate`.
        tolerance: Largest half-width of a 90 % interval with which a gate still compares.
    """

    edges: tuple[Fraction, ...] = tuple(Fraction(edge) for edge in range(-4, 3))
    weights: tuple[Fraction, ...] = (Fraction(1, 32), Fraction(1, 4), Fraction(1))
    review_rate: Fraction = Fraction(1, 200)
    decline_rate: Fraction = Fraction(1, 1000)
    tolerance: Fraction = Fraction(1, 20)
