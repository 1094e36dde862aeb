"""Changes of one line each that would break the protocol in mode `local`: every one is caught by the invariants."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import federation_cases as cases
import federation_scenes as scenes
from federation_cases import Hostile, plan_for, until
from tacit.adapters.journal import Journal, topic
from tacit.aggregator.leader import Leader
from tacit.rounds import verify
from tacit.rounds.ledger import RunState, TopicReport, Verdict
from tacit.rounds.plan import Deadlines
from tacit.rounds.state import Run, State
from tacit.rounds.types import Checked, Kind, QueryBody, ResultBody, RosterBody
from tacit.sim.federation import Federation, with_nonce
from tacit.trainer.outbox import TrainerStoppedError

Make = Callable[..., Federation]
BANK = "bank-0"
TOPIC = "tacit.bank.v1.bank-0"


class CaughtError(AssertionError):
    """An invariant is broken."""


def require(holds: object, invariant: str) -> None:
    """Raises if an invariant does not hold."""
    if not holds:
        raise CaughtError(invariant)


def two_runs(make: Make, _: Path) -> None:
    """Two runs of the same window: each has spends and noise of its own."""
    fed = make(2, seed=1)
    runs = [fed.submit(with_nonce(plan_for(fed), number)) for number in (1, 2)]
    try:
        for run in runs:
            fed.run(run, 150)
    except TimeoutError as error:
        raise CaughtError("each run is answered for itself") from error
    spends = [cases.journal_of(fed, BANK).spent(run, 0) for run in runs]  # type: ignore[attr-defined]
    require(all(spends), "each run is spent for itself")
    require(spends[0].payload_digest != spends[1].payload_digest, "each run has noise of its own")


def restart_on(make: Make, change: Callable[[Federation], None], releases: int = 3) -> Federation:
    """A bank that is started again after something happened to its topic or disk must stop and write nothing."""
    fed = make(3, seed=2)
    fed.submit(plan_for(fed))
    until(fed, lambda: len(cases.by_kind(fed, Kind.RELEASE)) >= releases)
    for _ in range(2):
        fed.turn()
    node = next(node for node in fed.nodes if node.name == BANK)
    node.stop()
    change(fed)
    node.step, node.stop = node.start(node.view)
    before = fed.log.end(TOPIC)
    try:
        for _ in range(6):
            node.view.turn()
            node.step(0.0)
    except TrainerStoppedError:
        require(fed.log.end(TOPIC) == before, "a trainer that stops writes nothing")
        return fed
    raise CaughtError("the trainer went on")


def emptied(make: Make, _: Path) -> None:
    """The own topic was emptied."""

    def empty(fed: Federation) -> None:
        fed.log.drop(TOPIC)
        fed.log.create([TOPIC])

    restart_on(make, empty)


def middle_lost(make: Make, _: Path) -> None:
    """A record in the middle of the own topic is gone; the newest is still there."""

    def cut(fed: Federation) -> None:
        entries = fed.log.read({TOPIC: 0}, 100)
        fed.log.drop(TOPIC)
        fed.log.create([TOPIC])
        for number, entry in enumerate(entries):
            if number != 1:
                fed.log.append(TOPIC, entry.key, entry.value)

    restart_on(make, cut, releases=6)


def void_start(make: Make, tmp_path: Path) -> None:
    """A copy's START that came second must not stop the trainer whose START was first."""
    fed, run = scenes.midway(make)
    node = scenes.node_of(fed)
    node.stop()
    second = scenes.clone(fed, tmp_path / "copy")
    node.step, node.stop = node.start(node.view)
    for both in (node, second):
        both.view.turn()
        both.step(0.0)
    second.stop()
    try:
        fed.run(run, 300)
    except TrainerStoppedError as error:
        raise CaughtError("the winner was stopped") from error


def first_stands(make: Make, _: Path) -> None:
    """ROSTER and QUERY of a later fence replace nothing."""
    fed = make(3, seed=3)
    run = fed.submit(plan_for(fed))
    until(fed, lambda: run in fed.audit().runs and fed.audit().runs[run].attempts)
    before = fed.audit().runs[run]
    hostile = Hostile(fed)
    hostile.lead()
    assert before.course is not None
    place = replace(before.place(fed.manifest, before.attempts[0]), query=b"")
    hostile.write(Kind.ROSTER, RosterBody({BANK: bytes(32)}), cases.run_place(fed, run))
    hostile.write(Kind.QUERY, QueryBody(*before.course.question), place)
    after = fed.audit().runs[run]
    require(after.roster == before.roster, "the first ROSTER stands")
    require(after.attempts[0].query == before.attempts[0].query, "the first QUERY stands")


