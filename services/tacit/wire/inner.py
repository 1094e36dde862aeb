"""Signatures inside bodies: PLAN, ORDER, RESUME and MANIFEST are valid by them, whoever appends the record."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NoReturn

from tacit import canonical
from tacit.federation import FederationError, Manifest, Signer, check_manifest, two_thirds, verify
from tacit.rounds.plan import Plan
from tacit.rounds.types import (
    Body,
    Header,
    ManifestBody,
    OrderAction,
    OrderBody,
    PlanBody,
    ResumeBody,
)
from tacit.wire.codec import SIGNATURE_BYTES
from tacit.wire.errors import InvalidReason, InvalidRecord
from tacit.wire.keys import KeyRing
from tacit.wire.topics import AGGREGATOR

SIGNED_PLAN = b"tacit.plan.v1"
SIGNED_ORDER = b"tacit.order.v1"
SIGNED_RESUME = b"tacit.resume.v1"


def plan_input(plan_json: bytes) -> bytes:
    """What an operator signs of a plan."""
    return SIGNED_PLAN + plan_json


def order_input(federation: str, action: OrderAction, run: bytes, member: str) -> bytes:
    """What operators or members sign of an order."""
    fields = {"federation": federation, "action": action.name, "run": run.hex(), "member": member}
    return SIGNED_ORDER + canonical.encode(fields)


def resume_input(federation: str, bank: str, body: ResumeBody) -> bytes:
    """What a bank's governance key signs of a RESUME; the body's own signature is left out."""
    fields = {
        "federation": federation,
        "bank": bank,
        "journal": [str(body.journal_seq), body.journal_digest.hex()],
        "topic": [str(body.topic_seq), body.topic_digest.hex()],
        "rebuilt": body.rebuilt,
    }
    return SIGNED_RESUME + canonical.encode(fields)


def sign_plan(plan: Plan, operator: str, key: Signer) -> PlanBody:
    """The signed PLAN body of a plan; its run id is `rounds.plan.run_id(body.plan_json)`."""
    plan_json = canonical.encode(plan)
    return PlanBody(plan_json, operator, key.sign(plan_input(plan_json)), plan)


def sign_cancel(federation: str, run: bytes, operator: str, key: Signer) -> OrderBody:
    """An operator's order to end a run."""
    signature = key.sign(order_input(federation, OrderAction.CANCEL, run, ""))
    return OrderBody(OrderAction.CANCEL, run, "", ((operator, signature),))


def sign_revoke(federation: str, member: str, keys: Mapping[str, Signer]) -> OrderBody:
    """An order to revoke a member, signed with the governance keys of the members that `keys` names."""
    data = order_input(federation, OrderAction.REVOKE, b"", member)
    signatures = tuple((signer, key.sign(data)) for signer, key in sorted(keys.items()))
    return OrderBody(OrderAction.REVOKE, b"", member, signatures)


def sign_resume(federation: str, bank: str, body: ResumeBody, key: Signer) -> ResumeBody:
    """The body with the governance key's signature; the one it had is replaced."""
    unsigned = replace(body, signature=bytes(SIGNATURE_BYTES))
    return replace(unsigned, signature=key.sign(resume_input(federation, bank, unsigned)))


def check_plan(body: PlanBody, manifest: Manifest) -> None:
    """Checks that an operator of the epoch signed the plan and that the plan names this epoch.

    Raises:
        InvalidRecord: With `WRONG_FEDERATION`, `UNKNOWN_MANIFEST` or `INNER_SIGNATURE`.
    """
    if body.plan.federation != manifest.federation:
        _refuse(InvalidReason.WRONG_FEDERATION, f"plan of federation {body.plan.federation!r}")
    if body.plan.manifest != canonical.label(manifest.digest):
        _refuse(InvalidReason.UNKNOWN_MANIFEST, f"plan of manifest {body.plan.manifest}, record of another")
    keys = {operator.id: operator.key for operator in manifest.operators}
    if body.operator not in keys:
        _refuse(InvalidReason.INNER_SIGNATURE, f"{body.operator!r} is no operator of epoch {manifest.epoch}")
    if not verify(keys[body.operator], body.signature, plan_input(body.plan_json)):
        _refuse(InvalidReason.INNER_SIGNATURE, f"the signature of operator {body.operator!r} does not hold")


