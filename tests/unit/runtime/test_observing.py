"""Logs in one format, metrics from declarations."""

import io
import json
import logging
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from tacit.runtime import observing as subject
from tacit.runtime.observing import Events, Label, Metric, MetricKind, Metrics, ObservingError

Lines = Callable[[], list[dict[str, object]]]

ROUNDS = Metric(
    "tacit_rounds_total",
    MetricKind.COUNTER,
    "Rounds by outcome.",
    labels=(Label("outcome", ("done", "aborted")),),
    shareable=True,
)
CLIPPED = Metric("tacit_clipped_ratio", MetricKind.GAUGE, "Share of clipped customers, the bank's own.")
PHASE = Metric("tacit_phase_seconds", MetricKind.HISTOGRAM, "Time of a phase.", buckets=(1.0, 3.0), shareable=True)
BY_BANK = Metric("tacit_answers_total", MetricKind.COUNTER, "Answers.", labels=(Label("bank"),), shareable=True)
VERSION = Metric(
    "tacit_model_version_info",
    MetricKind.GAUGE,
    "The model in use.",
    labels=(Label("model"), Label("version")),
    shareable=True,
)
TABLE = (ROUNDS, CLIPPED, PHASE, BY_BANK, VERSION)


def samples(text: bytes) -> dict[tuple[str, tuple[str, ...]], float]:
    """Samples by name and label values."""
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


@pytest.fixture
def metrics() -> Metrics:
    """Fresh metrics."""
    return Metrics(TABLE)


def test_each_kind_is_exposed_with_its_value(metrics: Metrics) -> None:
    """Counter, gauge and histogram all reach the exposition."""
    metrics.increment("tacit_rounds_total", outcome="done")
    metrics.increment("tacit_rounds_total", 2.0, outcome="done")
    metrics.set("tacit_clipped_ratio", 0.25)
    metrics.observe("tacit_phase_seconds", 2.0)
    found = samples(metrics.expose(bank_only=True))
    assert found["tacit_rounds_total", ("done",)] == 3.0
    assert found["tacit_clipped_ratio", ()] == 0.25
    assert found["tacit_phase_seconds_bucket", ("1.0",)] == 0.0
    assert found["tacit_phase_seconds_bucket", ("3.0",)] == 1.0


def test_bank_only_metrics_stay_off_the_shareable_page(metrics: Metrics) -> None:
    """What rows may have touched, and the process's own load, is not in the federation's scrape."""
    metrics.set("tacit_clipped_ratio", 0.25)
    shared = {name for name, _ in samples(metrics.expose())}
    assert "tacit_clipped_ratio" not in shared
    assert not [name for name in shared if name.startswith("process_")]
    assert "process_cpu_seconds_total" in {name for name, _ in samples(metrics.expose(bank_only=True))}


def test_closed_counters_start_at_zero_and_gauges_do_not(metrics: Metrics) -> None:
    """A rate sees the first event; no gauge states what nobody measured."""
    found = samples(metrics.expose())
    assert found["tacit_rounds_total", ("aborted",)] == 0.0
    assert not [name for name, _ in found if name == "tacit_model_version_info"]


def test_state_keeps_one_series(metrics: Metrics) -> None:
    """A new version replaces the old one."""
    metrics.state("tacit_model_version_info", model="card", version="sha256:1")
    metrics.state("tacit_model_version_info", version="sha256:2", model="card")
    found = samples(metrics.expose())
    assert {key: value for key, value in found.items() if "version" in key[0]} == {
        ("tacit_model_version_info", ("card", "sha256:2")): 1.0
    }


def test_open_labels_are_bounded(metrics: Metrics) -> None:
    """Values beyond the bound fall together, so that a flood of names cannot fill the memory."""
    for number in range(subject.MAX_OPEN_VALUES + 5):
        metrics.increment("tacit_answers_total", bank=f"bank-{number}")
    metrics.increment("tacit_answers_total", bank="bank-0")
    found = samples(metrics.expose())
    assert found["tacit_answers_total", (subject.OTHER,)] == 5.0
    assert found["tacit_answers_total", ("bank-0",)] == 2.0


