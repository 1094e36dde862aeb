"""A small federation whose runs are over, and registries over copies of its log."""

import datetime as dt
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import tacit.features
from fake_clock import FakeClock
from tacit import canonical
from tacit.adapters import sql
from tacit.adapters.artefacts import FileArtefacts
from tacit.adapters.memory import MemoryLog
from tacit.adapters.rows import RowMapping, load
from tacit.features.spec import Contract
from tacit.learning.types import Learner, QualityPlan, Shares
from tacit.privacy.types import Mode, Unit
from tacit.registry import metrics as table
from tacit.registry.handlers import Ports, Registry
from tacit.registry.statement import statement
from tacit.rounds import verify
from tacit.rounds.plan import Plan, Promote, Window
from tacit.rounds.state import Run, State
from tacit.rounds.types import AliasBody, ArtefactBody, Checked, VersionBody
from tacit.runtime import documents
from tacit.runtime.inbox import Inbox
from tacit.runtime.observing import Metrics
from tacit.sim import federation as sim
from tacit.sim.transactions import BankPlan, World, write
from tacit.versions import Guarantee, ModelVersion
from tacit.wire import envelope, topics
from tacit.wire.envelope import SigningKey
from tacit.wire.statements import read_statement

VERSIONS = topics.versions().name
LONG_AGO = "sha256:" + "0" * 64
QUALITY = Shares(preconditioner=Fraction(1, 20), gradients=Fraction(9, 10), quality=Fraction(1, 20))
PLAIN = Shares(preconditioner=Fraction(1, 20), gradients=Fraction(19, 20))


def version(number: int = 1, model: str = "card", parent: str | None = None) -> ModelVersion:
    """A statement; another number is another run."""
    return ModelVersion(
        model=model,
        run=canonical.label(number.to_bytes(32, "big")),
        contract=LONG_AGO,
        file=canonical.label((number + 1000).to_bytes(32, "big")),
        size_bytes=100,
        participants=("bank-0", "bank-1"),
        rounds=3,
        guarantee=Guarantee(Fraction(1), Fraction(1, 10**5), "customer", Mode.LOCAL, 1, 0),
        created="2018-08-01T00:00:00Z",
        parent=parent,
    )


def label(made: ModelVersion) -> str:
    """A version's digest as documents write it."""
    return canonical.label(made.digest)


@dataclass
class Case:
    """A federation with finished runs.

    Attributes:
        fed: The federation.
        runs: Run ids by name: `first`, `rival` (same parent), `second` (follows first), `auto` and `auto-next` (of
            another model, promoted by plan), `cancelled`.
    """

    fed: sim.Federation
    runs: dict[str, bytes] = field(default_factory=dict)

    @functools.cached_property
    def state(self) -> State:
        """The fold of the whole log."""
        return self.fed.audit()

    @property
    def key(self) -> SigningKey:
        """The registry's signing key."""
        return self.fed._keys[topics.REGISTRY]

    def run(self, name: str) -> Run:
        """A run, as the whole log tells it."""
        return self.state.runs[self.runs[name]]

    def version(self, name: str) -> ModelVersion:
        """The statement that a run must get."""
        run = self.run(name)
        return statement(run, len(verify.model_bytes(run)))

    def label(self, name: str) -> str:
        """Digest of the statement that a run must get."""
        return label(self.version(name))

    def file(self, name: str) -> bytes:
        """The model file that a run must get."""
        return verify.model_bytes(self.run(name))

    def log(self, keep: Callable[[str, int], bool] = lambda _topic, _offset: True) -> MemoryLog:
        """A copy of the log, its versions topic empty; `keep` says which entries it has."""
        log = MemoryLog()
        names = [topic.name for topic in topics.federation(topics.DEFAULT_PREFIX, self.fed.finished)]
        log.create(names)
        for name in names:
            for entry in self.fed.log.read({name: 0}, 100_000):
                if name != VERSIONS and keep(name, entry.offset):
                    log.append(name, entry.key, entry.value)
        return log

    def before(self, name: str) -> MemoryLog:
        """A copy of the log that ends with the END of a run."""
        end = self.run(name).end
        assert end is not None
        control = topics.control().name
        entries = self.fed.log.read({control: 0}, 100_000)
        last = max(entry.offset for entry in entries if envelope.record_digest(entry.value) == end.digest)
        return self.log(lambda topic, offset: topic != control or offset <= last)


