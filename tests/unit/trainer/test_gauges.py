"""The trainer's metrics say what log and ledger say, and what others may scrape tells nothing of rows."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import federation_cases as cases
from fake_clock import FakeClock
from federation_cases import plan_for, until
from tacit.rounds.ledger import RunState
from tacit.rounds.types import Kind
from tacit.runtime.observing import Metrics
from tacit.sim.federation import Federation, InlineWorker
from tacit.trainer import metrics
from tacit.trainer.gauges import Gauges, Sources, TimedWorker
from tacit.trainer.handlers import Ports

BANK = "bank-0"
RUNS = metrics.RUNS.name


@pytest.fixture
def fed(tmp_path: Path) -> Iterator[Federation]:
    """Three banks."""
    made = cases.federation(tmp_path, 3, seed=1)
    yield made
    made.close()


class Case:
    """One bank's metrics."""

    def __init__(self, fed: Federation) -> None:
        self.fed, self.measured = fed, Metrics(metrics.TABLE)
        self.gauges = Gauges(self.sources(), self.measured)
        self.gauges.update()

    @property
    def ports(self) -> Ports:
        """The bank's ports."""
        return self.fed._handlers[BANK]._ports

    def sources(self) -> Sources:
        """What the bank's metrics are read from."""
        trainer, ports = self.fed._handlers[BANK], self.ports
        journal, outbox = ports.journal, ports.outbox
        released, ready = (lambda: outbox.released), (lambda: trainer.ready)
        return Sources(BANK, trainer.state, ports.inbox, journal, released, ready)  # type: ignore[arg-type]

    def value(self, name: str, *, bank_only: bool = False, **labels: str) -> float | None:
        """A sample, after an update."""
        self.gauges.update()
        registry = self.measured.bank_only if bank_only else self.measured.shareable
        return registry.get_sample_value(name, labels)

    def runs(self) -> dict[str, float | None]:
        """All outcomes."""
        return {name: self.value(RUNS, outcome=name) for name in metrics.RUNS.labels[0].values}

    def finish(self, number: int = 0) -> bytes:
        """A whole run."""
        run = self.fed.submit(plan_for(self.fed, number))
        self.fed.run(run, 2_000)
        until(self.fed, lambda: self.ports.journal.state(run) is not RunState.OPEN)
        return run


@pytest.fixture
def case(fed: Federation) -> Case:
    """A bank that has begun."""
    until(fed, lambda: fed._handlers[BANK].ready)
    return Case(fed)


def test_before_any_run_everything_is_at_rest(case: Case) -> None:
    """No round, no outcome, nothing spent, the whole cap left."""
    assert case.runs() == dict.fromkeys(("joined", "refused", "finished", "left"), 0.0)
    assert case.value(metrics.ROUND.name) == -1.0
    assert case.value(metrics.RELEASES.name) == case.value(metrics.INVALID.name, reason="malformed") == 0.0
    assert case.value(metrics.SPENT.name, bank_only=True) == 0.0
    assert case.value(metrics.LEFT.name, bank_only=True) == 1.0


def test_a_run_under_way_shows_its_round(case: Case) -> None:
    """The round that is asked for; joined, not finished; a vector a round."""
    case.fed.submit(plan_for(case.fed))
    until(case.fed, lambda: case.value(metrics.ROUND.name) == 1.0)
    assert case.runs() == {"joined": 1.0, "refused": 0.0, "finished": 0.0, "left": 0.0}
    assert case.value(metrics.RELEASES.name) in {1.0, 2.0}


def test_finished_runs_are_counted_once(case: Case) -> None:
    """Two runs of three rounds: two joined, two finished, six vectors, and no round under way."""
    for number in range(2):
        case.finish(number)
    for _ in range(3):
        assert case.runs() == {"joined": 2.0, "refused": 0.0, "finished": 2.0, "left": 0.0}
    assert case.value(metrics.RELEASES.name) == 6.0
    assert case.value(metrics.ROUND.name) == -1.0


def test_a_process_that_starts_again_counts_from_where_it_was_ready(case: Case) -> None:
    """What the log holds already is no event: a restart shows no burst, and the next run counts once."""
    case.finish()
    next(node for node in case.fed.nodes if node.name == BANK).restart()
    again = Case(case.fed)
    until(case.fed, lambda: again.runs() is not None and case.fed._handlers[BANK].ready)
    assert set(again.runs().values()) == {0.0}
    assert again.value(metrics.RELEASES.name) == 0.0
    again.finish(1)
    assert again.runs() == {"joined": 1.0, "refused": 0.0, "finished": 1.0, "left": 0.0}
    assert again.value(metrics.RELEASES.name) == 3.0


