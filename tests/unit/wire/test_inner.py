"""Signatures inside PLAN, ORDER, RESUME and MANIFEST."""

from dataclasses import replace

import pytest

import wire_cases as cases
from tacit import canonical
from tacit.federation import MemberStatus, Operator
from tacit.rounds.types import Header, Kind, ManifestBody, OrderAction, OrderBody, ResumeBody
from tacit.wire import inner
from tacit.wire.envelope import InvalidReason, InvalidRecord, KeyRing, open_record

M = cases.MANIFEST
RUN = cases.RUN
D = cases.digest("another")


def revoke(member: str, *signers: str) -> OrderBody:
    """A REVOKE signed with governance keys."""
    return inner.sign_revoke("demo", member, {signer: cases.key(f"{signer} governs") for signer in signers})


def refused(body: OrderBody, sender: str = "aggregator") -> InvalidReason:
    """The reason for which an order is refused."""
    with pytest.raises(InvalidRecord) as caught:
        inner.check_order(body, M, sender)
    return caught.value.reason


def next_epoch(*signers: str, **changes: object) -> ManifestBody:
    """Epoch 2 with some changes."""
    fields = {"epoch": 2, "previous_digest": canonical.label(M.digest), "signatures": ()} | changes
    manifest = cases.signed(replace(M, **fields), *signers)  # type: ignore[arg-type]
    return ManifestBody(canonical.encode(manifest), manifest)


def test_signed_inputs_are_told_apart() -> None:
    """A signature of one kind of statement is never one of another."""
    body = ResumeBody(1, cases.digest("a"), 1, cases.digest("b"), rebuilt=False, signature=b"")
    inputs = [inner.plan_input(b""), inner.order_input("demo", OrderAction.CANCEL, RUN, ""), M.signed_input]
    labels = {data[: data.index(b".v1") + 3] for data in [*inputs, inner.resume_input("demo", "ash", body)]}
    assert labels == {b"tacit.plan.v1", b"tacit.order.v1", b"tacit.manifest.v1", b"tacit.resume.v1"}


def test_plan_of_an_operator_holds() -> None:
    """The body that `sign_plan` makes passes."""
    inner.check_plan(cases.PLAN_BODY, M)


@pytest.mark.parametrize("operator", ["ash", "aggregator", "nobody"])
def test_plan_of_somebody_else_is_refused(operator: str) -> None:
    """Only operators sign plans: no member and no role."""
    body = inner.sign_plan(cases.PLAN, operator, cases.key("ops"))
    with pytest.raises(InvalidRecord, match="no operator of epoch 1"):
        inner.check_plan(body, M)


def test_plan_under_a_wrong_key_is_refused() -> None:
    """The operator's name needs the operator's key."""
    body = inner.sign_plan(cases.PLAN, "ops", cases.key("aggregator"))
    with pytest.raises(InvalidRecord, match="signature of operator 'ops'"):
        inner.check_plan(body, M)


def test_plan_with_other_bytes_is_refused() -> None:
    """The signature is over the bytes of the plan."""
    other = inner.sign_plan(replace(cases.PLAN, nonce="cd" * 32), "ops", cases.key("ops"))
    with pytest.raises(InvalidRecord, match="does not hold"):
        inner.check_plan(replace(other, signature=cases.PLAN_BODY.signature), M)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"federation": "other"}, InvalidReason.WRONG_FEDERATION),
        ({"manifest": canonical.label(bytes(32))}, InvalidReason.UNKNOWN_MANIFEST),
    ],
)
def test_plan_of_another_epoch_is_refused(changes: dict[str, str], reason: InvalidReason) -> None:
    """A plan runs under the epoch that it names, and no other."""
    body = inner.sign_plan(replace(cases.PLAN, **changes), "ops", cases.key("ops"))  # type: ignore[arg-type]
    with pytest.raises(InvalidRecord) as caught:
        inner.check_plan(body, M)
    assert caught.value.reason is reason


def test_plan_with_a_bad_inner_signature_does_not_open() -> None:
    """The aggregator's own signature does not make up for the operator's."""
    sealed = cases.record(Kind.PLAN, replace(cases.PLAN_BODY, signature=bytes(64)))
    with pytest.raises(InvalidRecord) as caught:
        open_record("tacit.control.v1", sealed.value, cases.RING)
    assert caught.value.reason is InvalidReason.INNER_SIGNATURE


