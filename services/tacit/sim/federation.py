"""A whole federation in one process: the real handlers over a memory log, a seeded scheduler, a virtual clock.

What the network and the machines may do to it stands in `Hazards`. Noise still comes from the operating system:
a seed fixes who runs when and what breaks, never what is drawn.
"""

import random
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import polars as pl

from tacit import canonical, federation
from tacit.adapters.journal import open_for
from tacit.adapters.memory import MemoryLog
from tacit.aggregator import handlers as aggregator
from tacit.features import windows
from tacit.features.spec import Contract
from tacit.federation import Cap, Manifest, Member, Operator, Policy
from tacit.privacy.types import Mode, Unit
from tacit.rounds.plan import Plan, run_id
from tacit.rounds.state import Run, State
from tacit.rounds.types import Checked, header_at
from tacit.runtime.inbox import Inbox
from tacit.runtime.log import Entry, LogUnavailableError
from tacit.trainer import handlers as trainer
from tacit.trainer.checks import Finished
from tacit.trainer.outbox import Author, Outbox
from tacit.trainer.ports import RowsUnusableError
from tacit.wire import envelope, inner, topics
from tacit.wire.envelope import KeyRing, SigningKey

T = TypeVar("T")

OPERATOR = "operator"
TURN_SECONDS = 0.05


@dataclass(frozen=True)
class Hazards:
    """What goes wrong, as probabilities per turn of a node or per append.

    Attributes:
        away: The log does not answer for one turn.
        lost_acknowledgement: An append succeeds but its sender is told that it did not.
        duplicate: An append is on the log twice.
        delay: A topic's newest entries stay hidden from a reader for one turn, each topic for itself.
        crash: A node dies after its turn and starts again from its disk.
    """

    away: float = 0.0
    lost_acknowledgement: float = 0.0
    duplicate: float = 0.0
    delay: float = 0.0
    crash: float = 0.0


class VirtualClock:
    """Time that moves only when the scheduler says so; every node shares it."""

    def __init__(self, start: float) -> None:
        self._start = start
        self._elapsed = 0.0

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        return self._start + self._elapsed

    def monotonic(self) -> float:
        """Seconds since the simulation began."""
        return self._elapsed

    def sleep(self, seconds: float) -> None:
        """Moves time."""
        self._elapsed += seconds


class View:
    """One node's way to the log, with hazards on it; the log behind it is shared.

    Args:
        log: The log behind.
        hazards: What goes wrong.
        draw: The scheduler's random numbers.
    """

    def __init__(self, log: MemoryLog, hazards: Hazards, draw: random.Random) -> None:
        self._log = log
        self._hazards = hazards
        self._draw = draw
        self._seen: dict[str, int] = {}
        self.cut = False

    def turn(self) -> None:
        """Decides what this node can see until its next turn."""
        self.cut = self._hits(self._hazards.away)
        for topic in list(self._seen):
            if not self._hits(self._hazards.delay):
                self._seen[topic] = self._log.end(topic)

    def append(self, topic: str, key: bytes, value: bytes, headers: tuple[tuple[str, bytes], ...] = ()) -> int:
        """Appends; may claim to have failed, or append twice."""
        self._check()
        offset = self._log.append(topic, key, value, headers)
        if self._hits(self._hazards.duplicate):
            self._log.append(topic, key, value, headers)
        if self._hits(self._hazards.lost_acknowledgement):
            raise LogUnavailableError("simulated: the acknowledgement was lost")
        return offset

    def read(self, positions: Mapping[str, int], limit: int = 500, timeout: float = 0.0) -> list[Entry]:  # noqa: ARG002  the port's signature
        """Reads what this node can see; never waits."""
        self._check()
        entries = self._log.read(positions, limit, 0.0)
        return [entry for entry in entries if entry.offset < self.end(entry.topic)]

    def end(self, topic: str) -> int:
        """The end that this node can see."""
        self._check()
        return self._seen.setdefault(topic, self._log.end(topic))

    def create(self, topics: Iterable[str]) -> None:
        """Creates topics."""
        self._log.create(topics)

    def close(self) -> None:
        """Nothing to release."""

    def _check(self) -> None:
        if self.cut:
            raise LogUnavailableError("simulated: the log is away")

    def _hits(self, probability: float) -> bool:
        return probability > 0 and self._draw.random() < probability


class InlineWorker:
    """Does work at once."""

    busy = False

    def done(self, key: object, work: Callable[[], T]) -> T:  # noqa: ARG002  the port's signature
        """The work's result."""
        return work()

    def forget(self, key: object) -> None:
        """Keeps nothing."""


