"""The manifest and its epochs, roles, quorum rules, and a bank's own policy (protocol 1). Pure."""

import enum
import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Protocol as Port

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tacit import canonical
from tacit.privacy.types import Mode, Unit

ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
ROLES = frozenset({"aggregator", "registry"})
"""Sender ids of roles; no member and no operator may have one."""

MAX_MEMBERS = 100
MAX_BANKS_PER_PERSON = 16
MAX_PRINCIPAL = 255
LEAST_DISTRIBUTED = 3
MAX_CAP_EPSILON = Fraction(1000)
MAX_LEAST_NOISE = 10**6
MAX_PAID_RETRIES = 16
SIGNED_MANIFEST = b"tacit.manifest.v1"
KEY_PREFIX = "ed25519:"


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

    @property
    def standing(self) -> tuple[Member, ...]:
        """Members that are active or paused; n of protocol 1 is their number."""
        return tuple(member for member in self.members if member.status is not MemberStatus.REMOVED)

    @property
    def signed_input(self) -> bytes:
        """What governance and operator keys sign: a fixed label and the RFC 8785 JSON without signatures."""
        return SIGNED_MANIFEST + canonical.encode(replace(self, signatures=()))


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

    def __post_init__(self) -> None:
        """Refuses values out of range, naming every field at fault."""
        _raise(f"policy of {self.bank!r}", [*_policy_ids(self), *_policy_numbers(self)])


class Signer(Port):
    """A private key that signs."""

    def sign(self, data: bytes) -> bytes:
        """The Ed25519 signature over `data`, 64 bytes."""


def public_key(text: str) -> Ed25519PublicKey:
    """Reads a public key, ``ed25519:<64 hex>``.

    Raises:
        FederationError: If the text has another form.
    """
    match = re.fullmatch(f"{KEY_PREFIX}([0-9a-f]{{64}})", text)
    if match is None:
        raise FederationError(f"key {text!r}: expected '{KEY_PREFIX}<64 hex digits>'")
    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(match[1]))


def verify(key: str, signature: bytes, data: bytes) -> bool:
    """Whether an Ed25519 signature of `data` holds under a public key in text form."""
    try:
        public_key(key).verify(signature, data)
    except InvalidSignature:
        return False
    return True


def fingerprint(key: str) -> str:
    """What a bank pins of a peer's governance key: ``sha256:<hex>`` over the 32 bytes of the public key."""
    return canonical.label(hashlib.sha256(public_key(key).public_bytes_raw()).digest())


def local_quorum(n: int) -> int:
    """Least releases of a round in mode `local`: a majority of the roster's n banks."""
    return n // 2 + 1


