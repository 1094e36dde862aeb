"""The course of a run: which questions a plan asks, and what follows from each released sum (algorithm 4).

A pure fold: the aggregator, every bank and every verifier that fold the same sums hold the same model.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from tacit.features.spec import Contract
from tacit.learning import leaves, logistic, quality, structure
from tacit.learning.basis import Basis
from tacit.learning.quality import Quality
from tacit.learning.types import (
    Clip,
    Ensemble,
    Learner,
    LearnerKind,
    LearningError,
    Leaves,
    QualityPlan,
    Shares,
    Stage,
    StageKind,
    Structure,
    TreePlan,
    Weights,
)
from tacit.privacy.clipping import MAX_CELLS

FEW_FRAUD_UNITS = 1000
"""Below this many expected fraud units a gradient's clip is at most 1 (short windows, record level)."""

RECORD_LEARNER = Learner(kappa=Fraction(1), clip=Clip(Fraction(1, 4), Fraction(1, 4)))
"""The additive learner where one row is one unit (docs/decisions/001-record-level.md).

A row's curvature p (1 - p) |phi^2| stays below 1/4 where rows have a norm of about 1, whatever p is, so hardly any is
cut; a row's gradient exceeds 1/4 only where the model is far off. Chosen on weeks before 2018-07-25.
"""

LOCAL_LEARNER = Learner(kappa=Fraction(1))
"""The additive learner where every bank adds the full noise (docs/decisions/002-local-mode.md).

In mode `local` there is more noise by the number of banks, and a preconditioner that minds it gains more than it slows
down. Chosen on weeks before 2018-07-25 and on worlds of the product's generator.
"""


def stages(learner: Learner, shares: Shares, contract: Contract, quality_plan: QualityPlan | None) -> tuple[Stage, ...]:
    """The questions of a run, round by round from 0.

    Args:
        learner: What is learnt.
        shares: Shares of the privacy budget by kind of round.
        contract: The feature contract.
        quality_plan: The quality round, None for none.

    Returns:
        Preconditioner, gradients, tree rounds and quality round, as far as the plan has them; their shares add up to 1.

    Raises:
        LearningError: If a vector would have more than 4,096 cells, a share is missing, left over or not above 0, or
            the shares do not add up to 1.
    """
    return _stages(learner, shares, Basis(contract).size, quality_plan)


def _stages(learner: Learner, shares: Shares, size: int, quality_plan: QualityPlan | None) -> tuple[Stage, ...]:
    questions = [*_additive(learner, shares, size), *_trees(learner, shares), *_quality(quality_plan, shares)]
    for number, stage in enumerate(questions):
        if stage.cells > MAX_CELLS:
            raise LearningError(f"round {number} ({stage.kind}) has {stage.cells} cells; at most {MAX_CELLS} fit")
        if stage.share <= 0:
            raise LearningError(f"round {number} ({stage.kind}) has share {stage.share}; expected above 0")
    total = sum((stage.share for stage in questions), Fraction(0))
    if total != 1:
        raise LearningError(f"the shares of the rounds that this plan has add up to {total}; expected exactly 1")
    return tuple(questions)


def _additive(learner: Learner, shares: Shares, size: int) -> list[Stage]:
    if learner.kind is LearnerKind.TREES:
        return []
    few = learner.expected_fraud_units < FEW_FRAUD_UNITS
    clip = min(learner.clip.gradient, Fraction(1)) if few else learner.clip.gradient
    first = Stage(StageKind.PRECONDITIONER, size, learner.clip.preconditioner, shares.preconditioner)
    gradient = Stage(StageKind.GRADIENT, size, clip, shares.gradients / learner.rounds)
    return [first, *[gradient] * learner.rounds]


def _trees(learner: Learner, shares: Shares) -> list[Stage]:
    if learner.kind is LearnerKind.ADDITIVE:
        return []
    trees = _tree_plan(learner)
    stage = Stage(StageKind.TREES, leaves.cells(trees), leaves.clip(trees), shares.trees / trees.rounds)
    return [stage] * trees.rounds


def _tree_plan(learner: Learner) -> TreePlan:
    if learner.trees is None:
        raise LearningError(f"learner {learner.kind} needs its `trees` part, got none")
    return learner.trees


def _quality(plan: QualityPlan | None, shares: Shares) -> list[Stage]:
    if plan is None:
        return []
    quality.check(plan)
    return [Stage(StageKind.QUALITY, quality.cells(plan), quality.CLIP, shares.quality)]


