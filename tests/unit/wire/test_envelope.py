"""Sealing and opening: what holds, and the distinct reason of everything that does not."""

import hashlib
from dataclasses import replace

import pytest

import wire_cases as cases
from tacit.rounds import types as kinds
from tacit.rounds.types import Header, Kind
from tacit.wire import codec, envelope
from tacit.wire.envelope import InvalidReason, InvalidRecord, KeyRing, SigningKey, WireError, open_record, seal

CONTROL, ASH, BIRCH = "tacit.control.v1", "tacit.bank.v1.ash", "tacit.bank.v1.birch"


def forged(header: Header, body: bytes, key: SigningKey) -> bytes:
    """A record signed without any check of its form."""
    full = replace(header, body=hashlib.sha256(body).digest())
    data = codec.encode_header(full)
    return codec.encode_record(data, body, key.sign(envelope.signed_input(data, body)))


def forged_record(kind: Kind, **changes: object) -> bytes:
    """A record whose header has some fields changed, signed by its sender."""
    header = cases.header(kind, **changes)
    return forged(header, codec.encode_body(cases.BODIES[kind]), cases.record_key(header.sender))


def refusal(topic: str, value: bytes, ring: KeyRing = cases.RING) -> InvalidReason:
    """The reason for which a record is refused."""
    with pytest.raises(InvalidRecord) as caught:
        open_record(topic, value, ring)
    return caught.value.reason


@pytest.mark.parametrize("kind", list(Kind))
def test_sealed_record_opens(kind: Kind) -> None:
    """Every kind opens on its topic to the header and body that went in, under its digest."""
    sealed = cases.record(kind)
    checked = open_record(cases.topic_of(kind), sealed.value, cases.RING)
    assert checked.body == cases.BODIES[kind]
    assert checked.header == sealed.header
    assert checked.digest == sealed.digest == envelope.record_digest(sealed.value)
    assert checked.topic == cases.topic_of(kind)


def test_signed_input_is_as_documented() -> None:
    """A label, then each part after its length in 8 bytes big-endian: no two pairs of parts give the same bytes."""
    assert envelope.signed_input(b"ab", b"c") == b"tacit.v1" + bytes(7) + b"\x02ab" + bytes(7) + b"\x01c"
    assert envelope.signed_input(b"a", b"bc") != envelope.signed_input(b"ab", b"c")


def test_header_carries_the_digest_of_the_body() -> None:
    """Seal fills it in, whatever the caller left there."""
    sealed = seal(cases.header(Kind.ACK, body=b"x" * 32), cases.BODIES[Kind.ACK], cases.record_key("ash"))
    assert sealed.header.body == hashlib.sha256(codec.encode_body(cases.BODIES[Kind.ACK])).digest()


def test_body_of_another_kind_is_not_sealed() -> None:
    """Header and body must agree."""
    with pytest.raises(InvalidRecord, match="header of kind ACK, body of START"):
        seal(cases.header(Kind.ACK), cases.BODIES[Kind.START], cases.record_key("ash"))


@pytest.mark.parametrize(("kind", "other"), [(Kind.RELEASE, Kind.MASKED), (Kind.MASKED, Kind.RELEASE)])
def test_release_and_masked_are_not_confused(kind: Kind, other: Kind) -> None:
    """A vector made for one kind is not sealed as the other."""
    with pytest.raises(InvalidRecord, match="header of kind"):
        seal(cases.header(kind), cases.BODIES[other], cases.record_key("ash"))


def test_bare_vector_is_not_sealed() -> None:
    """A vector that no release made does not leave."""
    with pytest.raises(WireError, match="only from a release"):
        seal(cases.header(Kind.RELEASE), kinds.VectorBody((1,)), cases.record_key("ash"))


def test_record_signed_by_the_wrong_bank() -> None:
    """A record that names ash, under the key of birch."""
    value = forged(cases.header(Kind.START), codec.encode_body(cases.BODIES[Kind.START]), cases.record_key("birch"))
    assert refusal(ASH, value) is InvalidReason.BAD_SIGNATURE


def test_record_signed_by_the_governance_key() -> None:
    """Governance keys sign epochs, never records."""
    value = forged(cases.header(Kind.START), codec.encode_body(cases.BODIES[Kind.START]), cases.key("ash governs"))
    assert refusal(ASH, value) is InvalidReason.BAD_SIGNATURE


