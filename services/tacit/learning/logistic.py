"""The additive learner: noised, preconditioned gradient descent with momentum (algorithm 4).

Pure functions of released sums. All arithmetic is + - * / on Python floats, left to right by index, so every party
that folds the same log holds the same bits.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tacit.learning.types import Learner, LearningError, Weights
from tacit.privacy.types import GRID

FLOOR = 0.001
"""Least curvature, as a share of the largest (or of 1)."""

Vector = tuple[float, ...]


@dataclass(frozen=True)
class Descent:
    """Where the optimiser stands.

    Attributes:
        learner: The plan's learner.
        weights: Weights of the next question, the intercept last.
        curvature: D, released in round 0; empty before.
        momentum: m.
        step: Gradient rounds done, 0 to learner.rounds.
        recent: The last `learner.average` iterates, oldest first.
    """

    learner: Learner
    weights: Vector
    curvature: Vector = ()
    momentum: Vector = ()
    step: int = 0
    recent: tuple[Vector, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether all gradient rounds are done."""
        return self.step == self.learner.rounds

    def precondition(self, sums: Sequence[int]) -> "Descent":
        """Takes the released curvature of round 0: D_j = max(decoded_j, 0.001 max(max(decoded), 1)).

        Args:
            sums: Released sums of w p (1 - p) phi_j^2, grid units, one per weight.

        Raises:
            LearningError: If round 0 is done already, or the number of sums is wrong.
        """
        if self.curvature:
            raise LearningError("the preconditioner was released already; expected a gradient")
        decoded = _decoded(sums, len(self.weights))
        floor = FLOOR * max(*decoded, 1.0)
        curvature = tuple(max(value, floor) for value in decoded)
        return replace(self, curvature=curvature, momentum=(0.0,) * len(decoded))

    def descend(self, sums: Sequence[int], variance: int) -> "Descent":
        """Takes one released gradient: m <- momentum m - M G, beta <- beta + a_r m.

        M_j = 1 / (D_j + ridge mean(D) + kappa sigma_G) and a_r = damp (1 - (r - 1) / (2 (R - 1))).

        Args:
            sums: Released sums of w (p - y) phi_j, grid units, one per weight.
            variance: Achieved total noise variance of the sums, grid units squared.

        Raises:
            LearningError: If it is not a gradient's turn, or the sums or the variance do not fit.
        """
        if not self.curvature or self.finished:
            raise LearningError(f"no gradient is expected after {self.step} of {self.learner.rounds} rounds")
        if variance < 0:
            raise LearningError(f"variance must be 0 or more, got {variance}")
        gradient = _decoded(sums, len(self.weights))
        scales = self._scales(math.isqrt(variance) / GRID)
        keep, rate = float(self.learner.momentum), self._rate(self.step + 1)
        momentum = tuple(keep * m - scale * g for m, scale, g in zip(self.momentum, scales, gradient, strict=True))
        weights = tuple(beta + rate * m for beta, m in zip(self.weights, momentum, strict=True))
        recent = (*self.recent, weights)[-self.learner.average :]
        return replace(self, weights=weights, momentum=momentum, step=self.step + 1, recent=recent)

    def averaged(self) -> Weights:
        """The result: the mean of the last iterates.

        Raises:
            LearningError: Before the last gradient round.
        """
        if not self.finished:
            raise LearningError(f"only {self.step} of {self.learner.rounds} gradient rounds are done")
        count = float(len(self.recent))
        return Weights(tuple(_total(column) / count for column in zip(*self.recent, strict=True)))

    def _scales(self, sigma: float) -> Vector:
        """The preconditioner M."""
        mean = _total(self.curvature) / float(len(self.curvature))
        shift = float(self.learner.ridge) * mean + float(self.learner.kappa) * sigma
        return tuple(1.0 / (curvature + shift) for curvature in self.curvature)

    def _rate(self, number: int) -> float:
        """a_r of gradient round r = 1..R."""
        if self.learner.rounds == 1:
            return float(self.learner.damp)
        fallen = float(number - 1) / float(self.learner.rounds - 1)
        return float(self.learner.damp) * (1.0 - 0.5 * fallen)


def start(learner: Learner, size: int, scale: float) -> Descent:
    """The state before round 0: all weights 0 but the intercept, which holds the public starting margin.

    Args:
        learner: The plan's learner.
        size: Functions of the basis, the intercept last.
        scale: The contract's scale.
    """
    return Descent(learner, starting_weights(learner, size, scale).values)


def starting_weights(learner: Learner, size: int, scale: float) -> Weights:
    """Weights under which every row has the public starting margin, up to rounding.

    Raises:
        LearningError: If size or scale is not above 0.
    """
    if size < 1 or scale <= 0.0:
        raise LearningError(f"expected size >= 1 and scale > 0, got {size} and {scale}")
    return Weights((*[0.0] * (size - 1), float(learner.starting_margin) / scale))


def _decoded(sums: Sequence[int], size: int) -> Vector:
    """Grid units to units of 1.0; int / int is correctly rounded."""
    if len(sums) != size:
        raise LearningError(f"expected {size} sums, got {len(sums)}")
    return tuple(int(value) / GRID for value in sums)


def _total(values: Iterable[float]) -> float:
    """Left to right; the built-in sum compensates from Python 3.12 on, so its bits depend on the version."""
    total = 0.0
    for value in values:
        total += value
    return total