def test_operator_cancels() -> None:
    """One operator is enough."""
    inner.check_order(inner.sign_cancel("demo", RUN, "ops", cases.key("ops")), M, "aggregator")


def test_member_cannot_cancel() -> None:
    """Members have no say over an operator's run."""
    assert refused(inner.sign_cancel("demo", RUN, "ash", cases.key("ash governs"))) is InvalidReason.INNER_SIGNATURE


@pytest.mark.parametrize("changes", [{"run": cases.digest("other run")}, {"action": OrderAction.REVOKE, "run": b""}])
def test_changed_order_is_refused(changes: dict[str, object]) -> None:
    """Action and run are signed."""
    body = replace(inner.sign_cancel("demo", RUN, "ops", cases.key("ops")), member="ash", **changes)  # type: ignore[arg-type]
    assert refused(body) is InvalidReason.INNER_SIGNATURE


def test_order_of_another_federation_is_refused() -> None:
    """An order counts in the federation it was signed for."""
    assert refused(inner.sign_cancel("other", RUN, "ops", cases.key("ops"))) is InvalidReason.INNER_SIGNATURE


@pytest.mark.parametrize("signers", [("birch", "cedar"), ("ash", "birch", "cedar"), ("ash",)])
def test_revocation_by_two_thirds_or_by_itself_holds(signers: tuple[str, ...]) -> None:
    """Two of three members, or the member alone."""
    inner.check_order(revoke("ash", *signers), M, "aggregator")


def test_revocation_by_one_other_is_refused() -> None:
    """One of three members cannot expel another."""
    assert refused(revoke("ash", "birch")) is InvalidReason.INNER_SIGNATURE


@pytest.mark.parametrize("member", ["dogwood", "ops"])
def test_revocation_of_a_stranger_is_refused(member: str) -> None:
    """Only members can be revoked."""
    assert refused(revoke(member, "ash", "birch", "cedar")) is InvalidReason.INNER_SIGNATURE


def test_one_bad_signature_spoils_an_order() -> None:
    """A signature that does not hold is not skipped over."""
    good = revoke("ash", "birch", "cedar")
    body = replace(good, signatures=(*good.signatures, ("ash", bytes(64))))
    assert refused(body) is InvalidReason.INNER_SIGNATURE


def test_signing_key_does_not_revoke() -> None:
    """Revocations take governance keys: a stolen record key cannot expel its bank."""
    assert refused(inner.sign_revoke("demo", "ash", {"ash": cases.key("ash signs")})) is InvalidReason.INNER_SIGNATURE


def test_bank_revokes_itself_on_its_own_topic() -> None:
    """A censored bank can still leave."""
    sealed = cases.record(Kind.ORDER, revoke("ash", "ash"), **bank_place())
    assert open_record("tacit.bank.v1.ash", sealed.value, cases.RING).header.sender == "ash"


def bank_place() -> dict[str, object]:
    """Header fields of an ORDER on the topic of ash."""
    start: Header = cases.header(Kind.START)
    return {"sender": "ash", "seq": 5, "previous": start.previous, "journal_head": start.journal_head}


@pytest.mark.parametrize(
    "body", [revoke("birch", "ash", "birch", "cedar"), inner.sign_cancel("demo", RUN, "ops", cases.key("ops"))]
)
def test_other_orders_do_not_stand_on_a_banks_topic(body: OrderBody) -> None:
    """There a bank speaks for itself only."""
    assert refused(body, "ash") is InvalidReason.BAD_PLACE


def test_resume_needs_the_banks_own_governance_key() -> None:
    """Neither the record key nor another bank's governance key starts a chain again."""
    body = ResumeBody(1, cases.digest("a"), 1, cases.digest("b"), rebuilt=False, signature=b"")
    inner.check_resume(inner.sign_resume("demo", "ash", body, cases.key("ash governs")), M, "ash")
    for name in ("ash signs", "birch governs"):
        with pytest.raises(InvalidRecord, match="governance signature of 'ash'"):
            inner.check_resume(inner.sign_resume("demo", "ash", body, cases.key(name)), M, "ash")


