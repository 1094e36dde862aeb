"""Logs and metrics. A metric or a log line is a release too: nothing here may carry a value computed from rows.

Logs are JSON lines with stable event names and ids as fields. Metrics are declared as data, once per service; a metric
that is not `shareable` is exposed on the bank's own port only.
"""

import itertools
import logging
import re
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TextIO, cast

import prometheus_client
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

MAX_LABEL_VALUES = 20
"""Most values of one closed label."""

MAX_OPEN_VALUES = 200
"""Most values of one open label in a process; later ones are counted under `OTHER`."""

OTHER = "other"
"""Value of an open label that came after `MAX_OPEN_VALUES` others."""

OPEN_LABELS = frozenset({"bank", "model", "topic"})
"""Labels whose values the federation's documents name; every other label is a closed set (`_info` metrics apart)."""

_NAME = re.compile(r"tacit_[a-z0-9]+(_[a-z0-9]+)*")
_LABEL = re.compile(r"[a-z][a-z0-9_]{0,30}")
_LEVELS = ("debug", "info", "warning", "error", "critical")
# The Kafka adapter turns every failure into an error of its own; the client would add a line per attempt to reconnect.
_CHATTY = {
    "httpx": logging.WARNING,
    "kafka": logging.CRITICAL,
    "uvicorn": logging.WARNING,
    "sqlalchemy": logging.WARNING,
}


class ObservingError(ValueError):
    """A metric or log setting outside its rules; the message names value and allowed range."""