def test_record_replayed_on_another_banks_topic() -> None:
    """Only a topic's own bank may write there."""
    assert refusal(BIRCH, cases.record(Kind.START).value) is InvalidReason.WRONG_SENDER


@pytest.mark.parametrize(("kind", "topic"), [(Kind.QUERY, ASH), (Kind.JOIN, CONTROL), (Kind.VERSION, CONTROL)])
def test_kind_on_the_wrong_topic(kind: Kind, topic: str) -> None:
    """A kind stands on the topics of its family alone."""
    assert refusal(topic, cases.record(kind).value) is InvalidReason.WRONG_TOPIC


@pytest.mark.parametrize("topic", ["", "control", "tacit.bank.v1.", "tacit.bank.v1.Ash", "tacit.control.v2"])
def test_topic_that_is_none(topic: str) -> None:
    """A record on an unknown topic is refused, not crashed on."""
    assert refusal(topic, cases.record(Kind.START).value) is InvalidReason.WRONG_TOPIC


@pytest.mark.parametrize("sender", ["ash", "registry"])
def test_control_belongs_to_the_aggregator(sender: str) -> None:
    """Nobody else's records count on the control topic."""
    assert refusal(CONTROL, forged_record(Kind.OPEN, sender=sender)) is InvalidReason.WRONG_SENDER


def test_versions_belong_to_the_registry() -> None:
    """The aggregator cannot publish a model."""
    value = forged_record(Kind.VERSION, sender="aggregator")
    assert refusal("tacit.versions.v1", value) is InvalidReason.WRONG_SENDER


def test_corrupt_body_and_corrupt_header() -> None:
    """A flipped bit in the body breaks its digest; one in the header's text breaks the signature."""
    sealed = cases.record(Kind.START)
    header, body, signature = codec.split_record(sealed.value)
    spoilt = codec.encode_record(header, body[:-1] + bytes([body[-1] ^ 1]), signature)
    assert refusal(ASH, spoilt) is InvalidReason.BODY_DIGEST
    spoilt = codec.encode_record(header.replace(cases.digest("head"), cases.digest("other")), body, signature)
    assert refusal(ASH, spoilt) is InvalidReason.BAD_SIGNATURE


def test_corrupt_frame_and_oversized_record() -> None:
    """Bytes that are no record, and bytes that are too many."""
    assert refusal(ASH, b"\xff\x00") is InvalidReason.MALFORMED
    assert refusal(ASH, bytes(983_041)) is InvalidReason.TOO_LARGE


def test_record_of_another_federation() -> None:
    """The federation's name is checked before its keys."""
    assert refusal(ASH, forged_record(Kind.START, federation="other")) is InvalidReason.WRONG_FEDERATION


def test_record_under_an_unknown_manifest() -> None:
    """An epoch that this reader has not accepted gives no keys."""
    assert refusal(ASH, forged_record(Kind.START, manifest=cases.digest("m"))) is InvalidReason.UNKNOWN_MANIFEST
    assert refusal(ASH, cases.record(Kind.START).value, KeyRing()) is InvalidReason.UNKNOWN_MANIFEST


def test_record_of_a_stranger() -> None:
    """A bank that the epoch does not list has no key."""
    header = cases.header(Kind.START, sender="dogwood")
    value = forged(header, codec.encode_body(cases.BODIES[Kind.START]), cases.key("dogwood signs"))
    assert refusal("tacit.bank.v1.dogwood", value) is InvalidReason.UNKNOWN_SENDER


@pytest.mark.parametrize("kind", sorted(kinds.FENCED_KINDS))
def test_fenced_kind_needs_its_fence(kind: Kind) -> None:
    """Without the digest of a LEAD nobody can tell which leader wrote it."""
    assert refusal(CONTROL, forged_record(kind, fence=b"")) is InvalidReason.BAD_FENCE


@pytest.mark.parametrize("kind", [Kind.LEAD, Kind.PLAN, Kind.MANIFEST, Kind.START, Kind.VERSION])
def test_other_kinds_have_no_fence(kind: Kind) -> None:
    """A fence where none belongs is refused."""
    assert refusal(cases.topic_of(kind), forged_record(kind, fence=cases.digest("f"))) is InvalidReason.BAD_FENCE


