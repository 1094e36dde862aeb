"""Figures of scored rows: by hand, by definition, and whatever the order of rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacit.sim import metrics as subject
from tacit.sim.metrics import MetricsError


def sample(seed: int, rows: int = 3_000) -> tuple[np.ndarray, np.ndarray]:
    """Labels and calibrated margins, with ties."""
    rng = np.random.default_rng(seed)
    margins = np.round(rng.normal(-3, 1.5, rows), 1)
    return (rng.random(rows) < 1 / (1 + np.exp(-margins))).astype(np.int64), margins


def test_average_precision_by_hand() -> None:
    """Hits at places 1 and 3: (1 + 2/3) / 2."""
    found = subject.average_precision(np.array([1, 0, 1, 0]), np.array([4.0, 3.0, 2.0, 1.0]))
    assert found == pytest.approx((1 + 2 / 3) / 2)


def test_auc_by_hand() -> None:
    """Three of four pairs in the right order."""
    assert subject.auc(np.array([1, 0, 1, 0]), np.array([4.0, 3.0, 2.0, 1.0])) == pytest.approx(0.75)


@pytest.mark.parametrize(("share", "expected"), [(0.1, 0.5), (0.2, 0.5), (0.3, 1.0), (0.01, 0.5), (1.0, 1.0)])
def test_recall_at_budget_by_hand(share: float, expected: float) -> None:
    """Ten rows, frauds at places 1 and 3."""
    labels = np.array([1, 0, 1, 0, 0, 0, 0, 0, 0, 0])
    assert subject.recall_at_budget(labels, np.arange(10.0, 0.0, -1.0), share) == pytest.approx(expected)


def test_ties_share_the_last_alerts() -> None:
    """One alert among four equal rows of which two are frauds finds half a fraud."""
    labels = np.array([1, 0, 1, 0])
    assert subject.recall_at_budget(labels, np.zeros(4), 0.25) == pytest.approx(0.25)


def test_recall_at_fpr_by_hand() -> None:
    """One false positive in four is allowed, two are not."""
    labels, scores = np.array([1, 0, 1, 0, 1, 0, 0]), np.arange(7.0, 0.0, -1.0)
    assert subject.recall_at_fpr(labels, scores, 0.25) == pytest.approx(2 / 3)
    assert subject.recall_at_fpr(labels, scores, 0.1) == pytest.approx(1 / 3)


def test_card_precision_by_hand() -> None:
    """A card found on day 1 leaves day 2; a card's score is its highest of the day."""
    days = np.array([1, 1, 1, 1, 2, 2, 2])
    customers = np.array([7, 7, 8, 9, 7, 8, 9])
    scores = np.array([0.1, 0.9, 0.5, 0.2, 0.99, 0.8, 0.7])
    labels = np.array([1, 0, 0, 0, 1, 1, 0])
    found = subject.card_precision(labels, scores, customers, days, cards=1)
    assert found == pytest.approx((1 + 1) / 2)
    assert subject.card_precision(labels, scores, customers, days, cards=2) == pytest.approx((1 / 2 + 1 / 2) / 2)


def test_cards_not_found_stay() -> None:
    """A compromised card below the alerts is still there the next day."""
    days, customers = np.array([1, 1, 2, 2]), np.array([1, 2, 1, 2])
    labels, scores = np.array([0, 1, 0, 1]), np.array([0.9, 0.1, 0.1, 0.9])
    assert subject.card_precision(labels, scores, customers, days, cards=1) == pytest.approx(0.5)


def test_calibrated_scores_have_a_small_error() -> None:
    """Labels drawn from the scores: small error; scores shifted by 2: a large one."""
    labels, margins = sample(0, 40_000)
    good, bad = subject.measure(labels, margins), subject.measure(labels, margins + 2)
    assert good.calibration_error < 0.01
    assert bad.calibration_error > 0.1
    assert good.log_loss < bad.log_loss
    assert good.mean_score == pytest.approx(labels.mean(), abs=0.005)


def test_calibration_error_by_hand() -> None:
    """Two bins: |0.1 - 0| and |0.8 - 0.5|, two rows each."""
    error = subject.calibration_error(np.array([0, 0, 1, 0]), np.array([0.1, 0.1, 0.8, 0.8]), bins=2)
    assert error == pytest.approx((0.1 * 2 + 0.3 * 2) / 4)


@given(st.integers(0, 10_000))
def test_order_of_rows_changes_nothing(seed: int) -> None:
    """Shuffled rows have the same figures."""
    labels, margins = sample(seed, 400)
    labels[:2] = (0, 1)
    rng = np.random.default_rng(seed)
    customers, days = rng.integers(0, 60, 400), rng.integers(0, 5, 400)
    order = rng.permutation(400)
    first = subject.measure(labels, margins, customers, days)
    second = subject.measure(labels[order], margins[order], customers[order], days[order])
    for name in subject.Metrics.__dataclass_fields__:
        assert getattr(second, name) == pytest.approx(getattr(first, name)), name


@given(st.integers(0, 10_000))
def test_ranks_alone_decide(seed: int) -> None:
    """A rising map of the scores leaves the rank figures as they are."""
    labels, margins = sample(seed, 300)
    labels[:2] = (0, 1)
    for figure in (subject.average_precision, subject.auc, subject.recall_at_budget, subject.recall_at_fpr):
        assert figure(labels, margins) == pytest.approx(figure(labels, np.exp(margins)))


