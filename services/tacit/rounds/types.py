"""One frozen class per record kind, the record's header, and `Checked`: a record whose signature held.

Names and rules: protocol 2. Digests are 32 bytes of SHA-256; an absent digest is empty. `Checked` is
constructed only in `wire.envelope`.
"""

import enum
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields

from tacit.federation import Manifest
from tacit.learning.types import Structure, Weights
from tacit.rounds.plan import Plan

DIGEST_BYTES = 32


class RoundError(Exception):
    """A run cannot go on as asked; the message says what and what to do."""


class Kind(enum.IntEnum):
    """Record kinds; the numbers are those of the wire format."""

    MANIFEST = 1
    LEAD = 2
    PLAN = 3
    ORDER = 4
    OPEN = 5
    START = 6
    RESUME = 7
    LEFT = 8
    JOIN = 9
    REFUSED = 10
    ROSTER = 11
    DEAL = 12
    SHARES = 13
    COMPLAINT = 14
    COHORT = 15
    QUERY = 16
    RELEASE = 17
    MASKED = 18
    SURVIVORS = 19
    ACK = 20
    UNMASK = 21
    RESULT = 22
    ABORT = 23
    END = 24
    VERDICT = 25
    VERSION = 26
    ARTEFACT = 27
    ALIAS = 28
    CHECKPOINT = 29


CONTROL_KINDS = frozenset(
    {Kind.MANIFEST, Kind.LEAD, Kind.PLAN, Kind.ORDER, Kind.OPEN, Kind.ROSTER, Kind.COHORT}
    | {Kind.QUERY, Kind.SURVIVORS, Kind.RESULT, Kind.ABORT, Kind.END}
)
BANK_KINDS = frozenset(
    {Kind.START, Kind.RESUME, Kind.LEFT, Kind.JOIN, Kind.REFUSED, Kind.DEAL, Kind.SHARES, Kind.COMPLAINT}
    | {Kind.RELEASE, Kind.MASKED, Kind.ACK, Kind.UNMASK, Kind.VERDICT, Kind.ORDER}
)
VERSION_KINDS = frozenset({Kind.VERSION, Kind.ARTEFACT, Kind.ALIAS, Kind.CHECKPOINT})
ATTEMPT_KINDS = frozenset(
    {Kind.QUERY, Kind.RELEASE, Kind.MASKED, Kind.SURVIVORS, Kind.ACK, Kind.UNMASK, Kind.RESULT, Kind.ABORT}
)
RUN_KINDS = frozenset(
    {Kind.OPEN, Kind.JOIN, Kind.REFUSED, Kind.LEFT, Kind.ROSTER, Kind.DEAL, Kind.SHARES, Kind.COMPLAINT}
    | {Kind.COHORT, Kind.END, Kind.VERDICT}
)
FENCED_KINDS = CONTROL_KINDS - {Kind.MANIFEST, Kind.LEAD, Kind.PLAN, Kind.ORDER}


class Refusal(enum.IntEnum):
    """Why a bank does not take part; computed from plan, policy, ledger and schema, never from rows."""

    VERSION = 1
    CONTRACT = 2
    POLICY = 3
    BUDGET = 4
    BUSY = 5
    PAUSED = 6


class Outcome(enum.IntEnum):
    """How a run ended."""

    FINISHED = 1
    ABORTED = 2
    CANCELLED = 3


class Reason(enum.IntEnum):
    """Why a run or an attempt ended without a result; NONE with FINISHED."""

    NONE = 1
    QUORUM = 2
    DEADLINE = 3
    SLOTS = 4
    BAD_DEALER = 5
    MISSING_RECORD = 6
    REVOKED = 7
    ORDER = 8
    PLAN = 9


class OrderAction(enum.IntEnum):
    """What an ORDER asks for."""

    CANCEL = 1
    REVOKE = 2


@dataclass(frozen=True, slots=True)
class Header:
    """What every record says of itself, under its signature.

    Attributes:
        federation: Federation id.
        manifest: Digest of the manifest epoch the sender acts under.
        run: Run id, or empty.
        round: Round number from 0, or 0.
        slot: Slot number from 0, or 0.
        kind: Record kind.
        sender: Id of the member or role.
        context: The nine-field digest of `context`.
        body: SHA-256 of the body bytes.
        fence: Digest of the LEAD in force, for fenced kinds; else empty.
        create_time_ms: Sender's clock, milliseconds since 1970; advisory.
        seq: Bank records: 1, 2, ... in the sender's chain; else 0.
        previous: Bank records: digest of the sender's previous record; empty at seq 1.
        journal_head: Bank records: hash of the journal's newest entry before this record's own; else empty.
    """

    federation: str
    manifest: bytes
    run: bytes
    round: int
    slot: int
    kind: Kind
    sender: str
    context: bytes
    body: bytes
    fence: bytes = b""
    create_time_ms: int = 0
    seq: int = 0
    previous: bytes = b""
    journal_head: bytes = b""


