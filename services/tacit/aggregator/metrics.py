"""Every metric of the aggregator, once; all of them come from plans, control records and public sizes."""

from tacit.runtime.inbox import INVALID
from tacit.runtime.loop import LOOP_METRICS
from tacit.runtime.observing import LOG_LINES, Label, Metric, MetricKind

RUNS_ENDED = Metric(
    "tacit_runs_ended_total",
    MetricKind.COUNTER,
    "Runs that ended since this process had read the log, by outcome; the operator looks here after a submission.",
    (Label("outcome", ("finished", "aborted", "cancelled")),),
    shareable=True,
)
ROUNDS = Metric(
    "tacit_rounds_total",
    MetricKind.COUNTER,
    "Rounds that got a result since this process had read the log; grows while a run is healthy.",
    shareable=True,
)
ROUND = Metric("tacit_round", MetricKind.GAUGE, "Round under way, -1 for none.", shareable=True)
WAITING = Metric(
    "tacit_round_participants",
    MetricKind.GAUGE,
    "Banks of the round under way, by state; a bank that stays missing wants a call.",
    (Label("state", ("answered", "missing")),),
    shareable=True,
)
OPENED = Metric(
    "tacit_round_opened_timestamp_seconds",
    MetricKind.GAUGE,
    "When this process first saw the round under way; alerts on its age.",
    shareable=True,
)
EPSILON = Metric(
    "tacit_privacy_epsilon_reserved",
    MetricKind.GAUGE,
    "Epsilon of the newest run's reserved budget, by model.",
    (Label("model"),),
    shareable=True,
)
VOID = Metric(
    "tacit_void_records",
    MetricKind.GAUGE,
    "Valid records that did not stand; `/v1/evidence` lists them.",
    shareable=True,
)
LEADING = Metric("tacit_leading", MetricKind.GAUGE, "1 while this replica's LEAD is in force.", shareable=True)

TABLE = (*LOOP_METRICS, LOG_LINES, RUNS_ENDED, ROUNDS, ROUND, WAITING, OPENED, EPSILON, INVALID, VOID, LEADING)
