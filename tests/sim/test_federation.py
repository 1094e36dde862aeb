"""The real machines in one process: many seeds with hazards, absences, competing leaders, restarts, many banks."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import federation_cases as cases
from federation_cases import STORM, plan_for, until
from tacit.features import encode, windows
from tacit.learning import statistics
from tacit.learning.basis import Basis
from tacit.learning.course import Course
from tacit.privacy.types import Unit
from tacit.rounds.ledger import RunState
from tacit.rounds.plan import Deadlines
from tacit.rounds.types import EndBody, Kind, Outcome, Reason
from tacit.runtime.log import LogUnavailableError
from tacit.sim.federation import Federation, Hazards, View, with_nonce

Make = Callable[..., Federation]
SHORT = Deadlines(join="1s", attempt="1s", grace="200ms", run="20s")


def end_of(fed: Federation, run: bytes) -> EndBody:
    """The standing END."""
    record = fed.audit().runs[run].end
    assert record is not None
    assert isinstance(record.body, EndBody)
    return record.body


def answered(fed: Federation, bank: str) -> list[int]:
    """Slots that a bank answered."""
    return [record.header.slot for record in cases.by_kind(fed, Kind.RELEASE) if record.header.sender == bank]


def storm(make: Make, seeds: Sequence[int], hazards: Hazards = STORM, **changes: int) -> None:
    """One run per seed; every invariant must hold, and the run must finish."""
    for seed in seeds:
        fed = make(3, seed=seed, hazards=hazards, **changes)
        run = fed.submit(plan_for(fed, seed))
        over = fed.run(run, turns=3_000)
        assert not cases.broken(fed, run), f"seed {seed}"
        assert isinstance(over.end and over.end.body, EndBody)
        assert end_of(fed, run).outcome is Outcome.FINISHED, f"seed {seed}"
        fed.close()
        fed.nodes.clear()


@pytest.mark.parametrize("first", range(0, 60, 10))
def test_hazards_never_break_a_run(make: Make, first: int) -> None:
    """Absent logs, lost acknowledgements, duplicates, delays and crashes: exact sums, one spend a slot, one model."""
    storm(make, range(first, first + 10))


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("first", range(100, 2_100, 100))
def test_hazards_never_break_many_runs(make: Make, first: int) -> None:
    """The same for 2,000 seeds."""
    storm(make, range(first, first + 100))


def test_crashes_after_every_second_turn(make: Make) -> None:
    """Nodes that die every other turn still finish, and spend once."""
    storm(make, range(3), Hazards(crash=0.4, lost_acknowledgement=0.2))


def test_heavy_duplicates_and_delays(make: Make) -> None:
    """Every third append twice and every second view stale: one effect each."""
    storm(make, range(3), Hazards(duplicate=0.35, delay=0.5))


def test_the_same_seed_takes_the_same_course(make: Make) -> None:
    """A seed fixes the schedule: kinds on the control topic come in the same order."""
    orders = []
    for _ in range(2):
        fed = make(3, seed=7, hazards=Hazards(delay=0.2))
        fed.run(fed.submit(plan_for(fed)), 500)
        orders.append([record.header.kind for record in fed.records() if record.topic == cases.CONTROL])
    assert orders[0] == orders[1]


def test_two_runs_follow_each_other(make: Make) -> None:
    """Two plans at once: in PLAN order, one at a time, both finish, nobody answers BUSY."""
    fed = make(3, seed=1, hazards=Hazards(delay=0.2))
    runs = [fed.submit(with_nonce(plan_for(fed), number)) for number in (1, 2)]
    for run in runs:
        fed.run(run, 1_000)
        assert not cases.broken(fed, run)
    assert not cases.by_kind(fed, Kind.REFUSED)
    ends = [record.header.run for record in cases.by_kind(fed, Kind.END)]
    assert ends == runs


def test_a_run_has_a_spend_of_its_own(make: Make) -> None:
    """A second run spends again; the ledger holds both in full."""
    fed = make(2, seed=2)
    runs = [fed.submit(with_nonce(plan_for(fed), number)) for number in (1, 2)]
    for run in runs:
        fed.run(run, 1_000)
    charges = cases.journal_of(fed, "bank-0").ledger().runs  # type: ignore[attr-defined]
    assert {charge.run for charge in charges} == set(runs)
    assert all(charge.spent_nano > 0 for charge in charges)


@pytest.mark.parametrize("seed", range(6))
def test_two_leaders_never_give_two_outcomes(make: Make, seed: int) -> None:
    """Two aggregators that both think they lead: one outcome a slot, nothing signed twice, old fences void."""
    fed = make(3, seed=seed, aggregators=2, hazards=STORM)
    run = fed.submit(plan_for(fed))
    fed.run(run, 4_000)
    state = fed.audit()
    assert not cases.broken(fed, run)
    assert len(state.runs[run].attempts) == 3
    assert state.void["fence"] + state.void["lead"] > 0
    outcomes = Counter(record.header.slot for record in state.runs[run].results)
    assert set(outcomes.values()) == {1}


def test_a_bank_that_was_away_answers_the_newest_query(make: Make) -> None:
    """A bank that missed whole rounds rebuilds the weights, answers the newest slot only, and gets the model."""
    fed = make(3, seed=3)
    run = fed.submit(replace(plan_for(fed), deadlines=SHORT))
    until(fed, lambda: fed.audit().runs.get(run) and fed.audit().runs[run].roster)
    away = [node for node in fed.nodes if node.name == "bank-2"]
    before = answered(fed, "bank-2")
    cases.without(fed, "bank-2")
    until(fed, lambda: len(cases.fold_of(fed, "bank-0").runs[run].attempts) == 3)
    fed.nodes += away
    fed.run(run, 1_000)
    assert set(answered(fed, "bank-2")) - set(before) <= {2}
    assert 2 in answered(fed, "bank-2") or 1 not in answered(fed, "bank-2")
    assert not cases.broken(fed, run)


def test_the_run_goes_on_without_a_bank_that_never_comes(make: Make) -> None:
    """Two of three banks are a majority: the run finishes without the third."""
    fed = make(3, seed=4)
    cases.without(fed, "bank-1")
    run = fed.submit(replace(plan_for(fed), deadlines=SHORT))
    over = fed.run(run, 1_000)
    assert over.banks == ("bank-0", "bank-2")
    assert end_of(fed, run).outcome is Outcome.FINISHED


def test_nobody_comes(make: Make) -> None:
    """A run that too few join waits, and ends at its own deadline, not before."""
    fed = make(3, seed=5)
    cases.without(fed, "bank-1", "bank-2")
    run = fed.submit(replace(plan_for(fed), deadlines=SHORT))
    fed.run(run, 1_000)
    assert fed.clock.monotonic() >= 20
    assert (end_of(fed, run).outcome, end_of(fed, run).reason) == (Outcome.ABORTED, Reason.DEADLINE)
    assert end_of(fed, run).epsilon_spent == "0"


def test_below_the_quorum_the_leader_waits_then_aborts(make: Make) -> None:
    """One answer of three is below the quorum: no RESULT, and END ABORTED(DEADLINE) when the run's time is over."""
    fed = make(3, seed=6)
    run = fed.submit(replace(plan_for(fed), deadlines=SHORT))
    until(fed, lambda: fed.audit().runs.get(run) and fed.audit().runs[run].attempt)
    gone = [node for node in fed.nodes if node.name in {"bank-1", "bank-2"}]
    fed_answers = answered(fed, "bank-1") + answered(fed, "bank-2")
    cases.without(fed, "bank-1", "bank-2")
    over = fed.run(run, 1_000)
    assert fed_answers == []
    assert over.results == []
    assert end_of(fed, run).reason is Reason.DEADLINE
    for node in gone:
        node.stop()


