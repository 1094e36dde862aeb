"""The quality round: a noised histogram of margins by label, and what may be read from it (algorithm 4).

Everything after the release is post-processing and costs no privacy. Single cells are never clamped: their noise
would turn into bias. Counts are cumulated from the top, projected on non-decreasing sequences, and only then clamped.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from tacit.learning.types import LearningError, QualityPlan
from tacit.privacy.types import CONTRIBUTION_SCALE, GRID

CLIP = Fraction(1)
"""L2 bound of one unit's weighted counts."""

REDRAWS = 1000
INTERVAL = 0.90
MOST_EDGES = 63
BEYOND = 4.0
"""A default threshold lies at most this far above the highest public edge."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """An estimate and its 90 % interval over the noise (not over the choice of rows)."""

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the interval's length."""
        return (self.high - self.low) / 2

    def decided(self, tolerance: Fraction) -> bool:
        """Whether a gate may compare this figure; else its verdict is `undecided`."""
        return self.half_width <= tolerance


@dataclass(frozen=True)
class Quality:
    """Federated quality of one model, from noised counts only.

    Attributes:
        average_precision: Area under the precision-recall steps over the public bins, [0, 1].
        auc: Area under the ROC curve, linear between bins, [0, 1].
        recall: Share of frauds found in the `review_rate` of rows with the highest margins, [0, 1].
        calibration: Mean distance of a bin's fraud rate from the bin's own range of probabilities, [0, 1].
        rows: Estimated rows, 0 or more.
        frauds: Estimated frauds, 0 or more.
        review_margin: Default margin from which on a row is reviewed.
        decline_margin: Default margin from which on a row is declined, not below `review_margin`.
    """

    average_precision: Figure
    auc: Figure
    recall: Figure
    calibration: Figure
    rows: float
    frauds: float
    review_margin: float
    decline_margin: float


def cells(plan: QualityPlan) -> int:
    """Length of the quality round's vector: 2 labels x margin bins, non-fraud first, bins from the lowest up."""
    return 2 * (len(plan.edges) + 1)


def check(plan: QualityPlan) -> None:
    """Checks the ranges of a quality plan.

    Raises:
        LearningError: If an edge, weight, rate or the tolerance is outside its range.
    """
    rising = all(low < high for low, high in zip(plan.edges, plan.edges[1:], strict=False))
    if not 1 <= len(plan.edges) <= MOST_EDGES or not rising:
        raise LearningError(f"quality.edges: expected 1 to {MOST_EDGES} rising edges, got {list(map(str, plan.edges))}")
    if not 1 <= len(plan.weights) <= len(plan.edges) + 1:
        raise LearningError(f"quality.weights: expected 1 to {len(plan.edges) + 1} weights, got {len(plan.weights)}")
    if not all(Fraction(1, GRID) <= weight <= 1 for weight in plan.weights):
        raise LearningError(f"quality.weights: expected 1/{GRID} to 1 each, got {list(map(str, plan.weights))}")
    if not 0 < plan.decline_rate <= plan.review_rate < 1:
        raise LearningError(
            f"quality: expected 0 < decline_rate <= review_rate < 1, got {plan.decline_rate} and {plan.review_rate}"
        )
    if not 0 < plan.tolerance <= 1:
        raise LearningError(f"quality.tolerance: expected above 0 and at most 1, got {plan.tolerance}")


def unit_weights(plan: QualityPlan) -> tuple[int, ...]:
    """What a row adds to its cell, in units of 2^-32; a fraud counts 1.0."""
    bins = len(plan.edges) + 1
    legitimate = [math.floor(weight * CONTRIBUTION_SCALE) for weight in plan.weights]
    return (*legitimate, *[legitimate[-1]] * (bins - len(legitimate)), *[CONTRIBUTION_SCALE] * bins)


def cell_of(margins: Floats, labels: NDArray[np.uint8], plan: QualityPlan) -> NDArray[np.int64]:
    """The cell of every row; bin b holds edge[b-1] <= margin < edge[b].

    Args:
        margins: float64, shape (rows,), finite.
        labels: uint8, shape (rows,), 0 or 1.
        plan: Edges and weights.

    Returns:
        int64, shape (rows,).

    Raises:
        LearningError: If the plan is outside its ranges or a label is neither 0 nor 1.
    """
    check(plan)
    if labels.size and int(labels.max()) > 1:
        raise LearningError(f"labels must be 0 or 1, got {int(labels.max())}")
    edges = np.array([float(edge) for edge in plan.edges], dtype=np.float64)
    return np.searchsorted(edges, margins, side="right") + labels.astype(np.int64) * (len(edges) + 1)


