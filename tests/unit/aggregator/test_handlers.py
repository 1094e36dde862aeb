"""One replica: leads after reading everything, resends the same bytes, submits and cancels what is signed."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

import federation_cases as cases
from federation_cases import OPERATOR, plan_for
from tacit import canonical
from tacit.aggregator import handlers as subject
from tacit.aggregator.handlers import Aggregator, SubmissionError
from tacit.rounds.state import State
from tacit.rounds.types import Kind, PlanBody
from tacit.runtime.log import LogUnavailableError
from tacit.sim.federation import AlwaysLease, Federation, Hazards, View
from tacit.wire import inner, topics


@pytest.fixture
def fed(tmp_path: object) -> Iterator[Federation]:
    """A federation of two banks whose nodes get no turns."""
    made = cases.federation(tmp_path, 2, seed=1)  # type: ignore[arg-type]
    yield made
    made.close()


def replica(fed: Federation, hazards: Hazards | None = None, lease: object = None) -> Aggregator:
    """A replica of the aggregator over the federation's log."""
    view = View(fed.log, hazards or Hazards(), fed.draw)
    ports = subject.Ports(
        log=view,
        inbox=fed._inbox(view),
        lease=lease or AlwaysLease("test"),  # type: ignore[arg-type]
        clock=fed.clock,
        entropy=fed.draw.randbytes,
        key=fed._keys[topics.AGGREGATOR],
        topic=cases.CONTROL,
    )
    return Aggregator(State(fed.manifest, fed._contracts()), canonical.encode(fed.manifest), ports)


def step(made: Aggregator, count: int = 1) -> None:
    """Some steps, each with a fresh view."""
    for _ in range(count):
        made._ports.log.turn()  # type: ignore[attr-defined]
        made.step(0.0)


def control(fed: Federation) -> list[Kind]:
    """Kinds on the control topic."""
    return [record.header.kind for record in fed.records() if record.topic == cases.CONTROL]


def signed(fed: Federation, number: int = 0, **changes: object) -> PlanBody:
    """A plan signed by the operator."""
    return inner.sign_plan(plan_for(fed, number, **changes), OPERATOR, fed._keys[OPERATOR])


def test_the_first_leader_puts_the_epoch_and_its_lead(fed: Federation) -> None:
    """MANIFEST once, then LEAD, then nothing while nothing is planned."""
    made = replica(fed)
    assert not made.leading
    step(made, 5)
    assert control(fed) == [Kind.MANIFEST, Kind.LEAD]
    assert made.leading


def test_who_does_not_hold_the_lease_writes_nothing(fed: Federation) -> None:
    """A replica without the lease reads only."""
    idle = type("Idle", (), {"try_hold": lambda _: False, "holder_id": "idle"})()
    made = replica(fed, lease=idle)
    step(made, 5)
    assert control(fed) == []


def test_the_second_replica_takes_over_with_the_lead(fed: Federation) -> None:
    """A later LEAD ends the earlier replica's lead."""
    one, two = replica(fed), replica(fed)
    step(one, 3)
    step(two, 1)
    one._take(fed.records()[-1])
    assert not one.leading
    step(two, 1)
    assert two.leading


def test_a_decision_is_appended_once(fed: Federation) -> None:
    """While its own record is not read back a leader does not decide again."""
    made = replica(fed)
    step(made, 3)
    made.submit(signed(fed))
    step(made, 2)
    assert control(fed).count(Kind.OPEN) == 1
    step(made, 10)
    assert control(fed).count(Kind.OPEN) == 1