@dataclass(frozen=True, slots=True)
class ManifestBody:
    """MANIFEST: a signed epoch, valid by its own signatures. `document` is its RFC 8785 JSON."""

    document: bytes
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class LeadBody:
    """LEAD: `nonce` 32 random bytes; `previous` the digest of the LEAD in force, empty for the first."""

    nonce: bytes
    holder: str
    previous: bytes


@dataclass(frozen=True, slots=True)
class PlanBody:
    """PLAN: the operator signs `plan_json`; the run id is its SHA-256."""

    plan_json: bytes
    operator: str
    signature: bytes
    plan: Plan


@dataclass(frozen=True, slots=True)
class OrderBody:
    """ORDER: CANCEL `run` or REVOKE `member`; valid by its inner signatures (signer id, signature)."""

    action: OrderAction
    run: bytes
    member: str
    signatures: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class OpenBody:
    """OPEN: the run starts; banks may JOIN."""

    run: bytes


@dataclass(frozen=True, slots=True)
class StartBody:
    """START: a trainer process begins; `boot` 16 random bytes."""

    boot: bytes


@dataclass(frozen=True, slots=True)
class ResumeBody:
    """RESUME: the bank's governance key starts the chain again at the higher sequence + 1."""

    journal_seq: int
    journal_digest: bytes
    topic_seq: int
    topic_digest: bytes
    rebuilt: bool
    signature: bytes


@dataclass(frozen=True, slots=True)
class LeftBody:
    """LEFT: the bank is out of the run for ever and has erased its secrets."""

    run: bytes


@dataclass(frozen=True, slots=True)
class JoinBody:
    """JOIN: X25519 run key and the commitment to all own slot keys; both empty in mode `local`."""

    run_key: bytes
    slots_digest: bytes


@dataclass(frozen=True, slots=True)
class RefusedBody:
    """REFUSED: a code from the closed set."""

    code: Refusal


@dataclass(frozen=True, slots=True)
class RosterBody:
    """ROSTER: bank to digest of its JOIN."""

    joins: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class SlotDeal:
    """One slot of a DEAL: public key, commitment of the self seed, share commitments per recipient and kind."""

    public_key: bytes
    seed_commitment: bytes
    seed_shares: Mapping[str, bytes]
    key_shares: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class DealBody:
    """DEAL: one entry per slot, the salt that opens JOIN's commitment, the digest of SHARES."""

    slots: tuple[SlotDeal, ...]
    salt: bytes
    shares_digest: bytes


@dataclass(frozen=True, slots=True)
class SealedSlot:
    """One slot of SHARES: sealed self-seed and key shares per recipient."""

    seed_shares: Mapping[str, bytes]
    key_shares: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class SharesBody:
    """SHARES: the sealed shares of every slot."""

    slots: tuple[SealedSlot, ...]


@dataclass(frozen=True, slots=True)
class ComplaintBody:
    """COMPLAINT: shares of `dealer` for these slots did not open to their commitments."""

    dealer: str
    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CohortBody:
    """COHORT: bank to digest of its DEAL, and the complaints taken into account."""

    deals: Mapping[str, bytes]
    complaints: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class QueryBody:
    """QUERY: the round's question; weights, structure or both, as the stage wants."""

    weights: Weights | None
    structure: Structure | None


@dataclass(frozen=True, slots=True)
class VectorBody:
    """RELEASE and MASKED: `cells` as unsigned 64-bit ring elements (two's complement)."""

    cells: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SurvivorsBody:
    """SURVIVORS: bank to digest of its MASKED, at least q of them."""

    masked: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class AckBody:
    """ACK: the digest of the SURVIVORS that the bank checked."""

    survivors: bytes


@dataclass(frozen=True, slots=True)
class UnmaskBody:
    """UNMASK: self-seed shares for survivors, key shares for the rest of the cohort, never both for one."""

    survivors: bytes
    seed_shares: Mapping[str, bytes]
    key_shares: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class ResultBody:
    """RESULT: the commit of a round.

    Attributes:
        used: Bank to digest of its RELEASE (`local`) or UNMASK (`distributed`).
        sums: Decoded sums, signed, in grid units.
        variance: Achieved total integer variance of the noise in the sums.
        rho_nano: What the round cost, in nano-rho.
        weights: Weights of the next question, None where it has none.
        structure: Structure of the next question, None where it has none.
    """

    used: Mapping[str, bytes]
    sums: tuple[int, ...]
    variance: int
    rho_nano: int
    weights: Weights | None
    structure: Structure | None