def two_thirds(n: int) -> int:
    """Least members that sign an epoch or a revocation: ceil(2n/3)."""
    return -(-2 * n // 3)


def default_quorums(n: int) -> tuple[int, int, int]:
    """Default (t, q, c) for n members (protocol, symbols); below 3 members only mode `local` is possible.

    Raises:
        FederationError: If n is outside 1 to 100.
    """
    if not 1 <= n <= MAX_MEMBERS:
        raise FederationError(f"n = {n}: expected 1 to {MAX_MEMBERS} members")
    if n < LEAST_DISTRIBUTED:
        return local_quorum(n), local_quorum(n), 0
    most = max(3, 2 * n // 3 + 1)
    return most, most, max(1, n // 5)


def sign_manifest(manifest: Manifest, signer: str, key: Signer) -> Manifest:
    """Adds one signature to an epoch, or replaces that signer's.

    Args:
        manifest: The epoch; its present signatures are kept as they are.
        signer: Id of an operator or of a member.
        key: The operator's key, or the member's governance key.

    Returns:
        The epoch with the signature, signatures by rising signer.
    """
    kept = [item for item in manifest.signatures if item.signer != signer]
    fresh = EpochSignature(signer, key.sign(manifest.signed_input).hex())
    return replace(manifest, signatures=tuple(sorted([*kept, fresh], key=lambda item: item.signer)))


def check_manifest(manifest: Manifest, previous: Manifest | None) -> list[str]:
    """Checks one epoch against every rule of protocol 1.

    Args:
        manifest: The epoch.
        previous: The epoch before it, itself checked; None for epoch 1.

    Returns:
        Warnings: what is allowed but will hurt.

    Raises:
        FederationError: Naming every broken rule with its value.
    """
    warnings = check_terms(manifest, previous)
    _raise(f"epoch {manifest.epoch}", [*_signatures(manifest, previous)])
    return warnings


def check_terms(manifest: Manifest, previous: Manifest | None) -> list[str]:
    """Checks an epoch as `check_manifest` does, but for its signatures: what a signer looks at before signing.

    Args:
        manifest: The epoch, signed or not.
        previous: The epoch before it, itself checked; None for epoch 1.

    Returns:
        Warnings: what is allowed but will hurt.

    Raises:
        FederationError: Naming every broken rule with its value.
    """
    _raise(f"epoch {manifest.epoch}", [*_identities(manifest), *_quorums(manifest), *_succession(manifest, previous)])
    n = len(manifest.standing)
    if Mode.DISTRIBUTED in manifest.modes and n - manifest.c < manifest.t:
        return [f"{manifest.c} silent banks of {n} stop every run of mode distributed, which needs t = {manifest.t}"]
    return []


def known_members(policy: Policy, manifest: Manifest) -> frozenset[str]:
    """Members that count for this bank: itself and those pinned with the governance key that they have now."""
    return frozenset(
        member.id
        for member in manifest.standing
        if member.id == policy.bank or policy.peers.get(member.id) == fingerprint(member.governance_key)
    )


def check_policy(policy: Policy, manifest: Manifest, mode: Mode | None = None) -> list[str]:
    """What a bank's policy has against an epoch; empty when the bank may join runs under it.

    Args:
        policy: The bank's own rules.
        manifest: An epoch that `check_manifest` passed.
        mode: Looks at this mode alone; None looks at every mode that policy and epoch both allow.
    """
    shared = [item for item in manifest.modes if item in policy.modes and mode in (None, item)]
    objections = [*_membership(policy, manifest), *_pins(policy, manifest)]
    if not shared:
        objections.append(f"no shared mode: policy allows {_list(policy.modes)}, epoch {_list(manifest.modes)}")
    if not set(policy.contracts) & set(manifest.contracts):
        objections.append("no contract of the epoch is accepted by the policy")
    known, n = len(known_members(policy, manifest)), len(manifest.standing)
    if Mode.LOCAL in shared and known < local_quorum(n):
        objections.append(f"{known} of {n} members are known: a local quorum needs {local_quorum(n)}")
    if Mode.DISTRIBUTED in shared:
        objections.extend(_distributed_objections(policy, manifest, n, known))
    return objections


def accept(policy: Policy, manifest: Manifest, previous: Manifest | None = None) -> Policy:
    """Moves a bank to an epoch: `tacit federation accept`.

    Args:
        policy: The bank's own rules.
        manifest: The epoch to accept.
        previous: The epoch that the bank is in; None for the first one it accepts, which must be the pinned root.

    Returns:
        The policy, with the pins of known members moved to the governance keys that they rotated to.

    Raises:
        FederationError: If the epoch breaks a rule, is not the pinned root, goes back, or the policy objects.
    """
    check_manifest(manifest, previous)
    if previous is None and canonical.label(manifest.digest) != policy.root:
        raise FederationError(f"root {canonical.label(manifest.digest)}: the policy pins {policy.root}")
    pins = dict(policy.peers)
    known = known_members(policy, previous) if previous is not None else frozenset()
    for member in manifest.members:
        if member.id in known and member.id in pins:
            pins[member.id] = fingerprint(member.governance_key)
    moved = replace(policy, peers=pins)
    _raise(f"policy of {policy.bank!r} against epoch {manifest.epoch}", check_policy(moved, manifest))
    return moved


def routine(manifest: Manifest, previous: Manifest) -> bool:
    """Whether an epoch only removes, pauses or rotates: what a policy rule may accept without a person."""
    before = {member.id for member in previous.standing}
    same = ("operators", "t", "q", "c", "modes", "contracts", "protocol", "max_banks_per_person")
    return {member.id for member in manifest.standing} <= before and all(
        getattr(manifest, name) == getattr(previous, name) for name in same
    )


def _raise(subject: str, faults: Sequence[str]) -> None:
    if faults:
        raise FederationError(f"{subject}: {'; '.join(faults)}")


def _list(values: Iterable[str]) -> str:
    return ", ".join(values) or "none"


def _outside(name: str, value: Fraction | int, low: Fraction | int, high: Fraction | int) -> Iterator[str]:
    if not low <= value <= high:
        yield f"{name} = {canonical.number(Fraction(value))}: expected {low} to {high}"


def _labels(name: str, values: Iterable[str]) -> Iterator[str]:
    for value in values:
        try:
            canonical.parse_label(value)
        except ValueError as error:
            yield f"{name}: {error}"


def _twice(name: str, values: Iterable[object]) -> Iterator[str]:
    for value, number in Counter(values).items():
        if number > 1:
            yield f"{name} {value} stands {number} times: expected once"


def _ids(name: str, values: Iterable[str]) -> Iterator[str]:
    for value in values:
        if ID.fullmatch(value) is None or value in ROLES:
            yield f"{name} = {value!r}: expected {ID.pattern} and none of {_list(sorted(ROLES))}"


def _keys(manifest: Manifest) -> list[str]:
    keys = [key for member in manifest.members for key in (member.signing_key, member.governance_key)]
    return [*keys, *(operator.key for operator in manifest.operators), manifest.aggregator, manifest.registry]


def _identities(manifest: Manifest) -> Iterator[str]:
    members = manifest.members
    names = [member.id for member in members] + [operator.id for operator in manifest.operators]
    yield from _ids("federation", [manifest.federation])
    yield from _ids("id", names)
    yield from _twice("id", names)
    yield from _twice("principal", (member.principal for member in members))
    for member in members:
        yield from _outside(f"length of the principal of {member.id}", len(member.principal), 1, MAX_PRINCIPAL)
        yield from _outside(f"index of {member.id}", member.index, 1, MAX_MEMBERS)
    if any(after.index <= before.index for before, after in itertools.pairwise(members)):
        yield "members: expected strictly rising indexes"
    yield from _outside("number of operators", len(manifest.operators), 1, MAX_MEMBERS)
    yield from _key_faults(_keys(manifest))
    yield from _labels("contracts", manifest.contracts)
    yield from _twice("contract", manifest.contracts)


def _key_faults(keys: Sequence[str]) -> Iterator[str]:
    yield from _twice("key", keys)
    for key in keys:
        try:
            public_key(key)
        except FederationError as error:
            yield str(error)


def _quorums(manifest: Manifest) -> Iterator[str]:
    n, t, q, c = len(manifest.standing), manifest.t, manifest.q, manifest.c
    protocol = manifest.protocol
    yield from _outside("number of members", n, 1, MAX_MEMBERS)
    yield from _outside("max_banks_per_person", manifest.max_banks_per_person, 1, MAX_BANKS_PER_PERSON)
    yield from _outside("protocol.min", protocol.min, 1, max(1, protocol.max))
    yield from _outside("number of modes", len(set(manifest.modes)), len(manifest.modes) or 1, len(Mode))
    yield from _outside("t", t, 0, n)
    yield from _outside("q", q, 1, n)
    yield from _outside("c", c, 0, max(0, n - 1))
    if n < LEAST_DISTRIBUTED and (manifest.modes != (Mode.LOCAL,) or c != 0):
        yield f"{n} members with modes {_list(manifest.modes)} and c = {c}: below 3 only mode local with c = 0"
    if Mode.DISTRIBUTED in manifest.modes:
        yield from _distributed(n, t, q, c)


def _distributed(n: int, t: int, q: int, c: int) -> Iterator[str]:
    rules = {
        f"2t > n + c, with t = {t}, n = {n}, c = {c}": 2 * t > n + c,
        f"t <= q <= n, with t = {t}, q = {q}, n = {n}": t <= q <= n,
        f"q - c >= 2, with q = {q}, c = {c}": q - c >= 2,  # noqa: PLR2004  the rule as printed
        f"q >= 3, with q = {q}": q >= LEAST_DISTRIBUTED,
    }
    yield from (f"mode distributed needs {rule}" for rule, holds in rules.items() if not holds)


def _succession(manifest: Manifest, previous: Manifest | None) -> Iterator[str]:
    if previous is None:
        if manifest.epoch != 1 or manifest.previous_digest is not None:
            yield f"epoch = {manifest.epoch} without the epoch before: expected 1 and no previous_digest"
        if manifest.members != manifest.standing:
            yield "epoch 1 holds removed members"
        return
    if manifest.federation != previous.federation:
        yield f"federation = {manifest.federation!r}: expected {previous.federation!r}"
    if manifest.epoch != previous.epoch + 1:
        yield f"epoch = {manifest.epoch}: expected {previous.epoch + 1}"
    if manifest.previous_digest != canonical.label(previous.digest):
        yield f"previous_digest = {manifest.previous_digest}: expected {canonical.label(previous.digest)}"
    for old in previous.members:
        yield from _successor(old, manifest.by_id.get(old.id))
    used = {member.index for member in previous.members}
    added = [member for member in manifest.members if member.id not in previous.by_id]
    yield from (f"index {member.index} of {member.id} was used before" for member in added if member.index in used)


def _successor(old: Member, new: Member | None) -> Iterator[str]:
    if new is None:
        yield f"member {old.id} is missing: a member that goes stays listed as removed"
    elif new.index != old.index:
        yield f"index of {old.id} = {new.index}: expected {old.index}, as before"
    elif old.status is MemberStatus.REMOVED and new != old:
        yield f"member {old.id} was removed and may not change: a bank that comes back gets a new id"


def _signatures(manifest: Manifest, previous: Manifest | None) -> Iterator[str]:
    """Epoch 1: operator and every member. Later: operator and two thirds of the members before, by their old keys."""
    base = manifest if previous is None else previous
    yield from _twice("signer", (item.signer for item in manifest.signatures))
    yield from _stray(manifest, base)
    signers = _signers(manifest, {member.id: member.governance_key for member in base.standing})
    operators = _signers(manifest, {operator.id: operator.key for operator in base.operators})
    n = len(base.standing)
    need = n if previous is None else two_thirds(n)
    if not operators and previous is not None and manifest.operators != previous.operators:
        # The operator's key is lost: the members name another one, all of them but c.
        operators, need = signers, max(need, n - previous.c)
    if not operators:
        yield f"no operator signed: expected one of {_list(operator.id for operator in base.operators)}"
    if len(signers) < need:
        yield f"{len(signers)} of {n} members signed: expected at least {need}"
    if previous is not None:
        yield from _rotations(manifest, previous, signers)


def _stray(manifest: Manifest, base: Manifest) -> Iterator[str]:
    for item in manifest.signatures:
        keys = _keys_of(item.signer, manifest) | _keys_of(item.signer, base)
        if not any(_holds(item, key, manifest) for key in keys):
            yield f"signature of {item.signer!r} holds under none of its keys"


def _keys_of(signer: str, manifest: Manifest) -> set[str]:
    member = manifest.by_id.get(signer)
    keys = {operator.key for operator in manifest.operators if operator.id == signer}
    return keys | ({member.governance_key, member.signing_key} if member is not None else set())


def _holds(item: EpochSignature, key: str, manifest: Manifest) -> bool:
    return re.fullmatch("[0-9a-f]{128}", item.signature) is not None and verify(
        key, bytes.fromhex(item.signature), manifest.signed_input
    )


def _signers(manifest: Manifest, keys: Mapping[str, str]) -> set[str]:
    return {
        item.signer for item in manifest.signatures if item.signer in keys and _holds(item, keys[item.signer], manifest)
    }


def _rotations(manifest: Manifest, previous: Manifest, by_governance: set[str]) -> Iterator[str]:
    by_signing = _signers(manifest, {member.id: member.signing_key for member in previous.standing})
    for old in previous.standing:
        new = manifest.by_id[old.id]
        if new.governance_key != old.governance_key and old.id not in by_governance:
            yield f"governance key of {old.id} changed without a signature of the old one"
        if new.signing_key != old.signing_key and old.id not in by_governance | by_signing:
            yield f"signing key of {old.id} changed without a signature of the old one or the governance key"


def _membership(policy: Policy, manifest: Manifest) -> Iterator[str]:
    member = manifest.by_id.get(policy.bank)
    if member is None or member.status is MemberStatus.REMOVED:
        yield f"{policy.bank!r} is not a member of epoch {manifest.epoch}"


def _pins(policy: Policy, manifest: Manifest) -> Iterator[str]:
    for member in manifest.standing:
        pin = policy.peers.get(member.id)
        if pin is not None and pin != fingerprint(member.governance_key):
            yield f"governance key of {member.id} is {fingerprint(member.governance_key)}: the policy pins {pin}"


def _distributed_objections(policy: Policy, manifest: Manifest, n: int, known: int) -> Iterator[str]:
    t, q, c, u = manifest.t, manifest.q, manifest.c, n - known
    for name, value, least in (("t", t, policy.least_t), ("q", q, policy.least_q), ("c", c, policy.least_c)):
        if value < least:
            yield f"{name} = {value}: the policy asks for at least {least}"
    if not 2 * t > n + c + u:
        yield f"2t > n + c + u does not hold with t = {t}, n = {n}, c = {c} and u = {u} unknown members"
    if not t > c + u:
        yield f"t > c + u does not hold with t = {t}, c = {c} and u = {u} unknown members"
    if known < q:
        yield f"{known} members are known: a quorum needs q = {q} of them"


def _policy_ids(policy: Policy) -> Iterator[str]:
    yield from _ids("bank", [policy.bank])
    yield from _ids("peers", policy.peers)
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", policy.account) is None:
        yield f"account = {policy.account!r}: expected 1 to 64 letters, digits, '.', '_' or '-'"
    yield from _labels("root", [policy.root])
    yield from _labels("peers", policy.peers.values())
    yield from _labels("contracts", policy.contracts)
    yield from _outside("number of modes", len(set(policy.modes)), len(policy.modes) or 1, len(Mode))


def _policy_numbers(policy: Policy) -> Iterator[str]:
    for name, cap in (("bucket_cap", policy.bucket_cap), ("lifetime_cap", policy.lifetime_cap)):
        yield from _open_range(f"{name}.epsilon", cap.epsilon, MAX_CAP_EPSILON)
        yield from _open_range(f"{name}.delta", cap.delta, Fraction(1))
    yield from _open_range("largest_delta", policy.largest_delta, Fraction(1))
    yield from _outside("least_t", policy.least_t, 0, MAX_MEMBERS)
    yield from _outside("least_q", policy.least_q, 1, MAX_MEMBERS)
    yield from _outside("least_c", policy.least_c, 0, MAX_MEMBERS)
    yield from _outside("least_noise", policy.least_noise, 0, MAX_LEAST_NOISE)
    yield from _outside("max_paid_retries", policy.max_paid_retries, 0, MAX_PAID_RETRIES)


def _open_range(name: str, value: Fraction, most: Fraction) -> Iterator[str]:
    if not 0 < value < most:
        yield f"{name} = {canonical.number(value)}: expected above 0 and below {most}"