@pytest.mark.parametrize(
    "changes",
    [
        {"seq": 0},
        {"seq": 1},
        {"previous": b""},
        {"journal_head": b""},
        {"seq": 0, "previous": b"", "journal_head": b""},
    ],
)
def test_bank_record_stands_in_a_chain(changes: dict[str, object]) -> None:
    """From the second record on, a bank names the one before and its journal's head."""
    assert refusal(ASH, forged_record(Kind.JOIN, **changes)) is InvalidReason.BAD_CHAIN


@pytest.mark.parametrize("head", [b"", cases.digest("head")])
def test_first_record_of_a_chain_opens(head: bytes) -> None:
    """Number 1 has no previous record; an empty journal has no head."""
    sealed = cases.record(Kind.START, seq=1, previous=b"", journal_head=head)
    assert open_record(ASH, sealed.value, cases.RING).header.seq == 1


def test_resume_may_start_without_a_previous_record() -> None:
    """RESUME starts the chain again; its body says from where."""
    sealed = cases.record(Kind.RESUME, seq=6, previous=b"", journal_head=b"")
    assert open_record(ASH, sealed.value, cases.RING).header.seq == 6


@pytest.mark.parametrize("changes", [{"seq": 1}, {"previous": cases.digest("p")}, {"journal_head": cases.digest("j")}])
def test_roles_have_no_chain(changes: dict[str, object]) -> None:
    """Aggregator and registry keep no journal."""
    for kind in (Kind.OPEN, Kind.ORDER, Kind.ALIAS):
        sender = "registry" if kind is Kind.ALIAS else "aggregator"
        value = forged_record(kind, sender=sender, **changes)
        assert refusal(cases.topic_of(kind), value) is InvalidReason.BAD_CHAIN


@pytest.mark.parametrize("kind", sorted(kinds.RUN_KINDS | kinds.ATTEMPT_KINDS))
def test_run_kinds_name_their_run(kind: Kind) -> None:
    """A record of a run without a run id belongs nowhere."""
    assert refusal(cases.topic_of(kind), forged_record(kind, run=b"")) is InvalidReason.BAD_PLACE


@pytest.mark.parametrize("changes", [{"round": 1}, {"slot": 1}])
def test_kinds_without_attempt_name_none(changes: dict[str, object]) -> None:
    """Round and slot are zero outside attempts."""
    assert refusal(ASH, forged_record(Kind.JOIN, **changes)) is InvalidReason.BAD_PLACE


@pytest.mark.parametrize("kind", [Kind.OPEN, Kind.LEFT, Kind.PLAN])
def test_header_and_body_name_one_run(kind: Kind) -> None:
    """OPEN, LEFT and PLAN say their run twice; both must agree."""
    value = forged_record(kind, run=cases.digest("another run"))
    assert refusal(cases.topic_of(kind), value) is InvalidReason.BAD_PLACE


def test_plan_may_name_its_run() -> None:
    """A PLAN's header may carry the run id."""
    sealed = cases.record(Kind.PLAN, run=cases.RUN)
    assert open_record(CONTROL, sealed.value, cases.RING).header.run == cases.RUN


@pytest.mark.parametrize("changes", [{"fence": b""}, {"run": b""}, {"seq": 1}])
def test_seal_refuses_what_a_reader_would(changes: dict[str, object]) -> None:
    """A sender learns of a bad header before it is on the log."""
    with pytest.raises(InvalidRecord):
        seal(cases.header(Kind.OPEN, **changes), cases.BODIES[Kind.OPEN], cases.key("aggregator"))


def test_record_opens_again_after_an_unknown_field() -> None:
    """A newer sender's outer field is not signed and changes neither outcome nor digest."""
    sealed = cases.record(Kind.START)
    checked = open_record(ASH, sealed.value + b"\xc0\x3e\x01", cases.RING)
    assert checked.digest == sealed.digest


def test_prefix_of_topics_is_free() -> None:
    """A consortium may share a broker under its own prefix."""
    assert open_record("eu.fraud.bank.v1.ash", cases.record(Kind.START).value, cases.RING).header.sender == "ash"
