"""Every metric of the trainer, once. Shareable ones come from plans, releases and public sizes alone."""

from dataclasses import replace

from tacit.runtime.inbox import INVALID
from tacit.runtime.loop import LOOP_METRICS
from tacit.runtime.observing import LOG_LINES, Label, Metric, MetricKind

LINES = replace(LOG_LINES, shareable=False)
"""A faulty row or a fit that failed writes a line: how many there are is for the bank alone."""

RUNS = Metric(
    "tacit_trainer_runs_total",
    MetricKind.COUNTER,
    "Runs by what this bank did since the process was ready: joined, refused, finished, left; the operator compares "
    "with the consortium's view.",
    (Label("outcome", ("joined", "refused", "finished", "left")),),
    shareable=True,
)
RELEASES = Metric(
    "tacit_trainer_releases_total",
    MetricKind.COUNTER,
    "Noised vectors that stand on the bank's own topic since the process was ready; grows by one per round.",
    shareable=True,
)
ROUND = Metric("tacit_trainer_round", MetricKind.GAUGE, "Round of the run under way, -1 for none.", shareable=True)
SPENT = Metric(
    "tacit_ledger_lifetime_epsilon", MetricKind.GAUGE, "Epsilon charged to the account so far, at the policy's delta."
)
LEFT = Metric(
    "tacit_ledger_left_ratio", MetricKind.GAUGE, "Share of the lifetime cap that is left; below 0.2 plan a new budget."
)
WORK = Metric(
    "tacit_trainer_work_seconds",
    MetricKind.HISTOGRAM,
    "Time of a round's statistic; the bank's operator sizes the pod by it.",
    buckets=(0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0),
)

TABLE = (*LOOP_METRICS, LINES, RUNS, RELEASES, ROUND, INVALID, SPENT, LEFT, WORK)