@dataclass
class Desk:
    """A registry's surroundings, which outlive its processes: log, folder and clock.

    Attributes:
        case: Where the runs come from.
        log: The log.
        folder: Database and files.
    """

    case: Case
    log: MemoryLog
    folder: Path
    clock: FakeClock = field(default_factory=lambda: FakeClock(1_600_000_000.0))
    stores: list[sql.SqlVersionStore] = field(default_factory=list)

    def ports(self) -> Ports:
        """Ports of one more process."""
        url = sql.sqlite_url(self.folder / "registry.sqlite")
        sql.upgrade(url)
        self.stores.append(sql.SqlVersionStore(sql.open_engine(url)))
        followed = [topics.control().name, *(topics.bank(topics.DEFAULT_PREFIX, bank).name for bank in self.banks)]
        return Ports(
            log=self.log,
            runs=self.inbox(followed),
            published=self.inbox([VERSIONS]),
            store=self.stores[-1],
            artefacts=FileArtefacts(str(self.folder / "artefacts")),
            clock=self.clock,
            key=self.case.key,
            topic=VERSIONS,
            metrics=Metrics(table.TABLE),
        )

    @property
    def banks(self) -> list[str]:
        """Bank ids."""
        return list(self.case.fed.finished)

    def registry(self, ports: Ports | None = None) -> Registry:
        """One more process, not stepped yet."""
        fed = self.case.fed
        state = State(fed.manifest, {canonical.label(fed.contract.digest): fed.contract})
        return Registry(state, ports or self.ports())

    def stepped(self, steps: int = 8) -> Registry:
        """One more process that did its work."""
        registry = self.registry()
        for _ in range(steps):
            registry.step(0.0)
        return registry

    def inbox(self, names: list[str]) -> Inbox:
        """Follows topics of the log."""
        return Inbox(self.log, names, lambda topic, value: envelope.open_record(topic, value, self.case.fed.keys))

    def records(self) -> list[Checked]:
        """What stands on the versions topic."""
        return self.inbox([VERSIONS]).poll(0.0, 10_000)

    def published(self) -> list[ModelVersion]:
        """Statements on the versions topic, repeats included."""
        bodies = [record.body for record in self.records()]
        return [read_statement(body.statement) for body in bodies if isinstance(body, VersionBody)]

    def moves(self) -> list[AliasBody]:
        """Alias moves on the versions topic."""
        return [record.body for record in self.records() if isinstance(record.body, AliasBody)]

    def files(self) -> list[bytes]:
        """Model files on the versions topic."""
        return [record.body.content for record in self.records() if isinstance(record.body, ArtefactBody)]

    def close(self) -> None:
        """Closes every process's database."""
        for store in self.stores:
            store.close()


def make_case(folder: Path) -> Iterator[Case]:
    """Runs the federation; a few seconds."""
    contract = documents.load(Contract, Path(tacit.features.__file__).parent / "contracts/card.yaml")
    banks = tuple(BankPlan(name=f"bank-{number}", customers=10) for number in range(2))
    world = World(seed=1, banks=banks, days=60, start=dt.date(2018, 1, 1))
    folders = write(world, folder / "data")
    rows = {
        name: load(str(path / "data"), documents.load(RowMapping, path / "mapping.yaml"))
        for name, path in folders.items()
    }
    for name in rows:
        (folder / "fed" / name).mkdir(parents=True)
    case = Case(sim.Federation(rows, contract, folder / "fed"))
    _run_all(case)
    yield case
    case.fed.close()


def plan_of(fed: sim.Federation, number: int) -> Plan:
    """A small plan."""
    return Plan(
        federation="sim",
        manifest=canonical.label(fed.manifest.digest),
        not_after=dt.date(2030, 1, 1),
        model="card",
        contract=canonical.label(fed.contract.digest),
        unit=Unit.CUSTOMER,
        mode=Mode.LOCAL,
        epsilon=Fraction(8),
        delta=Fraction(1, 10**5),
        population=100,
        window=Window(dt.date(2018, 2, 15), 14, 7, 7),
        learner=Learner(rounds=1, average=1),
        shares=PLAIN,
        nonce=f"{number:064x}",
    )


def _run_all(case: Case) -> None:
    fed = case.fed
    first = replace(plan_of(fed, 1), quality=QualityPlan(), shares=QUALITY)
    _run(case, "first", first)
    _run(case, "rival", plan_of(fed, 2))
    _run(case, "second", replace(plan_of(fed, 3), parent=case.label("first")))
    _run(case, "auto", replace(plan_of(fed, 4), model="auto", promote=Promote.AUTO))
    following = replace(plan_of(fed, 5), model="auto", promote=Promote.AUTO, parent=case.label("auto"))
    _run(case, "auto-next", following)


def _run(case: Case, name: str, plan: Plan) -> None:
    case.runs[name] = case.fed.submit(plan)
    case.fed.run(case.runs[name], 2000)
    case.__dict__.pop("state", None)
