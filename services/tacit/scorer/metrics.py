"""Every metric of the scorer, once. What tells of transactions, or of the bank's verdict and choice, is bank only."""

from tacit.runtime.inbox import INVALID
from tacit.runtime.loop import LOOP_METRICS
from tacit.runtime.observing import LOG_LINES, Label, Metric, MetricKind
from tacit.scorer.bundle import Obstacle

OUTCOMES = ("approve", "review", "decline", "invalid", "too_large", "no_model", "failed")

DURATION = Metric(
    "tacit_score_duration_seconds",
    MetricKind.HISTOGRAM,
    "Time from the whole body to the answer of one score; alerts on the share above 25 ms.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25),
)
REQUESTS = Metric(
    "tacit_score_requests_total",
    MetricKind.COUNTER,
    "Score requests by outcome; the bank's operator watches failed and no_model, its fraud team the rest.",
    (Label("outcome", OUTCOMES),),
)
MODEL = Metric(
    "tacit_model_version_info",
    MetricKind.GAUGE,
    "1 for the model that serves here: name, version digest, choice.",
    (Label("model"), Label("version"), Label("choice")),
)
LOADED = Metric(
    "tacit_model_loaded_timestamp_seconds",
    MetricKind.GAUGE,
    "When the model that serves here was loaded; 0 before the first.",
)
WAITING = Metric(
    "tacit_model_waiting",
    MetricKind.GAUGE,
    "1 while the version that the serving alias names is not the one that serves here; `/v1/model` says why.",
)
REFUSED = Metric(
    "tacit_model_refused_total",
    MetricKind.COUNTER,
    "Times that a version was not loaded, by obstacle; the verdict is awaited after every promotion.",
    (Label("obstacle", tuple(Obstacle)),),
)

TABLE = (*LOOP_METRICS, LOG_LINES, DURATION, REQUESTS, MODEL, LOADED, WAITING, REFUSED, INVALID)
