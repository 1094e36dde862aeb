"""The quality round: counts, post-processing and what is read from them."""

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.isotonic import isotonic_regression
from sklearn.metrics import average_precision_score, roc_auc_score

from tacit.learning import quality
from tacit.learning.quality import Figure, assess, cell_of, non_decreasing, unit_weights
from tacit.learning.types import LearningError, QualityPlan
from tacit.privacy.types import CONTRIBUTION_SCALE, GRID

PLAN = QualityPlan()
SEED = bytes(32)
LEGITIMATE = [9000.0, 600.0, 200.0, 100.0, 50.0, 25.0, 12.0, 6.0]
FRAUDS = [10.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 40.0]


def released(legitimate: Sequence[float], frauds: Sequence[float], noise: Sequence[float] = (0.0,) * 16) -> list[int]:
    """The sums of a quality round: weighted counts in grid units, plus noise in units of 1.0."""
    weights = [1 / 32, 1 / 4, *[1.0] * 14]
    counts = zip([*legitimate, *frauds], weights, noise, strict=True)
    return [round((count * weight + added) * GRID) for count, weight, added in counts]


def scored() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels and binned scores of the rows behind the counts."""
    counts = [int(count) for count in [*LEGITIMATE, *FRAUDS]]
    return np.repeat([0] * 8 + [1] * 8, counts), np.repeat([*range(8), *range(8)], counts)


def test_without_noise_the_figures_are_those_of_the_binned_scores() -> None:
    """AP and AUC equal scikit-learn's on the bin numbers; recall at the budget by hand."""
    found = assess(released(LEGITIMATE, FRAUDS), 0, PLAN, SEED)
    labels, scores = scored()
    assert found.average_precision.value == pytest.approx(average_precision_score(labels, scores))
    assert found.auc.value == pytest.approx(roc_auc_score(labels, scores))
    assert found.rows == pytest.approx(len(labels), abs=0.1)
    assert found.frauds == pytest.approx(labels.sum(), abs=0.1)
    alerts = 0.005 * len(labels)
    expected = (40 + 20 * (alerts - 46) / 32) / 114
    assert found.recall.value == pytest.approx(expected, rel=1e-4)


def test_without_noise_the_intervals_are_points() -> None:
    """The interval is over the noise alone."""
    found = assess(released(LEGITIMATE, FRAUDS), 0, PLAN, SEED)
    for figure in (found.average_precision, found.auc, found.recall, found.calibration):
        assert figure.half_width == pytest.approx(0.0, abs=1e-12)


def test_intervals_hold_the_truth_and_widen_with_noise() -> None:
    """Over 40 noisy releases, the interval covers the noise-free figure most of the time."""
    generator = np.random.default_rng(7)
    truth = assess(released(LEGITIMATE, FRAUDS), 0, PLAN, SEED).auc.value
    widths, covered = [], 0
    for _ in range(40):
        noise = generator.normal(0, 2.0, 16)
        figure = assess(released(LEGITIMATE, FRAUDS, noise), (2 * GRID) ** 2, PLAN, SEED).auc
        covered += figure.low <= truth <= figure.high
        widths.append(figure.half_width)
    assert covered >= 28
    assert 0.001 < np.mean(widths) < 0.1


def test_same_seed_same_interval() -> None:
    """Redraws are public: everybody gets the same interval; another run gets another."""
    sums, variance = released(LEGITIMATE, FRAUDS), (3 * GRID) ** 2
    first, again, other = (assess(sums, variance, PLAN, seed) for seed in (SEED, SEED, bytes([1]) * 32))
    assert first == again
    assert first.auc.low != other.auc.low


def test_clamping_comes_last() -> None:
    """Negative noise in a cell cancels against its neighbour instead of turning into bias."""
    noise = [0.0] * 16
    noise[14], noise[15] = -30.0, 30.0
    found = assess(released(LEGITIMATE, FRAUDS, noise), GRID**2, PLAN, SEED)
    assert found.frauds == pytest.approx(sum(FRAUDS), abs=0.5)


def above(counts: list[float], spread: list[float]) -> list[list[float]]:
    """Counts above each edge, not fraud and fraud, from the highest bin down."""
    found: list[list[float]] = quality._counts_above(np.array([counts]), np.array(spread))[0].tolist()
    return found


def test_counts_are_cumulated_from_the_top() -> None:
    """Bins come from the lowest up; the curves run from the highest down."""
    legitimate, frauds = above([3.0, 2.0, 1.0, 6.0, 5.0, 4.0], [1.0] * 6)
    assert legitimate == pytest.approx([1.0, 3.0, 6.0])
    assert frauds == pytest.approx([4.0, 9.0, 15.0])