def test_a_lost_acknowledgement_sends_the_same_bytes(fed: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failed append the stored decision goes out again, not a new one; time does not change it."""
    made = replica(fed)
    step(made, 3)
    made.submit(signed(fed))
    real, sent = made._ports.log.append, []

    def fails(topic: str, key: bytes, value: bytes) -> int:
        sent.append(value)
        raise LogUnavailableError("cut")

    monkeypatch.setattr(made._ports.log, "append", fails)
    for _ in range(2):
        fed.clock.sleep(1.0)
        with pytest.raises(LogUnavailableError):
            step(made)
    monkeypatch.setattr(made._ports.log, "append", real)
    step(made, 2)
    assert sent[0] == sent[1] == fed.log.read({cases.CONTROL: 0}, 100)[-1].value


def test_what_is_never_read_back_is_sent_again(fed: Federation) -> None:
    """A record that the log lost after its acknowledgement goes out again after half a minute."""
    made = replica(fed)
    step(made, 3)
    made.submit(signed(fed))
    step(made)
    made._pending = replace(made._pending, digest=bytes(32))  # type: ignore[type-var]
    step(made, 3)
    assert control(fed).count(Kind.OPEN) == 1
    fed.clock.sleep(subject.RESEND_SECONDS)
    step(made)
    assert control(fed).count(Kind.OPEN) == 2


def test_a_new_lead_drops_what_was_pending(fed: Federation) -> None:
    """Under another fence the old decision would be void: the leader decides anew."""
    made = replica(fed)
    step(made, 3)
    made.submit(signed(fed))
    step(made)
    old = made._pending
    cases.Hostile(fed).lead()
    step(made, 3)
    assert made._pending is None or made._pending.header.fence != old.header.fence  # type: ignore[union-attr]
    assert fed.audit().active is not None


def test_submit_appends_once(fed: Federation) -> None:
    """A new plan is appended before its run id is given; the same bytes again change nothing."""
    made = replica(fed)
    step(made, 3)
    body = signed(fed)
    run, new = made.submit(body)
    assert new
    assert run == cases.run_id(body.plan_json)
    step(made)
    assert made.submit(body) == (run, False)
    assert control(fed).count(Kind.PLAN) == 1


def test_submit_refuses_what_no_bank_could_run(fed: Federation) -> None:
    """Wrong signature, stranger, other epoch, other contract, too much epsilon: refused with reason, nothing sent."""
    made = replica(fed)
    body = signed(fed)
    bad = [
        (replace(body, signature=bytes(64)), "signature"),
        (replace(body, operator="nobody"), "no operator"),
        (signed(fed, manifest=canonical.label(bytes(32))), "another"),
        (signed(fed, contract=canonical.label(bytes(32))), "contract"),
        (signed(fed, window=replace(body.plan.window, end=cases.dt.date(2300, 1, 1))), "window.end"),
    ]
    for wrong, said in bad:
        with pytest.raises(SubmissionError, match=said):
            made.submit(wrong)
    assert control(fed) == []


def test_submit_says_when_the_log_is_away(fed: Federation) -> None:
    """Without an acknowledged append there is no run id."""
    made = replica(fed, Hazards(lost_acknowledgement=1.0))
    with pytest.raises(LogUnavailableError):
        made.submit(signed(fed))


def test_cancel_takes_an_operators_order_for_a_known_run(fed: Federation) -> None:
    """Unknown runs and foreign signatures are refused; the order ends the run."""
    made = replica(fed)
    step(made, 3)
    run, _ = made.submit(signed(fed))
    order = inner.sign_cancel("sim", run, OPERATOR, fed._keys[OPERATOR])
    with pytest.raises(SubmissionError, match="not known"):
        made.cancel(replace(order, run=bytes(32)))
    step(made)
    with pytest.raises(SubmissionError, match="does not hold"):
        made.cancel(replace(order, signatures=((OPERATOR, bytes(64)),)))
    made.cancel(order)
    step(made, 4)
    assert control(fed)[-1] is Kind.END
    assert made.runs()[0].end is not None


def test_an_ended_run_is_forgotten(fed: Federation) -> None:
    """The vectors of a run that is over leave the leader's memory."""
    made = replica(fed)
    run = fed.submit(plan_for(fed))
    fed.run(run, 300)
    while not made._ports.inbox.caught_up():
        step(made)
    step(made)
    assert not [key for key in made.state._banks if key[3] is Kind.RELEASE]
    assert [key for key in made.state._banks if key[3] is Kind.JOIN]


def test_a_replica_is_ready_once_the_control_topic_was_read(fed: Federation) -> None:
    """With the lease or without it; later entries do not take it back."""
    idle = type("Idle", (), {"try_hold": lambda _: False, "holder_id": "idle"})()
    step(replica(fed), 3)
    for made in (replica(fed, lease=idle), replica(fed)):
        assert not made.ready
        step(made, 2)
        assert made.ready
    fed.log.append(cases.CONTROL, b"k", b"later")
    assert made.ready


def test_a_replica_that_ends_gives_its_lease_up(fed: Federation) -> None:
    """So that another one need not wait until it runs out."""
    released: list[str] = []
    lease = type("Kept", (AlwaysLease,), {"release": lambda self: released.append(self.holder_id)})("kept")
    made = replica(fed, lease=lease)
    step(made, 2)
    assert released == []
    made.close()
    assert released == ["kept"]
