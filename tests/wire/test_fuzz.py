"""Mutated records: whatever the bytes, the outcome is a record or a refusal with a reason."""

import hashlib
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

import wire_cases as cases
from tacit.rounds.types import Kind
from tacit.wire import codec, envelope
from tacit.wire.envelope import InvalidReason, InvalidRecord, open_record

ROUNDS = 35
KINDS = list(Kind)


def flip(data: bytes, draw: random.Random) -> bytes:
    """Flips one bit."""
    spot = draw.randrange(len(data))
    return data[:spot] + bytes([data[spot] ^ 1 << draw.randrange(8)]) + data[spot + 1 :]


def cut(data: bytes, draw: random.Random) -> bytes:
    """Cuts the end off."""
    return data[: draw.randrange(len(data))]


def splice(data: bytes, draw: random.Random) -> bytes:
    """Repeats a part of the data somewhere."""
    first, last = sorted(draw.randrange(len(data) + 1) for _ in range(2))
    spot = draw.randrange(len(data) + 1)
    return data[:spot] + data[first:last] + data[spot:]


def drop(data: bytes, draw: random.Random) -> bytes:
    """Leaves a part of the data out."""
    first, last = sorted(draw.randrange(len(data) + 1) for _ in range(2))
    return data[:first] + data[last:]


def garble(data: bytes, draw: random.Random) -> bytes:
    """Overwrites a few bytes."""
    spot = draw.randrange(len(data))
    return data[:spot] + draw.randbytes(draw.randrange(1, 9)) + data[spot + 8 :]


MUTATIONS: list[Callable[[bytes, random.Random], bytes]] = [flip, cut, splice, drop, garble]


def outcome(kind: Kind, value: bytes) -> InvalidReason | None:
    """The reason of a refusal, None for a record that opens; anything else fails the test."""
    try:
        open_record(cases.topic_of(kind), value, cases.RING)
    except InvalidRecord as error:
        return error.reason
    return None


@pytest.mark.parametrize("kind", KINDS)
def test_mutated_record_is_refused_or_the_same(kind: Kind) -> None:
    """Whatever opens after a mutation has the digest of the original: only unsigned framing changed."""
    draw = random.Random(f"records {kind.name}")
    sealed = cases.record(kind)
    for _ in range(ROUNDS):
        value = draw.choice(MUTATIONS)(sealed.value, draw)
        if outcome(kind, value) is None:
            assert envelope.record_digest(value) == sealed.digest


@pytest.mark.parametrize("kind", KINDS)
def test_signed_nonsense_is_refused_or_read(kind: Kind) -> None:
    """A sender that signs mutated bodies and headers gets no further than a refusal with a reason."""
    draw = random.Random(f"bodies {kind.name}")
    good = codec.encode_body(cases.BODIES[kind])
    for _ in range(ROUNDS):
        body = draw.choice(MUTATIONS)(good, draw) if good else draw.randbytes(9)
        header = codec.encode_header(cases.header(kind, body=hashlib.sha256(body).digest()))
        header = draw.choice(MUTATIONS)(header, draw) if draw.random() < 0.2 else header
        signature = cases.record_key(cases.sender_of(kind)).sign(envelope.signed_input(header, body))
        outcome(kind, codec.encode_record(header or b"h", body, signature))


@pytest.mark.parametrize("kind", KINDS)
def test_every_body_meets_every_kind(kind: Kind) -> None:
    """A body under another kind's header is read as that kind or refused, never worse."""
    for other in KINDS:
        body = codec.encode_body(cases.BODIES[other])
        header = replace(cases.header(kind), body=hashlib.sha256(body).digest())
        data = codec.encode_header(header)
        signature = cases.record_key(header.sender).sign(envelope.signed_input(data, body))
        outcome(kind, codec.encode_record(data, body, signature))


def test_random_bytes_are_refused() -> None:
    """Bytes from nowhere are never a record."""
    draw = random.Random("noise")
    for size in range(0, 400, 7):
        assert outcome(Kind.START, draw.randbytes(size)) is not None
