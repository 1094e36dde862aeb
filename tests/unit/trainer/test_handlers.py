"""The bank's machine: joining, refusing, answering once, leaving, and what it never writes."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

import federation_cases as cases
from federation_cases import plan_for, until
from tacit.federation import Cap
from tacit.privacy.types import Unit
from tacit.rounds.ledger import Reservation, RunState
from tacit.rounds.types import JoinBody, Kind, Refusal, RefusedBody, RoundError
from tacit.runtime.log import LogUnavailableError
from tacit.sim.federation import Federation, FrameRows
from tacit.trainer.handlers import Trainer
from tacit.trainer.ports import RowsUnusableError

BANK = "bank-0"


@pytest.fixture
def fed(tmp_path: Path) -> Iterator[Federation]:
    """Two banks."""
    made = cases.federation(tmp_path, 2, seed=1)
    yield made
    made.close()


def trainer(fed: Federation) -> Trainer:
    """The bank's machine."""
    return fed._handlers[BANK]


def with_policy(fed: Federation, **changes: object) -> None:
    """Changes the bank's policy."""
    bank = trainer(fed)._bank
    trainer(fed)._bank = replace(bank, policy=replace(bank.policy, **changes))  # type: ignore[arg-type]


def refusal(fed: Federation) -> list[Refusal]:
    """Codes that the bank sent."""
    found = [record for record in cases.by_kind(fed, Kind.REFUSED) if record.header.sender == BANK]
    return [record.body.code for record in found if isinstance(record.body, RefusedBody)]


def refuses(fed: Federation, run: bytes, code: Refusal, reason: str) -> None:
    """The bank says no with this code, keeps the words to itself, and joins nothing."""
    until(fed, lambda: refusal(fed), 60)
    for _ in range(4):
        fed.turn()
    assert refusal(fed) == [code]
    assert reason in trainer(fed).objections[run]
    assert trainer(fed)._ports.journal.state(run) is RunState.NONE
    assert Kind.JOIN not in cases.kinds_of(fed, BANK)


REFUSALS = {
    "paused": ({"paused": True}, Refusal.PAUSED, "paused"),
    "contract": ({"contracts": ()}, Refusal.CONTRACT, "not among"),
    "unit": ({"unit": Unit.RECORD}, Refusal.POLICY, "unit customer"),
    "delta": ({"largest_delta": Fraction(1, 10**6)}, Refusal.POLICY, "delta 0.00001"),
    "noise": ({"least_noise": Fraction(60)}, Refusal.POLICY, "noise below"),
}


