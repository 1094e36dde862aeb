"""Quorums, signatures and the succession of epochs (protocol 1)."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from tacit import canonical
from tacit.federation.faults import FederationError, listed, outside, refuse, twice, wrong_ids, wrong_labels
from tacit.federation.keys import Signer, public_key, verify
from tacit.federation.manifest import MAX_MEMBERS, EpochSignature, Manifest, Member, MemberStatus
from tacit.privacy.types import Mode

MAX_BANKS_PER_PERSON = 16


MAX_PRINCIPAL = 255


LEAST_DISTRIBUTED = 3


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
    refuse(f"epoch {manifest.epoch}", [*_signatures(manifest, previous)])
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
    refuse(f"epoch {manifest.epoch}", [*_identities(manifest), *_quorums(manifest), *_succession(manifest, previous)])
    n = len(manifest.standing)
    if Mode.DISTRIBUTED in manifest.modes and n - manifest.c < manifest.t:
        return [f"{manifest.c} silent banks of {n} stop every run of mode distributed, which needs t = {manifest.t}"]
    return []


def routine(manifest: Manifest, previous: Manifest) -> bool:
    """Whether an epoch only removes, pauses or rotates: what a policy rule may accept without a person."""
    before = {member.id for member in previous.standing}
    same = ("operators", "t", "q", "c", "modes", "contracts", "protocol", "max_banks_per_person")
    return {member.id for member in manifest.standing} <= before and all(
        getattr(manifest, name) == getattr(previous, name) for name in same
    )


def _keys(manifest: Manifest) -> list[str]:
    keys = [key for member in manifest.members for key in (member.signing_key, member.governance_key)]
    return [*keys, *(operator.key for operator in manifest.operators), manifest.aggregator, manifest.registry]


def _identities(manifest: Manifest) -> Iterator[str]:
    members = manifest.members
    names = [member.id for member in members] + [operator.id for operator in manifest.operators]
    yield from wrong_ids("federation", [manifest.federation])
    yield from wrong_ids("id", names)
    yield from twice("id", names)
    yield from twice("principal", (member.principal for member in members))
    for member in members:
        yield from outside(f"length of the principal of {member.id}", len(member.principal), 1, MAX_PRINCIPAL)
        yield from outside(f"index of {member.id}", member.index, 1, MAX_MEMBERS)
    if any(after.index <= before.index for before, after in itertools.pairwise(members)):
        yield "members: expected strictly rising indexes"
    yield from outside("number of operators", len(manifest.operators), 1, MAX_MEMBERS)
    yield from _key_faults(_keys(manifest))
    yield from wrong_labels("contracts", manifest.contracts)
    yield from twice("contract", manifest.contracts)


def _key_faults(keys: Sequence[str]) -> Iterator[str]:
    yield from twice("key", keys)
    for key in keys:
        try:
            public_key(key)
        except FederationError as error:
            yield str(error)


def _quorums(manifest: Manifest) -> Iterator[str]:
    n, t, q, c = len(manifest.standing), manifest.t, manifest.q, manifest.c
    protocol = manifest.protocol
    yield from outside("number of members", n, 1, MAX_MEMBERS)
    yield from outside("max_banks_per_person", manifest.max_banks_per_person, 1, MAX_BANKS_PER_PERSON)
    yield from outside("protocol.min", protocol.min, 1, max(1, protocol.max))
    yield from outside("number of modes", len(set(manifest.modes)), len(manifest.modes) or 1, len(Mode))
    yield from outside("t", t, 0, n)
    yield from outside("q", q, 1, n)
    yield from outside("c", c, 0, max(0, n - 1))
    if n < LEAST_DISTRIBUTED and (manifest.modes != (Mode.LOCAL,) or c != 0):
        yield f"{n} members with modes {listed(manifest.modes)} and c = {c}: below 3 only mode local with c = 0"
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
    yield from twice("signer", (item.signer for item in manifest.signatures))
    yield from _stray(manifest, base)
    signers = _signers(manifest, {member.id: member.governance_key for member in base.standing})
    operators = _signers(manifest, {operator.id: operator.key for operator in base.operators})
    n = len(base.standing)
    need = n if previous is None else two_thirds(n)
    if not operators and previous is not None and manifest.operators != previous.operators:
        # The operator's key is lost: the members name another one, all of them but c.
        operators, need = signers, max(need, n - previous.c)
    if not operators:
        yield f"no operator signed: expected one of {listed(operator.id for operator in base.operators)}"
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
