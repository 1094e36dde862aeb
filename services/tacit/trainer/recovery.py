"""The two exits of protocol 5 as steps: read the own topic, sign RESUME, store it, send it, read it back.

Guarantee: neither exit frees budget. `resume` keeps the journal and all that it was charged; `rebuild` charges a fresh
journal with the full reservation of every run that the log shows this bank in, and with the whole cap where the log
shows that more is missing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tacit import canonical
from tacit.features.spec import Contract
from tacit.federation import Manifest, Policy
from tacit.rounds.chain import chain
from tacit.rounds.ledger import ComposeResume, LedgerReport, Position, Reservation, ResumePoint, Sealed, Stored
from tacit.rounds.plan import Plan, PlanError, run_id
from tacit.rounds.terms import work_out
from tacit.rounds.types import Checked, Kind, Place, PlanBody, ResumeBody, RosterBody, header_at
from tacit.runtime.clock import Clock
from tacit.runtime.inbox import Inbox
from tacit.runtime.log import Log, LogUnavailableError
from tacit.trainer.outbox import Author
from tacit.trainer.policy import buckets
from tacit.wire import envelope, inner, topics
from tacit.wire.envelope import KeyRing, SigningKey

READ_SECONDS = 1.0
"""Longest wait of one read."""

READS = 30
"""Reads without a new record before reading back is given up."""


class RecoveryError(Exception):
    """The journal cannot be brought back as asked; nothing was written."""


class Journal(Protocol):
    """What the exits need of the bank's journal."""

    def resume(self, records: Sequence[Checked], compose: ComposeResume) -> Stored:
        """Starts the chain again from a complete journal."""

    def rebuild(
        self,
        records: Sequence[Checked],
        reservations: Sequence[Reservation],
        compose: ComposeResume,
        *,
        to_cap: bool = False,
        closed: Iterable[bytes] = (),
    ) -> Stored:
        """Fills a fresh journal from the topic."""

    def position(self) -> Position:
        """What the next record's header carries."""

    def ledger(self) -> LedgerReport:
        """What the account was charged."""

    def mark_seen(self, seq: int) -> None:
        """Notes that a record was read back from the topic."""


@dataclass(frozen=True)
class Identity:
    """A bank that recovers.

    Attributes:
        policy: Its policy.
        manifest: The epoch that it is in.
        contracts: Contracts at hand, by their ``sha256:`` digest.
        author: Its id, record key and own topic.
        governance: Its own governance key.
        earlier: Accepted epochs before `manifest`, so that their records can be read.
    """

    policy: Policy
    manifest: Manifest
    contracts: Mapping[str, Contract]
    author: Author
    governance: SigningKey
    earlier: tuple[Manifest, ...] = ()

    def __post_init__(self) -> None:
        """Refuses keys that are not the bank's own in the epoch."""
        member = self.manifest.by_id.get(self.author.bank)
        if member is None or self.author.bank != self.policy.bank:
            raise RecoveryError(
                f"bank {self.author.bank!r}: expected {self.policy.bank!r}, a member of epoch {self.manifest.epoch}"
            )
        keys = (
            ("record key", self.author.key.public, member.signing_key),
            ("governance key", self.governance.public, member.governance_key),
        )
        for name, found, expected in keys:
            if found != expected:
                raise RecoveryError(f"{name} is {found}: epoch {self.manifest.epoch} names {expected}")


@dataclass(frozen=True)
class Findings:
    """What the log says of a bank.

    Attributes:
        own: Every valid record of the own topic, in order.
        plans: Plans on the control topic, by run id.
        rostered: Run id to the digest of this bank's JOIN, as the rosters on the control topic name it.
        invalid: Entries of both topics that are no valid records.
    """

    own: tuple[Checked, ...]
    plans: Mapping[bytes, Plan]
    rostered: Mapping[bytes, bytes]
    invalid: int

    @property
    def joined(self) -> tuple[bytes, ...]:
        """Runs that this bank joined, by its own JOINs (void ones too) or a roster, in order of their ids."""
        own = {record.header.run for record in self.own if record.header.kind is Kind.JOIN}
        return tuple(sorted(own | self.rostered.keys()))

    @property
    def incomplete(self) -> bool:
        """Whether the topic lost what is unknown: a gap from 1. A JOIN that a roster names is charged as its run."""
        return chain(self.own).gap


