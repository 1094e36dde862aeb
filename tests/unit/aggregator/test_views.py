"""What people see of the aggregator is what the log says: phases, who is awaited, evidence, gauges."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

import federation_cases as cases
from federation_cases import plan_for
from tacit import canonical
from tacit.aggregator import handlers, metrics
from tacit.aggregator.handlers import Aggregator
from tacit.aggregator.views import Gauges, evidence, phase, run_view
from tacit.learning import ensemble
from tacit.rounds import verify
from tacit.rounds.state import Run, State
from tacit.rounds.types import EndBody, Kind, LeadBody, OpenBody, Outcome, Place
from tacit.runtime.observing import Metrics
from tacit.sim.federation import AlwaysLease, Federation, Hazards, View
from tacit.wire import topics

NOW = 1_600_000_500.0


@pytest.fixture
def fed(tmp_path: Path) -> Iterator[Federation]:
    """Three banks; the federation's own aggregator is gone."""
    made = cases.federation(tmp_path, 3, seed=1)
    cases.without(made, "aggregator-0")
    yield made
    made.close()


class Case:
    """A replica whose steps the test takes, its metrics and its banks."""

    def __init__(self, fed: Federation) -> None:
        view = View(fed.log, Hazards(), fed.draw)
        key = fed._keys[topics.AGGREGATOR]
        self.inbox = fed._inbox(view)
        ports = handlers.Ports(view, self.inbox, AlwaysLease("v"), fed.clock, fed.draw.randbytes, key, cases.CONTROL)
        self.fed, self.view = fed, view
        self.replica = Aggregator(State(fed.manifest, fed._contracts()), canonical.encode(fed.manifest), ports)
        self.measured = Metrics(metrics.TABLE)
        self.gauges = Gauges(self.replica, self.inbox, self.measured)

    def step(self) -> None:
        """The replica's turn."""
        self.view.turn()
        self.replica.step(0.0)

    def turn(self) -> None:
        """A turn of everybody."""
        self.fed.turn()
        self.step()

    def until(self, done: Callable[[], object]) -> None:
        """Takes turns until a condition holds."""
        for _ in range(300):
            if done():
                return
            self.turn()
        raise AssertionError("still waiting after 300 turns")

    def run(self, run: bytes) -> Run:
        """A run of the replica's fold."""
        return self.replica.state.runs[run]

    def seen(self, run: bytes) -> dict[str, object]:
        """Its view."""
        return run_view(self.replica, self.run(run))

    def value(self, metric: str, now: float = NOW, **labels: str) -> float | None:
        """A sample, after an update."""
        self.gauges.update(now)
        return self.measured.shareable.get_sample_value(metric, labels)


@pytest.fixture
def case(fed: Federation) -> Case:
    """A replica that leads."""
    made = Case(fed)
    made.until(lambda: made.replica.leading)
    made.gauges.update(NOW)
    return made


def test_a_run_goes_through_its_phases_in_order(case: Case) -> None:
    """Planned, joining, round by round, ended; never back."""
    run, seen = case.fed.submit(plan_for(case.fed)), []
    case.until(lambda: run in case.replica.state.runs)
    for _ in range(300):
        seen.append((phase(case.run(run)), len(case.run(run).results)))
        if seen[-1][0] == "ENDED":
            break
        case.turn()
    order = ["PLANNED", "JOINING", "ROUND", "ENDED"]
    steps = [(order.index(name), rounds) for name, rounds in seen]
    assert steps == sorted(steps)
    assert {name for name, _ in seen} >= {"JOINING", "ROUND", "ENDED"}
    assert steps[-1] == (3, 3)


def test_a_plan_that_waits_is_planned(case: Case) -> None:
    """The second of two submissions: nobody is awaited, nothing spent."""
    runs = [case.fed.submit(plan_for(case.fed, number)) for number in range(2)]
    case.until(lambda: case.replica.state.active is not None)
    second = case.seen(runs[1])
    assert (second["phase"], second["round"], second["rounds"]) == ("PLANNED", 0, 3)
    assert second["waiting_for"] == second["joined"] == second["roster"] == second["answered"] == []
    assert (second["epsilon_spent_ratio"], second["outcome"], second["model_digest"]) == (0.0, None, None)


def test_who_has_not_said_anything_is_awaited(case: Case) -> None:
    """While joining: active members without JOIN or REFUSED."""
    cases.without(case.fed, "bank-1")
    run = case.fed.submit(plan_for(case.fed))
    case.until(lambda: run in case.replica.state.runs and len(case.seen(run)["joined"]) == 2)  # type: ignore[arg-type]
    view = case.seen(run)
    assert view["phase"] == "JOINING"
    assert view["waiting_for"] == ["bank-1"]
    assert view["joined"] == ["bank-0", "bank-2"]


