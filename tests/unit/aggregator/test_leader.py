"""What a leader appends next: quorums, timers and ends, decided on real folds with a clock of the test's own."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

import federation_cases as cases
from fake_clock import FakeClock
from tacit.aggregator.leader import Leader, Order
from tacit.learning.types import LearningError
from tacit.rounds.plan import Deadlines
from tacit.rounds.state import Run, State
from tacit.rounds.types import Checked, EndBody, Kind, Outcome, Reason, ResultBody
from tacit.sim.federation import Federation

Scenario = Callable[..., tuple[Leader, State, Run]]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Federation, bytes, list[Checked]]]:
    """A finished run of three banks and its records."""
    fed = cases.federation(tmp_path_factory.mktemp("leader"), 3, seed=1)
    deadlines = Deadlines(join="60s", attempt="60s", grace="2s", run="24h")
    run = fed.submit(cases.plan_for(fed, deadlines=deadlines))
    fed.run(run, 300)
    yield fed, run, list({record.digest: record for record in fed.records()}.values())
    fed.close()


@pytest.fixture
def clock() -> FakeClock:
    """Time of the leader."""
    return FakeClock()


@pytest.fixture
def leading(log: tuple[Federation, bytes, list[Checked]], clock: FakeClock) -> Scenario:
    """A leader over the run as it was before some control record, with the bank records of some kinds and banks."""
    fed, run, records = log

    def at(
        before: Kind, slot: int = 0, *, said: dict[Kind, tuple[str, ...]] | None = None
    ) -> tuple[Leader, State, Run]:
        state = State(fed.manifest, {cases.LABEL: cases.CONTRACT})
        stop = next(r for r in records if r.header.kind is before and r.header.slot == slot)
        control = [r for r in records if r.topic == cases.CONTROL]
        for record in control[: control.index(stop)]:
            state.apply(record)
        for record in records:
            if record.topic == cases.CONTROL:
                continue
            wanted = (said or {}).get(record.header.kind)
            key = (record.header.sender, record.header.run, record.header.slot, record.header.kind)
            if record.header.kind in {Kind.JOIN, Kind.RELEASE} and (wanted is None or record.header.sender in wanted):
                state._banks.setdefault(key, record)
        return Leader(state, clock), state, state.runs[run]

    return at


def kind_of(order: Order | None) -> Kind | None:
    """An order's kind."""
    return order.kind if order is not None else None


def end_of(order: Order | None) -> tuple[Outcome, Reason]:
    """An order to end the run."""
    assert order is not None
    assert isinstance(order.body, EndBody)
    return order.body.outcome, order.body.reason


def test_the_happy_path_is_what_the_log_holds(leading: Scenario, log: tuple[Federation, bytes, list[Checked]]) -> None:
    """At every point the next record is the one that the log has there, byte for byte in its body."""
    steps = [
        (Kind.OPEN, 0),
        (Kind.ROSTER, 0),
        *[(kind, slot) for slot in range(3) for kind in (Kind.QUERY, Kind.RESULT)],
    ]
    for kind, slot in [*steps, (Kind.END, 0)]:
        order = leading(kind, slot)[0].decide()
        stood = next(r for r in log[2] if r.header.kind is kind and r.header.slot == slot)
        assert order is not None
        assert (order.kind, order.body, cases.context(order.place)) == (kind, stood.body, stood.header.context)


def test_a_roster_waits_for_all_until_the_join_deadline(leading: Scenario, clock: FakeClock) -> None:
    """Two of three joined: nothing before 60 s, their ROSTER at 60 s."""
    leader, _, _ = leading(Kind.ROSTER, said={Kind.JOIN: ("bank-0", "bank-2")})
    assert leader.decide() is None
    clock.sleep(59.9)
    assert leader.decide() is None
    clock.sleep(0.1)
    order = leader.decide()
    assert order is not None
    assert sorted(order.body.joins) == ["bank-0", "bank-2"]  # type: ignore[union-attr]


def test_one_of_three_is_no_roster(leading: Scenario, clock: FakeClock) -> None:
    """Below a majority the leader waits, until the run's own deadline."""
    leader, _, run = leading(Kind.ROSTER, said={Kind.JOIN: ("bank-1",)})
    assert leader.decide() is None
    clock.sleep(86_399)
    assert leader.decide() is None
    assert leader.waiting_for(run) == ("bank-0", "bank-2")
    clock.sleep(1)
    assert end_of(leader.decide()) == (Outcome.ABORTED, Reason.DEADLINE)


