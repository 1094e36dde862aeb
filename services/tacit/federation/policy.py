"""A bank's own rules, and what they say to an epoch (protocol 1 and 5)."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from tacit import canonical
from tacit.federation.epochs import check_manifest, local_quorum
from tacit.federation.faults import FederationError, listed, outside, refuse, wrong_ids, wrong_labels
from tacit.federation.keys import fingerprint
from tacit.federation.manifest import MAX_MEMBERS, Manifest, MemberStatus
from tacit.privacy.types import Mode, Unit

MAX_CAP_EPSILON = Fraction(1000)


MAX_LEAST_NOISE = 10**6


MAX_PAID_RETRIES = 16


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
        peers: Member id to fingerprint of its governance key, as pinned by this bank; its own is among them.
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
        refuse(f"policy of {self.bank!r}", [*_policy_ids(self), *_policy_numbers(self)])


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
        objections.append(f"no shared mode: policy allows {listed(policy.modes)}, epoch {listed(manifest.modes)}")
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
    refuse(f"policy of {policy.bank!r} against epoch {manifest.epoch}", check_policy(moved, manifest))
    return moved


def _membership(policy: Policy, manifest: Manifest) -> Iterator[str]:
    member = manifest.by_id.get(policy.bank)
    if member is None or member.status is MemberStatus.REMOVED:
        yield f"{policy.bank!r} is not a member of epoch {manifest.epoch}"


def _pins(policy: Policy, manifest: Manifest) -> Iterator[str]:
    if policy.bank not in policy.peers:
        yield f"peers do not pin {policy.bank}'s own governance key: an epoch could name another under its id"
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
    yield from wrong_ids("bank", [policy.bank])
    yield from wrong_ids("peers", policy.peers)
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", policy.account) is None:
        yield f"account = {policy.account!r}: expected 1 to 64 letters, digits, '.', '_' or '-'"
    yield from wrong_labels("root", [policy.root])
    yield from wrong_labels("peers", policy.peers.values())
    yield from wrong_labels("contracts", policy.contracts)
    yield from outside("number of modes", len(set(policy.modes)), len(policy.modes) or 1, len(Mode))


def _policy_numbers(policy: Policy) -> Iterator[str]:
    for name, cap in (("bucket_cap", policy.bucket_cap), ("lifetime_cap", policy.lifetime_cap)):
        yield from _open_range(f"{name}.epsilon", cap.epsilon, MAX_CAP_EPSILON)
        yield from _open_range(f"{name}.delta", cap.delta, Fraction(1))
    yield from _open_range("largest_delta", policy.largest_delta, Fraction(1))
    yield from outside("least_t", policy.least_t, 0, MAX_MEMBERS)
    yield from outside("least_q", policy.least_q, 1, MAX_MEMBERS)
    yield from outside("least_c", policy.least_c, 0, MAX_MEMBERS)
    yield from outside("least_noise", policy.least_noise, 0, MAX_LEAST_NOISE)
    yield from outside("max_paid_retries", policy.max_paid_retries, 0, MAX_PAID_RETRIES)


def _open_range(name: str, value: Fraction, most: Fraction) -> Iterator[str]:
    if not 0 < value < most:
        yield f"{name} = {canonical.number(value)}: expected above 0 and below {most}"