def check_order(body: OrderBody, manifest: Manifest, sender: str) -> None:
    """Checks an order's signatures under an epoch.

    CANCEL takes one operator. REVOKE takes two thirds of the members, or the member for itself; on a bank's own topic
    (sender is a member) only the bank's own revocation counts.

    Raises:
        InvalidRecord: With `INNER_SIGNATURE`, or `BAD_PLACE` for another order on a bank's topic.
    """
    if sender != AGGREGATOR and (body.action is not OrderAction.REVOKE or body.member != sender):
        _refuse(InvalidReason.BAD_PLACE, f"ORDER on the topic of {sender!r}: expected REVOKE of itself")
    keys = _order_keys(body, manifest)
    data = order_input(manifest.federation, body.action, body.run, body.member)
    for signer, signature in body.signatures:
        if signer not in keys or not verify(keys[signer], signature, data):
            _refuse(InvalidReason.INNER_SIGNATURE, f"the signature of {signer!r} on {body.action.name} does not hold")
    signers = {signer for signer, _ in body.signatures}
    need = two_thirds(len(manifest.standing))
    if body.action is OrderAction.REVOKE and body.member not in signers and len(signers) < need:
        _refuse(InvalidReason.INNER_SIGNATURE, f"{len(signers)} members signed REVOKE: expected {need} or the member")


def check_resume(body: ResumeBody, manifest: Manifest, sender: str) -> None:
    """Checks that the bank's own governance key signed.

    Raises:
        InvalidRecord: With `INNER_SIGNATURE`.
    """
    member = manifest.by_id.get(sender)
    data = resume_input(manifest.federation, sender, body)
    if member is None or not verify(member.governance_key, body.signature, data):
        _refuse(InvalidReason.INNER_SIGNATURE, f"the governance signature of {sender!r} on RESUME does not hold")


def check_epoch(body: ManifestBody, keys: KeyRing) -> None:
    """Checks that an epoch is accepted already or follows an accepted one by its own signatures.

    Raises:
        InvalidRecord: With `UNKNOWN_MANIFEST` or `INNER_SIGNATURE`.
    """
    manifest = body.manifest
    if keys.manifest(manifest.digest) is not None:
        return
    previous = keys.manifest(_digest(manifest.previous_digest))
    if previous is None:
        _refuse(InvalidReason.UNKNOWN_MANIFEST, f"epoch {manifest.epoch} is not the root and follows no accepted epoch")
    try:
        check_manifest(manifest, previous)
    except FederationError as error:
        _refuse(InvalidReason.INNER_SIGNATURE, str(error))


def check_inner(header: Header, body: Body, manifest: Manifest, keys: KeyRing) -> None:
    """Checks the signatures inside a body; nothing for a body without any.

    Args:
        header: The record's header.
        body: The decoded body.
        manifest: The epoch that the header names.
        keys: All accepted epochs.

    Raises:
        InvalidRecord: As the check of the body's kind.
    """
    checks: dict[type, Callable[[Any], None]] = {
        PlanBody: lambda plan: check_plan(plan, manifest),
        OrderBody: lambda order: check_order(order, manifest, header.sender),
        ResumeBody: lambda resume: check_resume(resume, manifest, header.sender),
        ManifestBody: lambda epoch: check_epoch(epoch, keys),
    }
    if type(body) in checks:
        checks[type(body)](body)


def _order_keys(body: OrderBody, manifest: Manifest) -> dict[str, str]:
    if body.action is OrderAction.CANCEL:
        return {operator.id: operator.key for operator in manifest.operators}
    if body.member not in manifest.by_id:
        _refuse(InvalidReason.INNER_SIGNATURE, f"REVOKE of {body.member!r}: no member of epoch {manifest.epoch}")
    return {member.id: member.governance_key for member in manifest.standing}


def _digest(label: str | None) -> bytes:
    try:
        return canonical.parse_label(label or "")
    except ValueError:
        return b""


def _refuse(reason: InvalidReason, detail: str) -> NoReturn:
    raise InvalidRecord(reason, detail)