def test_a_bank_that_returns_answers_the_same_slot(make: Make) -> None:
    """Waiting below the quorum costs nothing: the same slot gets its result once a bank is back."""
    fed = make(3, seed=6)
    run = fed.submit(replace(plan_for(fed), deadlines=replace(SHORT, run="1h")))
    until(fed, lambda: fed.audit().runs.get(run) and fed.audit().runs[run].attempt)
    gone = [node for node in fed.nodes if node.name in {"bank-1", "bank-2"}]
    cases.without(fed, "bank-1", "bank-2")
    for _ in range(100):
        fed.turn()
    assert [attempt.slot for attempt in fed.audit().runs[run].attempts] == [0]
    fed.nodes += gone
    fed.run(run, 1_000)
    assert not cases.broken(fed, run)
    assert [attempt.slot for attempt in fed.audit().runs[run].attempts] == [0, 1, 2]


def test_an_end_that_never_comes_locks_nobody(make: Make) -> None:
    """Seven days after its JOIN a bank leaves, erases its rows, keeps its spends, and joins the next run."""
    fed = make(3, seed=8)
    run = fed.submit(plan_for(fed))
    until(fed, lambda: len(cases.by_kind(fed, Kind.RELEASE)) == 3)
    leaders = [node for node in fed.nodes if node.name.startswith("aggregator")]
    cases.without(fed, "aggregator-0")
    for _ in range(5):
        fed.turn()
    assert cases.journal_of(fed, "bank-0").state(run) is RunState.OPEN  # type: ignore[attr-defined]
    fed.clock.sleep(7 * 86_400 + 60)
    for _ in range(5):
        fed.turn()
    journal = cases.journal_of(fed, "bank-0")
    assert journal.state(run) is RunState.LEFT  # type: ignore[attr-defined]
    assert Kind.LEFT in cases.kinds_of(fed, "bank-0")
    assert list((fed._folder / "bank-0" / "snapshots").glob("*")) == []
    assert journal.spent(run, 0) is not None  # type: ignore[attr-defined]
    fed.nodes += leaders
    again = fed.submit(with_nonce(plan_for(fed), 9))
    fed.run(again, 1_000)
    assert end_of(fed, again).outcome is Outcome.FINISHED