def test_projection_comes_before_the_clamp() -> None:
    """Cumulated 5, -30, 20 is pooled to -12.5, -12.5, 20 and only then clamped: no count is left above the edge."""
    assert above([50.0, -35.0, 5.0, 0.0, 0.0, 0.0], [1.0, 1e-3, 1.0, 1.0, 1.0, 1.0])[0][2] == 20.0
    assert above([50.0, -35.0, 5.0, 0.0, 0.0, 0.0], [1.0, 1e-3, 1.0, 1.0, 1.0, 1.0])[0][:2] == [0.0, 0.0]


def test_a_noisy_low_bin_does_not_move_the_others() -> None:
    """Legitimate rows below -4 count 1/32, so their noise is 32 times larger: the projection trusts them less."""
    counts = above([-60.0, 10.0, 20.0, 0.0, 0.0, 0.0], [32.0, 1.0, 1.0, 1.0, 1.0, 1.0])[0]
    assert counts[0] == 20.0
    assert counts[1] == counts[2] == pytest.approx(30.0, abs=0.5)


def test_projection_works_on_many_sequences_at_once() -> None:
    """A stack of sequences is projected one by one."""
    values = np.random.default_rng(3).normal(size=(5, 2, 8))
    weights = np.random.default_rng(4).uniform(0.5, 2, size=(2, 8))
    found = non_decreasing(values, weights)
    for redraw in range(5):
        for row in range(2):
            assert found[redraw, row] == pytest.approx(non_decreasing(values[redraw, row], weights[row]))
    assert (np.diff(found, axis=-1) >= -1e-12).all()


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_figures_do_not_depend_on_the_number_of_rows(scale: float) -> None:
    """Ratios stay, counts grow."""
    base = assess(released(LEGITIMATE, FRAUDS), 0, PLAN, SEED)
    more = assess(released([scale * n for n in LEGITIMATE], [scale * n for n in FRAUDS]), 0, PLAN, SEED)
    assert more.auc.value == pytest.approx(base.auc.value, abs=1e-4)
    assert more.recall.value == pytest.approx(base.recall.value, abs=1e-3)
    assert more.review_margin == pytest.approx(base.review_margin, abs=1e-3)
    assert more.rows == pytest.approx(scale * base.rows, rel=1e-4)


def test_a_better_model_has_better_figures() -> None:
    """Frauds moved from the lowest to the highest bin raise AP, AUC and recall."""
    better = [0.0, *FRAUDS[1:-1], FRAUDS[-1] + FRAUDS[0]]
    base, best = (assess(released(LEGITIMATE, frauds), 0, PLAN, SEED) for frauds in (FRAUDS, better))
    assert best.average_precision.value > base.average_precision.value
    assert best.auc.value > base.auc.value
    assert best.recall.value > base.recall.value


@pytest.mark.parametrize("edges", [(Fraction(0),), tuple(map(Fraction, range(-20, 20)))])
def test_other_edges(edges: tuple[Fraction, ...]) -> None:
    """Any number of bins: one edge, or forty."""
    plan = replace(PLAN, edges=edges, weights=(Fraction(1),))
    bins = len(edges) + 1
    found = assess([GRID * 10] * bins + [GRID] * bins, 0, plan, SEED)
    assert found.auc.value == pytest.approx(0.5)
    assert found.average_precision.value == pytest.approx(1 / 11)
    assert found.rows == pytest.approx(11 * bins)


@pytest.mark.parametrize("variance", [0, (5 * GRID) ** 2])
def test_an_empty_federation_has_no_quality(variance: int) -> None:
    """No frauds and no rows: figures that no gate passes, and no division by zero."""
    found = assess([0] * 16, variance, PLAN, SEED)
    assert found.average_precision.value == 0.0
    assert found.auc.value == 0.5
    assert math.isfinite(found.review_margin)


@given(st.lists(st.integers(-(2**36), 2**36), min_size=16, max_size=16))
def test_any_release_gives_finite_figures_in_range(sums: list[int]) -> None:
    """Whatever the noise did, the figures are numbers in their ranges."""
    found = assess(sums, 0, PLAN, SEED)
    for figure in (found.average_precision, found.auc, found.recall, found.calibration):
        assert -1e-9 <= figure.value <= 1 + 1e-9
    assert -4.0 <= found.review_margin <= found.decline_margin <= 6.0


@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(0.01, 100)), min_size=1, max_size=12))
def test_projection_agrees_with_isotonic_regression(pairs: list[tuple[float, float]]) -> None:
    """Pool adjacent violators against scikit-learn's."""
    values, weights = ([pair[side] for pair in pairs] for side in (0, 1))
    expected = isotonic_regression(values, sample_weight=weights)
    assert non_decreasing(np.array(values), np.array(weights)) == pytest.approx(expected, abs=1e-7)


def test_projection_keeps_what_rises() -> None:
    """A non-decreasing sequence is its own projection; a violation is pooled by weight."""
    assert non_decreasing(np.array([1.0, 2.0, 2.0]), np.ones(3)).tolist() == [1.0, 2.0, 2.0]
    assert non_decreasing(np.array([4.0, 1.0]), np.array([1.0, 2.0])).tolist() == [2.0, 2.0]


