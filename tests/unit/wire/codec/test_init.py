"""Round trips of every kind, the table of kinds, and the frame of a record."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wire_cases as cases
from tacit.rounds.types import Kind, LeadBody, OpenBody, VectorBody
from tacit.runtime.log import MAX_VALUE_BYTES
from tacit.wire import codec
from tacit.wire.codec import InvalidReason, InvalidRecord, WireError
from tacit.wire.v1 import bank_pb2, control_pb2, plan_pb2, record_pb2

ENUMS = [
    (record_pb2.Kind, "KIND", Kind),
    (plan_pb2.OrderAction, "ORDER_ACTION", cases.kinds.OrderAction),
    (control_pb2.Outcome, "OUTCOME", cases.kinds.Outcome),
    (control_pb2.Reason, "REASON", cases.kinds.Reason),
    (bank_pb2.Refusal, "REFUSAL", cases.kinds.Refusal),
]


def reason_of(kind: Kind, data: bytes) -> InvalidReason:
    """The reason for which a body is refused."""
    with pytest.raises(InvalidRecord) as caught:
        codec.decode_body(kind, data)
    return caught.value.reason


@pytest.mark.parametrize("kind", list(Kind))
@settings(max_examples=25)
@given(data=st.data())
def test_every_body_survives_its_round_trip(kind: Kind, data: st.DataObject) -> None:
    """What is encoded decodes to an equal body, of the same kind."""
    body = data.draw(cases.STRATEGIES[kind])
    found = codec.decode_body(kind, codec.encode_body(body))
    assert found == body
    assert codec.kind_of(found) is kind


@pytest.mark.parametrize("kind", list(Kind))
def test_same_body_gives_same_bytes(kind: Kind) -> None:
    """Encoding is repeatable within a process: the digest of a stored record does not wander."""
    assert codec.encode_body(cases.BODIES[kind]) == codec.encode_body(cases.BODIES[kind])


def test_order_of_a_mapping_does_not_change_the_bytes() -> None:
    """Mappings are written by rising key."""
    entries = {bank: cases.digest(bank) for bank in cases.BANKS}
    turned = dict(reversed(entries.items()))
    assert codec.encode_body(cases.kinds.RosterBody(entries)) == codec.encode_body(cases.kinds.RosterBody(turned))


@pytest.mark.parametrize(("wire", "prefix", "python"), ENUMS, ids=[prefix for _, prefix, _ in ENUMS])
def test_enums_of_wire_and_code_are_the_same(wire: object, prefix: str, python: type) -> None:
    """Each enum has the numbers and names of its Python class, and UNSPECIFIED at 0."""
    expected = {f"{prefix}_UNSPECIFIED": 0} | {f"{prefix}_{item.name}": item.value for item in python}
    assert dict(wire.items()) == expected


def test_every_kind_has_one_topic_family() -> None:
    """Only ORDER stands on two families; no kind stands on none."""
    types = cases.kinds
    for kind in Kind:
        families = [kind in group for group in (types.CONTROL_KINDS, types.BANK_KINDS, types.VERSION_KINDS)]
        assert sum(families) == (2 if kind is Kind.ORDER else 1), kind


def test_record_limit_is_the_limit_of_the_log() -> None:
    """The log takes what the codec makes, and nothing longer."""
    assert codec.MAX_RECORD_BYTES == MAX_VALUE_BYTES == 983_040


def test_record_splits_into_the_bytes_that_went_in() -> None:
    """Header, body and signature come back exactly."""
    value = codec.encode_record(b"header", b"body", b"s" * 64)
    assert codec.split_record(value) == (b"header", b"body", b"s" * 64)


@pytest.mark.parametrize("size", [0, 63, 65])
def test_signature_has_64_bytes(size: int) -> None:
    """Another length is no record."""
    with pytest.raises(InvalidRecord, match="64 bytes") as caught:
        codec.encode_record(b"header", b"", b"s" * size)
    assert caught.value.reason is InvalidReason.MALFORMED


def test_record_without_header_is_malformed() -> None:
    """An empty value parses as protobuf and is still refused."""
    with pytest.raises(InvalidRecord, match="no header"):
        codec.split_record(b"")


def test_oversized_record_is_refused_before_it_is_parsed() -> None:
    """Its length alone decides: the bytes are not even protobuf."""
    with pytest.raises(InvalidRecord) as caught:
        codec.split_record(b"\xff" * (codec.MAX_RECORD_BYTES + 1))
    assert caught.value.reason is InvalidReason.TOO_LARGE


def test_oversized_record_is_refused_at_encode() -> None:
    """A record one byte over the limit is not made; one at the limit is."""
    frame = len(codec.encode_record(b"h", b"b" * 900_000, b"s" * 64)) - 900_000
    most = codec.MAX_RECORD_BYTES - frame
    assert len(codec.encode_record(b"h", b"b" * most, b"s" * 64)) == codec.MAX_RECORD_BYTES
    with pytest.raises(InvalidRecord, match="at most 983040"):
        codec.encode_record(b"h", b"b" * (most + 1), b"s" * 64)


@pytest.mark.parametrize("kind", list(Kind))
def test_noise_is_malformed(kind: Kind) -> None:
    """Bytes that are no protobuf are refused for every kind."""
    assert reason_of(kind, b"\xff\xff\xff") is InvalidReason.MALFORMED


@pytest.mark.parametrize("kind", list(Kind))
def test_unknown_fields_are_ignored(kind: Kind) -> None:
    """A field that a newer minor version adds changes nothing: field 1000, varint 1."""
    data = codec.encode_body(cases.BODIES[kind])
    assert codec.decode_body(kind, data + b"\xc0\x3e\x01") == cases.BODIES[kind]


def test_deep_nesting_is_refused() -> None:
    """Ten thousand groups inside an unknown field end in a refusal, not in a deep stack."""
    assert reason_of(Kind.OPEN, b"\xc3\x3e" * 10_000) is InvalidReason.MALFORMED


def test_text_that_is_not_unicode_is_refused() -> None:
    """Strings must be UTF-8: field 2 of LEAD holds the byte ff."""
    assert reason_of(Kind.LEAD, b"\x12\x01\xff") is InvalidReason.MALFORMED


@pytest.mark.parametrize("value", ["text", 7, None])
def test_wrong_type_in_a_body_is_refused(value: object) -> None:
    """A value of another type is an error of the wire, not a TypeError from inside."""
    with pytest.raises(InvalidRecord) as caught:
        codec.encode_body(LeadBody(value, "holder", b""))  # type: ignore[arg-type]
    assert caught.value.reason is InvalidReason.BAD_FIELD


def test_encoding_refuses_what_a_reader_would_refuse() -> None:
    """The value and the allowed length stand in the message."""
    with pytest.raises(InvalidRecord, match="run has 31 bytes: expected 32"):
        codec.encode_body(OpenBody(b"r" * 31))


def test_vector_from_elsewhere_has_no_kind() -> None:
    """Only a vector made from a release or decoded may be encoded."""
    with pytest.raises(WireError, match="only from a release"):
        codec.kind_of(VectorBody((1, 2)))


def test_every_reason_has_a_distinct_code() -> None:
    """Codes are metric labels: lower case, underscores, unique."""
    codes = [reason.value for reason in InvalidReason]
    assert len(set(codes)) == len(codes)
    assert all(code.replace("_", "").isalpha() and code.islower() for code in codes)