class MetricKind(StrEnum):
    """Kinds of metric, in Prometheus' names."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Label:
    """One label of a metric.

    Attributes:
        name: Lower case name.
        values: The closed set, at most `MAX_LABEL_VALUES`; empty for a label whose values come from documents, which
            only `OPEN_LABELS` and the labels of `_info` metrics may be.
    """

    name: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Metric:
    """Declaration of one metric.

    Attributes:
        name: `tacit_...` in base units; a counter ends in `_total`, nothing else does.
        kind: Counter, gauge or histogram.
        help: What it says and who looks at it.
        labels: Labels in order.
        buckets: Rising upper bounds, for a histogram only.
        shareable: Whether it depends on plans, releases and public sizes alone, so that others may scrape it. What is
            computed from a bank's rows must be False.
    """

    name: str
    kind: MetricKind
    help: str
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()
    shareable: bool = False

    def __post_init__(self) -> None:
        self._check_name()
        if not self.help.endswith("."):
            raise ObservingError(f"{self.name}: help {self.help!r} must be a sentence")
        rising = all(low < high for low, high in itertools.pairwise(self.buckets))
        if bool(self.buckets) != (self.kind is MetricKind.HISTOGRAM) or not rising:
            raise ObservingError(f"{self.name}: buckets {self.buckets}: rising, for a histogram and nothing else")
        for label in self.labels:
            self._check_label(label)

    def _check_name(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ObservingError(f"metric {self.name!r}: must be tacit_ and lower-case words joined by '_'")
        if self.name.endswith("_total") != (self.kind is MetricKind.COUNTER):
            raise ObservingError(f"{self.name}: a counter's name ends in _total, and no other's does")

    def _check_label(self, label: Label) -> None:
        if not _LABEL.fullmatch(label.name) or label.name == "le":
            raise ObservingError(f"{self.name}: label {label.name!r} must match {_LABEL.pattern} and not be 'le'")
        if len(label.values) > MAX_LABEL_VALUES:
            raise ObservingError(
                f"{self.name}: label {label.name} has {len(label.values)} values: at most {MAX_LABEL_VALUES}"
            )
        if not label.values and label.name not in OPEN_LABELS and not self.name.endswith("_info"):
            raise ObservingError(
                f"{self.name}: label {label.name} needs a closed set; open are {', '.join(sorted(OPEN_LABELS))}"
            )


LOG_LINES = Metric(
    "tacit_log_lines_total",
    MetricKind.COUNTER,
    "Log lines of level warning and above; any growth of errors wants a look at the log.",
    labels=(Label("level", _LEVELS[2:]),),
    shareable=True,
)
"""Counts every warning and error site once `count_log_lines` was called."""

_Made = prometheus_client.Counter | prometheus_client.Gauge | prometheus_client.Histogram


class Metrics:
    """The metrics of one process, built from declarations.

    Args:
        table: Declarations; names differ.

    Attributes:
        shareable: Registry that others may scrape.
        bank_only: Registry of everything else, the process's own CPU and memory included.

    Raises:
        ObservingError: If two declarations share a name.
    """

    def __init__(self, table: Sequence[Metric]) -> None:
        self._table = {metric.name: metric for metric in table}
        if len(self._table) != len(table):
            raise ObservingError("two metrics share a name")
        self.shareable = prometheus_client.CollectorRegistry()
        self.bank_only = prometheus_client.CollectorRegistry()
        prometheus_client.ProcessCollector(registry=self.bank_only)
        self._made = {metric.name: self._make(metric) for metric in table}
        self._open_values: dict[tuple[str, str], set[str]] = {}
        self._lock = threading.Lock()

    @property
    def table(self) -> tuple[Metric, ...]:
        """The declarations, in order."""
        return tuple(self._table.values())

    def increment(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Adds to a counter.

        Raises:
            ObservingError: If there is no such counter, the labels are not its own, or a value is outside a closed set.
        """
        counter = self._child(name, MetricKind.COUNTER, labels)
        cast("prometheus_client.Counter", counter).inc(amount)

    def set(self, name: str, value: float, **labels: str) -> None:
        """Sets a gauge; raises `ObservingError` as `increment` does."""
        cast("prometheus_client.Gauge", self._child(name, MetricKind.GAUGE, labels)).set(value)

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Adds an observation to a histogram; raises `ObservingError` as `increment` does."""
        cast("prometheus_client.Histogram", self._child(name, MetricKind.HISTOGRAM, labels)).observe(value)

    def state(self, name: str, **labels: str) -> None:
        """Makes this the only series of an `_info` gauge, at 1; raises `ObservingError` as `increment` does."""
        if not name.endswith("_info"):
            raise ObservingError(f"{name}: only a gauge named ..._info states a fact")
        self._declared(name, MetricKind.GAUGE, labels)
        self._made[name].clear()
        self.set(name, 1.0, **labels)

    def expose(self, *, bank_only: bool = False) -> bytes:
        """The text exposition: shareable metrics, and with `bank_only` all others behind them."""
        text = prometheus_client.generate_latest(self.shareable)
        return text + prometheus_client.generate_latest(self.bank_only) if bank_only else text

    def _make(self, metric: Metric) -> _Made:
        registry = self.shareable if metric.shareable else self.bank_only
        names = [label.name for label in metric.labels]
        if metric.kind is MetricKind.HISTOGRAM:
            made: _Made = prometheus_client.Histogram(
                metric.name, metric.help, names, buckets=metric.buckets, registry=registry
            )
        elif metric.kind is MetricKind.COUNTER:
            made = prometheus_client.Counter(metric.name, metric.help, names, registry=registry)
        else:
            made = prometheus_client.Gauge(metric.name, metric.help, names, registry=registry)
        _start_series(metric, made)
        return made

    def _declared(self, name: str, kind: MetricKind, labels: Mapping[str, str]) -> Metric:
        metric = self._table.get(name)
        if metric is None or metric.kind is not kind:
            raise ObservingError(f"no {kind} named {name!r} is declared")
        wanted = [label.name for label in metric.labels]
        if sorted(labels) != sorted(wanted):
            raise ObservingError(f"{name}: labels {sorted(labels)} given, {sorted(wanted)} declared")
        return metric

    def _child(self, name: str, kind: MetricKind, labels: Mapping[str, str]) -> _Made:
        metric = self._declared(name, kind, labels)
        if not labels:
            return self._made[name]
        values = [self._value(metric, label, labels[label.name]) for label in metric.labels]
        return self._made[name].labels(*values)

    def _value(self, metric: Metric, label: Label, value: str) -> str:
        if label.values:
            if value not in label.values:
                raise ObservingError(f"{metric.name}: {label.name}={value!r} is not one of {', '.join(label.values)}")
            return value
        with self._lock:
            known = self._open_values.setdefault((metric.name, label.name), set())
            if value not in known and len(known) >= MAX_OPEN_VALUES:
                return OTHER
            known.add(value)
        return value


class Events:
    """Counters of what happens on a log, from when the process had read the log to its end.

    What stood there before is history: another process counted it, and counting it again would show a burst at every
    start.

    Args:
        measured: The process's metrics.
    """

    def __init__(self, measured: Metrics) -> None:
        self._measured = measured
        self._begun = False

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Adds to a counter, or nothing before `begin`; raises `ObservingError` as `Metrics.increment` does."""
        if self._begun:
            self._measured.increment(name, amount, **labels)

    def begin(self, ready: bool) -> None:
        """Counts from now on, once the process was ready; to be called after an update's counts."""
        self._begun = self._begun or ready