@dataclass(frozen=True)
class Course:
    """Where a run's learning stands. Make one with `Course.start`; `advance` gives the next.

    Attributes:
        learner: The plan's learner.
        contract: The feature contract.
        seed: The committed 32 bytes from which tree structures are drawn.
        stages: All questions.
        quality_plan: The quality part of the plan.
        basis: The contract's basis.
        descent: The additive learner's state; None for kind `trees`.
        forests: Structure and leaves of each tree round done.
        round: Rounds done; also the number of the next one.
        quality: What the quality round said; None before it.
    """

    learner: Learner
    contract: Contract
    seed: bytes
    stages: tuple[Stage, ...]
    quality_plan: QualityPlan | None
    basis: Basis
    descent: logistic.Descent | None
    forests: tuple[tuple[Structure, Leaves], ...] = ()
    round: int = 0
    quality: Quality | None = None

    @classmethod
    def start(
        cls, learner: Learner, shares: Shares, contract: Contract, quality_plan: QualityPlan | None, seed: bytes
    ) -> "Course":
        """The state before round 0.

        Raises:
            LearningError: As `stages`.
        """
        basis = Basis(contract)
        questions = _stages(learner, shares, basis.size, quality_plan)
        descent = None
        if learner.kind is not LearnerKind.TREES:
            descent = logistic.start(learner, basis.size, basis.scale)
        return cls(learner, contract, seed, questions, quality_plan, basis, descent)

    @property
    def finished(self) -> bool:
        """Whether every question was answered."""
        return self.round == len(self.stages)

    @property
    def stage(self) -> Stage:
        """The next question's kind, cells and clip.

        Raises:
            LearningError: If the course is finished.
        """
        if self.finished:
            raise LearningError(f"all {len(self.stages)} rounds are done")
        return self.stages[self.round]

    @property
    def learnt(self) -> bool:
        """Whether only the quality round, if any, is left."""
        return all(stage.kind is StageKind.QUALITY for stage in self.stages[self.round :])

    @property
    def question(self) -> tuple[Weights | None, Structure | None]:
        """What the next round asks with.

        Returns:
            The weights of the additive part at this point (after its last round, the averaged ones; for kind `trees`,
            those of the starting margin), and the trees of a tree round. A row's margin is the weights' margin plus
            the leaves of all earlier tree rounds.

        Raises:
            LearningError: If the course is finished.
        """
        trees = self._structure() if self.stage.kind is StageKind.TREES else None
        return self.weights, trees

    def advance(self, sums: Sequence[int], variance: int) -> "Course":
        """Takes the released sum of the next round.

        Args:
            sums: The exact sum of the banks' noised vectors, grid units, as many as the stage has cells.
            variance: Achieved total integer variance of its noise, grid units squared.

        Returns:
            The state after the round.

        Raises:
            LearningError: If the course is finished or the sums do not fit.
        """
        if len(sums) != self.stage.cells or variance < 0:
            raise LearningError(
                f"round {self.round} ({self.stage.kind}): expected {self.stage.cells} sums and a variance of 0 "
                f"or more, got {len(sums)} and {variance}"
            )
        return replace(self._taken(sums, variance), round=self.round + 1)

    def _taken(self, sums: Sequence[int], variance: int) -> "Course":
        kind = self.stage.kind
        if kind is StageKind.TREES:
            solved = leaves.solve(sums, variance, _tree_plan(self.learner))
            return replace(self, forests=(*self.forests, (self._structure(), solved)))
        if kind is StageKind.QUALITY and self.quality_plan is not None:
            return replace(self, quality=quality.assess(sums, variance, self.quality_plan, self.seed))
        if self.descent is None:
            raise LearningError(f"learner {self.learner.kind} has no {kind} round")
        if kind is StageKind.PRECONDITIONER:
            return replace(self, descent=self.descent.precondition(sums))
        return replace(self, descent=self.descent.descend(sums, variance))

    def _structure(self) -> Structure:
        """The trees of the next round: a function of seed, contract, plan and round number."""
        return structure.draw(self.seed, self.contract, _tree_plan(self.learner), self.round)

    @property
    def weights(self) -> Weights:
        """Weights of the additive part at this point; of the finished model once only the quality round is left."""
        if self.descent is None:
            return logistic.starting_weights(self.learner, self.basis.size, self.basis.scale)
        return self.descent.averaged() if self.descent.finished else Weights(self.descent.weights)

    def ensemble(self) -> Ensemble:
        """The model: tables of the averaged weights, and all trees.

        Raises:
            LearningError: Before the last learning round.
        """
        if not self.learnt:
            raise LearningError(f"the model is not finished: {self.round} of {len(self.stages)} rounds are done")
        return replace(self.basis.tables(self.weights), forests=self.forests)