def crash_before_send(make: Make, _: Path) -> None:
    """A bank that dies between storing a RELEASE and sending it sends the stored one."""
    fed = make(3, seed=4)
    run = fed.submit(plan_for(fed))
    until(fed, lambda: cases.journal_of(fed, BANK).spent(run, 0) is not None)  # type: ignore[attr-defined]
    scenes.node_of(fed).restart()
    try:
        fed.run(run, 60)
    except TimeoutError as error:
        raise CaughtError("the run does not end") from error
    wrong = cases.broken(fed, run)
    require(not wrong, "; ".join(wrong))


def shortage(make: Make, _: Path) -> None:
    """Below the quorum the leader waits: one slot, no result, no new attempt."""
    fed = make(3, seed=5)
    run = fed.submit(replace(plan_for(fed), deadlines=Deadlines(join="1s", attempt="1s", grace="100ms", run="1h")))
    until(fed, lambda: run in fed.audit().runs and fed.audit().runs[run].attempts)
    gone = [node for node in fed.nodes if node.name in {"bank-1", "bank-2"}]
    cases.without(fed, "bank-1", "bank-2")
    for _ in range(80):
        fed.turn()
    for node in gone:
        node.stop()
    found = fed.audit().runs[run]
    require(not found.results, "nothing is decoded below the quorum")
    require(len(found.attempts) == 1, "a shortage costs no second slot")


def lone_result(make: Make, _: Path) -> None:
    """A RESULT over fewer banks than the quorum is void for every reader."""
    fed = make(3, seed=6)
    run = fed.submit(plan_for(fed))
    until(fed, lambda: len(cases.by_kind(fed, Kind.RELEASE)) >= 1)
    found = fed.audit().runs[run]
    assert found.terms is not None
    assert found.course is not None
    release = cases.by_kind(fed, Kind.RELEASE)[0]
    noise = found.terms.budget.noises[0]
    sums = verify.total(verify.vectors([release]), found.terms.stages[0].cells)
    question = found.course.advance(sums, noise.variance).question
    hostile = Hostile(fed)
    hostile.lead()
    body = ResultBody({release.header.sender: release.digest}, sums, noise.variance, noise.rho_nano, *question)
    hostile.write(Kind.RESULT, body, found.place(fed.manifest, found.attempts[0]))
    require(not fed.audit().runs[run].results, "a RESULT below the quorum is void")


def phantom(make: Make, _: Path) -> None:
    """A named record that never comes must not keep a bank in a run that was aborted."""
    scene = scenes.phantom(make)
    require(not scene.verdicts(), "a missing record accuses nobody")
    scene.fed.clock.sleep(7_200)
    scene.fed.nodes += scene.leaders
    try:
        scene.fed.run(scene.id, 60)
    except TimeoutError as error:
        raise CaughtError("the bank hangs") from error
    state = cases.journal_of(scene.fed, BANK).state(scene.id)  # type: ignore[attr-defined]
    require(state is RunState.DONE, "the bank is free")


def wrong_sum(make: Make, _: Path) -> None:
    """A wrong sum is answered with a VERDICT and with silence."""
    scene = scenes.Scene(make(3, seed=1))
    scenes.lie(scene, (9,) * len(scene.honest().body.sums))  # type: ignore[union-attr]
    scene.go_on()
    scene.turns()
    require(scene.answers(1) == 0, "nobody answers after a lie")
    require(len(scene.verdicts()) == 3, "everybody says so")


def ok_always(*_: object) -> TopicReport:
    """A check that finds nothing."""
    return TopicReport(Verdict.OK, "")


def newest_only(store: object, records: list[Checked], named: object) -> TopicReport:
    """Looks at the topic's newest record alone."""
    held = topic.held_digests(store)  # type: ignore[arg-type]
    fine = not records or records[-1].digest in held
    return TopicReport(Verdict.OK if fine else Verdict.BEHIND, "the newest record is not ours")


def no_run_in_key(patch: pytest.MonkeyPatch) -> None:
    """The ledger's key is the slot alone: what another run spent for it is what comes back."""
    real, first = Journal.spend, {}

    def spend(self: Journal, run: bytes, slot: int, **asked: object) -> object:
        before = first.setdefault((id(self), slot), run)
        return self.stored(before, slot, Kind.RELEASE) or real(self, run, slot, **asked)  # type: ignore[arg-type]

    patch.setattr(Journal, "spend", spend)


def void_start_counts(patch: pytest.MonkeyPatch) -> None:
    """A START off the chain counts like any other record."""
    real = topic.judge

    def judge(store: object, records: list[Checked], named: object) -> TopicReport:
        held, chain = topic.held_digests(store), topic.own_chain(store, records)  # type: ignore[arg-type]
        stray = [record for record in chain.off_chain if record.digest not in held]
        return TopicReport(Verdict.CLONED, "a START") if stray else real(store, records, named)  # type: ignore[arg-type]

    patch.setattr(topic, "judge", judge)


