"""A small federation for tests: two columns, tiny rows, fast plans, and records signed by a hostile aggregator."""

import datetime as dt
import hashlib
import random
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl

from tacit import canonical
from tacit.adapters.memory import MemoryLog
from tacit.features.spec import Column, ColumnType, Contract, Hat, Provenance, Transform
from tacit.federation import Manifest, Member, Operator
from tacit.learning.types import Clip, Learner, QualityPlan, Shares
from tacit.privacy.types import Mode, Unit
from tacit.rounds import verify
from tacit.rounds.plan import Plan, Window, run_id
from tacit.rounds.state import Run, State
from tacit.rounds.terms import Terms, work_out
from tacit.rounds.types import (
    FENCED_KINDS,
    Body,
    Checked,
    EndBody,
    Kind,
    LeadBody,
    OpenBody,
    Outcome,
    Place,
    context,
    header_at,
)
from tacit.sim.federation import OPERATOR, Federation, Hazards
from tacit.wire import envelope, inner, topics
from tacit.wire.envelope import Sealed

DAY = 86_400
START = dt.date(2018, 1, 1)
END = dt.date(2018, 2, 1)
CONTROL = topics.control().name
STORM = Hazards(away=0.1, lost_acknowledgement=0.05, duplicate=0.05, delay=0.1, crash=0.02)


def _column(name: str, kind: ColumnType, edges: tuple[int, ...]) -> Column:
    fractions = tuple(Fraction(edge) for edge in edges)
    return Column(name, kind, Provenance.CUSTOMER, fractions, Fraction(20), Fraction(20))


CONTRACT = Contract(
    columns=(
        _column("amount", ColumnType.AMOUNT, (5, 10, 20, 50, 100)),
        Column("weekend", ColumnType.FLAG, Provenance.CUSTOMER, (Fraction(1, 2),), Fraction(1, 4), Fraction(1, 2)),
    ),
    linear=("amount", "weekend"),
    hats=(Hat("amount", Transform.LOG, tuple(map(Fraction, (5, 20, 100)))),),
    scale=Fraction(1, 2),
)
LABEL = canonical.label(CONTRACT.digest)


def rows(seed: int, customers: int = 6, count: int = 60) -> pl.DataFrame:
    """Normalised rows of one bank from January to mid-February 2018; large amounts are often frauds."""
    rng = np.random.default_rng(seed)
    first = int(dt.datetime(2018, 1, 1, tzinfo=dt.UTC).timestamp())
    time = first + np.sort(rng.integers(0, 45 * DAY, count))
    amount = rng.integers(100, 20_000, count)
    label = (rng.random(count) < amount / 40_000).astype(np.uint8)
    return pl.DataFrame(
        {
            "transaction": np.array([f"{seed}-{row}" for row in range(count)]),
            "customer": np.array([f"c{seed}-{one}" for one in rng.integers(0, customers, count)]),
            "entity": rng.integers(0, 4, count),
            "time": time,
            "amount": amount,
            "label": label,
            "label_time": time + 3 * DAY,
            "weekend": (np.arange(count) % 3 == 0).astype(np.uint8),
            "night": np.zeros(count, dtype=np.uint8),
        }
    )


def banks(count: int, **changes: int) -> dict[str, pl.DataFrame]:
    """Rows of some banks, by bank id."""
    return {f"bank-{number}": rows(number, **changes) for number in range(count)}


def plan_for(fed: Federation, number: int = 0, **changes: object) -> Plan:
    """A plan of three rounds (curvature, one gradient, quality) that a bank of these cases accepts."""
    named = {"manifest": canonical.label(fed.manifest.digest), "nonce": f"{number:064x}", **changes}
    return replace(any_plan(), **named)  # type: ignore[arg-type]