def test_perfect_scores() -> None:
    """Labels as scores reach the top."""
    labels, _ = sample(1)
    found = subject.measure(labels, np.where(labels == 1, 9.0, -9.0))
    assert (found.average_precision, found.auc, found.recall_at_fpr) == (1.0, 1.0, 1.0)
    assert (found.rows, found.frauds) == (3_000, int(labels.sum()))
    assert found.card_precision is None


BAD = [
    (np.array([0, 1]), np.array([1.0])),
    (np.array([0, 0]), np.array([1.0, 2.0])),
    (np.array([1, 1]), np.array([1.0, 2.0])),
    (np.array([0, 2]), np.array([1.0, 2.0])),
    (np.array([0, 1]), np.array([1.0, np.nan])),
]


@pytest.mark.parametrize(("labels", "scores"), BAD)
def test_what_has_no_figure_is_refused(labels: np.ndarray, scores: np.ndarray) -> None:
    """Shapes, one class only, other labels, NaN."""
    with pytest.raises(MetricsError, match=r"labels|scores"):
        subject.measure(labels, scores)


def test_parameters_out_of_range() -> None:
    """Shares, rates, bins and cards have ranges."""
    labels, margins = sample(2, 100)
    labels[:2] = (0, 1)
    with pytest.raises(MetricsError, match="share"):
        subject.recall_at_budget(labels, margins, 0.0)
    with pytest.raises(MetricsError, match="rate"):
        subject.recall_at_fpr(labels, margins, 1.1)
    with pytest.raises(MetricsError, match="bins"):
        subject.calibration_error(labels, margins, 1)
    with pytest.raises(MetricsError, match="cards"):
        subject.card_precision(labels, margins, labels, labels, 0)
    with pytest.raises(MetricsError, match="customers"):
        subject.card_precision(labels, margins, labels[1:], labels)


@given(st.integers(0, 10_000), st.floats(0.001, 1.0), st.floats(0.001, 1.0))
def test_more_alerts_never_find_less(seed: int, first: float, second: float) -> None:
    """Recall rises with the budget, up to all frauds with all rows."""
    labels, margins = sample(seed, 200)
    labels[:2] = (0, 1)
    low, high = sorted((first, second))
    assert subject.recall_at_budget(labels, margins, low) <= subject.recall_at_budget(labels, margins, high) + 1e-12
    assert subject.recall_at_budget(labels, margins, 1.0) == pytest.approx(1.0)


@given(st.integers(0, 10_000))
def test_turned_scores_turn_the_auc(seed: int) -> None:
    """Pairs in the right order become pairs in the wrong one; ties count one half both ways."""
    labels, margins = sample(seed, 200)
    labels[:2] = (0, 1)
    assert subject.auc(labels, margins) + subject.auc(labels, -margins) == pytest.approx(1.0)


def test_equal_scores_know_nothing() -> None:
    """AP is the fraud rate, AUC one half, recall the budget's share."""
    labels = np.array([1] * 5 + [0] * 95)
    found = subject.measure(labels, np.zeros(100))
    assert (found.average_precision, found.auc) == pytest.approx((0.05, 0.5))
    assert subject.recall_at_budget(labels, np.zeros(100), 0.2) == pytest.approx(0.2)
    assert found.recall_at_fpr == 0.0


@pytest.mark.parametrize("rows", [2, 3, 99])
def test_one_alert_at_least(rows: int) -> None:
    """A budget below one row is one row."""
    labels = np.array([0] * (rows - 1) + [1])
    assert subject.recall_at_budget(labels, np.arange(float(rows))) == 1.0


def test_margins_far_out_stay_finite() -> None:
    """A wrong and certain score costs much and not infinitely much."""
    found = subject.measure(np.array([0, 1]), np.array([800.0, -800.0]))
    assert np.isfinite(found.log_loss)
    assert found.log_loss > 10


def test_more_bins_than_rows_are_no_error() -> None:
    """Every row is a bin of its own."""
    assert subject.calibration_error(np.array([0, 1]), np.array([0.25, 0.5]), bins=50) == pytest.approx(0.375)


def test_card_precision_counts_against_all_alerts() -> None:
    """Days with fewer cards than alerts keep the divisor."""
    labels, days = np.array([1, 0]), np.array([4, 4])
    found = subject.card_precision(labels, np.array([2.0, 1.0]), np.array([1, 2]), days, cards=10)
    assert found == pytest.approx(0.1)


def test_ties_of_cards_go_to_the_lower_number() -> None:
    """Whatever the order of the rows."""
    labels, scores, days = np.array([0, 1]), np.zeros(2), np.zeros(2, dtype=np.int64)
    first, second = (subject.card_precision(labels, scores, np.array(ids), days, cards=1) for ids in ([1, 2], [2, 1]))
    assert (first, second) == (0.0, 1.0)


@pytest.mark.parametrize("known", [{"customers": np.arange(4)}, {"days": np.zeros(4, dtype=np.int64)}])
def test_card_precision_needs_cards_and_days(known: dict[str, np.ndarray]) -> None:
    """One alone gives none."""
    assert subject.measure(np.array([0, 1, 0, 1]), np.arange(4.0), **known).card_precision is None
