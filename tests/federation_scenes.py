"""Scenes that several tests start from: a hostile leader, a clone of a disk, a record that never comes."""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import federation_cases as cases
from federation_cases import Hostile, plan_for, until
from tacit.aggregator.leader import Leader, Order
from tacit.rounds.ledger import RunState
from tacit.rounds.plan import Deadlines
from tacit.rounds.state import Run, State, next_question
from tacit.rounds.types import Kind, Place, ResultBody, VerdictBody
from tacit.sim.federation import Federation, Hazards, Node, View

Make = Callable[..., Federation]
BANK = "bank-0"
DIGEST = hashlib.sha256(b"no record").digest()


class Scene:
    """A run whose honest aggregator was taken away once the banks had answered slot 0; a hostile one leads now."""

    def __init__(self, fed: Federation, *, away: tuple[str, ...] = ()) -> None:
        self.fed = fed
        deadlines = Deadlines(join="1s", attempt="1s", grace="100ms", run="1h")
        self.id = fed.submit(replace(plan_for(fed), deadlines=deadlines))
        until(fed, lambda: self.id in self.state.runs and self.run.attempts)
        self.leaders = [node for node in fed.nodes if node.name.startswith("aggregator")]
        cases.without(fed, "aggregator-0", *away)
        until(fed, lambda: len(cases.by_kind(fed, Kind.RELEASE)) == 3 - len(away))
        self.hostile = Hostile(fed)
        self.hostile.lead()

    @property
    def state(self) -> State:
        """The fold of the whole log."""
        return self.fed.audit()

    @property
    def run(self) -> Run:
        """The run in it."""
        return self.state.runs[self.id]

    def honest(self) -> Order:
        """What an honest leader would append next, were all patience over."""
        leader = Leader(self.state, self.fed.clock)
        order = leader.decide()
        assert order is not None
        return order

    def result(self, **changes: object) -> str:
        """Appends the honest RESULT with changes; why it is void, or nothing."""
        order = self.honest()
        return self.write(Kind.RESULT, replace(order.body, **changes), order.place)  # type: ignore[type-var]

    def write(self, kind: Kind, body: object, place: Place, fence: bytes | None = None) -> str:
        """Appends a record; why it is void, or nothing."""
        sealed = self.hostile.write(kind, body, place, fence)  # type: ignore[arg-type]
        return dict(self.state.void_records).get(sealed.digest, "")

    def go_on(self) -> None:
        """Appends what an honest leader would."""
        order = self.honest()
        assert self.write(order.kind, order.body, order.place) == ""

    def turns(self, count: int = 8) -> None:
        """Lets everybody act."""
        for _ in range(count):
            self.fed.turn()

    def back(self) -> None:
        """The honest aggregator returns and the run comes to its end."""
        self.fed.nodes += self.leaders
        self.fed.run(self.id, 2_000)

    def verdicts(self) -> dict[str, str]:
        """What each bank said of the run."""
        found = cases.by_kind(self.fed, Kind.VERDICT)
        return {item.header.sender: item.body.deviation for item in found if isinstance(item.body, VerdictBody)}

    def answers(self, slot: int) -> int:
        """How many banks answered a slot."""
        return sum(record.header.slot == slot for record in cases.by_kind(self.fed, Kind.RELEASE))

    def states(self) -> set[RunState]:
        """Where the banks stand."""
        return {cases.journal_of(self.fed, bank).state(self.id) for bank in self.fed.finished}  # type: ignore[attr-defined]


def lie(scene: Scene, sums: tuple[int, ...]) -> str:
    """A RESULT with other sums and the weights that follow from them."""
    run = scene.run
    assert run.course is not None
    honest = scene.honest().body
    assert isinstance(honest, ResultBody)
    weights, structure = next_question(run.course.advance(sums, honest.variance))
    return scene.result(sums=sums, weights=weights, structure=structure)


def phantom(make: Make) -> Scene:
    """A RESULT that names a RELEASE of a bank that never answered, then the next question."""
    scene = Scene(make(3, seed=2), away=("bank-2",))
    scene.fed.clock.sleep(5)
    run, noise = scene.run, scene.run.terms.budget.noises[0]  # type: ignore[union-attr]
    used = {item.header.sender: item.digest for item in cases.by_kind(scene.fed, Kind.RELEASE)} | {"bank-2": DIGEST}
    sums = (4,) * run.terms.stages[0].cells  # type: ignore[union-attr]
    question = next_question(run.course.advance(sums, 3 * noise.variance))  # type: ignore[union-attr]
    body = ResultBody(used, sums, 3 * noise.variance, noise.rho_nano, *question)
    assert scene.write(Kind.RESULT, body, run.place(scene.fed.manifest, run.attempt)) == ""
    scene.go_on()
    scene.turns()
    return scene


def node_of(fed: Federation, name: str = BANK) -> Node:
    """A bank's node."""
    return next(node for node in fed.nodes if node.name == name)


def midway(make: Make, answers: int = 3) -> tuple[Federation, bytes]:
    """A federation in the middle of a run."""
    fed = make(3, seed=1)
    run = fed.submit(plan_for(fed))
    until(fed, lambda: len(cases.by_kind(fed, Kind.RELEASE)) >= answers)
    return fed, run


def clone(fed: Federation, folder: Path) -> Node:
    """A second trainer of the bank on a copy of its disk, which sees nothing newer than what is there now."""
    shutil.copytree(fed._folder / BANK, folder / BANK)
    first, handler = fed._folder, fed._handlers[BANK]
    fed._folder = folder
    view = View(fed.log, Hazards(delay=1.0), fed.draw)
    for topic in fed.nodes[0].view._seen:
        view.end(topic)
    made = Node(BANK, view, fed._starter(BANK))
    fed._folder, fed._handlers[BANK] = first, handler
    return made


def sees_again(node: Node) -> None:
    """Ends the delay of a clone's view."""
    node.view._hazards = Hazards()