def last_stands(patch: pytest.MonkeyPatch) -> None:
    """The newest ROSTER and QUERY stand."""
    real_roster, real_query = State._roster, State._query

    def roster(self: State, record: Checked) -> str:
        run = self.active
        if run is not None:
            run.roster = None
        return real_roster(self, record)

    def query(self: State, record: Checked) -> str:
        run = self.active
        if run is not None and record.header.slot < len(run.attempts):
            run.attempts[record.header.slot].query = record
            return ""
        return real_query(self, record)

    patch.setattr(State, "_roster", roster)
    patch.setattr(State, "_query", query)


def drawn_again(patch: pytest.MonkeyPatch) -> None:
    """A stored RELEASE counts as not sent: the noise is drawn a second time."""
    real, stored, redrawn = Journal.spend, Journal.stored, set()

    def spend(self: Journal, run: bytes, slot: int, **asked: object) -> object:
        if self.spent(run, slot) is None or (run, slot) in redrawn:
            return real(self, run, slot, **asked)  # type: ignore[arg-type]
        redrawn.add((run, slot))
        release = asked["draw"]()  # type: ignore[operator]
        with self._store.transaction():
            key = f"again {slot}"
            return self._entries.sign(Kind.RELEASE, run, key, lambda at: asked["compose"](at, release))  # type: ignore[operator]

    def unsent(self: Journal, run: bytes, slot: int | None, kind: Kind) -> object:
        return None if kind is Kind.RELEASE else stored(self, run, slot, kind)

    patch.setattr(Journal, "stored", unsent)
    patch.setattr(Journal, "spend", spend)


def retry(patch: pytest.MonkeyPatch) -> None:
    """A shortage is aborted and asked again, at the price of another slot."""
    from tacit.aggregator.leader import Order  # noqa: PLC0415  of this mutant alone
    from tacit.rounds.types import AbortBody, Reason  # noqa: PLC0415

    real = Leader._result

    def result(self: Leader, run: Run, attempt: object) -> object:
        over = self._over(("retry", run.id, attempt.slot), "1s")  # type: ignore[attr-defined]
        if over:
            place = run.place(self._state.manifest, attempt)  # type: ignore[arg-type]
            return Order(Kind.ABORT, AbortBody(Reason.QUORUM), place)
        return real(self, run, attempt)  # type: ignore[arg-type]

    patch.setattr(Leader, "_result", result)


def one_is_enough(patch: pytest.MonkeyPatch) -> None:
    """A quorum of one."""
    patch.setattr(Run, "quorum", property(lambda _: 1))


def hangs(patch: pytest.MonkeyPatch) -> None:
    """A run with a missing record is never over."""
    patch.setattr("tacit.trainer.handlers.finished", lambda _: True)


def believes(patch: pytest.MonkeyPatch) -> None:
    """RESULTs are believed."""
    patch.setattr(verify, "check_result", lambda *_: verify.AGREEMENT)


MUTANTS = {
    "run id out of the ledger key": (no_run_in_key, two_runs),
    "only the newest record checked": (lambda patch: patch.setattr(topic, "judge", newest_only), middle_lost),
    "empty topic accepted": (lambda patch: patch.setattr(topic, "_reaches", lambda *_: None), emptied),
    "void START stops the winner": (void_start_counts, void_start),
    "first ROSTER and QUERY not sticky": (last_stands, first_stands),
    "stored RELEASE drawn again": (drawn_again, crash_before_send),
    "retry on shortage": (retry, shortage),
    "leader decodes below q": (one_is_enough, shortage),
    "readers decode below q": (one_is_enough, lone_result),
    "a record that never comes hangs the bank": (hangs, phantom),
    "RESULTs are believed": (believes, wrong_sum),
}


@pytest.fixture
def patch() -> Iterator[pytest.MonkeyPatch]:
    """Undoes the mutant before anything else is torn down."""
    with pytest.MonkeyPatch.context() as made:
        yield made


@pytest.mark.parametrize("name", MUTANTS)
def test_the_unchanged_machines_pass(make: Make, tmp_path: Path, name: str) -> None:
    """The scenario holds without the mutant."""
    MUTANTS[name][1](make, tmp_path)


@pytest.mark.parametrize("name", MUTANTS)
def test_the_mutant_is_caught(make: Make, tmp_path: Path, patch: pytest.MonkeyPatch, name: str) -> None:
    """The same scenario fails with the mutant."""
    mutant, scenario = MUTANTS[name]
    mutant(patch)
    with pytest.raises(CaughtError):
        scenario(make, tmp_path)
