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
LARGEST_EDGE = 40
"""Margin edges lie within +-40: beyond, a probability is 0 or 1 up to 10^-17, and far beyond its formula overflows."""
BEYOND = 4.0
"""A default threshold lies at most this far above the highest public edge."""

Floats = NDArray[np.float64]

_LEAST_SPREAD = 1e-9
_LEAST_COUNT = 1e-6


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
    if not all(-LARGEST_EDGE <= edge <= LARGEST_EDGE for edge in plan.edges):
        raise LearningError(
            f"quality.edges: expected -{LARGEST_EDGE} to {LARGEST_EDGE}, got {list(map(str, plan.edges))}"
        )
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
    released = np.array([[value / GRID for value in sums]], dtype=np.float64)
    sigma = math.isqrt(variance) / GRID
    spread = np.maximum(sigma / weights, _LEAST_SPREAD)
    generator = np.random.default_rng(list(hashlib.sha256(b"tacit quality redraws\0" + seed).digest()))
    redraws = released + sigma * generator.standard_normal((REDRAWS, len(sums)))
    estimate = _counts_above(released / weights, spread)
    found = _measures(_counts_above(redraws / weights, spread), plan)
    low, high = np.quantile(found, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2], axis=1)
    precision, auc, recall, calibration = (
        Figure(float(value), float(below), float(over))
        for value, below, over in zip(_measures(estimate, plan)[:, 0], low, high, strict=True)
    )
    above = estimate[0].sum(axis=0)
    review, decline = (_threshold(above, rate, plan) for rate in (plan.review_rate, plan.decline_rate))
    counts = (float(above[-1]), float(estimate[0, 1, -1]))
    return Quality(precision, auc, recall, calibration, *counts, review, max(review, decline))


def _counts_above(counts: Floats, spread: Floats) -> Floats:
    """Counts above each edge, from noised counts in bins: cumulated from the top, projected, clamped.

    Args:
        counts: float64, shape (redraws, 2 x bins), bins from the lowest up.
        spread: float64, shape (2 x bins,): standard deviation of each count's noise, above 0.

    Returns:
        float64, shape (redraws, 2, bins): row 0 not fraud, row 1 fraud, from the highest bin down, non-decreasing.
    """
    cumulated = np.cumsum(counts.reshape(len(counts), 2, -1)[:, :, ::-1], axis=2)
    variances = np.cumsum(np.square(spread.reshape(2, -1)[:, ::-1]), axis=1)
    return np.maximum(non_decreasing(cumulated, 1.0 / variances), 0.0)


def non_decreasing(values: Floats, weights: Floats) -> Floats:
    """The non-decreasing sequences closest to `values` in weighted least squares (Ayer et al. 1955).

    Pooling adjacent violators, in its min-max form: cell i is the largest, over starts a <= i, of the smallest
    weighted mean of a..b over ends b >= i.

    Args:
        values: float64, shape (.., cells).
        weights: float64, above 0, of a shape that broadcasts; here the inverse variances of the noise.

    Returns:
        float64, shape of `values`.
    """
    zero = [(0, 0)] * (values.ndim - 1) + [(1, 0)]
    mass = np.pad(np.cumsum(np.broadcast_to(weights, values.shape), axis=-1), zero)
    total = np.pad(np.cumsum(values * weights, axis=-1), zero)
    starts, ends = np.indices((values.shape[-1],) * 2)
    inside = starts <= ends
    masses = np.where(inside, mass[..., ends + 1] - mass[..., starts], 1.0)
    means = np.where(inside, (total[..., ends + 1] - total[..., starts]) / masses, np.inf)
    smallest = np.minimum.accumulate(means[..., ::-1], axis=-1)[..., ::-1]
    largest: Floats = np.where(inside, smallest, -np.inf).max(axis=-2)
    return largest


def _measures(above: Floats, plan: QualityPlan) -> Floats:
    """Average precision, AUC, recall at the alert budget, calibration: shape (4, redraws)."""
    below = np.pad(above, [(0, 0), (0, 0), (1, 0)])
    legitimate, frauds = below[:, 0], below[:, 1]
    flagged = frauds + legitimate
    recall, alarms = _share(frauds, frauds[:, -1:]), _share(legitimate, legitimate[:, -1:])
    steps = np.diff(recall, axis=1)
    average = (steps * _share(frauds, flagged)[:, 1:]).sum(axis=1)
    auc = (np.diff(alarms, axis=1) * (recall[:, 1:] + recall[:, :-1]) / 2).sum(axis=1)
    budget = float(plan.review_rate) * flagged[:, -1:]
    taken = np.clip(_share(budget - flagged[:, :-1], np.diff(flagged, axis=1)), 0.0, 1.0)
    calibration = _miscalibration(np.diff(frauds, axis=1), np.diff(flagged, axis=1), plan)
    known = (frauds[:, -1] > 0.0) & (legitimate[:, -1] > 0.0)
    figures = np.array([average, auc, (steps * taken).sum(axis=1), calibration], dtype=np.float64)
    return np.where(known, figures, np.array([[0.0], [0.5], [0.0], [1.0]]))


def _share(part: Floats, whole: Floats) -> Floats:
    """Part by whole, 0 where there is no whole."""
    quotient: Floats = np.where(whole > 0.0, part / np.where(whole > 0.0, whole, 1.0), 0.0)
    return quotient


def _miscalibration(frauds: Floats, rows: Floats, plan: QualityPlan) -> Floats:
    """Row-weighted distance of each bin's fraud rate from the probabilities that the bin stands for."""
    ends = [0.0, *(1.0 / (1.0 + math.exp(-float(edge))) for edge in plan.edges), 1.0]
    low, high = np.array(ends[:-1])[::-1], np.array(ends[1:])[::-1]
    rate = np.where(rows > 0.0, _share(frauds, rows), low)
    distance = np.maximum(np.maximum(low - rate, rate - high), 0.0)
    return _share((distance * rows).sum(axis=1), rows.sum(axis=1))


def _threshold(above: Floats, rate: Fraction, plan: QualityPlan) -> float:
    """The margin that a share `rate` of rows exceeds; log-linear between edges, extended above the highest."""
    edges = [float(edge) for edge in reversed(plan.edges)]
    goal = float(rate) * float(above[-1])
    logs = [math.log(max(float(count), _LEAST_COUNT)) for count in above[:-1]]
    aim = math.log(max(goal, _LEAST_COUNT))
    if aim >= logs[-1]:
        return edges[-1]
    place = next(position for position, count in enumerate(logs) if aim < count)
    if place == 0:
        upper, lower = 0, next((position for position, count in enumerate(logs) if count > logs[0]), 0)
    else:
        upper, lower = place - 1, place
    drop = logs[lower] - logs[upper]
    if drop <= 0.0:
        return edges[0]
    return min(edges[upper] + (aim - logs[upper]) / drop * (edges[lower] - edges[upper]), edges[0] + BEYOND)
