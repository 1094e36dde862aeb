"""One epoch of a federation, as its members sign it (protocol 1)."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from tacit import canonical
from tacit.privacy.types import Mode

MAX_MEMBERS = 100


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


SIGNED_MANIFEST = b"tacit.manifest.v1"


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

    @property
    def standing(self) -> tuple[Member, ...]:
        """Members that are active or paused; n of protocol 1 is their number."""
        return tuple(member for member in self.members if member.status is not MemberStatus.REMOVED)

    @property
    def signed_input(self) -> bytes:
        """What governance and operator keys sign: a fixed label and the RFC 8785 JSON without signatures."""
        return SIGNED_MANIFEST + canonical.encode(replace(self, signatures=()))