def test_when_all_refuse_the_run_ends(leading: Scenario) -> None:
    """Once everybody has said no there is nothing to wait for."""
    leader, state, run = leading(Kind.ROSTER)
    for bank in run.banks or ("bank-0", "bank-1", "bank-2"):
        join = state._banks.pop((bank, run.id, 0, Kind.JOIN))
        key = (bank, run.id, 0, Kind.REFUSED)
        state._banks[key] = replace(join, header=replace(join.header, kind=Kind.REFUSED))
    assert end_of(leader.decide()) == (Outcome.ABORTED, Reason.QUORUM)


def test_all_answers_need_no_wait(leading: Scenario) -> None:
    """The sum of all is decided at once."""
    order = leading(Kind.RESULT)[0].decide()
    assert order is not None
    assert isinstance(order.body, ResultBody)
    assert len(order.body.used) == 3


def test_a_quorum_waits_for_the_attempt_deadline(leading: Scenario, clock: FakeClock) -> None:
    """Two of three answers: RESULT at 60 s, with the variance of two."""
    leader, _, run = leading(Kind.RESULT, said={Kind.RELEASE: ("bank-0", "bank-1")})
    assert leader.decide() is None
    assert leader.waiting_for(run) == ("bank-2",)
    clock.sleep(59)
    assert leader.decide() is None
    clock.sleep(1)
    order = leader.decide()
    assert order is not None
    assert isinstance(order.body, ResultBody)
    assert order.body.variance == 2 * run.terms.budget.noises[0].variance  # type: ignore[union-attr]


def test_below_the_quorum_it_waits_for_ever(leading: Scenario, clock: FakeClock) -> None:
    """One of three answers: no RESULT and no ABORT, however long; only the run's deadline ends it."""
    leader, _, _ = leading(Kind.RESULT, said={Kind.RELEASE: ("bank-0",)})
    for _ in range(20):
        assert leader.decide() is None
        clock.sleep(4_000)
    clock.sleep(10_000)
    assert end_of(leader.decide()) == (Outcome.ABORTED, Reason.DEADLINE)


def test_grace_is_for_those_that_missed_the_round_before(leading: Scenario, clock: FakeClock) -> None:
    """A bank that missed the last RESULT is waited for only two seconds after the newest answer."""
    leader, _, run = leading(Kind.RESULT, 1, said={Kind.RELEASE: ("bank-0", "bank-1")})
    assert leader.decide() is None
    clock.sleep(3)
    assert leader.decide() is None
    last = run.results[0]
    used = {bank: digest for bank, digest in last.body.used.items() if bank != "bank-2"}  # type: ignore[union-attr]
    run.results[0] = replace(last, body=replace(last.body, used=used))  # type: ignore[type-var]
    assert kind_of(leader.decide()) is Kind.RESULT


def test_too_many_leavers_end_the_run(leading: Scenario) -> None:
    """When answers can no longer reach the quorum the run ends at once."""
    leader, state, run = leading(Kind.RESULT, said={Kind.RELEASE: ()})
    for bank in ("bank-0", "bank-1"):
        join = state._banks[(bank, run.id, 0, Kind.JOIN)]
        state._banks[(bank, run.id, 0, Kind.LEFT)] = replace(join, header=replace(join.header, kind=Kind.LEFT))
    assert end_of(leader.decide()) == (Outcome.ABORTED, Reason.QUORUM)


@pytest.mark.parametrize("before", [Kind.OPEN, Kind.ROSTER, Kind.RESULT])
def test_an_order_cancels_at_any_time(leading: Scenario, before: Kind) -> None:
    """CANCEL comes before everything else."""
    leader, _, run = leading(before)
    run.cancelled = run.plan
    assert end_of(leader.decide()) == (Outcome.CANCELLED, Reason.ORDER)


@pytest.mark.parametrize("before", [Kind.OPEN, Kind.ROSTER])
def test_a_plan_without_terms_is_ended(leading: Scenario, before: Kind) -> None:
    """A plan that cannot be worked out ends, opened or not."""
    leader, _, run = leading(before)
    run.terms = None
    assert end_of(leader.decide()) == (Outcome.ABORTED, Reason.PLAN)


