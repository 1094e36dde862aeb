"""The course of a demo: its options, its clock, what it says of privacy and sizes, and how a run that fails is told."""

import contextlib
import datetime as dt
import io
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import cli_cases
from fake_clock import FakeClock
from tacit.adapters.memory import MemoryLog
from tacit.cli import demo_run as subject
from tacit.cli import planning
from tacit.cli.demo_data import Source
from tacit.cli.layout import LayoutError, Processes
from tacit.privacy.types import Mode
from tacit.rounds.plan import PlanError
from tacit.rounds.terms import work_out
from tacit.wire import topics
from tacit.wire.envelope import SigningKey

TODAY = dt.date(2018, 9, 1)


@pytest.fixture
def place(tmp_path: Path) -> cli_cases.Federation3:
    """A founded folder."""
    return cli_cases.make(tmp_path / "fed")


@pytest.fixture
def stage(place: cli_cases.Federation3) -> Any:  # noqa: ANN401  as much of a stage as these parts ask for
    """A stage on that folder with a new plan."""
    text = planning.new(planning.Wish(), place.manifest, place.contract, TODAY)
    terms = work_out(planning.read(text.encode()), place.contract, place.manifest)
    return SimpleNamespace(folder=place.folder, banks=list(cli_cases.BANKS), terms=terms)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Data and mapping that exist."""
    for name in ("data.parquet", "mapping.yaml"):
        (tmp_path / name).touch()
    return tmp_path / "data.parquet", tmp_path / "mapping.yaml"


def test_no_option_is_the_generator() -> None:
    """Nothing is read."""
    assert subject.source(None, None, None) is None


def test_three_options_are_real_input(files: tuple[Path, Path]) -> None:
    """As they were given."""
    assert subject.source(*files, "customers.parquet:BANK") == Source(*files, "customers.parquet:BANK")


@pytest.mark.parametrize("missing", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2)])
def test_the_options_go_together(files: tuple[Path, Path], missing: tuple[int, ...]) -> None:
    """One or two of the three are a wrong call."""
    given_options: list[Any] = [*files, "c.parquet:BANK"]
    for position in missing:
        given_options[position] = None
    with pytest.raises(LayoutError, match="--data, --mapping and --banks go together"):
        subject.source(*given_options)


@pytest.mark.parametrize("position", [0, 1])
def test_a_file_that_is_not_there_is_named(files: tuple[Path, Path], position: int) -> None:
    """Before anything is laid out."""
    files[position].unlink()
    with pytest.raises(LayoutError, match=f"{files[position].name} does not exist"):
        subject.source(*files, "c.parquet:BANK")


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("0.1", Fraction(1, 10)), ("1/3", Fraction(1, 3)), ("64", 64), ("1e-3", Fraction(1, 1000))],
)
def test_epsilon_is_read_exactly(text: str, value: Fraction) -> None:
    """A decimal is that decimal."""
    assert subject.epsilon(text) == value


@given(st.fractions(min_value=Fraction(1, 1000), max_value=64))
def test_every_fraction_in_range_is_kept(value: Fraction) -> None:
    """Numerator over denominator."""
    assert subject.epsilon(str(value)) == value


@pytest.mark.parametrize("text", ["0", "-1", "64.0001", "65", "one", "", "1/0", "nan", "inf"])
def test_epsilon_out_of_range_is_refused(text: str) -> None:
    """The value and the range are named."""
    with pytest.raises(PlanError, match=f"epsilon = {text}: expected a number above 0 and at most 64"):
        subject.epsilon(text)


def test_the_mode_that_runs() -> None:
    """Local is one, in small letters."""
    assert subject.mode("local") is Mode.LOCAL


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("distributed", "needs secure aggregation"),
        ("LOCAL", "mode = 'LOCAL': expected local or distributed"),
        ("", "mode = ''"),
    ],
)
def test_other_modes_are_refused(text: str, message: str) -> None:
    """With what is needed or expected."""
    with pytest.raises(PlanError, match=message):
        subject.mode(text)


def test_the_clockwork_tells_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until set up, of training, in all, to the hundredth."""
    clock = FakeClock(100.0)
    monkeypatch.setattr("tacit.cli.demo_run.time.monotonic", clock.monotonic)
    clockwork = subject.Clockwork(start=100.0)
    for name, seconds in (("setup", 2.504), ("trained", 30.0), ("", 1.25)):
        clock.sleep(seconds)
        if name:
            clockwork.mark(name)
    assert clockwork.parts() == {"setup": 2.5, "train": 30.0, "total": 33.75}


def test_the_privacy_statement_follows_from_the_terms(stage: Any) -> None:  # noqa: ANN401
    """What was reserved, what was promised, and for whom."""
    found = subject._privacy(stage, {"epsilon_reserved": "0.99", "epsilon": Fraction(1)})
    assert found == {
        "epsilon": "0.99",
        "epsilon_promised": "1",
        "delta": "0.00001",
        "unit": stage.terms.unit_text,
        "mode": "local",
        "q": stage.terms.q,
        "c": stage.terms.c,
        "rounds": 34,
    }