@dataclass(frozen=True)
class Rebuild:
    """What a rebuild will charge.

    Attributes:
        findings: What it is worked out from.
        reservations: One per run that this bank joined.
        to_cap: Whether the account is charged to its cap besides.
    """

    findings: Findings
    reservations: tuple[Reservation, ...]
    to_cap: bool


def read(log: Log, identity: Identity, prefix: str = topics.DEFAULT_PREFIX) -> Findings:
    """Reads the control topic and the own topic to their ends; one that is gone reads as empty.

    Raises:
        LogUnavailableError: If the log is away.
    """
    own, control = identity.author.topic, topics.control(prefix).name
    ring = KeyRing([*identity.earlier, identity.manifest])
    inbox = Inbox(log, [control, own], lambda topic, value: envelope.open_record(topic, value, ring))
    records: list[Checked] = []
    while not inbox.caught_up():
        records += inbox.poll(READ_SECONDS)
    bodies = [(record.header.run, record.body) for record in records if record.topic == control]
    return Findings(
        own=tuple(record for record in records if record.topic == own),
        plans={run_id(body.plan_json): body.plan for _, body in bodies if isinstance(body, PlanBody)},
        rostered=_rostered(bodies, identity.author.bank),
        invalid=inbox.invalid.total(),
    )


def resume(log: Log, journal: Journal, identity: Identity, clock: Clock, findings: Findings) -> Stored:
    """Starts the chain again after the topic was moved, emptied or truncated; charges nothing.

    Args:
        log: The log.
        journal: The bank's complete journal, held by nobody else.
        identity: The bank.
        clock: Advisory time of the record.
        findings: What `read` found.

    Returns:
        The RESUME, on the topic and read back.

    Raises:
        JournalError: If the topic holds what the journal does not: that needs `rebuild`.
        LogUnavailableError: If the log went away; RESUME is stored by then, and the trainer sends it when it starts.
    """
    return _send(log, journal, identity, journal.resume(findings.own, _compose(identity, clock)))


def prepare(findings: Findings, identity: Identity, *, charge_to_cap: bool = False) -> Rebuild:
    """Works out what a rebuild charges: the full reservation of every run that the log shows this bank in.

    Args:
        findings: What `read` found.
        identity: The bank.
        charge_to_cap: Charge the account to its cap whatever the log says: what is left where topic and journal are
            both lost, or a plan or contract is gone for good.

    Raises:
        RecoveryError: If the own topic is empty, or a run's plan or contract is not at hand, and `charge_to_cap` is
            not set.
    """
    if charge_to_cap:
        known = [run for run in findings.joined if _fault(run, findings, identity) is None]
        return Rebuild(findings, tuple(_reservation(run, findings, identity) for run in known), to_cap=True)
    if not findings.own and not findings.rostered:
        raise RecoveryError(
            f"{identity.author.topic} holds no record: there is nothing to rebuild from. A journal that is still there "
            "needs `tacit ledger resume`; if journal and topic are both lost, --charge-to-cap books the whole account"
        )
    for run in findings.joined:
        fault = _fault(run, findings, identity)
        if fault is not None:
            raise RecoveryError(f"run {run.hex()}: {fault}; if it is gone for good, --charge-to-cap books the account")
    reservations = tuple(_reservation(run, findings, identity) for run in findings.joined)
    return Rebuild(findings, reservations, findings.incomplete)