@dataclass
class FrameRows:
    """A bank's normalised rows in memory."""

    frame: pl.DataFrame
    zone: str = "UTC"

    def read(self, first: int, last: int) -> pl.DataFrame:
        """Rows with first <= time < last."""
        return self.frame.filter(pl.col("time").is_between(first, last, closed="left"))

    def check(self, contract: Contract) -> None:
        """Refuses a contract that the columns do not fit.

        Raises:
            RowsUnusableError: If a column or a feed is missing or of a wrong type.
        """
        try:
            windows.compute(self.frame.clear(), contract, self.feeds(()))
        except windows.FeatureError as error:
            raise RowsUnusableError(str(error)) from error

    def feeds(self, names: Collection[str]) -> Mapping[str, pl.DataFrame]:  # noqa: ARG002  the port's signature
        """No feeds."""
        return {}


@dataclass(frozen=True)
class AlwaysLease:
    """A lease that everybody holds: the LEAD record has to decide."""

    holder_id: str

    def try_hold(self) -> bool:
        """Always."""
        return True

    def release(self) -> None:
        """Nothing to give up."""


@dataclass
class Node:
    """A process: its handler, its view of the log, and how to start it again from its disk."""

    name: str
    view: View
    start: Callable[[View], tuple[Callable[[float], None], Callable[[], None]]]
    step: Callable[[float], None] = field(init=False)
    stop: Callable[[], None] = field(init=False)

    def __post_init__(self) -> None:
        """Starts it."""
        self.step, self.stop = self.start(self.view)

    def restart(self) -> None:
        """Kills it and starts it again."""
        self.stop()
        self.step, self.stop = self.start(self.view)