def assess(sums: Sequence[int], variance: int, plan: QualityPlan, seed: bytes) -> Quality:
    """Reads the quality of a model from the noised counts.

    Args:
        sums: The released sums, grid units, `cells(plan)` of them.
        variance: Achieved total noise variance, grid units squared.
        plan: Edges, weights and rates.
        seed: Public bytes, such as the run id: the intervals' redraws are public and the same for everybody.

    Returns:
        Estimates with 90 % intervals from 1,000 redraws of the noise, and default thresholds.

    Raises:
        LearningError: If the sums, the variance or the plan do not fit.
    """
    check(plan)
    if len(sums) != cells(plan) or variance < 0:
        raise LearningError(f"expected {cells(plan)} sums and a variance of 0 or more, got {len(sums)} and {variance}")
    weights = np.array([weight / CONTRIBUTION_SCALE for weight in unit_weights(plan)], dtype=np.float64)
    released = np.array([value / GRID for value in sums], dtype=np.float64)
    sigma = math.isqrt(variance) / GRID
    generator = np.random.default_rng(list(hashlib.sha256(b"tacit quality redraws\0" + seed).digest()))
    noise = generator.normal(0.0, sigma, (REDRAWS, len(sums))) if sigma else np.zeros((REDRAWS, len(sums)))
    curves = _Curves(weights, sigma)
    estimate = curves(released / weights)
    redrawn = np.array([_measures(curves((released + draw) / weights), plan) for draw in noise])
    low, high = np.quantile(redrawn, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2], axis=0)
    precision, auc, recall, calibration = (
        Figure(float(value), float(below), float(over))
        for value, below, over in zip(_measures(estimate, plan), low, high, strict=True)
    )
    above = estimate.sum(axis=0)
    review, decline = (_threshold(above, rate, plan) for rate in (plan.review_rate, plan.decline_rate))
    counts = (float(above[-1]), float(estimate[1, -1]))
    return Quality(precision, auc, recall, calibration, *counts, review, max(review, decline))


class _Curves:
    """Counts above each edge, from noised counts in bins; row 0 not fraud, row 1 fraud, highest bin first."""

    def __init__(self, weights: Floats, sigma: float) -> None:
        bins = len(weights) // 2
        spread = np.maximum(sigma / weights, 1e-9).reshape(2, bins)[:, ::-1] ** 2
        self._precision = 1.0 / np.cumsum(spread, axis=1)

    def __call__(self, counts: Floats) -> Floats:
        cumulated = np.cumsum(counts.reshape(2, -1)[:, ::-1], axis=1)
        rows = zip(cumulated.tolist(), self._precision.tolist(), strict=True)
        projected = [pool_adjacent_violators(row, precision) for row, precision in rows]
        return np.array(np.clip(projected, 0.0, None), dtype=np.float64)


def pool_adjacent_violators(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The non-decreasing sequence closest to `values` in weighted least squares (Ayer et al. 1955).

    Args:
        values: Any finite numbers.
        weights: As many, above 0; here the inverse variances of the noise.

    Returns:
        As many numbers, non-decreasing.
    """
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        pool = (value, weight, 1)
        while pools and pools[-1][0] > pool[0]:
            mean, mass, count = pools.pop()
            both = mass + pool[1]
            pool = ((mean * mass + pool[0] * pool[1]) / both, both, count + pool[2])
        pools.append(pool)
    return [mean for mean, _, count in pools for _ in range(count)]


def _measures(above: Floats, plan: QualityPlan) -> tuple[float, float, float, float]:
    """Average precision, AUC, recall at the alert budget, calibration."""
    legitimate, frauds = (np.concatenate([[0.0], row]) for row in above)
    if frauds[-1] <= 0.0 or legitimate[-1] <= 0.0:
        return 0.0, 0.5, 0.0, 1.0
    recall, alarms = frauds / frauds[-1], legitimate / legitimate[-1]
    flagged = frauds + legitimate
    precision = np.divide(frauds, flagged, out=np.zeros_like(frauds), where=flagged > 0)
    average = float((np.diff(recall) * precision[1:]).sum())
    auc = float((np.diff(alarms) * (recall[1:] + recall[:-1]) / 2).sum())
    found = float(np.interp(float(plan.review_rate) * flagged[-1], flagged, recall))
    return average, auc, found, _miscalibration(np.diff(frauds), np.diff(flagged), plan)


def _miscalibration(frauds: Floats, rows: Floats, plan: QualityPlan) -> float:
    """Row-weighted distance of each bin's fraud rate from the probabilities that the bin stands for."""
    ends = [0.0, *(1.0 / (1.0 + math.exp(-float(edge))) for edge in plan.edges), 1.0]
    low, high = np.array(ends[:-1])[::-1], np.array(ends[1:])[::-1]
    rate = np.divide(frauds, rows, out=(low + high) / 2, where=rows > 0)
    distance = np.maximum(np.maximum(low - rate, rate - high), 0.0)
    return float((distance * rows).sum() / rows.sum())


def _threshold(above: Floats, rate: Fraction, plan: QualityPlan) -> float:
    """The margin that a share `rate` of rows exceeds; log-linear between edges, extended above the highest."""
    edges = [float(edge) for edge in reversed(plan.edges)]
    goal = float(rate) * float(above[-1])
    logs = [math.log(max(float(count), 1e-6)) for count in above[:-1]]
    aim = math.log(max(goal, 1e-6))
    if aim >= logs[-1]:
        return edges[-1]
    place = next(position for position, count in enumerate(logs) if aim < count)
    upper, lower = max(place - 1, 0), place
    if place == 0:
        lower = next((position for position, count in enumerate(logs) if count > logs[0]), 0)
    drop = logs[lower] - logs[upper]
    if drop <= 0.0:
        return edges[0]
    return min(edges[upper] + (logs[upper] - aim) / drop * (edges[lower] - edges[upper]), edges[0] + BEYOND)