def test_a_cancelled_run_ends(make: Make) -> None:
    """An operator's order ends a run; what was not spent is free again."""
    fed = make(3, seed=9)
    run = fed.submit(plan_for(fed))
    until(fed, lambda: cases.by_kind(fed, Kind.RELEASE))
    body = cases.inner.sign_cancel("sim", run, cases.OPERATOR, fed._keys[cases.OPERATOR])
    cases.Hostile(fed).write(Kind.ORDER, body, cases.run_place(fed, run))
    fed.run(run, 500)
    assert (end_of(fed, run).outcome, end_of(fed, run).reason) == (Outcome.CANCELLED, Reason.ORDER)
    charge = cases.journal_of(fed, "bank-0").ledger().runs[0]  # type: ignore[attr-defined]
    assert charge.state is RunState.DONE
    assert charge.charged_nano == charge.spent_nano < charge.reserved_nano


def test_a_lost_snapshot_is_made_again(make: Make) -> None:
    """A bank whose snapshot folder was wiped goes on: the rows are read again."""
    fed = make(3, seed=10)
    run = fed.submit(plan_for(fed))
    until(fed, lambda: len(cases.by_kind(fed, Kind.JOIN)) == 3)
    for path in (fed._folder / "bank-0" / "snapshots").glob("*"):
        path.unlink()
    next(node for node in fed.nodes if node.name == "bank-0").restart()
    fed.run(run, 500)
    assert not cases.broken(fed, run)
    assert set(answered(fed, "bank-0")) >= {1, 2}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_hundred_banks(make: Make) -> None:
    """A hundred banks with drops, delays, duplicates and reordering agree on one exact model."""
    fed = make(100, seed=11, hazards=Hazards(away=0.05, lost_acknowledgement=0.02, duplicate=0.02, delay=0.1))
    run = fed.submit(replace(plan_for(fed), deadlines=replace(SHORT, run="24h"), population=1_000))
    fed.run(run, 2_000)
    assert not cases.broken(fed, run)


def test_ten_banks(make: Make) -> None:
    """Ten banks with every hazard agree on one exact model."""
    fed = make(10, seed=12, hazards=STORM)
    run = fed.submit(plan_for(fed))
    fed.run(run, 2_000)
    assert not cases.broken(fed, run)


def _central(frame: pl.DataFrame, course: Course) -> np.ndarray:
    columns = windows.compute(frame, cases.CONTRACT, {})
    encoded = encode.group_by_unit(encode.encode(columns, cases.CONTRACT), frame, Unit.CUSTOMER)
    basis = Basis(cases.CONTRACT)
    margins = basis.margins(encoded, course.weights)
    return statistics.bounded_sum(course.stage, encoded, basis, margins, plan=course.quality_plan).sums


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 50), parts=st.integers(1, 6), order=st.randoms(use_true_random=False), skip=st.integers(0, 2)
)
def test_the_federated_sum_is_the_central_one(make: Make, seed: int, parts: int, order: object, skip: int) -> None:
    """Any split of the customers into banks and any order of rows gives the central sum, bit for bit, in any round."""
    frame = cases.rows(seed, customers=12, count=150)
    course = _course(skip)
    owner = {customer: order.randrange(parts) for customer in sorted(set(frame["customer"]))}  # type: ignore[attr-defined]
    shuffled = frame[order.sample(range(frame.height), frame.height)]  # type: ignore[attr-defined]
    banks = [shuffled.filter(pl.col("customer").replace_strict(owner) == bank) for bank in range(parts)]
    whole = _central(frame, course)
    assert np.array_equal(sum(_central(bank, course) for bank in banks), whole)
    assert np.any(whole)


def _course(rounds: int) -> Course:
    plan = cases.any_plan()
    course = Course.start(plan.learner, plan.shares, cases.CONTRACT, plan.quality, bytes(32))
    for number in range(rounds):
        course = course.advance([(number + 2) * 70_000] * course.stage.cells, 10**6)
    return course


def test_views_hide_what_is_new() -> None:
    """A delayed reader sees a topic's old end; an absent log fails every call; a lost acknowledgement appends."""
    fed_log = cases.MemoryLog()
    fed_log.create(["tacit.control.v1"])
    draw = cases.random.Random(0)
    late = View(fed_log, Hazards(delay=1.0), draw)
    assert late.end("tacit.control.v1") == 0
    with pytest.raises(LogUnavailableError, match="acknowledgement"):
        View(fed_log, Hazards(lost_acknowledgement=1.0), draw).append("tacit.control.v1", b"k", b"v")
    late.turn()
    assert late.read({"tacit.control.v1": 0}) == []
    gone = View(fed_log, Hazards(away=1.0), draw)
    gone.turn()
    with pytest.raises(LogUnavailableError):
        gone.end("tacit.control.v1")
    assert len(View(fed_log, Hazards(), draw).read({"tacit.control.v1": 0})) == 1
