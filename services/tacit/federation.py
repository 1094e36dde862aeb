"""The manifest and its epochs, roles, quorum rules, and a bank's own policy (protocol 1). Pure."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

from tacit import canonical
from tacit.privacy.types import Mode, Unit


class FederationError(Exception):
    """A manifest, policy or acceptance that breaks a rule; the message names value and allowed range."""


class MemberStatus(enum.StrEnum):
    """A member's standing in an epoch."""

    ACTIVE = "active"
    PAUSED = "paused"
    REMOVED = "removed"


@dataclass(frozen=True)
class Member:
    """One bank.

    Attributes:
        id: ``[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?``.
        index: Position for shares, 1 to 100, never reused.
        signing_key: Ed25519 public key of records, ``ed25519:<64 hex>``.
        governance_key: Ed25519 public key of epochs and RESUME, same form.
        principal: Kafka principal that may write the bank's topic.
        status: Standing.
    """

    id: str
    index: int
    signing_key: str
    governance_key: str
    principal: str
    status: MemberStatus = MemberStatus.ACTIVE


@dataclass(frozen=True)
class Operator:
    """Someone who may sign plans: id and Ed25519 public key."""

    id: str
    key: str


@dataclass(frozen=True)
class Protocol:
    """Range of protocol versions, both ends included."""

    min: int = 1
    max: int = 1


@dataclass(frozen=True)
class EpochSignature:
    """One signature over the epoch without its signatures: signer id and 64 bytes as hex."""

    signer: str
    signature: str


@dataclass(frozen=True)
class Manifest:
    """One epoch of a federation (protocol 1).

    Attributes:
        federation: Federation id, same form as a bank id.
        epoch: 1, 2, ...
        members: Banks, by rising index.
        operators: Who may sign plans.
        aggregator: Public key of the aggregator.
        registry: Public key of the registry.
        t: Shares that open a secret.
        q: Least survivors of a round.
        c: Banks that may collude, add no noise or be rolled back.
        modes: Allowed trust modes.
        contracts: Digests of the allowed feature contracts, ``sha256:<hex>``.
        previous_digest: Digest of the epoch before, None for epoch 1.
        protocol: Protocol versions.
        max_banks_per_person: Banks one person may be a customer of (k), 1 to 16.
        signatures: Over the epoch without this field.
    """

    federation: str
    epoch: int
    members: tuple[Member, ...]
    operators: tuple[Operator, ...]
    aggregator: str
    registry: str
    t: int
    q: int
    c: int
    modes: tuple[Mode, ...]
    contracts: tuple[str, ...]
    previous_digest: str | None = None
    protocol: Protocol = Protocol()
    max_banks_per_person: int = 1
    signatures: tuple[EpochSignature, ...] = ()

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the epoch's RFC 8785 JSON without signatures: what is signed, pinned and named."""
        return canonical.digest(replace(self, signatures=()))

    @cached_property
    def by_id(self) -> Mapping[str, Member]:
        """Members by id."""
        return {member.id: member for member in self.members}

    @property
    def active(self) -> tuple[Member, ...]:
        """Members that take part in runs."""
        return tuple(member for member in self.members if member.status is MemberStatus.ACTIVE)


@dataclass(frozen=True)
class Cap:
    """A privacy cap: epsilon at delta."""

    epsilon: Fraction
    delta: Fraction


@dataclass(frozen=True)
class Policy:
    """A bank's own rules; nobody else can change them (protocol 1 and 5).

    Attributes:
        bank: Own member id.
        account: Name of the data set that the ledger charges.
        unit: The one privacy unit of this account.
        bucket_cap: Cap per calendar month of event time.
        lifetime_cap: Cap over all runs.
        root: Digest of epoch 1 that this bank accepted, ``sha256:<hex>``.
        peers: Member id to fingerprint of its governance key, as pinned by this bank.
        contracts: Digests of contracts that this bank accepts.
        modes: Trust modes that this bank accepts.
        least_t: Smallest t accepted.
        least_q: Smallest q accepted.
        least_c: Smallest c accepted.
        largest_delta: Largest delta accepted.
        least_noise: Least noise standard deviation accepted, as a multiple of the clip bound.
        max_paid_retries: Most prepaid retries accepted, 0 to 16.
        allow_mixing_features: Whether columns that mix customers are accepted.
        paused: Whether the bank refuses every new run for now.
    """

    bank: str
    account: str
    unit: Unit
    bucket_cap: Cap
    lifetime_cap: Cap
    root: str
    peers: Mapping[str, str]
    contracts: tuple[str, ...]
    modes: tuple[Mode, ...]
    least_t: int = 0
    least_q: int = 1
    least_c: int = 0
    largest_delta: Fraction = Fraction(1, 10**5)
    least_noise: Fraction = Fraction(0)
    max_paid_retries: int = 2
    allow_mixing_features: bool = False
    paused: bool = False
