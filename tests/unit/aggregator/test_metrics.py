"""The aggregator's metrics as declared: all may be shared, each once, nothing that could tell banks' rows."""

import dataclasses

import pytest

from tacit.aggregator import metrics
from tacit.rounds.types import Outcome
from tacit.runtime.observing import OPEN_LABELS, Metric, MetricKind, Metrics, ObservingError

DECLARED = [value for value in vars(metrics).values() if isinstance(value, Metric)]
OWN = [metric for metric in DECLARED if metric.name != "tacit_log_lines_total"]


def test_every_metric_is_in_the_table_once() -> None:
    """A metric that is declared but left out would never be exposed."""
    names = [metric.name for metric in metrics.TABLE]
    assert len(set(names)) == len(names)
    assert {metric.name for metric in DECLARED} <= set(names)


@pytest.mark.parametrize("metric", OWN, ids=lambda metric: metric.name)
def test_what_the_aggregator_measures_may_be_shared(metric: Metric) -> None:
    """It holds no rows: everything comes from the log, which all members read."""
    assert metric.shareable
    assert metric.kind is not MetricKind.HISTOGRAM


@pytest.mark.parametrize("metric", metrics.TABLE, ids=lambda metric: metric.name)
def test_labels_are_closed_or_come_from_documents(metric: Metric) -> None:
    """Nobody outside can make a process remember ever more series."""
    for label in metric.labels:
        assert label.values or label.name in OPEN_LABELS


def test_every_outcome_of_the_protocol_has_its_label() -> None:
    """A new outcome is added here too."""
    (label,) = metrics.RUNS_ENDED.labels
    assert set(label.values) == {outcome.name.lower() for outcome in Outcome}


def test_the_table_makes_one_registry() -> None:
    """Counters with closed labels are there from the start; none lies on a bank's own port alone."""
    made = Metrics(metrics.TABLE)
    assert made.shareable.get_sample_value(metrics.ROUNDS.name) == 0.0
    for outcome in metrics.RUNS_ENDED.labels[0].values:
        assert made.shareable.get_sample_value(metrics.RUNS_ENDED.name, {"outcome": outcome}) == 0.0
    with pytest.raises(ObservingError, match="share a name"):
        Metrics((*metrics.TABLE, metrics.ROUND))


def test_a_declaration_cannot_be_changed() -> None:
    """Shareable stays shareable, and bank-only stays bank-only."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        metrics.ROUND.shareable = False  # type: ignore[misc]
