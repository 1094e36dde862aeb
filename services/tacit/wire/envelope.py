"""Signing and opening records: the only maker of `Checked`."""

import hashlib
from dataclasses import dataclass, replace
from typing import NoReturn

from cryptography.exceptions import InvalidSignature

from tacit.federation import Manifest
from tacit.rounds.plan import run_id
from tacit.rounds.types import (
    ATTEMPT_KINDS,
    CONTROL_KINDS,
    FENCED_KINDS,
    RUN_KINDS,
    VERSION_KINDS,
    Body,
    Checked,
    Header,
    Kind,
    LeftBody,
    OpenBody,
    PlanBody,
)
from tacit.wire import codec, inner, topics
from tacit.wire.errors import InvalidReason, InvalidRecord, SigningKeyError, WireError
from tacit.wire.keys import KeyFileWarning, KeyRing, SigningKey

__all__ = [
    "InvalidReason",
    "InvalidRecord",
    "KeyFileWarning",
    "KeyRing",
    "Sealed",
    "SigningKey",
    "SigningKeyError",
    "WireError",
    "open_record",
    "record_digest",
    "seal",
    "signed_input",
]

SIGNED_RECORD = b"tacit.v1"

_ROLES = frozenset({topics.AGGREGATOR, topics.REGISTRY})


@dataclass(frozen=True, slots=True)
class Sealed:
    """A signed record, ready to append.

    Attributes:
        value: The record's bytes.
        digest: SHA-256 of the signed input: the record's name.
        header: The header as sent, body digest included.
    """

    value: bytes
    digest: bytes
    header: Header


def signed_input(header: bytes, body: bytes) -> bytes:
    """What a record's signature and digest are over: a label, then each part after its length (8 bytes big-endian)."""
    return b"".join((SIGNED_RECORD, len(header).to_bytes(8, "big"), header, len(body).to_bytes(8, "big"), body))


def record_digest(value: bytes) -> bytes:
    """The digest of a record from its bytes, signature unchecked.

    Raises:
        InvalidRecord: If the bytes are not a record.
    """
    header, body, _ = codec.split_record(value)
    return hashlib.sha256(signed_input(header, body)).digest()


def seal(header: Header, body: Body, key: SigningKey) -> Sealed:
    """Signs a record.

    Args:
        header: The header; its body digest is filled in.
        body: The body; its class must belong to the header's kind.
        key: The sender's key.

    Raises:
        InvalidRecord: If a reader would refuse the record for its form or size.
        WireError: For a vector that may not leave (see `codec.vector_body`).
    """
    if codec.kind_of(body) is not header.kind:
        _refuse(InvalidReason.WRONG_TOPIC, f"header of kind {header.kind.name}, body of {codec.kind_of(body).name}")
    body_bytes = codec.encode_body(body)
    full = replace(header, body=hashlib.sha256(body_bytes).digest())
    _check_form(full)
    _check_run(full, body)
    header_bytes = codec.encode_header(full)
    data = signed_input(header_bytes, body_bytes)
    value = codec.encode_record(header_bytes, body_bytes, key.sign(data))
    return Sealed(value, hashlib.sha256(data).digest(), full)


def open_record(topic: str, value: bytes, keys: KeyRing) -> Checked:
    """Checks a record as it was read from a topic.

    Args:
        topic: Full name of the topic.
        value: The record's bytes.
        keys: The accepted epochs.

    Returns:
        The record. Its size, form, origin, signatures (inner ones too) and the fields that its kind needs hold; whether
        it stands in a run is the fold's question.

    Raises:
        InvalidRecord: For anything else, with a reason from the closed set. Nothing else is raised for any bytes.
    """
    header_bytes, body_bytes, signature = codec.split_record(value)
    header = codec.decode_header(header_bytes)
    _check_topic(topic, header)
    manifest = _check_origin(header, keys)
    if hashlib.sha256(body_bytes).digest() != header.body:
        _refuse(InvalidReason.BODY_DIGEST, "the body is not the one that the header names")
    data = signed_input(header_bytes, body_bytes)
    _check_signature(header, signature, data, keys)
    _check_form(header)
    body = codec.decode_body(header.kind, body_bytes)
    _check_run(header, body)
    inner.check_inner(header, body, manifest, keys)
    return Checked(header, body, hashlib.sha256(data).digest(), topic)