@pytest.mark.parametrize("error", [OverflowError("math range"), LearningError("no"), ValueError("x"), KeyError("x")])
@pytest.mark.parametrize(
    ("before", "name"),
    [(Kind.QUERY, "leader.next_question"), (Kind.RESULT, "verify.total"), (Kind.END, "verify.model_bytes")],
)
def test_arithmetic_that_fails_ends_the_run(
    leading: Scenario, monkeypatch: pytest.MonkeyPatch, before: Kind, name: str, error: Exception
) -> None:
    """One run that cannot be asked, summed or written down ends as such, and the replica lives for the next one."""

    def fail(*_: object) -> None:
        raise error

    package = "tacit.rounds" if name.startswith("verify") else "tacit.aggregator"
    leader, _, _ = leading(before)
    monkeypatch.setattr(f"{package}.{name}", fail)
    assert end_of(leader.decide()) == (Outcome.ABORTED, Reason.PLAN)
    monkeypatch.undo()
    assert kind_of(leader.decide()) is before


def opened_ago(run: Run, clock: FakeClock, seconds: float) -> None:
    """Moves OPEN's advisory time."""
    assert run.open is not None
    header = replace(run.open.header, create_time_ms=int((clock.now() - seconds) * 1000))
    run.open = replace(run.open, header=header)


@pytest.mark.parametrize(("ago", "over"), [(0, False), (86_399, False), (86_400, True), (15_000_000, True)])
def test_the_run_deadline_holds_over_restarts(leading: Scenario, clock: FakeClock, ago: float, over: bool) -> None:
    """A process that has just started counts from OPEN's time."""
    clock.sleep(20_000_000)
    leader, _, run = leading(Kind.ROSTER, said={Kind.JOIN: ()})
    opened_ago(run, clock, ago)
    order = leader.decide()
    assert (order is not None and end_of(order) == (Outcome.ABORTED, Reason.DEADLINE)) is over


@pytest.mark.parametrize("ago", [-3600, 16_000_000])
def test_a_wrong_clock_ends_no_run(leading: Scenario, clock: FakeClock, ago: float) -> None:
    """OPEN in the future, or half a year ago: the process's own day counts."""
    clock.sleep(20_000_000)
    leader, _, run = leading(Kind.ROSTER, said={Kind.JOIN: ()})
    opened_ago(run, clock, ago)
    assert leader.decide() is None
    clock.sleep(86_400)
    assert end_of(leader.decide()) == (Outcome.ABORTED, Reason.DEADLINE)


def test_a_revoked_member_ends_the_run(leading: Scenario) -> None:
    """REVOKE on control ends the open run, whoever is meant."""
    leader, _, run = leading(Kind.RESULT)
    run.revoked = run.plan
    assert end_of(leader.decide()) == (Outcome.ABORTED, Reason.REVOKED)


def test_a_bank_that_resigned_ends_the_run_that_it_joined(leading: Scenario) -> None:
    """Its own REVOKE after its JOIN ends the run; one from before the run only takes it out of the banks waited for."""
    leader, state, _ = leading(Kind.RESULT)
    state.resigned.add("bank-1")
    assert end_of(leader.decide()) == (Outcome.ABORTED, Reason.REVOKED)
    leader, state, run = leading(Kind.ROSTER, said={Kind.JOIN: ("bank-0", "bank-2")})
    assert leader.waiting_for(run) == ("bank-1",)
    state.resigned.add("bank-1")
    assert leader.waiting_for(run) == ()
    assert kind_of(leader.decide()) is Kind.ROSTER


def test_a_barred_member_is_not_waited_for(leading: Scenario) -> None:
    """A member revoked before OPEN: the other two are all there are."""
    leader, _, run = leading(Kind.ROSTER)
    run.barred = frozenset({"bank-0"})
    order = leader.decide()
    assert order is not None
    assert sorted(order.body.joins) == ["bank-1", "bank-2"]  # type: ignore[union-attr]


def test_used_up_slots_end_the_run(leading: Scenario) -> None:
    """No question beyond K slots."""
    leader, _, run = leading(Kind.QUERY, 2)
    run.attempts *= 2
    assert end_of(leader.decide()) == (Outcome.ABORTED, Reason.SLOTS)


def test_epsilon_in_end(leading: Scenario) -> None:
    """Nothing asked, nothing spent; else the reserved epsilon."""
    leader, _, run = leading(Kind.ROSTER)
    run.cancelled = run.plan
    assert leader.decide().body.epsilon_spent == "0"  # type: ignore[union-attr]
    leader, _, run = leading(Kind.RESULT)
    run.cancelled = run.plan
    assert leader.decide().body.epsilon_spent == run.terms.epsilon  # type: ignore[union-attr]


def test_timers_of_old_runs_are_dropped(leading: Scenario) -> None:
    """Between runs nothing is remembered."""
    leader, state, run = leading(Kind.ROSTER, said={Kind.JOIN: ()})
    leader.decide()
    assert leader._since
    run.end = run.plan
    assert state.active is None
    assert leader.decide() is None
    assert leader._since == {}