def test_a_bank_that_refuses_is_named_with_its_code(case: Case) -> None:
    """The code that travels; the words stay at the bank, and nobody waits for it."""
    bank = case.fed._handlers["bank-2"]
    bank._bank = replace(bank._bank, policy=replace(bank._bank.policy, paused=True))
    run = case.fed.submit(plan_for(case.fed))
    case.until(lambda: run in case.replica.state.runs and case.seen(run)["refused"])
    view = case.seen(run)
    assert view["refused"] == {"bank-2": "PAUSED"}
    assert "bank-2" not in view["waiting_for"]  # type: ignore[operator]
    assert "paused: true" not in str(view)


def test_who_has_not_answered_is_awaited(case: Case) -> None:
    """In a round: the roster's banks without a RELEASE of this slot."""
    run = case.fed.submit(plan_for(case.fed))
    case.until(lambda: run in case.replica.state.runs and case.run(run).attempt is not None)
    cases.without(case.fed, "bank-0")
    case.until(lambda: case.seen(run)["answered"] == ["bank-1", "bank-2"])
    assert case.seen(run)["waiting_for"] == ["bank-0"]
    assert case.value(metrics.WAITING.name, state="answered") == 2.0
    assert case.value(metrics.WAITING.name, state="missing") == 1.0


def test_the_view_of_a_finished_run(case: Case) -> None:
    """Digest of the model that everybody makes, epsilons as the plan and the reservation say."""
    run = case.fed.submit(plan_for(case.fed))
    case.until(lambda: run in case.replica.state.runs and case.run(run).end)
    view, found = case.seen(run), case.run(run)
    assert found.terms is not None
    assert view["model_digest"] == canonical.label(ensemble.digest(verify.model_bytes(found)))
    assert (view["epsilon"], view["epsilon_reserved"]) == (8, found.terms.epsilon)
    assert Fraction(str(view["epsilon_reserved"])) <= 8
    assert (view["outcome"], view["reason"], view["fault"]) == ("FINISHED", "NONE", None)
    assert (view["unit"], view["delta"], view["mode"]) == (found.terms.unit_text, "0.00001", "local")


def test_the_spent_share_rises_to_one(case: Case) -> None:
    """Round by round, in the shares of the plan."""
    run = case.fed.submit(plan_for(case.fed))
    case.until(lambda: run in case.replica.state.runs)
    shares = {0: 0.0}
    while case.run(run).end is None:
        case.turn()
        shares[len(case.run(run).results)] = float(str(case.seen(run)["epsilon_spent_ratio"]))
    assert [shares[number] for number in range(4)] == pytest.approx([0.0, 0.05, 0.95, 1.0], abs=1e-6)


def test_a_plan_that_cannot_be_worked_out_says_why(case: Case) -> None:
    """Its view has no reserved epsilon, its number of rounds comes from the plan."""
    case.replica.state.contracts = {}  # type: ignore[misc]
    run = case.fed.submit(plan_for(case.fed))
    case.until(lambda: run in case.replica.state.runs and case.run(run).end)
    view = case.seen(run)
    assert (view["outcome"], view["reason"], view["epsilon_reserved"]) == ("ABORTED", "PLAN", None)
    assert view["fault"]
    assert (view["unit"], view["rounds"]) == ("customer", 3)


def test_a_quiet_federation_has_no_evidence(case: Case) -> None:
    """A whole run without a single entry of it."""
    run = case.fed.submit(plan_for(case.fed))
    case.until(lambda: run in case.replica.state.runs and case.run(run).end)
    assert evidence(case.replica, case.inbox) == {
        "invalid": {"counts": {}, "first": []},
        "void": {"counts": {}, "first": []},
        "equivocations": [],
    }


def test_garbage_is_listed_with_its_place(case: Case) -> None:
    """Topic, offset and reason of every entry that is no record."""
    offsets = [case.fed.log.append(cases.CONTROL, b"", value) for value in (b"", b"garbage")]
    case.step()
    invalid = evidence(case.replica, case.inbox)["invalid"]
    assert [(item["topic"], item["offset"]) for item in invalid["first"]] == [(cases.CONTROL, at) for at in offsets]
    assert sum(invalid["counts"].values()) == 2
    assert {item["reason"] for item in invalid["first"]} == set(invalid["counts"])
    assert sum(case.value(metrics.INVALID.name, reason=item) or 0.0 for item in invalid["counts"]) == 2.0