@pytest.mark.parametrize(("changes", "code", "reason"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_the_policy_forbids_is_refused(
    fed: Federation, changes: dict[str, object], code: Refusal, reason: str
) -> None:
    """One REFUSED with the code; no JOIN, no reservation."""
    with_policy(fed, **changes)
    refuses(fed, fed.submit(plan_for(fed)), code, reason)


def test_a_budget_that_is_used_up_is_refused(fed: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cap does not cover the run: BUDGET, and the snapshot is erased."""
    cap = Cap(Fraction(1, 100), Fraction(1, 10**5))
    made = fed._policy(BANK)
    monkeypatch.setattr(fed, "_policy", lambda _: replace(made, lifetime_cap=cap, bucket_cap=cap))
    next(node for node in fed.nodes if node.name == BANK).restart()
    refuses(fed, fed.submit(plan_for(fed)), Refusal.BUDGET, "nano-rho")
    assert list((fed._folder / BANK / "snapshots").glob("*")) == []


def test_rows_that_do_not_fit_are_refused(fed: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A schema that does not fit the mapping is CONTRACT; the words stay at the bank."""

    def unusable(*_: object) -> None:
        raise RowsUnusableError("column amount is missing")

    monkeypatch.setattr(FrameRows, "check", unusable)
    refuses(fed, fed.submit(plan_for(fed)), Refusal.CONTRACT, "column amount is missing")


def test_a_missing_column_is_refused_before_a_row_is_read(fed: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    """CONTRACT follows from the schema alone."""
    rows, read = trainer(fed)._ports.rows, FrameRows.read
    monkeypatch.setattr(rows, "frame", rows.frame.drop("weekend"))  # type: ignore[attr-defined]

    def others(self: FrameRows, first: int, last: int) -> object:
        return pytest.fail("a row was read") if self is rows else read(self, first, last)

    monkeypatch.setattr(FrameRows, "read", others)
    refuses(fed, fed.submit(plan_for(fed)), Refusal.CONTRACT, "no column 'weekend'")


def test_a_bank_whose_rows_cannot_be_read_takes_part_without(fed: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeros plus noise, to the end; the reason stays with the bank's operator."""
    read = FrameRows.read
    unreadable = trainer(fed)._ports.rows

    def broken(self: FrameRows, first: int, last: int) -> object:
        if self is unreadable:
            raise RowsUnusableError("page 7 is damaged")
        return read(self, first, last)

    monkeypatch.setattr(FrameRows, "read", broken)
    run = fed.submit(plan_for(fed))
    fed.run(run, 300)
    assert not cases.broken(fed, run)
    assert cases.kinds_of(fed, BANK).count(Kind.RELEASE) == 3
    assert "page 7 is damaged" in trainer(fed).objections[run]
    assert not refusal(fed)


def test_a_statistic_that_fails_leaves_the_run(fed: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    """No crash at every start: LEFT, nothing spent, and the operator is told."""
    run = fed.submit(plan_for(fed))
    until(fed, lambda: trainer(fed)._ports.journal.state(run) is RunState.OPEN, 60)
    monkeypatch.setattr(trainer(fed)._holdings, "answerer", lambda _: 1 // 0)
    until(fed, lambda: trainer(fed)._ports.journal.state(run) is RunState.LEFT, 200)
    assert "division" in trainer(fed).objections[run]
    assert Kind.RELEASE not in cases.kinds_of(fed, BANK)
    for _ in range(5):
        fed.turn()
    assert cases.kinds_of(fed, BANK).count(Kind.LEFT) == 1


def test_a_missing_contract_is_refused_and_locks_nobody(fed: Federation) -> None:
    """A bank without the contract says CONTRACT, sees the run end, and could join the next one."""
    fold = trainer(fed).state
    fold.contracts = {}
    deadlines = replace(plan_for(fed).deadlines, join="1s", run="5s")
    run = fed.submit(plan_for(fed, deadlines=deadlines))
    refuses(fed, run, Refusal.CONTRACT, "not at hand")
    until(fed, lambda: fold.runs[run].end, 300)
    assert fold.active is None


def test_another_open_run_of_the_account_is_busy(fed: Federation) -> None:
    """A run of another federation on the same rows: BUSY."""
    journal = trainer(fed)._ports.journal
    other = Reservation(b"o" * 32, "rows", ("2018-01",), 1)
    until(fed, lambda: trainer(fed).ready, 20)
    compose = trainer(fed)._ports.outbox.compose(Kind.JOIN, JoinBody(b"", b""), cases.run_place(fed, b"o" * 32))
    trainer(fed)._ports.outbox.put(journal.reserve(other, compose))
    run = fed.submit(plan_for(fed))
    until(fed, lambda: refusal(fed), 60)
    assert refusal(fed) == [Refusal.BUSY]
    assert "another run" in trainer(fed).objections[run]


def test_plans_out_of_season_are_refused(fed: Federation) -> None:
    """Too late to join, and too early for final labels."""
    fed.clock.sleep(86_400 * 365 * 15)
    refuses(fed, fed.submit(plan_for(fed)), Refusal.POLICY, "good until")


def test_a_bank_is_ready_only_after_its_start_came_back(fed: Federation) -> None:
    """START is read back first; until then nothing may be asked of the trainer."""
    run = fed.submit(plan_for(fed))
    machine = trainer(fed)
    assert not machine.ready
    machine.step(0.0)
    assert cases.kinds_of(fed, BANK) == [Kind.START]
    assert not machine.ready
    with pytest.raises(RoundError, match="not compared"):
        machine.leave(run)
    until(fed, lambda: machine.ready, 10)


def test_a_bank_that_leaves_answers_nothing_more(fed: Federation) -> None:
    """LEFT: rows erased, reservation freed, no JOIN ever again; a second leave changes nothing."""
    run = fed.submit(plan_for(fed))
    until(fed, lambda: trainer(fed)._ports.journal.state(run) is RunState.OPEN, 60)
    machine = trainer(fed)
    for _ in range(2):
        machine.leave(run)
    assert machine.closed(run)
    for _ in range(20):
        fed.turn()
    assert cases.kinds_of(fed, BANK).count(Kind.LEFT) == 1
    assert list((fed._folder / BANK / "snapshots").glob("*")) == []
    next(node for node in fed.nodes if node.name == BANK).restart()
    for _ in range(10):
        fed.turn()
    assert cases.kinds_of(fed, BANK).count(Kind.JOIN) <= 1
    assert trainer(fed)._ports.journal.state(run) is RunState.LEFT


def test_a_run_that_is_done_cannot_be_left(fed: Federation) -> None:
    """No LEFT after DONE: the topic must not say otherwise than the journal."""
    run = fed.submit(plan_for(fed))
    fed.run(run, 300)
    with pytest.raises(RoundError, match="is done here"):
        trainer(fed).leave(run)
    assert Kind.LEFT not in cases.kinds_of(fed, BANK)


def test_a_finished_run_leaves_nothing_behind(fed: Federation) -> None:
    """Rows, vectors and caches are gone; the verdict says OK; the model was taken once."""
    run = fed.submit(plan_for(fed))
    fed.run(run, 300)
    machine = trainer(fed)
    assert list((fed._folder / BANK / "snapshots").glob("*")) == []
    assert machine._holdings._answerers == {}
    assert not [key for key in machine.state._banks if key[3] is Kind.RELEASE]
    verdicts = [record.body.deviation for record in cases.by_kind(fed, Kind.VERDICT)]  # type: ignore[union-attr]
    assert verdicts == ["", ""]
    assert set(fed.finished[BANK]) == {run}


def test_a_restart_takes_the_newest_model_alone(fed: Federation) -> None:
    """Older finished runs are not announced again: they would replace what serves."""
    runs = [fed.submit(plan_for(fed, number)) for number in (1, 2)]
    for run in runs:
        fed.run(run, 300)
    fed.finished[BANK].clear()
    next(node for node in fed.nodes if node.name == BANK).restart()
    until(fed, lambda: trainer(fed).closed(runs[0]) and trainer(fed).closed(runs[1]), 60)
    assert list(fed.finished[BANK]) == [runs[1]]


def test_a_model_that_is_not_taken_yet_keeps_the_run_open(fed: Federation) -> None:
    """Long work after END: the run stays open and its rows stay until the work is done; the next run waits for it."""
    machine, busy = trainer(fed), [True]
    machine._finished = lambda _: not busy[0]
    first, second = (fed.submit(plan_for(fed, number)) for number in (1, 2))
    until(fed, lambda: second in machine.state.runs and machine.state.runs[second].open, 300)
    for _ in range(5):
        fed.turn()
    assert machine._ports.journal.state(first) is RunState.OPEN
    assert refusal(fed) == []
    busy[0] = False
    fed.run(second, 300)
    assert not refusal(fed)
    assert not cases.broken(fed, first)[1:]


def test_releases_go_out_on_the_tick(fed: Federation) -> None:
    """A RELEASE is appended at a multiple of the plan's tick, not when the bank is done."""
    run = fed.submit(plan_for(fed, tick="10s"))
    until(fed, lambda: trainer(fed)._ports.journal.spent(run, 0) is not None, 100)  # type: ignore[attr-defined]
    assert fed.clock.monotonic() < 9
    until(fed, lambda: Kind.RELEASE in cases.kinds_of(fed, BANK), 300)
    assert fed.clock.monotonic() >= 10
    assert {record.header.create_time_ms for record in cases.by_kind(fed, Kind.RELEASE)} == {0}


def test_an_absent_log_is_only_waited_for(fed: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step without the log fails as such and may be repeated."""
    machine = trainer(fed)
    monkeypatch.setattr(machine._ports.outbox._log, "append", _away)
    with pytest.raises(LogUnavailableError):
        machine.step(0.0)
    monkeypatch.undo()
    until(fed, lambda: machine.ready, 10)


def _away(*_: object) -> int:
    raise LogUnavailableError("cut")