@pytest.mark.parametrize(
    "changes",
    [
        {"journal_seq": 2},
        {"topic_seq": 2},
        {"journal_digest": D},
        {"topic_digest": D},
        {"rebuilt": True},
    ],
)
def test_every_field_of_resume_is_signed(changes: dict[str, object]) -> None:
    """A changed field breaks the governance signature."""
    body = ResumeBody(1, cases.digest("a"), 1, cases.digest("b"), rebuilt=False, signature=b"")
    signed = inner.sign_resume("demo", "ash", body, cases.key("ash governs"))
    with pytest.raises(InvalidRecord, match="does not hold"):
        inner.check_resume(replace(signed, **changes), M, "ash")  # type: ignore[arg-type]


def test_resume_of_another_bank_or_federation_is_refused() -> None:
    """The signed statement names bank and federation."""
    body = ResumeBody(1, cases.digest("a"), 1, cases.digest("b"), rebuilt=False, signature=b"")
    for federation, bank in (("other", "ash"), ("demo", "birch")):
        with pytest.raises(InvalidRecord):
            inner.check_resume(inner.sign_resume(federation, bank, body, cases.key("ash governs")), M, "ash")


def test_accepted_root_holds() -> None:
    """Epoch 1 counts because this reader accepted it, not because it signs itself."""
    body = ManifestBody(canonical.encode(M), M)
    inner.check_epoch(body, cases.RING)
    with pytest.raises(InvalidRecord, match="not the root") as caught:
        inner.check_epoch(body, KeyRing())
    assert caught.value.reason is InvalidReason.UNKNOWN_MANIFEST


def test_next_epoch_holds_by_its_signatures() -> None:
    """Operator and two thirds of the members make the next epoch, and the ring can take it."""
    body = next_epoch("ops", "ash", "birch", max_banks_per_person=2)
    inner.check_epoch(body, cases.RING)
    assert cases.RING.adding(body.manifest).manifest(body.manifest.digest) == body.manifest


@pytest.mark.parametrize("signers", [("ops", "ash"), ("ash", "birch", "cedar"), ()])
def test_next_epoch_without_its_signatures_is_refused(signers: tuple[str, ...]) -> None:
    """Too few members, or no operator."""
    with pytest.raises(InvalidRecord) as caught:
        inner.check_epoch(next_epoch(*signers), cases.RING)
    assert caught.value.reason is InvalidReason.INNER_SIGNATURE


@pytest.mark.parametrize("previous", [None, "nonsense", canonical.label(bytes(32))])
def test_epoch_that_follows_nothing_is_refused(previous: str | None) -> None:
    """An epoch must follow one that this reader accepted."""
    body = next_epoch("ops", "ash", "birch", "cedar", previous_digest=previous)
    with pytest.raises(InvalidRecord) as caught:
        inner.check_epoch(body, cases.RING)
    assert caught.value.reason is InvalidReason.UNKNOWN_MANIFEST


def test_operator_of_a_new_epoch_signs_plans_there() -> None:
    """Keys come from the epoch that the record names."""
    operators = (Operator("ops", cases.key("ops").public), Operator("ops-2", cases.key("ops-2").public))
    manifest = next_epoch("ops", "ash", "birch", operators=operators).manifest
    plan = replace(cases.PLAN, manifest=canonical.label(manifest.digest))
    body = inner.sign_plan(plan, "ops-2", cases.key("ops-2"))
    inner.check_plan(body, manifest)
    sealed = cases.record(Kind.PLAN, body, manifest=manifest.digest)
    assert open_record("tacit.control.v1", sealed.value, cases.RING.adding(manifest)).body == body


def test_removed_bank_has_no_key_in_the_new_epoch() -> None:
    """Its records under the old epoch still open; under the new one they do not."""
    ash = replace(M.members[0], status=MemberStatus.REMOVED)
    changes = {"members": (ash, *M.members[1:]), "t": 2, "q": 2, "c": 0, "modes": (cases.Mode.LOCAL,)}
    manifest = next_epoch("ops", "birch", "cedar", **changes).manifest
    ring = cases.RING.adding(manifest)
    assert open_record("tacit.bank.v1.ash", cases.record(Kind.START).value, ring).header.sender == "ash"
    with pytest.raises(InvalidRecord) as caught:
        open_record("tacit.bank.v1.ash", cases.record(Kind.START, manifest=manifest.digest).value, ring)
    assert caught.value.reason is InvalidReason.UNKNOWN_SENDER