class Federation:
    """Banks, an aggregator (or several) and an operator over one memory log.

    Args:
        banks: Normalised rows per bank.
        contract: The feature contract.
        folder: Where journals and snapshots lie; one federation per folder.
        seed: Of the scheduler.
        hazards: What goes wrong.
        aggregators: How many compete.
        start: The clock's start, seconds since 1970 UTC.

    Attributes:
        manifest: Epoch 1.
        log: The shared log.
        clock: The virtual clock.
        finished: Bank to the models that it verified, by run id.
    """

    def __init__(
        self,
        banks: Mapping[str, pl.DataFrame],
        contract: Contract,
        folder: Path,
        *,
        seed: int = 0,
        hazards: Hazards | None = None,
        aggregators: int = 1,
        start: float = 1_600_000_000.0,
    ) -> None:
        self.draw = random.Random(seed)  # noqa: S311  schedules, not secrets
        self.contract = contract
        self.clock = VirtualClock(start)
        self.log = MemoryLog()
        self.finished: dict[str, dict[bytes, bytes]] = {name: {} for name in banks}
        self._handlers: dict[str, trainer.Trainer] = {}
        self._folder = folder
        self._banks = banks
        self._keys = {name: SigningKey.generate() for name in [*banks, topics.AGGREGATOR, topics.REGISTRY, OPERATOR]}
        self._governance = {name: SigningKey.generate() for name in banks}
        self.manifest = self._manifest()
        self.keys = KeyRing([self.manifest])
        self.log.create([topic.name for topic in topics.federation(topics.DEFAULT_PREFIX, banks)])
        hazards = hazards or Hazards()
        self.nodes = [
            Node(f"aggregator-{number}", View(self.log, hazards, self.draw), self._aggregator)
            for number in range(aggregators)
        ]
        self.nodes += [Node(name, View(self.log, hazards, self.draw), self._starter(name)) for name in banks]
        self._hazards = hazards

    def submit(self, plan: Plan) -> bytes:
        """Signs a plan and puts it on the log, as the aggregator's HTTP port does; returns the run id."""
        body = inner.sign_plan(plan, OPERATOR, self._keys[OPERATOR])
        order = aggregator.plan_order(self.manifest, body)
        header = header_at(order.kind, topics.AGGREGATOR, order.place, self.clock.now())
        sealed = envelope.seal(header, body, self._keys[topics.AGGREGATOR])
        self.log.append(topics.control().name, topics.AGGREGATOR.encode(), sealed.value)
        return run_id(body.plan_json)

    def turn(self) -> None:
        """Every node gets one turn, in the scheduler's order; then time moves."""
        for node in self.draw.sample(self.nodes, len(self.nodes)):
            node.view.turn()
            try:
                node.step(0.0)
            except LogUnavailableError:
                continue
            if self._hazards.crash and self.draw.random() < self._hazards.crash:
                node.restart()
        self.clock.sleep(TURN_SECONDS)

    def run(self, run: bytes, turns: int = 20_000) -> Run:
        """Takes turns until every bank has closed a run.

        Returns:
            The run, as a reader of the whole log sees it.

        Raises:
            TimeoutError: If it takes more than `turns` turns: something is stuck.
        """
        for _ in range(turns):
            self.turn()
            if self._closed(run):
                return self.audit().runs[run]
        raise TimeoutError(f"run {run.hex()} is not over after {turns} turns")

    def audit(self) -> State:
        """The fold of a reader that sees the whole log."""
        state = State(self.manifest, {canonical.label(self.contract.digest): self.contract})
        for record in self.records():
            state.apply(record)
        return state

    def records(self) -> list[Checked]:
        """Every valid record, topic by topic."""
        inbox = self._inbox(View(self.log, Hazards(), self.draw))
        found: list[Checked] = []
        while batch := inbox.poll(0.0):
            found += batch
        return found

    def close(self) -> None:
        """Stops every node."""
        for node in self.nodes:
            node.stop()

    def _closed(self, run: bytes) -> bool:
        folds = [node for node in self.nodes if node.name in self._banks]
        return all(self._handlers[node.name].closed(run) for node in folds)

    def _manifest(self) -> Manifest:
        members = tuple(
            Member(name, index, self._keys[name].public, self._governance[name].public, f"User:{name}")
            for index, name in enumerate(sorted(self._banks), 1)
        )
        t, q, c = federation.default_quorums(len(members))
        modes = (Mode.LOCAL,) if len(members) < 3 else (Mode.LOCAL, Mode.DISTRIBUTED)  # noqa: PLR2004  protocol 1
        manifest = Manifest(
            federation="sim",
            epoch=1,
            members=members,
            operators=(Operator(OPERATOR, self._keys[OPERATOR].public),),
            aggregator=self._keys[topics.AGGREGATOR].public,
            registry=self._keys[topics.REGISTRY].public,
            t=t,
            q=q,
            c=c,
            modes=modes,
            contracts=(canonical.label(self.contract.digest),),
        )
        for name, key in [(OPERATOR, self._keys[OPERATOR]), *sorted(self._governance.items())]:
            manifest = federation.sign_manifest(manifest, name, key)
        return manifest

    def _policy(self, bank: str) -> Policy:
        cap = Cap(Fraction(64), Fraction(1, 10**5))
        policy = Policy(
            bank=bank,
            account="rows",
            unit=Unit.CUSTOMER,
            bucket_cap=cap,
            lifetime_cap=cap,
            root=canonical.label(self.manifest.digest),
            peers={member.id: federation.fingerprint(member.governance_key) for member in self.manifest.members},
            contracts=self.manifest.contracts,
            modes=self.manifest.modes,
            largest_delta=Fraction(1, 1000),
            allow_mixing_features=True,
        )
        return federation.accept(policy, self.manifest)

    def _inbox(self, view: View) -> Inbox:
        names = [topics.control().name, *(topics.bank(topics.DEFAULT_PREFIX, name).name for name in self._banks)]
        return Inbox(view, names, lambda topic, value: envelope.open_record(topic, value, self.keys))

    def _contracts(self) -> dict[str, Contract]:
        return {canonical.label(self.contract.digest): self.contract}

    def _aggregator(self, view: View) -> tuple[Callable[[float], None], Callable[[], None]]:
        ports = aggregator.Ports(
            log=view,
            inbox=self._inbox(view),
            lease=AlwaysLease("sim"),
            clock=self.clock,
            entropy=self.draw.randbytes,
            key=self._keys[topics.AGGREGATOR],
            topic=topics.control().name,
        )
        state = State(self.manifest, self._contracts())
        made = aggregator.Aggregator(state, canonical.encode(self.manifest), ports)
        return made.step, lambda: None

    def _starter(self, bank: str) -> Callable[[View], tuple[Callable[[float], None], Callable[[], None]]]:
        def start(view: View) -> tuple[Callable[[float], None], Callable[[], None]]:
            policy = self._policy(bank)
            journal = open_for(self._folder / bank / "journal.sqlite", policy, self.clock)
            topic = topics.bank(topics.DEFAULT_PREFIX, bank).name
            outbox = Outbox(Author(bank, self._keys[bank], topic), journal, view, self.clock)
            ports = trainer.Ports(
                inbox=self._inbox(view),
                outbox=outbox,
                journal=journal,
                rows=FrameRows(self._banks[bank]),
                worker=InlineWorker(),
                clock=self.clock,
                entropy=self.draw.randbytes,
            )
            place = trainer.Bank(policy, self.manifest, self._contracts(), self._folder / bank / "snapshots", topic)
            made = trainer.Trainer(place, ports, lambda done: self._took(bank, done))
            self._handlers[bank] = made
            return made.step, journal.close

        return start

    def _took(self, bank: str, done: Finished) -> bool:
        self.finished[bank][done.run.id] = done.model
        return True


def with_nonce(plan: Plan, number: int) -> Plan:
    """The same plan as another run."""
    return replace(plan, nonce=f"{number:064x}")