def any_plan() -> Plan:
    """That plan under no epoch at all."""
    return Plan(
        federation="sim",
        manifest=canonical.label(bytes(32)),
        not_after=dt.date(2030, 1, 1),
        model="card",
        contract=LABEL,
        unit=Unit.CUSTOMER,
        mode=Mode.LOCAL,
        epsilon=Fraction(8),
        delta=Fraction(1, 10**5),
        population=100,
        window=Window(END, 31, 7, 7),
        learner=Learner(rounds=1, average=1, clip=Clip(Fraction(1), Fraction(2))),
        shares=Shares(Fraction(1, 20), Fraction(9, 10), Fraction(0), Fraction(1, 20)),
        quality=QualityPlan(edges=(Fraction(-2), Fraction(0))),
        nonce="0" * 64,
    )


def federation(folder: Path, count: int = 3, **changes: object) -> Federation:
    """A federation of some banks with its folders."""
    frames = banks(count)
    for name in frames:
        (folder / name).mkdir(parents=True)
    return Federation(frames, CONTRACT, folder, **changes)  # type: ignore[arg-type]


def until(fed: Federation, done: object, turns: int = 400) -> None:
    """Takes turns until a condition holds; fails if it never does."""
    for _ in range(turns):
        if done():  # type: ignore[operator]
            return
        fed.turn()
    raise AssertionError(f"still waiting after {turns} turns")


def without(fed: Federation, *names: str) -> None:
    """Takes nodes away: they get no turns, as if their machines were off."""
    fed.nodes = [node for node in fed.nodes if node.name not in names]


def fold_of(fed: Federation, bank: str) -> State:
    """A bank's own fold."""
    return fed._handlers[bank].state


def journal_of(fed: Federation, bank: str) -> object:
    """A bank's journal."""
    return fed._handlers[bank]._ports.journal


def by_kind(fed: Federation, kind: Kind) -> list[Checked]:
    """Every valid record of a kind on any topic, repeats left out."""
    return list({record.digest: record for record in fed.records() if record.header.kind is kind}.values())


def kinds_of(fed: Federation, bank: str) -> list[Kind]:
    """Kinds of a bank's records, in order, repeats left out."""
    found = {record.digest: record for record in fed.records() if record.header.sender == bank}
    return [record.header.kind for record in found.values()]


@dataclass(frozen=True)
class Hostile:
    """A party that holds the aggregator's key and writes what it likes."""

    fed: Federation

    def write(self, kind: Kind, body: Body, place: Place, fence: bytes | None = None) -> Sealed:
        """Signs and appends a control record."""
        sealed = self.sealed(kind, body, place, fence)
        self.fed.log.append(CONTROL, b"aggregator", sealed.value)
        return sealed

    def sealed(self, kind: Kind, body: Body, place: Place, fence: bytes | None = None) -> Sealed:
        """Signs a control record under the LEAD in force."""
        if fence is None:
            fence = self.fed.audit().fence if kind in FENCED_KINDS else b""
        header = header_at(kind, topics.AGGREGATOR, place, self.fed.clock.now(), fence=fence)
        return envelope.seal(header, body, self.fed._keys[topics.AGGREGATOR])

    def lead(self) -> bytes:
        """Takes the lead; the fence."""
        body = LeadBody(self.fed.draw.randbytes(32), "mallory", self.fed.audit().fence)
        return self.write(Kind.LEAD, body, Place("sim", self.fed.manifest.digest)).digest


def run_place(fed: Federation, run: bytes) -> Place:
    """What OPEN, ROSTER and JOIN are bound to."""
    return Place("sim", fed.manifest.digest, run)


def broken(fed: Federation, run_key: bytes) -> list[str]:
    """What is wrong with a run that is over, in words: the protocol's invariants, checked from log and journals."""
    state = fed.audit()
    run = state.runs[run_key]
    found = [*_sums(fed, run), *_spends(fed, run)]
    if state.equivocations:
        found.append(f"{len(state.equivocations)} signed contradictions")
    body = run.end.body if run.end is not None else None
    if not isinstance(body, EndBody):
        return [*found, "no END"]
    if body.outcome is Outcome.FINISHED:
        deviation = verify.check_run(state, run)
        found += [deviation.text] if deviation else []
        model = verify.model_bytes(run)
        found += [f"{bank} has another model" for bank, models in fed.finished.items() if models.get(run_key) != model]
    return found