def test_the_account_follows_the_ledger(case: Case) -> None:
    """Epsilon and the share that is left are those of `tacit ledger show`, on the bank's own port only."""
    case.finish()
    lifetime = case.ports.journal.ledger().lifetime
    assert lifetime.charged_nano > 0
    assert case.value(metrics.SPENT.name, bank_only=True) == lifetime.epsilon
    assert case.value(metrics.LEFT.name, bank_only=True) == 1 - lifetime.charged_nano / lifetime.cap_nano
    assert metrics.SPENT.name not in case.measured.expose().decode()
    assert metrics.LEFT.name not in case.measured.expose().decode()


def test_the_ledger_is_read_only_when_the_journal_changed(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Epsilons are costly: an update without a new entry asks for none."""
    case.gauges.update()
    monkeypatch.setattr(type(case.ports.journal), "ledger", lambda _: pytest.fail("asked again"))
    case.gauges.update()


def test_a_cap_of_nothing_or_overdrawn_leaves_nothing(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """No division by a cap of 0, no share below 0."""
    report = case.ports.journal.ledger()
    for cap, charged in ((0, 0), (10, 25)):
        lifetime = replace(report.lifetime, cap_nano=cap, charged_nano=charged)
        changed = replace(report, lifetime=lifetime)
        monkeypatch.setattr(type(case.ports.journal), "ledger", lambda _, changed=changed: changed)
        assert Case(case.fed).value(metrics.LEFT.name, bank_only=True) == 0.0


def test_a_refusal_and_a_leave_are_counted(case: Case) -> None:
    """One run is refused, another one is left in the middle; the round of a run that was left is not this bank's."""
    trainer = case.fed._handlers[BANK]
    bank = trainer._bank
    trainer._bank = replace(bank, policy=replace(bank.policy, paused=True))
    refused = case.fed.submit(plan_for(case.fed, 1))
    case.fed.run(refused, 2_000)
    trainer._bank = bank
    run = case.fed.submit(plan_for(case.fed, 2))
    until(case.fed, lambda: case.value(metrics.ROUND.name) == 0.0)
    trainer.leave(run)
    until(case.fed, lambda: case.runs()["left"] == 1.0)
    assert case.value(metrics.ROUND.name) == -1.0
    case.fed.run(run, 2_000)
    case.fed.turn()
    assert case.runs() == {"joined": 1.0, "refused": 1.0, "finished": 0.0, "left": 1.0}


def test_invalid_entries_of_any_topic_are_counted(case: Case) -> None:
    """Two entries that are no records, seen over two updates."""
    for count in (1.0, 2.0):
        case.fed.log.append(cases.CONTROL, b"k", b"garbage")
        until(case.fed, lambda count=count: case.value(metrics.INVALID.name, reason="malformed") == count)


def test_what_others_may_scrape_is_a_function_of_the_log(case: Case) -> None:
    """Two banks with other rows and the same part in a run show the same."""
    trainer, other = case.fed._handlers["bank-1"], Metrics(metrics.TABLE)
    until(case.fed, lambda: trainer.ready)
    ports, ready = trainer._ports, lambda: trainer.ready
    found = Sources("bank-1", trainer.state, ports.inbox, ports.journal, lambda: ports.outbox.released, ready)  # type: ignore[arg-type]
    gauges = Gauges(found, other)
    gauges.update()
    case.finish()
    case.gauges.update()
    gauges.update()
    assert _plain(other) == _plain(case.measured)
    assert len(cases.by_kind(case.fed, Kind.RELEASE)) == 9


def _plain(measured: Metrics) -> list[str]:
    """The exposition without the times of creation."""
    return [line for line in measured.expose().decode().splitlines() if "_created" not in line]


@pytest.mark.parametrize(("key", "counted"), [(("round", b"r", 0), 1.0), (("snapshot", b"r"), 0.0), ("round", 0.0)])
def test_only_a_rounds_statistic_is_timed(key: object, counted: float) -> None:
    """Its seconds go into the histogram, on the bank's own port; the answer is the worker's."""
    clock, measured = FakeClock(), Metrics(metrics.TABLE)
    worker = TimedWorker(InlineWorker(), clock, measured)

    def work() -> str:
        clock.sleep(2.0)
        return "sum"

    assert worker.done(key, work) == "sum"
    worker.forget(key)
    assert not worker.busy
    name = metrics.WORK.name
    assert measured.bank_only.get_sample_value(f"{name}_count") == counted
    assert measured.bank_only.get_sample_value(f"{name}_sum") == 2.0 * counted
    assert name not in measured.expose().decode()


def test_work_that_fails_is_not_timed() -> None:
    """The error passes through."""
    measured = Metrics(metrics.TABLE)
    worker = TimedWorker(InlineWorker(), FakeClock(), measured)
    with pytest.raises(ZeroDivisionError):
        worker.done(("round", b"r", 0), lambda: 1 // 0)
    assert measured.bank_only.get_sample_value(f"{metrics.WORK.name}_count") == 0.0
