"""Quality of scores on labelled rows, for demos and benches: exact figures over raw labels, never a release.

Card precision follows Le Borgne et al., Reproducible Machine Learning for Credit Card Fraud Detection (2022),
chapter 4; ties share their places, so that no figure depends on the order of rows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score, roc_curve

from tacit.learning.sigmoid import sigmoid

ALERT_SHARE = 0.005
FALSE_POSITIVE_RATE = 0.001
CARDS = 100
CALIBRATION_BINS = 20

_Floats = NDArray[np.float64]
_Labels = NDArray[np.integer]


class MetricsError(Exception):
    """Labels and scores that no figure can be made from."""


@dataclass(frozen=True)
class Metrics:
    """Figures of one set of scored rows.

    Attributes:
        rows: Number of rows.
        frauds: Number of frauds.
        average_precision: Area under precision over recall, as scikit-learn defines it.
        auc: Area under the ROC curve.
        recall_at_budget: Share of frauds among the `ALERT_SHARE` highest scores.
        recall_at_fpr: Largest recall at a false positive rate of at most `FALSE_POSITIVE_RATE`.
        log_loss: Mean log loss of sigmoid(margin).
        mean_score: Mean of sigmoid(margin); a calibrated model has the fraud rate here.
        calibration_error: Mean absolute difference of score and fraud rate over bins of equal size.
        card_precision: CP@100; None where customers and days were not given.
    """

    rows: int
    frauds: int
    average_precision: float
    auc: float
    recall_at_budget: float
    recall_at_fpr: float
    log_loss: float
    mean_score: float
    calibration_error: float
    card_precision: float | None = None


def _check(labels: _Labels, scores: _Floats) -> None:
    if labels.ndim != 1 or labels.shape != scores.shape:
        raise MetricsError(f"labels and scores need one shape (rows,), got {labels.shape} and {scores.shape}")
    if not np.isin(labels, (0, 1)).all() or not 0 < int(labels.sum()) < labels.shape[0]:
        raise MetricsError("labels must be 0 or 1, with at least one of each")
    if not np.isfinite(scores).all():
        raise MetricsError("scores must be finite")


def average_precision(labels: _Labels, scores: _Floats) -> float:
    """Average precision of scores (margins or probabilities)."""
    _check(labels, scores)
    return float(average_precision_score(labels, scores))


def auc(labels: _Labels, scores: _Floats) -> float:
    """Area under the ROC curve."""
    _check(labels, scores)
    return float(roc_auc_score(labels, scores))


def recall_at_budget(labels: _Labels, scores: _Floats, share: float = ALERT_SHARE) -> float:
    """Share of the frauds that a fixed budget of alerts finds.

    Args:
        labels: Shape (rows,), 1 for fraud.
        scores: Shape (rows,).
        share: Alerts as a share of rows, in (0, 1]; at least one alert.

    Returns:
        Recall; rows that tie for the last alerts share them.

    Raises:
        MetricsError: If labels, scores or the share are out of range.
    """
    _check(labels, scores)
    if not 0 < share <= 1:
        raise MetricsError(f"share must be in (0, 1], got {share}")
    alerts = max(1, round(share * labels.shape[0]))
    last = np.partition(scores, -alerts)[-alerts]
    above, level = scores > last, scores == last
    part = (alerts - int(above.sum())) / int(level.sum())
    return float((labels[above].sum() + part * labels[level].sum()) / labels.sum())


def recall_at_fpr(labels: _Labels, scores: _Floats, rate: float = FALSE_POSITIVE_RATE) -> float:
    """Largest recall at a false positive rate of at most `rate`, in (0, 1]."""
    _check(labels, scores)
    if not 0 < rate <= 1:
        raise MetricsError(f"rate must be in (0, 1], got {rate}")
    false, true, _ = roc_curve(labels, scores, drop_intermediate=False)
    return float(true[false <= rate].max())


def calibration_error(labels: _Labels, probabilities: _Floats, bins: int = CALIBRATION_BINS) -> float:
    """Mean absolute difference of mean score and fraud rate over bins of equal size, 2 or more of them."""
    _check(labels, probabilities)
    if bins < 2:  # noqa: PLR2004  one bin compares the means only
        raise MetricsError(f"bins must be 2 or more, got {bins}")
    order = np.lexsort((labels, probabilities))
    parts = [part for part in np.array_split(order, bins) if part.shape[0]]
    gaps = [abs(float(probabilities[part].mean()) - float(labels[part].mean())) * part.shape[0] for part in parts]
    return float(sum(gaps) / labels.shape[0])


def _day_cards(
    labels: _Labels, scores: _Floats, customers: NDArray[np.integer]
) -> tuple[NDArray[np.integer], _Floats, _Floats]:
    """Cards of one day, each one's highest score, and whether it had a fraud."""
    cards, place = np.unique(customers, return_inverse=True)
    highest = np.full(cards.shape[0], -np.inf)
    np.maximum.at(highest, place, scores)
    fraud = np.zeros(cards.shape[0])
    np.maximum.at(fraud, place, labels)
    return cards, highest, fraud


def card_precision(
    labels: _Labels, scores: _Floats, customers: NDArray[np.integer], days: NDArray[np.integer], cards: int = CARDS
) -> float:
    """Mean share of truly compromised cards among the `cards` highest of each day.

    A card's score is its highest of the day; a card whose fraud was found leaves the following days.

    Args:
        labels: Shape (rows,), 1 for fraud.
        scores: Shape (rows,).
        customers: Card or customer of each row.
        days: Day number of each row.
        cards: Alerts a day, 1 or more.

    Returns:
        Card precision; ties go to the lower card number.

    Raises:
        MetricsError: If shapes, labels or scores do not fit.
    """
    _check(labels, scores)
    if customers.shape != labels.shape or days.shape != labels.shape or cards < 1:
        raise MetricsError(f"customers and days need shape {labels.shape} and cards 1 or more, got {cards}")
    found: set[int] = set()
    precisions = []
    for day in np.unique(days):
        rows = np.flatnonzero((days == day) & ~np.isin(customers, list(found)))
        names, highest, fraud = _day_cards(labels[rows], scores[rows], customers[rows])
        top = np.lexsort((names, -highest))[:cards]
        precisions.append(float(fraud[top].sum()) / cards)
        found.update(names[top][fraud[top] > 0].tolist())
    return float(np.mean(precisions))


def measure(
    labels: _Labels,
    margins: _Floats,
    customers: NDArray[np.integer] | None = None,
    days: NDArray[np.integer] | None = None,
) -> Metrics:
    """All figures of one set of scored rows.

    Args:
        labels: Shape (rows,), 1 for fraud; both kinds present.
        margins: float64, shape (rows,): log-odds.
        customers: Card or customer of each row, for card precision.
        days: Day number of each row, for card precision.

    Returns:
        The figures.

    Raises:
        MetricsError: If labels and margins do not fit, or one label is missing.
    """
    _check(labels, margins)
    probabilities = sigmoid(margins)
    cards = None if customers is None or days is None else card_precision(labels, margins, customers, days)
    return Metrics(
        rows=labels.shape[0],
        frauds=int(labels.sum()),
        average_precision=average_precision(labels, margins),
        auc=auc(labels, margins),
        recall_at_budget=recall_at_budget(labels, margins),
        recall_at_fpr=recall_at_fpr(labels, margins),
        log_loss=float(log_loss(labels, probabilities)),
        mean_score=float(probabilities.mean()),
        calibration_error=calibration_error(labels, probabilities),
        card_precision=cards,
    )