def test_sizes_are_those_of_the_largest_bank(place: cli_cases.Federation3, stage: Any) -> None:  # noqa: ANN401
    """Vectors by the plan at eight bytes a cell; the topic as it is, of other banks' topics none."""
    with place.log() as log:
        for bank, size in (("ash", 10), ("elm", 300), ("elm", 41), ("oak", 7)):
            log.append(topics.bank(topics.DEFAULT_PREFIX, bank).name, b"", bytes(size))
    found = subject._sizes(stage)
    assert found == {"vectors": 8 * sum(item.cells for item in stage.terms.stages), "all": 341}


@pytest.mark.parametrize("count", [0, 1, 1_203])
def test_a_topic_is_counted_to_its_end(place: cli_cases.Federation3, count: int) -> None:
    """In as many reads as it takes."""
    topic = topics.bank(topics.DEFAULT_PREFIX, "ash").name
    with place.log() as log:
        memory = MemoryLog()
        memory.create([topic])
        for _ in range(count):
            memory.append(topic, b"key", b"abc")
        assert subject._bytes_of(memory, topic) == 3 * count
        assert subject._bytes_of(log, topic) == 0


class Aggregator:
    """A client whose run takes some views."""

    def __init__(self, *views: dict[str, Any]) -> None:
        self.views = views
        self.submitted: list[tuple[Any, ...]] = []

    def submit(self, *given_plan: object) -> str:
        """Notes what was sent."""
        self.submitted.append(given_plan)
        return "ab" * 32

    def watch(self, run: str) -> Any:  # noqa: ANN401
        """The views, one after another."""
        assert run == "ab" * 32
        return iter(self.views)


def view(**changes: object) -> dict[str, Any]:
    """A run as the aggregator shows it."""
    more: dict[str, Any] = {"answered": [], "joined": [], "epsilon_reserved": "1", "epsilon_spent_ratio": 1.0}
    return cli_cases.view(**{**more, **changes})


def train(stage: Any, aggregator: Any, cpu: list[float], monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401
    """Follows a run to its end with CPU seconds given."""
    monkeypatch.setattr(subject, "cpu_seconds", lambda _: cpu.pop(0))
    supervisor: Any = SimpleNamespace(poll=lambda: ())
    return subject._train(stage, supervisor, aggregator, Console(file=io.StringIO()))


def test_training_sends_the_operators_plan(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    """And ends with the last view; CPU is a round's."""
    done = view(phase="ENDED", outcome="FINISHED", rounds=4)
    aggregator = Aggregator(view(), done)
    found, cpu = train(stage, aggregator, [10.0, 13.0], monkeypatch)
    assert (found, cpu) == (done, 0.75)
    (plan, operator, key), *more = aggregator.submitted
    assert (plan, operator, more) == (stage.terms.plan, "operator", [])
    assert key.public == SigningKey.load(stage.folder.key("operator")).public


def test_cpu_that_is_not_told_is_nothing(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    """A machine without /proc has no figure, and the demo goes on."""
    aggregator = Aggregator(view(phase="ENDED", outcome="FINISHED"))
    assert train(stage, aggregator, [1.0, float("nan")], monkeypatch)[1] is None


@pytest.mark.parametrize(("outcome", "reason"), [("ABORTED", "DEADLINE"), ("CANCELLED", "ORDER")])
def test_a_run_that_does_not_finish_is_told(
    stage: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
    outcome: str,
    reason: str,
) -> None:
    """With its end and where to look."""
    aggregator = Aggregator(view(phase="ENDED", outcome=outcome, reason=reason))
    with pytest.raises(LayoutError, match=rf"ended {outcome} \({reason}\): see .*logs"):
        train(stage, aggregator, [0.0, 0.0], monkeypatch)


def wish(**changes: Any) -> Any:  # noqa: ANN401
    """What the command line asked for."""
    return SimpleNamespace(**({"kafka": False} | changes))


def test_processes_of_the_embedded_log(stage: Any) -> None:  # noqa: ANN401
    """The first bank scores; feeds are passed on; no broker is started."""
    stage.feeds = {"network": Path("feed.parquet")}
    with contextlib.ExitStack() as stack:
        found = subject._processes(wish(), stage, stack)
    assert found == Processes(scoring=["ash"], log=None, feeds=stage.feeds)


def test_processes_of_kafka(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    """Every process gets what the broker's set-up says."""
    from tacit.cli import demo_kafka  # noqa: PLC0415  loads the Kafka client

    asked: list[object] = []

    def start(*parts: object) -> dict[str, Any]:
        asked.append(parts)
        return {"aggregator": {}}

    monkeypatch.setattr(demo_kafka, "start", start)
    stage.feeds = {}
    with contextlib.ExitStack() as stack:
        found = subject._processes(wish(kafka=True), stage, stack)
        assert asked == [(stage.folder, stage.banks, ["ash"], stack)]
    assert found.log == {"aggregator": {}}