def _check_topic(name: str, header: Header) -> None:
    try:
        topic = topics.find(name)
    except WireError as error:
        _refuse(InvalidReason.WRONG_TOPIC, str(error))
    if header.kind not in topic.kinds:
        _refuse(InvalidReason.WRONG_TOPIC, f"{header.kind.name} on {name}")
    if header.sender != topic.writer:
        _refuse(InvalidReason.WRONG_SENDER, f"record of {header.sender!r} on {name}: only {topic.writer!r} writes it")


def _check_origin(header: Header, keys: KeyRing) -> Manifest:
    if keys.federation and header.federation != keys.federation:
        _refuse(InvalidReason.WRONG_FEDERATION, f"federation {header.federation!r}: expected {keys.federation!r}")
    manifest = keys.manifest(header.manifest)
    if manifest is None:
        _refuse(InvalidReason.UNKNOWN_MANIFEST, f"manifest {header.manifest.hex()} is not accepted here")
    return manifest


def _check_signature(header: Header, signature: bytes, data: bytes, keys: KeyRing) -> None:
    key = keys.key(header.manifest, header.sender)
    if key is None:
        _refuse(InvalidReason.UNKNOWN_SENDER, f"{header.sender!r} has no key in manifest {header.manifest.hex()}")
    try:
        key.verify(signature, data)
    except InvalidSignature:
        _refuse(InvalidReason.BAD_SIGNATURE, f"the signature does not hold under the key of {header.sender!r}")


def _check_form(header: Header) -> None:
    """Checks the fields that a kind must have or must not have."""
    fenced = header.kind in FENCED_KINDS
    if fenced != bool(header.fence):
        expected = "a fence" if fenced else "no fence"
        _refuse(InvalidReason.BAD_FENCE, f"{header.kind.name}: expected {expected}")
    if header.kind in RUN_KINDS | ATTEMPT_KINDS and not header.run:
        _refuse(InvalidReason.BAD_PLACE, f"{header.kind.name} without a run id")
    if header.kind not in ATTEMPT_KINDS and (header.round or header.slot):
        _refuse(InvalidReason.BAD_PLACE, f"{header.kind.name} belongs to no attempt: expected round 0 and slot 0")
    if header.sender in _ROLES or header.kind in (CONTROL_KINDS - {Kind.ORDER}) | VERSION_KINDS:
        if header.seq or header.previous or header.journal_head:
            _refuse(InvalidReason.BAD_CHAIN, f"{header.kind.name} of a role: expected no seq, previous or head")
    else:
        _check_chain(header)


def _check_chain(header: Header) -> None:
    first = header.seq == 1 or header.kind is Kind.RESUME
    if header.seq < 1 or (header.seq == 1 and header.previous):
        _refuse(InvalidReason.BAD_CHAIN, f"seq {header.seq}: expected 1 without, or more with, a previous digest")
    if not first and not (header.previous and header.journal_head):
        _refuse(InvalidReason.BAD_CHAIN, f"seq {header.seq} without the previous digest or the journal head")


def _check_run(header: Header, body: Body) -> None:
    if isinstance(body, OpenBody | LeftBody) and body.run != header.run:
        _refuse(InvalidReason.BAD_PLACE, f"{header.kind.name}: the body names another run than the header")
    if isinstance(body, PlanBody) and header.run not in (b"", run_id(body.plan_json)):
        _refuse(InvalidReason.BAD_PLACE, "PLAN: the header's run is not the plan's run id")


def _refuse(reason: InvalidReason, detail: str) -> NoReturn:
    raise InvalidRecord(reason, detail)
