"""Lost journals, lost plans, other epochs and forged rosters: nothing is spent twice, nobody is locked (protocol 5)."""

import shutil
from dataclasses import replace

import pytest

import federation_cases as cases
from federation_cases import Hostile, plan_for, until
from federation_scenes import BANK, Make, midway, node_of
from tacit import canonical, federation
from tacit.federation import Manifest
from tacit.rounds.ledger import Reservation, RunState
from tacit.rounds.plan import Deadlines
from tacit.rounds.types import JoinBody, Kind, LeftBody, OpenBody, RosterBody, VerdictBody
from tacit.sim.federation import OPERATOR, Federation, Node
from tacit.trainer.handlers import STALE_RUN_SECONDS, Trainer
from tacit.trainer.outbox import TrainerStoppedError
from tacit.wire.envelope import KeyRing

TOPIC = "tacit.bank.v1.bank-0"
DEADLINES = Deadlines(join="1s", attempt="1s", grace="100ms", run="1h")


def machine(fed: Federation) -> Trainer:
    """The bank's trainer."""
    return fed._handlers[BANK]


def state(fed: Federation, run: bytes) -> RunState:
    """Where the bank stands."""
    return machine(fed)._ports.journal.state(run)


def turns(fed: Federation, count: int = 20) -> None:
    """Lets everybody act."""
    for _ in range(count):
        fed.turn()


def steps(node: Node) -> None:
    """Turns of one node."""
    for _ in range(20):
        node.view.turn()
        node.step(0.0)


def lose(fed: Federation) -> Node:
    """The bank loses its disk and what is on its own topic; its trainer starts again."""
    node = node_of(fed)
    node.stop()
    shutil.rmtree(fed._folder / BANK)
    (fed._folder / BANK).mkdir()
    fed.log.drop(TOPIC)
    fed.log.create([TOPIC])
    node.step, node.stop = node.start(node.view)
    return node


@pytest.mark.parametrize("whole", [True, False], ids=["after the run", "within the run"])
def test_journal_and_topic_both_lost_spend_nothing_twice(make: Make, whole: bool) -> None:
    """The ROSTER on the control topic still names the bank's JOIN: it stops as behind and writes nothing."""
    fed, run = midway(make)
    if whole:
        fed.run(run, 500)
    node = lose(fed)
    fed.submit(plan_for(fed, 5))
    with pytest.raises(TrainerStoppedError, match=r"behind.*a control record names our record"):
        steps(node)
    assert fed.log.end(TOPIC) == 0


def second_epoch(fed: Federation) -> Manifest:
    """The next epoch with the same terms, signed by all."""
    old = fed.manifest
    made = replace(old, epoch=2, previous_digest=canonical.label(old.digest), signatures=())
    for name, key in [(OPERATOR, fed._keys[OPERATOR]), *sorted(fed._governance.items())]:
        made = federation.sign_manifest(made, name, key)
    return made