@pytest.mark.parametrize(
    ("name", "labels", "message"),
    [
        ("tacit_rounds_total", {"outcome": "lost"}, "'lost' is not one of done, aborted"),
        ("tacit_rounds_total", {}, r"labels \[\] given, \['outcome'\] declared"),
        ("tacit_rounds_total", {"outcome": "done", "bank": "a"}, "declared"),
        ("tacit_other_total", {}, "no counter named 'tacit_other_total'"),
        ("tacit_clipped_ratio", {}, "no counter named"),
    ],
)
def test_wrong_use_is_refused(metrics: Metrics, name: str, labels: dict[str, str], message: str) -> None:
    """Unknown names, other kinds, other labels and values outside the closed set."""
    with pytest.raises(ObservingError, match=message):
        metrics.increment(name, 1.0, **labels)


def test_only_info_gauges_state_facts(metrics: Metrics) -> None:
    """`state` on a plain gauge would wipe its series."""
    with pytest.raises(ObservingError, match="_info"):
        metrics.state("tacit_clipped_ratio")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "rounds_total"}, "must be tacit_"),
        ({"name": "tacit_Rounds_total"}, "must be tacit_"),
        ({"name": "tacit_rounds"}, "ends in _total"),
        ({"kind": MetricKind.GAUGE}, "ends in _total"),
        ({"help": "no sentence"}, "must be a sentence"),
        ({"buckets": (1.0,)}, "for a histogram and nothing else"),
        ({"labels": (Label("run_id"),)}, "needs a closed set"),
        ({"labels": (Label("le", ("a",)),)}, "not be 'le'"),
        ({"labels": (Label("Bad", ("a",)),)}, "must match"),
        ({"labels": (Label("code", tuple("abcdefghijklmnopqrstu")),)}, "21 values: at most 20"),
    ],
)
def test_declarations_keep_the_rules(fields: dict[str, object], message: str) -> None:
    """Names, kinds, help, buckets and labels are checked where they are declared."""
    good: dict[str, object] = {"name": "tacit_x_total", "kind": MetricKind.COUNTER, "help": "Counts."}
    with pytest.raises(ObservingError, match=message):
        Metric(**{**good, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize("buckets", [(), (2.0, 1.0), (1.0, 1.0)])
def test_histograms_need_rising_buckets(buckets: tuple[float, ...]) -> None:
    """The client's default buckets fit nothing here."""
    with pytest.raises(ObservingError, match="rising"):
        Metric("tacit_x_seconds", MetricKind.HISTOGRAM, "Times.", buckets=buckets)


def test_two_metrics_of_one_name_are_refused() -> None:
    """One table, one meaning."""
    with pytest.raises(ObservingError, match="share a name"):
        Metrics((ROUNDS, ROUNDS))


def test_table_renders_to_markdown(metrics: Metrics) -> None:
    """The operations page gets one row a metric with who may scrape it."""
    text = subject.render_table(metrics.table)
    rows = text.splitlines()
    assert len(rows) == 2 + len(TABLE)
    assert rows[2] == "| `tacit_rounds_total` | counter | `outcome`: done, aborted | federation | Rounds by outcome. |"
    assert "| bank only | Share of clipped" in rows[3]
    assert "`bank`: open" in rows[5]


def test_own_events_are_json_lines_with_fields(lines: Lines) -> None:
    """Event, level, logger, time and ids stand in one object."""
    subject.get_logger("tacit.test").info("release_published", run="sha256:1")
    (line,) = lines()
    assert line["event"] == "release_published"
    assert (line["level"], line["logger"], line["run"]) == ("info", "tacit.test", "sha256:1")
    assert str(line["time"]).endswith("Z")


def test_other_libraries_are_routed(lines: Lines) -> None:
    """A plain logger and a warning come out as the same JSON."""
    logging.getLogger("uvicorn.error").error("bind %s failed", "x")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old call", stacklevel=1)
    first, second = lines()
    assert (first["event"], first["logger"], first["level"]) == ("bind x failed", "uvicorn.error", "error")
    assert "old call" in str(second["event"])


def test_exceptions_stay_on_their_line(lines: Lines) -> None:
    """A trace is a field, not loose text."""
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        subject.get_logger("t").exception("step_failed")
    (line,) = lines()
    assert "ZeroDivisionError" in str(line["exception"])


def test_chatty_libraries_are_quiet_unless_debugging(lines: Lines) -> None:
    """Kafka's info lines appear at level debug only."""
    logging.getLogger("kafka.conn").info("shown")
    assert [line["event"] for line in lines()] == ["shown"]
    stream = io.StringIO()
    subject.configure_logging("info", stream, service="trainer")
    logging.getLogger("kafka.conn").info("hidden")
    subject.get_logger("t").debug("hidden_too")
    subject.get_logger("t").info("seen")
    (line,) = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert (line["event"], line["service"]) == ("seen", "trainer")


def test_a_terminal_gets_text(lines: Lines) -> None:
    """Pretty only where a person reads."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    subject.configure_logging("info", stream)
    subject.get_logger("t").info("round_done", number=3)
    assert "round_done" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_unknown_levels_are_refused() -> None:
    """The message lists the levels."""
    with pytest.raises(ObservingError, match="'loud': must be one of debug, info"):
        subject.configure_logging("loud")


def test_warnings_and_errors_are_counted(lines: Lines) -> None:
    """Every warning or error site moves a counter, own or foreign."""
    metrics = Metrics((subject.LOG_LINES,))
    subject.count_log_lines(metrics)
    subject.get_logger("t").info("fine")
    subject.get_logger("t").warning("odd")
    logging.getLogger("uvicorn.error").error("bad")
    found = samples(metrics.expose())
    assert found["tacit_log_lines_total", ("warning",)] == 1.0
    assert found["tacit_log_lines_total", ("error",)] == 1.0
    assert found["tacit_log_lines_total", ("critical",)] == 0.0


def test_open_labels_are_bounded_per_metric(metrics: Metrics) -> None:
    """A flood in one metric leaves the others' names alone."""
    for number in range(subject.MAX_OPEN_VALUES):
        metrics.increment("tacit_answers_total", bank=f"bank-{number}")
    metrics.state("tacit_model_version_info", model="bank-new", version="1")
    assert samples(metrics.expose())["tacit_model_version_info", ("bank-new", "1")] == 1.0


def test_threads_lose_no_count(metrics: Metrics) -> None:
    """Metrics are moved from the loop and from request threads."""

    def work() -> None:
        for _ in range(500):
            metrics.increment("tacit_answers_total", bank="ash")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert samples(metrics.expose())["tacit_answers_total", ("ash",)] == 2_000.0


def test_context_of_a_piece_of_work_is_on_its_lines(lines: Lines) -> None:
    """Ids bound around a round stand on every line inside, foreign ones included."""
    with structlog.contextvars.bound_contextvars(run="r1"):
        subject.get_logger("t").info("inside")
        logging.getLogger("foreign").info("inside too")
    subject.get_logger("t").info("outside")
    assert [line.get("run") for line in lines()] == ["r1", "r1", None]


def test_values_without_a_json_form_are_shown_as_text(lines: Lines) -> None:
    """A log call never fails for its fields."""
    subject.get_logger("t").info("written", path=Path("a") / "b")
    assert lines()[0]["path"] == "a/b"


def test_events_count_from_where_the_log_was_read() -> None:
    """Before that nothing is added; once begun, a moment of not being ready changes nothing."""
    measured = Metrics((ROUNDS,))
    events = Events(measured)
    for ready in (False, True, False, True):
        events.count(ROUNDS.name, 2.0, outcome="done")
        events.begin(ready)
    assert measured.shareable.get_sample_value(ROUNDS.name, {"outcome": "done"}) == 4.0
