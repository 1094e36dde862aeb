"""Bodies with signatures of their own: MANIFEST, PLAN, ORDER."""

from tacit import canonical
from tacit.federation import FederationError, Manifest
from tacit.rounds.plan import Plan, PlanError
from tacit.rounds.types import ManifestBody, OrderAction, OrderBody, PlanBody
from tacit.wire import documents
from tacit.wire.codec import _checks as check
from tacit.wire.errors import DocumentError, InvalidReason
from tacit.wire.v1 import plan_pb2 as pb

MAX_MANIFEST_BYTES = 256 * 1024
MAX_PLAN_BYTES = 64 * 1024
MAX_SIGNATURES = 101


def write_manifest(body: ManifestBody) -> pb.Manifest:
    """MANIFEST to its message."""
    return pb.Manifest(document=body.document)


def read_manifest(message: pb.Manifest) -> ManifestBody:
    """MANIFEST from its message; the document must be the RFC 8785 form of the epoch it gives."""
    document = check.sized("document", message.document, MAX_MANIFEST_BYTES)
    try:
        manifest = documents.parse(Manifest, document)
    except (DocumentError, FederationError) as error:
        check.refuse(f"manifest: {error}", InvalidReason.BAD_DOCUMENT)
    if canonical.encode(manifest) != document:
        check.refuse("manifest: not the RFC 8785 form of its own content", InvalidReason.BAD_DOCUMENT)
    return ManifestBody(document, manifest)


def write_plan(body: PlanBody) -> pb.Plan:
    """PLAN to its message."""
    return pb.Plan(plan_json=body.plan_json, operator=body.operator, signature=body.signature)


def read_plan(message: pb.Plan) -> PlanBody:
    """PLAN from its message; `plan_json` must be in RFC 8785 form and hold known keys only."""
    plan_json = check.sized("plan_json", message.plan_json, MAX_PLAN_BYTES)
    try:
        plan = documents.parse_canonical(Plan, plan_json)
    except (DocumentError, PlanError) as error:
        check.refuse(f"plan: {error}", InvalidReason.BAD_DOCUMENT)
    signature = check.exact("signature", message.signature, check.SIGNATURE_BYTES)
    return PlanBody(plan_json, check.identifier("operator", message.operator), signature, plan)


def write_order(body: OrderBody) -> pb.Order:
    """ORDER to its message."""
    signatures = [pb.InnerSignature(signer=signer, signature=value) for signer, value in sorted(body.signatures)]
    return pb.Order(action=f"ORDER_ACTION_{body.action.name}", run=body.run, member=body.member, signatures=signatures)


def read_order(message: pb.Order) -> OrderBody:
    """ORDER from its message: CANCEL names a run and no member, REVOKE a member and no run."""
    action = check.member("action", OrderAction, message.action)
    if action is OrderAction.CANCEL:
        check.exact("run", message.run)
        check.text("member with CANCEL", message.member, 0, 0)
    else:
        check.exact("run with REVOKE", message.run, 0)
        check.identifier("member", message.member)
    check.count("signatures", message.signatures, 1, MAX_SIGNATURES)
    signers = check.rising("signer", (entry.signer for entry in message.signatures))
    signatures = tuple(
        (signer, check.exact(f"signature of {signer}", entry.signature, check.SIGNATURE_BYTES))
        for signer, entry in zip(signers, message.signatures, strict=True)
    )
    return OrderBody(action, message.run, message.member, signatures)