def test_a_run_of_an_earlier_epoch_is_left(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was open when the epoch changed is left at once: rows erased, and the next run is joined."""
    fed, run = midway(make)
    old, new = fed.manifest, second_epoch(fed)
    moved = {bank: federation.accept(fed._policy(bank), new, old) for bank in fed.finished}
    monkeypatch.setattr(fed, "_policy", moved.__getitem__)
    fed.manifest, fed.keys = new, KeyRing([old, new])
    for node in fed.nodes:
        node.restart()
    turns(fed, 10)
    assert state(fed, run) is RunState.LEFT
    assert list((fed._folder / BANK / "snapshots").glob("*")) == []
    second = fed.submit(plan_for(fed, 7))
    fed.run(second, 500)
    assert not cases.by_kind(fed, Kind.REFUSED)
    assert not cases.broken(fed, second)


def joined_elsewhere(fed: Federation) -> bytes:
    """A run in the journal whose PLAN is on no log."""
    run = b"o" * 32
    until(fed, lambda: machine(fed).ready, 20)
    ports = machine(fed)._ports
    compose = ports.outbox.compose(Kind.JOIN, JoinBody(b"", b""), cases.run_place(fed, run))
    ports.outbox.put(ports.journal.reserve(Reservation(run, "rows", ("2018-01",), 1), compose))
    return run


def test_a_run_without_a_plan_is_left_once_stale(make: Make) -> None:
    """It stays open for seven days, then locks the account no longer."""
    fed = make(2, seed=1)
    run = joined_elsewhere(fed)
    fed.clock.sleep(STALE_RUN_SECONDS - 60)
    turns(fed, 5)
    assert state(fed, run) is RunState.OPEN
    fed.clock.sleep(120)
    turns(fed, 5)
    assert state(fed, run) is RunState.LEFT
    fed.run(fed.submit(plan_for(fed)), 500)
    assert not cases.by_kind(fed, Kind.REFUSED)


def test_a_run_that_only_the_journal_knows_can_be_left_by_hand(make: Make) -> None:
    """`leave` needs no fold; a run that nobody knows is said to be unknown."""
    fed = make(2, seed=1)
    run = joined_elsewhere(fed)
    assert not machine(fed).leave(b"x" * 32)
    assert machine(fed).leave(run)
    assert state(fed, run) is RunState.LEFT
    assert state(fed, b"x" * 32) is RunState.NONE


def test_a_kill_between_left_and_its_end_is_made_good(make: Make) -> None:
    """The journal holds LEFT of an open run: the next process finishes it and answers no more."""
    fed, run = midway(make)
    machine(fed)._record(run, Kind.LEFT, LeftBody(run))
    assert state(fed, run) is RunState.OPEN
    node_of(fed).restart()
    turns(fed, 10)
    assert state(fed, run) is RunState.LEFT
    assert cases.kinds_of(fed, BANK).count(Kind.LEFT) == 1
    assert list((fed._folder / BANK / "snapshots").glob("*")) == []


def rostered(make: Make, digest: bytes = b"\x09" * 32) -> tuple[Federation, bytes]:
    """A hostile leader's ROSTER with another JOIN of the bank, then the first question."""
    fed = make(3, seed=2)
    cases.without(fed, "aggregator-0")
    run = fed.submit(plan_for(fed, deadlines=DEADLINES))
    hostile, place = Hostile(fed), cases.run_place(fed, run)
    hostile.lead()
    hostile.write(Kind.OPEN, OpenBody(run), place)
    until(fed, lambda: len(cases.by_kind(fed, Kind.JOIN)) == 3, 100)
    joins = {record.header.sender: record.digest for record in cases.by_kind(fed, Kind.JOIN)}
    hostile.write(Kind.ROSTER, RosterBody({**joins, BANK: digest}), place)
    return fed, run


def test_a_roster_that_names_a_join_which_is_not_ours_is_evidence(make: Make) -> None:
    """The journal knows its own JOIN: the leader lied. VERDICT, LEFT, no answer; the trainer goes on."""
    fed, run = rostered(make)
    turns(fed, 10)
    (verdict,) = cases.by_kind(fed, Kind.VERDICT)
    assert isinstance(verdict.body, VerdictBody)
    assert (verdict.header.sender, verdict.body.subject) == (BANK, fed.audit().runs[run].roster.digest)  # type: ignore[union-attr]
    assert "JOIN that this bank did not write" in verdict.body.deviation
    assert state(fed, run) is RunState.LEFT
    node_of(fed).restart()
    turns(fed, 10)
    assert machine(fed).ready
    assert cases.kinds_of(fed, BANK).count(Kind.VERDICT) == 1


def test_a_roster_that_names_a_bank_which_refused_is_evidence(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal is in the journal too: nobody is behind, and nobody is stopped by the lie."""
    fed = make(3, seed=2)
    policy = fed._policy
    paused = {bank: replace(policy(bank), paused=bank == BANK) for bank in fed.finished}
    monkeypatch.setattr(fed, "_policy", paused.__getitem__)
    node_of(fed).restart()
    cases.without(fed, "aggregator-0")
    run = fed.submit(plan_for(fed, deadlines=DEADLINES))
    hostile, place = Hostile(fed), cases.run_place(fed, run)
    hostile.lead()
    hostile.write(Kind.OPEN, OpenBody(run), place)
    until(fed, lambda: cases.by_kind(fed, Kind.REFUSED), 100)
    until(fed, lambda: len(cases.by_kind(fed, Kind.JOIN)) == 2, 100)
    joins = {record.header.sender: record.digest for record in cases.by_kind(fed, Kind.JOIN)}
    hostile.write(Kind.ROSTER, RosterBody({**joins, BANK: b"\x09" * 32}), place)
    turns(fed, 10)
    assert [record.header.sender for record in cases.by_kind(fed, Kind.VERDICT)] == [BANK]
    node_of(fed).restart()
    turns(fed, 10)
    assert machine(fed).ready


def test_nothing_is_reserved_or_spent_before_all_is_read(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """JOIN and RELEASE wait until own and control topic were read to their ends, and then come."""
    fed = make(2, seed=1)
    until(fed, lambda: machine(fed).ready, 20)
    asked: list[object] = []
    inbox = machine(fed)._ports.inbox
    monkeypatch.setattr(inbox, "caught_up", lambda topics=None: asked.append(topics))
    run = fed.submit(plan_for(fed, deadlines=replace(DEADLINES, join="1h")))
    turns(fed, 20)
    assert [cases.CONTROL, TOPIC] in asked
    assert state(fed, run) is RunState.NONE
    monkeypatch.undo()
    until(fed, lambda: state(fed, run) is RunState.OPEN, 20)
    monkeypatch.setattr(inbox, "caught_up", lambda topics=None: asked.append(topics))
    turns(fed, 20)
    assert Kind.RELEASE not in cases.kinds_of(fed, BANK)
    monkeypatch.undo()
    until(fed, lambda: Kind.RELEASE in cases.kinds_of(fed, BANK), 100)