def test_thresholds_leave_the_asked_shares_above() -> None:
    """On a population with exponential tails the default margins leave close to 0.5 % and 0.1 % of rows above."""
    margins = np.random.default_rng(2).exponential(1.0, 200_000) - 6.0
    labels = np.zeros(len(margins), dtype=np.uint8)
    counts = np.bincount(cell_of(margins, labels, PLAN), minlength=16).tolist()
    found = assess(released(counts[:8], [1.0] * 8), 0, PLAN, SEED)
    assert (margins > found.review_margin).mean() == pytest.approx(0.005, rel=0.1)
    assert (margins > found.decline_margin).mean() == pytest.approx(0.001, rel=0.3)


def test_calibration_is_zero_where_rates_lie_in_their_bins() -> None:
    """Each bin's fraud rate between the probabilities of its edges: nothing to complain about."""
    middle = [1 / (1 + math.exp(4.5 - bin_)) for bin_ in range(8)]
    rows = [1000.0] * 8
    legitimate = [count * (1 - p) for count, p in zip(rows, middle, strict=True)]
    frauds = [count * p for count, p in zip(rows, middle, strict=True)]
    assert assess(released(legitimate, frauds), 0, PLAN, SEED).calibration.value == pytest.approx(0.0, abs=1e-6)
    assert assess(released(frauds, legitimate), 0, PLAN, SEED).calibration.value > 0.3


@pytest.mark.parametrize(("margin", "bin_"), [(-9.0, 0), (-4.0, 1), (-3.0001, 1), (-3.0, 2), (1.99, 6), (2.0, 7)])
@pytest.mark.parametrize("label", [0, 1])
def test_cells_by_label_and_margin(margin: float, bin_: int, label: int) -> None:
    """Bin b holds edge[b-1] <= margin < edge[b]; frauds follow after all others."""
    cell = cell_of(np.array([margin]), np.array([label], dtype=np.uint8), PLAN)
    assert cell.tolist() == [bin_ + 8 * label]


def test_weights_of_rows() -> None:
    """Fractions of 2^32, the last one repeated, frauds whole."""
    one = CONTRIBUTION_SCALE
    assert unit_weights(PLAN) == (one // 32, one // 4, *[one] * 14)


def test_refuses_labels_that_are_not_binary() -> None:
    """A label of 2 would land outside the cells."""
    with pytest.raises(LearningError, match="labels must be 0 or 1, got 2"):
        cell_of(np.zeros(1), np.array([2], dtype=np.uint8), PLAN)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"edges": ()}, "quality.edges"),
        ({"edges": (Fraction(1), Fraction(1))}, "quality.edges"),
        ({"edges": tuple(map(Fraction, range(64)))}, "1 to 63"),
        ({"edges": (Fraction(-1000), Fraction(0))}, "expected -40 to 40"),
        ({"edges": (Fraction(0), Fraction(4001, 100))}, "expected -40 to 40"),
        ({"weights": ()}, "quality.weights"),
        ({"weights": (Fraction(0),)}, "to 1 each"),
        ({"weights": (Fraction(2),)}, "to 1 each"),
        ({"weights": (Fraction(1),) * 9}, "got 9"),
        ({"decline_rate": Fraction(1, 100)}, "decline_rate"),
        ({"review_rate": Fraction(1)}, "review_rate"),
        ({"tolerance": Fraction(0)}, "quality.tolerance"),
    ],
)
def test_refuses_plans_outside_their_ranges(change: dict[str, object], message: str) -> None:
    """Each message names the field."""
    with pytest.raises(LearningError, match=message):
        quality.check(replace(PLAN, **change))


def test_the_outermost_edges_have_figures() -> None:
    """At +-40 nothing overflows, and every figure is a number."""
    plan = replace(PLAN, edges=(Fraction(-40), Fraction(40)), weights=(Fraction(1),))
    found = assess([2**40, 2**16, 0, 0, 2**16, 2**16], 10**12, plan, SEED)
    figures = (found.average_precision, found.auc, found.recall, found.calibration)
    assert all(0.0 <= figure.value <= 1.0 for figure in figures)
    assert -40.0 <= found.review_margin <= found.decline_margin <= 44.0


@pytest.mark.parametrize(("sums", "variance"), [([0] * 15, 0), ([0] * 16, -1)])
def test_refuses_sums_that_do_not_fit(sums: list[int], variance: int) -> None:
    """One sum a cell, variance 0 or more."""
    with pytest.raises(LearningError, match="expected 16 sums"):
        assess(sums, variance, PLAN, SEED)


@pytest.mark.parametrize(("width", "decided"), [(0.04, True), (0.06, False)])
def test_a_gate_compares_only_narrow_figures(width: float, decided: bool) -> None:
    """Half-width against the plan's tolerance of .05."""
    assert Figure(0.5, 0.5 - width, 0.5 + width).decided(PLAN.tolerance) is decided
