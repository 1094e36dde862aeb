"""Headers: round trips and refusals."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import wire_cases as cases
from tacit.rounds.types import Header, Kind
from tacit.wire import codec
from tacit.wire.codec import InvalidReason, InvalidRecord
from tacit.wire.v1 import record_pb2 as pb

GOOD = replace(cases.header(Kind.RELEASE), body=cases.digest("body"))

headers = st.builds(
    Header,
    federation=cases.ids,
    manifest=cases.digests,
    run=cases.absent_or_digests,
    round=st.integers(0, 511),
    slot=st.integers(0, 511),
    kind=st.sampled_from(Kind),
    sender=cases.ids,
    context=cases.digests,
    body=cases.digests,
    fence=cases.absent_or_digests,
    create_time_ms=st.integers(0, 253_402_300_799_999),
    seq=st.integers(0, 2**63 - 1),
    previous=cases.absent_or_digests,
    journal_head=cases.absent_or_digests,
)


@given(header=headers)
def test_header_survives_its_round_trip(header: Header) -> None:
    """Every field comes back, times to the millisecond."""
    assert codec.decode_header(codec.encode_header(header)) == header


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"federation": ""}, "federation = ''"),
        ({"federation": "Demo"}, "federation = 'Demo'"),
        ({"manifest": b""}, "manifest_digest has 0 bytes"),
        ({"run": b"x"}, "run has 1 bytes"),
        ({"round": 512}, "round = 512: expected 0 to 511"),
        ({"slot": 512}, "slot = 512: expected 0 to 511"),
        ({"sender": "a" * 41}, "sender = 'a+'"),
        ({"context": b""}, "context has 0 bytes"),
        ({"body": b""}, "body_digest has 0 bytes"),
        ({"fence": b"f"}, "fence has 1 bytes"),
        ({"create_time_ms": -1}, "seconds of create_time = -1"),
        ({"create_time_ms": 253_402_300_800_000}, "seconds of create_time"),
        ({"seq": 2**63}, "seq = 9223372036854775808"),
        ({"seq": -1}, "Header"),
        ({"previous": b"p"}, "previous_digest has 1 bytes"),
        ({"journal_head": b"j"}, "journal_head has 1 bytes"),
    ],
)
def test_field_out_of_range_is_refused(changes: dict[str, object], message: str) -> None:
    """The refusal names field, value and range."""
    with pytest.raises(InvalidRecord, match=message):
        codec.encode_header(replace(GOOD, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [0, 30, 1000])
def test_unknown_kind_has_its_own_reason(kind: int) -> None:
    """A newer version's kind is told apart from a broken field."""
    message = pb.Header.FromString(codec.encode_header(GOOD))
    message.kind = kind  # type: ignore[assignment]
    with pytest.raises(InvalidRecord, match="expected 1 to 29") as caught:
        codec.decode_header(message.SerializeToString())
    assert caught.value.reason is InvalidReason.UNKNOWN_KIND


@pytest.mark.parametrize("nanos", [-1, 1, 999_999, 1_000_000_000])
def test_create_time_is_in_milliseconds(nanos: int) -> None:
    """A finer or malformed time is refused, because it would not come back equal."""
    message = pb.Header.FromString(codec.encode_header(GOOD))
    message.create_time.nanos = nanos
    with pytest.raises(InvalidRecord, match=r"create_time"):
        codec.decode_header(message.SerializeToString())


def test_long_header_is_refused() -> None:
    """4 KiB is the most, unknown fields included."""
    data = codec.encode_header(GOOD) + b"\xc2\x3e\xff\x7f" + b"x" * 16_383
    with pytest.raises(InvalidRecord) as caught:
        codec.decode_header(data)
    assert caught.value.reason is InvalidReason.TOO_LARGE
