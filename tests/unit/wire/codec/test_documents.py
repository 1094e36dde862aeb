"""MANIFEST, PLAN and ORDER bodies that are refused."""

import json
from dataclasses import replace

import pytest

import wire_cases as cases
from tacit import canonical
from tacit.rounds import types as kinds
from tacit.rounds.types import Kind, OrderAction
from tacit.wire import codec
from tacit.wire.codec import InvalidReason, InvalidRecord
from tacit.wire.v1 import plan_pb2 as pb

D = cases.digest("any")


def plan_record(plan_json: bytes) -> bytes:
    """A PLAN body around some JSON."""
    return pb.Plan(plan_json=plan_json, operator="ops", signature=bytes(64)).SerializeToString()


def changed_plan(**changes: object) -> bytes:
    """The plan's canonical JSON with some keys changed."""
    return canonical.encode(json.loads(cases.PLAN_BODY.plan_json) | changes)


def refusal(kind: Kind, data: bytes) -> InvalidRecord:
    """The refusal of a body."""
    with pytest.raises(InvalidRecord) as caught:
        codec.decode_body(kind, data)
    return caught.value


def test_unknown_key_in_a_plan_is_refused() -> None:
    """A plan's bytes are signed: a key that this version does not know could change its meaning."""
    error = refusal(Kind.PLAN, plan_record(changed_plan(surprise=1)))
    assert error.reason is InvalidReason.BAD_DOCUMENT
    assert "surprise: unknown key" in error.detail


def test_unknown_key_deep_inside_is_refused() -> None:
    """Unknown keys are refused at every depth."""
    learner = json.loads(cases.PLAN_BODY.plan_json)["learner"] | {"bonus": 1}
    assert "learner.bonus: unknown key" in refusal(Kind.PLAN, plan_record(changed_plan(learner=learner))).detail


def test_plan_out_of_range_is_refused() -> None:
    """The plan's own rules speak through the refusal."""
    error = refusal(Kind.PLAN, plan_record(changed_plan(epsilon=900)))
    assert "epsilon = 900: expected above 0 and at most 64" in error.detail


@pytest.mark.parametrize("spoil", [b" ", b"\n"])
def test_plan_must_be_canonical(spoil: bytes) -> None:
    """One plan has one run id: the same plan in other bytes is refused."""
    assert "RFC 8785" in refusal(Kind.PLAN, plan_record(cases.PLAN_BODY.plan_json + spoil)).detail


def test_plan_that_leaves_defaults_out_is_read() -> None:
    """A signed plan may rely on defaults; its own bytes stay its identity."""
    tree = json.loads(cases.PLAN_BODY.plan_json)
    del tree["tick"]
    body = codec.decode_body(Kind.PLAN, plan_record(canonical.encode(tree)))
    assert isinstance(body, kinds.PlanBody)
    assert body.plan == cases.PLAN


@pytest.mark.parametrize("size", [0, 64 * 1024 + 1])
def test_size_of_a_plan_is_checked(size: int) -> None:
    """1 to 65,536 bytes."""
    assert "length of plan_json" in refusal(Kind.PLAN, plan_record(b"x" * size)).detail


def test_operator_of_a_plan_is_an_id() -> None:
    """The operator's name has the form of an id."""
    with pytest.raises(InvalidRecord, match="operator = 'OPS'"):
        codec.encode_body(replace(cases.PLAN_BODY, operator="OPS"))


@pytest.mark.parametrize("document", [b"", b"{}", b"[]", b"nonsense", b'{"epoch":1}'])
def test_manifest_that_is_none_is_refused(document: bytes) -> None:
    """Bytes that are not an epoch are refused with the missing keys."""
    data = pb.Manifest(document=document).SerializeToString()
    assert refusal(Kind.MANIFEST, data).reason in {InvalidReason.BAD_DOCUMENT, InvalidReason.BAD_FIELD}


def test_manifest_must_be_canonical() -> None:
    """The same epoch with an explicit null is another document and is refused."""
    tree = json.loads(canonical.encode(cases.MANIFEST)) | {"previous_digest": None}
    data = pb.Manifest(document=canonical.encode(tree)).SerializeToString()
    assert "RFC 8785 form of its own content" in refusal(Kind.MANIFEST, data).detail


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (kinds.OrderBody(OrderAction.CANCEL, b"", "", (("ops", bytes(64)),)), "run has 0 bytes"),
        (kinds.OrderBody(OrderAction.CANCEL, D, "ash", (("ops", bytes(64)),)), "member with CANCEL"),
        (kinds.OrderBody(OrderAction.REVOKE, D, "ash", (("ash", bytes(64)),)), "run with REVOKE"),
        (kinds.OrderBody(OrderAction.REVOKE, b"", "", (("ash", bytes(64)),)), "member = ''"),
        (kinds.OrderBody(OrderAction.REVOKE, b"", "ash", ()), "number of signatures = 0: expected 1 to 101"),
        (kinds.OrderBody(OrderAction.REVOKE, b"", "ash", (("ash", b"x"),)), "signature of ash has 1 bytes"),
        (kinds.OrderBody(OrderAction.REVOKE, b"", "ash", (("ash", bytes(64)),) * 2), "strictly rising"),
    ],
)
def test_order_out_of_form_is_refused(body: kinds.OrderBody, message: str) -> None:
    """CANCEL has a run, REVOKE a member, each signer signs once."""
    with pytest.raises(InvalidRecord, match=message):
        codec.encode_body(body)


@pytest.mark.parametrize("action", [0, 3])
def test_unknown_action_is_refused(action: int) -> None:
    """UNSPECIFIED and numbers of the future order nothing."""
    data = pb.Order(action=action, run=D).SerializeToString()  # type: ignore[arg-type]
    assert "expected one of 1 CANCEL, 2 REVOKE" in refusal(Kind.ORDER, data).detail