def _sums(fed: Federation, run: Run) -> list[str]:
    releases = {record.digest: record for record in by_kind(fed, Kind.RELEASE)}
    found = []
    for result in run.results:
        vectors = [_signed(releases[digest].body.cells) for digest in result.body.used.values()]  # type: ignore[union-attr]
        if len(vectors) < run.quorum:
            found.append(f"slot {result.header.slot}: decoded {len(vectors)} vectors, below {run.quorum}")
        if tuple(int(cell) for cell in np.sum(vectors, axis=0)) != result.body.sums:  # type: ignore[union-attr]
            found.append(f"slot {result.header.slot}: the sum is not exact")
    return found


def _signed(cells: tuple[int, ...]) -> np.ndarray:
    return np.array(cells, dtype=np.uint64).view(np.int64)


def _spends(fed: Federation, run: Run) -> list[str]:
    found = []
    for bank in fed.finished:
        sent: dict[int, set[bytes]] = {}
        for record in by_kind(fed, Kind.RELEASE):
            if (record.header.sender, record.header.run) == (bank, run.id):
                sent.setdefault(record.header.slot, set()).add(_signed(record.body.cells).astype("<i8").tobytes())
        for slot, payloads in sent.items():
            spend = journal_of(fed, bank).spent(run.id, slot)  # type: ignore[attr-defined]
            digests = {hashlib.sha256(payload).digest() for payload in payloads}
            if spend is None or digests != {spend.payload_digest}:
                found.append(f"{bank} published {len(digests)} vectors for slot {slot}, its journal knows another")
        found += _charged(fed, bank, run, len(sent))
    return found


def _charged(fed: Federation, bank: str, run: Run, slots: int) -> list[str]:
    charges = [item for item in journal_of(fed, bank).ledger().runs if item.run == run.id]  # type: ignore[attr-defined]
    assert run.terms is not None
    costs = [run.terms.budget.noises[attempt.round].rho_nano for attempt in run.attempts[:]]
    if not charges:
        return [] if slots == 0 else [f"{bank} answered without a reservation"]
    charge = charges[0]
    found = [] if charge.spent_nano <= sum(costs) else [f"{bank} spent {charge.spent_nano}, asked were {sum(costs)}"]
    if charge.spent_nano > charge.reserved_nano:
        found.append(f"{bank} spent beyond its reservation")
    return found


__all__ = [
    "CONTRACT",
    "LABEL",
    "OPERATOR",
    "STORM",
    "Hostile",
    "MemoryLog",
    "OpenBody",
    "context",
    "dt",
    "inner",
    "random",
    "run_id",
]


def terms(**changes: object) -> Terms:
    """A plan of these cases worked out under an epoch of three members that nobody signed."""
    members = tuple(Member(f"bank-{n}", n, f"s{n}", f"g{n}", f"User:{n}") for n in (1, 2, 3))
    numbers = {"t": 3, "q": 3, "c": 1, "modes": (Mode.LOCAL,), "contracts": (LABEL,)}
    roles = {"operators": (Operator("operator", "o"),), "aggregator": "a", "registry": "r"}
    epoch = Manifest(federation="sim", epoch=1, members=members, **roles, **numbers)  # type: ignore[arg-type]
    return work_out(replace(any_plan(), manifest=canonical.label(epoch.digest), **changes), CONTRACT, epoch)  # type: ignore[arg-type]


def month_column() -> Column:
    """A column that looks thirty days back."""
    edges = (Fraction(5), Fraction(50))
    return Column(
        "amount", ColumnType.AMOUNT, Provenance.CUSTOMER, edges, Fraction(20), Fraction(20),
        of="mean(amount)", key="customer", days=30, delay_days=0,
    )  # fmt: skip