def rebuild(log: Log, journal: Journal, identity: Identity, clock: Clock, prepared: Rebuild) -> Stored:
    """Fills a fresh journal after the old one was lost.

    Guarantee: every run that this bank joined, as far as the log shows, is charged its full reservation for good and is
    never joined again; nothing is freed.

    Args:
        log: The log.
        journal: A fresh journal, held by nobody else.
        identity: The bank.
        clock: Advisory time of the record.
        prepared: What `prepare` worked out.

    Returns:
        The RESUME, on the topic and read back.

    Raises:
        RecoveryError: If the journal is not fresh.
        LogUnavailableError: If the log went away; RESUME is stored by then, and the trainer sends it when it starts.
    """
    if journal.position().seq != 1 or journal.ledger().runs:
        raise RecoveryError("the journal holds records already: move it away and rebuild into a new file")
    compose = _compose(identity, clock)
    findings = prepared.findings
    stored = journal.rebuild(
        findings.own, prepared.reservations, compose, to_cap=prepared.to_cap, closed=findings.joined
    )
    return _send(log, journal, identity, stored)


def _rostered(bodies: Iterable[tuple[bytes, object]], bank: str) -> dict[bytes, bytes]:
    rosters = ((run, body.joins) for run, body in bodies if isinstance(body, RosterBody))
    return {run: joins[bank] for run, joins in rosters if bank in joins}


def _fault(run: bytes, findings: Findings, identity: Identity) -> str | None:
    """Why a run's reservation cannot be worked out."""
    plan = findings.plans.get(run)
    if plan is None:
        return "its PLAN is not on the control topic"
    if _epoch(plan, identity) is None:
        return f"manifest {plan.manifest} of its plan is not at hand"
    if plan.contract not in identity.contracts:
        return f"contract {plan.contract} of its plan is not at hand"
    return None


def _reservation(run: bytes, findings: Findings, identity: Identity) -> Reservation:
    plan = findings.plans[run]
    manifest = _epoch(plan, identity)
    if manifest is None:
        raise RecoveryError(f"manifest {plan.manifest} is not at hand")
    try:
        terms = work_out(plan, identity.contracts[plan.contract], manifest)
    except PlanError as error:
        raise RecoveryError(f"run {run.hex()}: its plan cannot be worked out: {error}") from error
    return Reservation(run, identity.policy.account, buckets(terms), terms.budget.reserved_rho_nano)


def _epoch(plan: Plan, identity: Identity) -> Manifest | None:
    epochs = (identity.manifest, *identity.earlier)
    return next((epoch for epoch in epochs if canonical.label(epoch.digest) == plan.manifest), None)


def _compose(identity: Identity, clock: Clock) -> ComposeResume:
    manifest, bank = identity.manifest, identity.author.bank

    def sealed(position: Position, point: ResumePoint) -> Sealed:
        body = ResumeBody(
            point.journal_seq, point.journal_digest, point.topic_seq, point.topic_digest, point.rebuilt, b""
        )
        place, at = Place(manifest.federation, manifest.digest), (position.seq, position.previous, position.head)
        header = header_at(Kind.RESUME, bank, place, clock.now(), position=at)
        signed = inner.sign_resume(manifest.federation, bank, body, identity.governance)
        return envelope.seal(header, signed, identity.author.key)

    return sealed


def _send(log: Log, journal: Journal, identity: Identity, stored: Stored) -> Stored:
    topic = identity.author.topic
    try:
        offset = log.append(topic, identity.author.bank.encode(), stored.value)
        _read_back(log, topic, offset, stored)
    except LogUnavailableError as error:
        error.add_note("RESUME is stored in the journal: the trainer sends it when it starts")
        raise
    journal.mark_seen(stored.seq)
    return stored


def _read_back(log: Log, topic: str, offset: int, stored: Stored) -> None:
    for _ in range(READS):
        entries = log.read({topic: offset}, 1, READ_SECONDS)
        if entries and entries[0].value == stored.value:
            return
    raise LogUnavailableError(f"{topic}: record {stored.seq} cannot be read back at offset {offset}")
