"""A party with the aggregator's key, a replaying broker, and records of the wrong bank: void, or found out and left."""

from collections.abc import Callable
from dataclasses import replace

import pytest

import federation_cases as cases
from federation_cases import Hostile, plan_for, until
from federation_scenes import DIGEST, Make, Scene, lie, phantom
from tacit import canonical
from tacit.aggregator.leader import Leader
from tacit.learning.types import Structure, TreeStructure, Weights
from tacit.rounds import verify
from tacit.rounds.ledger import RunState
from tacit.rounds.plan import Deadlines
from tacit.rounds.state import State
from tacit.rounds.types import (
    AbortBody,
    Checked,
    EndBody,
    Kind,
    OpenBody,
    Outcome,
    Place,
    QueryBody,
    Reason,
    RosterBody,
)
from tacit.sim.federation import Federation, with_nonce


@pytest.fixture
def scene(make: Callable[..., Federation]) -> Scene:
    """Three banks that answered slot 0."""
    return Scene(make(3, seed=1))


@pytest.mark.parametrize("value", [0, 70_000, 2**63 - 1, -(2**63)])
def test_wrong_sums_are_found_out(scene: Scene, value: int) -> None:
    """A RESULT that adds up wrongly stands; every bank says so, leaves, and answers nothing more."""
    cells = len(scene.honest().body.sums)  # type: ignore[union-attr]
    assert lie(scene, (value,) * cells) == ""
    scene.go_on()
    scene.turns()
    assert all("other sums" in deviation for deviation in scene.verdicts().values())
    assert len(scene.verdicts()) == 3
    assert scene.answers(1) == 0
    assert scene.states() == {RunState.LEFT}


def test_a_run_of_leavers_ends_and_the_next_one_works(scene: Scene) -> None:
    """After a lie the honest leader ends the run for want of banks; the next plan finishes."""
    lie(scene, (5,) * len(scene.honest().body.sums))  # type: ignore[union-attr]
    scene.go_on()
    scene.turns()
    scene.fed.nodes += scene.leaders
    until(scene.fed, lambda: scene.run.end is not None)
    assert scene.run.end.body.reason is Reason.QUORUM  # type: ignore[union-attr]
    after = scene.fed.submit(with_nonce(plan_for(scene.fed), 5))
    scene.fed.run(after, 500)
    assert not cases.broken(scene.fed, after)


BAD_RESULTS = {
    "other weights": {"weights": Weights((1.0,) * 6)},
    "weights of other length": {"weights": Weights((1.0,))},
    "no weights": {"weights": None},
    "trees": {"structure": Structure((TreeStructure((0,), (1,)),))},
    "a sum too few": {"sums": (1,)},
    "one sum too many": {"sums": (1,) * 4096},
    "a smaller variance": {"variance": 1},
    "a cheaper round": {"rho_nano": 1},
    "nobody": {"used": {"bank-0": DIGEST}},
    "strangers": {"used": {"bank-0": DIGEST, "bank-1": DIGEST, "bank-9": DIGEST}},
}


@pytest.mark.parametrize("changes", BAD_RESULTS.values(), ids=BAD_RESULTS.keys())
def test_a_malformed_result_is_void(scene: Scene, changes: dict[str, object]) -> None:
    """A RESULT that breaks what plan and roster decide is void for all; the run goes on to its honest end."""
    assert scene.result(**changes) != ""
    scene.turns(3)
    scene.back()
    assert not cases.broken(scene.fed, scene.id)
    assert set(scene.verdicts().values()) == {""}


def test_a_result_names_a_release_that_is_not_the_banks(scene: Scene) -> None:
    """Naming another digest for a bank that answered is a deviation at once."""
    used = {**scene.honest().body.used, "bank-1": DIGEST}  # type: ignore[union-attr]
    assert scene.result(used=used) == ""
    scene.go_on()
    scene.turns()
    assert all("another RELEASE of bank-1" in deviation for deviation in scene.verdicts().values())
    assert scene.states() == {RunState.LEFT}


def test_a_release_that_never_comes_stops_the_answers_alone(make: Make) -> None:
    """Banks wait for the named record, answer nothing, accuse nobody; END ABORTED sets them free."""
    scene = phantom(make)
    assert scene.answers(1) == 0
    assert scene.verdicts() == {}
    scene.fed.clock.sleep(7_200)
    scene.back()
    assert cases.journal_of(scene.fed, "bank-0").state(scene.id) is RunState.DONE  # type: ignore[attr-defined]