def test_records_that_do_not_stand_are_listed(case: Case) -> None:
    """A signed OPEN of a run that nobody planned."""
    place = Place("sim", case.fed.manifest.digest, bytes(32))
    sealed = cases.Hostile(case.fed).write(Kind.OPEN, OpenBody(bytes(32)), place)
    case.step()
    void = evidence(case.replica, case.inbox)["void"]
    assert [item["record"] for item in void["first"]] == [sealed.digest.hex()]
    assert void["counts"] == {void["first"][0]["reason"]: 1}
    assert case.value(metrics.VOID.name) == 1.0


def test_a_lost_lead_shows(case: Case) -> None:
    """Whoever wrote a later LEAD has it."""
    assert case.value(metrics.LEADING.name) == 1.0
    body = LeadBody(bytes(32), "mallory", case.fed.audit().fence)
    cases.Hostile(case.fed).write(Kind.LEAD, body, Place("sim", case.fed.manifest.digest))
    case.view.turn()
    for record in case.inbox.poll(0.0):
        case.replica.state.apply(record)
    assert case.value(metrics.LEADING.name) == float(case.replica.leading) == 0.0


def test_gauges_at_rest(case: Case) -> None:
    """No run: no round, nobody awaited, nothing counted, no time of opening."""
    assert case.value(metrics.ROUND.name) == -1.0
    assert case.value(metrics.OPENED.name) == case.value(metrics.ROUNDS.name) == 0.0
    assert [case.value(metrics.WAITING.name, state=state) for state in ("answered", "missing")] == [0.0, 0.0]
    assert [case.value(metrics.RUNS_ENDED.name, outcome=name) for name in metrics.RUNS_ENDED.labels[0].values] == [
        0
    ] * 3


def test_rounds_and_ends_are_counted_once(case: Case) -> None:
    """Two runs of three rounds, however often the gauges are brought up to date."""
    for number in range(2):
        run = case.fed.submit(plan_for(case.fed, number))
        case.until(lambda run=run: run in case.replica.state.runs and case.run(run).end)  # type: ignore[misc]
        for _ in range(3):
            assert case.value(metrics.ROUNDS.name) == 3.0 * (number + 1)
            assert case.value(metrics.RUNS_ENDED.name, outcome="finished") == number + 1.0
    assert case.value(metrics.ROUND.name) == -1.0


@pytest.mark.parametrize("outcome", list(Outcome))
def test_ends_are_counted_by_outcome(case: Case, outcome: Outcome) -> None:
    """Every outcome of the protocol has its label."""
    run = case.fed.submit(plan_for(case.fed))
    case.until(lambda: run in case.replica.state.runs and case.run(run).end)
    end = case.run(run).end
    assert end is not None
    assert isinstance(end.body, EndBody)
    case.run(run).end = replace(end, body=replace(end.body, outcome=outcome))
    counted = {name: case.value(metrics.RUNS_ENDED.name, outcome=name) for name in metrics.RUNS_ENDED.labels[0].values}
    assert counted == dict.fromkeys(counted, 0.0) | {outcome.name.lower(): 1.0}


def test_a_round_is_dated_when_it_is_first_seen(case: Case) -> None:
    """Later looks leave the time as it is; the next round has its own; none has none."""
    run = case.fed.submit(plan_for(case.fed))
    case.until(lambda: run in case.replica.state.runs and case.run(run).attempt is not None)
    assert case.value(metrics.OPENED.name, NOW) == NOW
    assert case.value(metrics.OPENED.name, NOW + 60) == NOW
    attempt = case.run(run).attempt
    assert attempt is not None
    case.until(lambda: case.run(run).attempt and case.run(run).attempt.slot > attempt.slot)  # type: ignore[union-attr]
    assert case.value(metrics.OPENED.name, NOW + 90) == NOW + 90
    assert case.value(metrics.ROUND.name) == 1.0
    case.until(lambda: case.run(run).end)
    assert case.value(metrics.OPENED.name, NOW + 120) == 0.0


def test_the_reserved_epsilon_is_shown_by_model(case: Case) -> None:
    """That of the newest run under way; it stays when the run is over."""
    run = case.fed.submit(plan_for(case.fed))
    case.until(lambda: case.replica.state.active is not None)
    terms = case.run(run).terms
    assert terms is not None
    assert case.value(metrics.EPSILON.name, model="card") == float(terms.epsilon)
    case.until(lambda: case.run(run).end)
    assert case.value(metrics.EPSILON.name, model="card") == float(terms.epsilon)