@dataclass(frozen=True, slots=True)
class AbortBody:
    """ABORT: the attempt of this slot ends without a result."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class EndBody:
    """END: the run is over.

    Attributes:
        outcome: How.
        reason: Why, NONE when finished.
        model: Digest of the model file, empty unless finished.
        epsilon_promised: Epsilon that the plan named, as a decimal string.
        epsilon_spent: Epsilon of the reserved rho, as a decimal string; "0" if nothing was asked.
    """

    outcome: Outcome
    reason: Reason
    model: bytes
    epsilon_promised: str
    epsilon_spent: str


@dataclass(frozen=True, slots=True)
class VerdictBody:
    """VERDICT: the sender re-derived `subject` (END or RESULT); `deviation` is empty when it agrees."""

    subject: bytes
    deviation: str


@dataclass(frozen=True, slots=True)
class VersionBody:
    """VERSION: the registry's statement of one model version, canonical JSON."""

    statement: bytes


@dataclass(frozen=True, slots=True)
class ArtefactBody:
    """ARTEFACT: a model file, zstd-compressed on the wire, plain here, with its digest."""

    digest: bytes
    content: bytes


@dataclass(frozen=True, slots=True)
class AliasBody:
    """ALIAS: `alias` now points to `version`; `sequence` rises by one per move."""

    alias: str
    version: bytes
    sequence: int


@dataclass(frozen=True, slots=True)
class CheckpointBody:
    """CHECKPOINT: head of the registry's audit chain."""

    head: bytes
    sequence: int


Body = (
    ManifestBody
    | LeadBody
    | PlanBody
    | OrderBody
    | OpenBody
    | StartBody
    | ResumeBody
    | LeftBody
    | JoinBody
    | RefusedBody
    | RosterBody
    | DealBody
    | SharesBody
    | ComplaintBody
    | CohortBody
    | QueryBody
    | VectorBody
    | SurvivorsBody
    | AckBody
    | UnmaskBody
    | ResultBody
    | AbortBody
    | EndBody
    | VerdictBody
    | VersionBody
    | ArtefactBody
    | AliasBody
    | CheckpointBody
)


@dataclass(frozen=True, slots=True)
class Checked:
    """A record whose form, digest and signature held under its topic's rules.

    Attributes:
        header: The signed header.
        body: The decoded body.
        digest: SHA-256 of the signed input: the record's name.
        topic: The topic it was read from.
    """

    header: Header
    body: Body
    digest: bytes
    topic: str


@dataclass(frozen=True, slots=True)
class Place:
    """What a record's context binds it to; all digests 32 bytes or empty.

    Attributes:
        federation: Federation id.
        manifest: Manifest digest.
        run: Run id.
        roster: Digest of ROSTER.
        cohort: Digest of COHORT.
        round: Round number.
        slot: Slot number.
        parent: Body digest of the last RESULT.
        query: Body digest of the QUERY.
    """

    federation: str
    manifest: bytes
    run: bytes = b""
    roster: bytes = b""
    cohort: bytes = b""
    round: int | None = None
    slot: int | None = None
    parent: bytes = b""
    query: bytes = b""


def context(place: Place) -> bytes:
    """SHA-256 over nine length-prefixed fields, always nine, absent ones empty (protocol 2).

    Integers are 8 bytes big-endian, lengths 8 bytes big-endian.
    """
    digest = hashlib.sha256()
    for field in fields(place):
        value = getattr(place, field.name)
        if isinstance(value, int):
            part = value.to_bytes(8, "big")
        else:
            part = value.encode() if isinstance(value, str) else value or b""
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


def header_at(
    kind: Kind,
    sender: str,
    place: Place,
    now: float,
    *,
    fence: bytes = b"",
    position: tuple[int, bytes, bytes] = (0, b"", b""),
) -> Header:
    """The header of a record that stands at a place; sealing adds the digest of its body.

    Args:
        kind: Record kind.
        sender: Id of the member or role.
        place: What the record is bound to.
        now: Sender's clock, seconds since 1970; advisory.
        fence: Digest of the LEAD in force, for fenced kinds.
        position: Bank records: seq, previous and journal head of the chain.
    """
    seq, previous, head = position
    return Header(
        federation=place.federation,
        manifest=place.manifest,
        run=place.run,
        round=place.round or 0,
        slot=place.slot or 0,
        kind=kind,
        sender=sender,
        context=context(place),
        body=b"",
        fence=fence,
        create_time_ms=int(now * 1000),
        seq=seq,
        previous=previous,
        journal_head=head,
    )