def test_a_finished_run_with_a_phantom_locks_nobody(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """END FINISHED over a record that never comes: after seven days the bank says so, leaves, and is free."""
    monkeypatch.setattr(State, "_end", any_end)
    scene = phantom(make)
    body = EndBody(Outcome.FINISHED, Reason.NONE, DIGEST, "8", "7.9")
    scene.hostile.write(Kind.END, body, scene.run.place(scene.fed.manifest))
    scene.turns()
    assert cases.journal_of(scene.fed, "bank-0").state(scene.id) is RunState.OPEN  # type: ignore[attr-defined]
    scene.fed.clock.sleep(8 * 86_400)
    scene.turns()
    assert cases.journal_of(scene.fed, "bank-0").state(scene.id) is RunState.LEFT  # type: ignore[attr-defined]
    assert "missing record" in scene.verdicts()["bank-0"]


def any_end(state: State, record: Checked) -> str:
    """Lets every END stand, as if all rounds were done."""
    state.runs[record.header.run].end = record
    return ""


def test_another_question_is_void(scene: Scene) -> None:
    """A QUERY with other weights, with trees, or with nothing is void, and the banks answer the right one."""
    scene.go_on()
    order = scene.honest()
    for body in (QueryBody(Weights((9.0,) * 6), None), QueryBody(None, None), QueryBody(Weights((0.0,)), None)):
        assert scene.write(Kind.QUERY, body, order.place) == "question"
    trees = Structure((TreeStructure((0,), (1,)),))
    assert scene.write(Kind.QUERY, replace(order.body, structure=trees), order.place) == "question"  # type: ignore[type-var]
    scene.turns()
    assert scene.answers(1) == 0
    scene.back()
    assert not cases.broken(scene.fed, scene.id)


@pytest.mark.parametrize(("slot", "number"), [(2, 1), (1, 0), (511, 1), (511, 511), (1, 2)])
def test_a_question_out_of_turn_is_void(scene: Scene, slot: int, number: int) -> None:
    """Slots come one by one, and the round is the number of RESULTs; the highest numbers change nothing."""
    scene.go_on()
    order = scene.honest()
    place = replace(order.place, slot=slot, round=number)
    assert scene.write(Kind.QUERY, order.body, place) == "slot"


def test_the_first_question_stands(scene: Scene) -> None:
    """A second QUERY for an open slot changes nothing, whatever its fence."""
    query = scene.run.attempts[0].query
    place = replace(scene.run.place(scene.fed.manifest, scene.run.attempts[0]), query=b"")
    assert scene.write(Kind.QUERY, query.body, place) == "repeat"
    assert scene.write(Kind.QUERY, QueryBody(Weights((1.0,)), None), place) == "equivocation"
    assert scene.run.attempts[0].query.digest == query.digest


def test_the_first_roster_stands(scene: Scene) -> None:
    """A second ROSTER under a new fence is evidence, and the first goes on to hold."""
    first = scene.run.roster
    place = cases.run_place(scene.fed, scene.id)
    assert scene.write(Kind.ROSTER, RosterBody({"bank-0": DIGEST}), place) == "equivocation"
    assert scene.run.roster == first
    assert len(scene.state.equivocations) == 1


@pytest.mark.parametrize("kind", [Kind.QUERY, Kind.RESULT, Kind.END, Kind.ABORT])
def test_old_fences_are_void(scene: Scene, kind: Kind) -> None:
    """Nothing under a fence that is not in force stands, and it is no evidence."""
    old = scene.state.fence
    scene.hostile.lead()
    bodies = {
        Kind.QUERY: QueryBody(None, None),
        Kind.RESULT: scene.honest().body,
        Kind.END: EndBody(Outcome.ABORTED, Reason.QUORUM, b"", "8", "0"),
        Kind.ABORT: AbortBody(Reason.MISSING_RECORD),
    }
    place = scene.run.place(scene.fed.manifest, scene.run.attempts[0])
    assert scene.write(kind, bodies[kind], place, old) == "fence"
    assert scene.state.equivocations == []


def test_an_open_of_a_running_run_or_a_stranger_is_void(scene: Scene) -> None:
    """OPEN stands once, for a planned run."""
    place = cases.run_place(scene.fed, scene.id)
    assert scene.write(Kind.OPEN, OpenBody(scene.id), place) == "repeat"
    assert scene.write(Kind.OPEN, OpenBody(DIGEST), replace(place, run=DIGEST)) == "run"


def test_aborted_slots_cost_no_more_than_was_reserved(scene: Scene) -> None:
    """An aggregator that aborts slot after slot gets K questions, then no more; no bank overspends or dies."""
    for _ in range(6):
        run = scene.run
        if run.attempt is not None:
            scene.write(Kind.ABORT, AbortBody(Reason.MISSING_RECORD), run.place(scene.fed.manifest, run.attempt))
        order = scene.run.next_place(scene.fed.manifest)
        scene.write(Kind.QUERY, QueryBody(*scene.run.course.question), order)  # type: ignore[union-attr]
        scene.turns(6)
    assert len(scene.run.attempts) == 3
    assert [item for item in cases.broken(scene.fed, scene.id) if item != "no END"] == []
    scene.back()
    assert scene.run.end.body.reason is Reason.SLOTS  # type: ignore[union-attr]


def test_a_dear_round_asked_twice_makes_the_bank_leave(scene: Scene) -> None:
    """A question beyond the run's reservation is refused and the run left; the process goes on."""
    for slot in range(2):
        if slot:
            scene.write(
                Kind.ABORT, AbortBody(Reason.MISSING_RECORD), scene.run.place(scene.fed.manifest, scene.run.attempt)
            )
            place = scene.run.next_place(scene.fed.manifest)
            scene.write(Kind.QUERY, QueryBody(*scene.run.course.question), place)  # type: ignore[union-attr]
            scene.turns(6)
        scene.go_on()
        place = scene.run.next_place(scene.fed.manifest)
        scene.write(Kind.QUERY, QueryBody(*scene.run.course.question), place)  # type: ignore[union-attr]
        scene.turns(6)
    charges = cases.journal_of(scene.fed, "bank-0").ledger().runs  # type: ignore[attr-defined]
    assert all(charge.spent_nano <= charge.reserved_nano for charge in charges)


def test_another_model_in_end_is_found_out(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """END with another model digest: every bank says so, and no model is taken."""
    fed = make(3, seed=3)
    with monkeypatch.context() as patch:
        patch.setattr(Leader, "_end", lambda *_: None)
        run = fed.submit(plan_for(fed))
        until(fed, lambda: run in fed.audit().runs and len(fed.audit().runs[run].results) == 3)
    order = Leader(fed.audit(), fed.clock).decide()
    assert order is not None
    cases.without(fed, "aggregator-0")
    hostile = Hostile(fed)
    hostile.lead()
    hostile.write(Kind.END, replace(order.body, model=DIGEST), order.place)  # type: ignore[type-var]
    fed.run(run, 100)
    verdicts = [record.body.deviation for record in cases.by_kind(fed, Kind.VERDICT)]  # type: ignore[union-attr]
    assert verdicts == ["END names another model file than the records make"] * 3
    assert all(not models for models in fed.finished.values())


def test_an_early_end_is_void(scene: Scene) -> None:
    """FINISHED before the last round is void; ABORTED is always allowed."""
    place = scene.run.place(scene.fed.manifest)
    body = EndBody(Outcome.FINISHED, Reason.NONE, DIGEST, "8", "8")
    assert scene.write(Kind.END, body, place) == "unfinished"
    assert scene.write(Kind.END, EndBody(Outcome.ABORTED, Reason.QUORUM, b"", "8", "8"), place) == ""
    assert scene.write(Kind.END, EndBody(Outcome.ABORTED, Reason.SLOTS, b"", "8", "8"), place) == "equivocation"


def test_a_plan_of_another_epoch_is_no_record(make: Make) -> None:
    """A plan that names another manifest is refused at the door and starts nothing."""
    fed = make(3, seed=4)
    plan = replace(plan_for(fed), manifest=canonical.label(DIGEST))
    run = fed.submit(plan)
    for _ in range(6):
        fed.turn()
    assert run not in fed.audit().runs
    inbox = fed._handlers["bank-0"]._ports.inbox
    assert sum(inbox.invalid.values()) == 1


def test_records_of_another_run_are_void(make: Make) -> None:
    """A finished run's control records and RELEASEs, appended again, do nothing to the next run."""
    fed = make(3, seed=5)
    first = fed.submit(plan_for(fed, 1))
    fed.run(first, 500)
    old = [entry for topic in fed.nodes[1].view._seen for entry in fed.log.read({topic: 0}, 5_000)]
    second = fed.submit(plan_for(fed, 2))
    until(fed, lambda: second in fed.audit().runs and fed.audit().runs[second].attempts)
    for entry in old:
        fed.log.append(entry.topic, entry.key, entry.value)
    fed.run(second, 500)
    assert not cases.broken(fed, second)
    assert not cases.broken(fed, first)


def test_a_release_moved_to_another_run_is_void(scene: Scene) -> None:
    """A RELEASE whose context is another question's is kept, and never counted."""
    record = cases.by_kind(scene.fed, Kind.RELEASE)[0]
    state = scene.state
    attempt = state.runs[scene.id].attempts[0]
    attempt.query = replace(attempt.query, header=replace(attempt.query.header, body=DIGEST))
    assert record.header.sender not in dict(state.answers(state.runs[scene.id], Kind.RELEASE, 0))


def test_a_record_signed_by_the_wrong_bank_is_no_record(scene: Scene) -> None:
    """bank-1's record on bank-0's topic is invalid for everybody, and bank-0 goes on."""
    log = scene.fed.log
    moved = log.read({"tacit.bank.v1.bank-1": 0}, 100)[-1]
    log.append("tacit.bank.v1.bank-0", b"bank-0", moved.value)
    scene.back()
    assert not cases.broken(scene.fed, scene.id)
    assert scene.fed._handlers["bank-0"]._ports.inbox.invalid.total() == 1


@pytest.mark.parametrize("joins", [{"bank-9": DIGEST, "bank-8": DIGEST}, {"bank-0": DIGEST, "aggregator": DIGEST}])
def test_a_roster_of_strangers_is_void(make: Make, joins: dict[str, bytes]) -> None:
    """ROSTER holds active members alone."""
    fed = make(3, seed=6)
    run = fed.submit(plan_for(fed))
    until(fed, lambda: run in fed.audit().runs and fed.audit().runs[run].open)
    hostile = Hostile(fed)
    hostile.lead()
    digest = hostile.write(Kind.ROSTER, RosterBody(joins), cases.run_place(fed, run)).digest
    assert dict(fed.audit().void_records)[digest] == "roster"
    fed.run(run, 500)
    assert not cases.broken(fed, run)


def test_a_roster_that_names_no_real_join_is_found(make: Make) -> None:
    """A majority of which one never joined: the run may end, but nobody that verifies it takes its model."""
    fed = make(3, seed=6)
    leaders = [node for node in fed.nodes if node.name.startswith("aggregator")]
    cases.without(fed, "aggregator-0", "bank-2")
    run = fed.submit(plan_for(fed, deadlines=Deadlines(join="1s", attempt="1s", grace="100ms", run="1h")))
    hostile, place = Hostile(fed), cases.run_place(fed, run)
    hostile.lead()
    hostile.write(Kind.OPEN, OpenBody(run), place)
    until(fed, lambda: len(cases.by_kind(fed, Kind.JOIN)) == 2)
    joins = {record.header.sender: record.digest for record in cases.by_kind(fed, Kind.JOIN)}
    hostile.write(Kind.ROSTER, RosterBody({**joins, "bank-2": DIGEST}), place)
    fed.nodes += leaders
    until(fed, lambda: fed.audit().runs[run].end is not None, 2_000)
    state = fed.audit()
    assert verify.check_run(state, state.runs[run]) == verify.lacking("JOIN of bank-2")
    for _ in range(20):
        fed.turn()
    assert all(run not in models for models in fed.finished.values())


def test_a_revoked_member_ends_the_run_and_the_next_one_goes_without_it(make: Make) -> None:
    """Two thirds sign REVOKE of a member in the middle of a run: ABORTED(REVOKED); the others finish the next run."""
    fed = make(3, seed=6)
    run = fed.submit(plan_for(fed))
    until(fed, lambda: cases.by_kind(fed, Kind.QUERY))
    order = cases.inner.sign_revoke("sim", "bank-2", fed._governance)
    Hostile(fed).write(Kind.ORDER, order, Place("sim", fed.manifest.digest))
    until(fed, lambda: fed.audit().runs[run].end is not None)
    end = fed.audit().runs[run].end.body  # type: ignore[union-attr]
    assert (end.outcome, end.reason) == (Outcome.ABORTED, Reason.REVOKED)
    after = fed.submit(plan_for(fed, number=1))
    fed.nodes = [node for node in fed.nodes if node.name != "bank-2"]
    until(fed, lambda: fed.audit().runs[after].end is not None, 1_000)
    state = fed.audit()
    assert state.runs[after].banks == ("bank-0", "bank-1")
    assert not verify.check_run(state, state.runs[after])


@pytest.mark.parametrize("garbage", [b"", b"\x00", b"\xff" * 100, b"\x0a" * 10_000])
def test_garbage_on_every_topic_changes_nothing(scene: Scene, garbage: bytes) -> None:
    """Bytes that are no record are counted, and the run ends as if they were not there."""
    for topic in scene.fed.nodes[0].view._seen:
        scene.fed.log.append(topic, b"x", garbage)
    scene.back()
    assert not cases.broken(scene.fed, scene.id)


def test_a_member_that_poisons_crashes_nobody(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A member whose vectors are as large as the ring allows spoils the model, and nothing else."""
    from tacit.trainer import handlers as trainer  # noqa: PLC0415  patched here alone

    honest = trainer.release

    def poisoned(*arguments: object) -> object:
        made = honest(*arguments)  # type: ignore[arg-type]
        values = made.values.copy()
        values[::2], values[1::2] = 2**62, -(2**62)
        return replace(made, values=values)

    monkeypatch.setattr(trainer, "release", poisoned)
    fed = make(3, seed=7)
    run = fed.submit(plan_for(fed))
    until(fed, lambda: len(cases.by_kind(fed, Kind.RELEASE)) >= 1)
    monkeypatch.setattr(trainer, "release", honest)
    fed.run(run, 500)
    assert fed.audit().runs[run].end is not None
    assert fed.audit().runs[run].results