def _start_series(metric: Metric, made: _Made) -> None:
    # A series that starts at 0 lets `rate` see the first event; a gauge's 0 would be a statement.
    if metric.kind is MetricKind.GAUGE or not metric.labels or not all(label.values for label in metric.labels):
        return
    for values in itertools.product(*(label.values for label in metric.labels)):
        made.labels(*values)


def render_table(table: Iterable[Metric]) -> str:
    """The declarations as a Markdown table for the operations page, one row a metric, ending in a line feed."""
    rows = ["| metric | kind | labels | scraped by | what it says |", "|---|---|---|---|---|"]
    for metric in table:
        labels = "; ".join(f"`{label.name}`: {', '.join(label.values) or 'open'}" for label in metric.labels)
        scraped = "federation" if metric.shareable else "bank only"
        rows.append(f"| `{metric.name}` | {metric.kind} | {labels or '-'} | {scraped} | {metric.help} |")
    return "\n".join(rows) + "\n"


def configure_logging(level: str = "info", stream: TextIO | None = None, **context: str) -> None:
    """Sends the logs of this process, third-party libraries included, to one stream in one format.

    JSON lines, or coloured text if the stream is a terminal. Calling it again replaces the earlier configuration.

    Args:
        level: One of debug, info, warning, error, critical. Chatty libraries stay quieter unless it is debug.
        stream: Where to write; standard output if None.
        context: Fields that every line carries, such as `service="trainer"`.

    Raises:
        ObservingError: If the level is none of these.
    """
    if level not in _LEVELS:
        raise ObservingError(f"log level {level!r}: must be one of {', '.join(_LEVELS)}")
    target = stream if stream is not None else sys.stdout
    shared = _shared_processors(context)
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_renderers(target.isatty()))
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    for name, least in _CHATTY.items():
        logging.getLogger(name).setLevel(logging.NOTSET if level == "debug" else least)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger whose methods take a stable event name and ids as fields: `log.info("release_published", run=...)`."""
    return structlog.stdlib.get_logger(name)


def count_log_lines(metrics: Metrics) -> None:
    """Counts log lines of level warning and above in `LOG_LINES`, which must be in the table of `metrics`.

    Call it after `configure_logging`, which removes earlier handlers.
    """
    logging.getLogger().addHandler(_Counting(metrics))


class _Counting(logging.Handler):
    def __init__(self, metrics: Metrics) -> None:
        super().__init__(logging.WARNING)
        self._metrics = metrics

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname.lower()
        self._metrics.increment(LOG_LINES.name, level=level if level in _LEVELS else "warning")


def _shared_processors(context: Mapping[str, str]) -> list[Processor]:
    def add_context(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {**context, **event}

    return [
        structlog.contextvars.merge_contextvars,
        add_context,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.StackInfoRenderer(),
    ]


def _renderers(pretty: bool) -> list[Processor]:
    last: list[Processor] = (
        [structlog.dev.ConsoleRenderer()]
        if pretty
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    )
    return [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
