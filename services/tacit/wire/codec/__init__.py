"""Record classes to protobuf bytes and back: the only importer of the generated code.

Decoding is total: whatever the bytes are, the outcome is a valid value or `InvalidRecord`. Encoding decodes what it
made, so that nothing is sent that a reader would refuse. Unknown protobuf fields are ignored.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message

from tacit.rounds import types
from tacit.rounds.types import Body, Header, Kind
from tacit.wire.codec import _bank, _control, _documents, _header, _vector, _version
from tacit.wire.codec._bank import MAX_DEVIATION, SEALED_BYTES, SHARE_BYTES
from tacit.wire.codec._checks import MAX_BANKS, MAX_CELLS, MAX_SLOTS, SIGNATURE_BYTES
from tacit.wire.codec._vector import vector_body
from tacit.wire.codec._version import MAX_ARTEFACT_BYTES
from tacit.wire.errors import InvalidReason, InvalidRecord, WireError
from tacit.wire.v1 import bank_pb2, control_pb2, plan_pb2, record_pb2, version_pb2

__all__ = [
    "MAX_ARTEFACT_BYTES",
    "MAX_BANKS",
    "MAX_CELLS",
    "MAX_DEVIATION",
    "MAX_RECORD_BYTES",
    "MAX_SLOTS",
    "SEALED_BYTES",
    "SHARE_BYTES",
    "SIGNATURE_BYTES",
    "InvalidReason",
    "InvalidRecord",
    "WireError",
    "decode_body",
    "decode_header",
    "encode_body",
    "encode_header",
    "encode_record",
    "kind_of",
    "split_record",
    "vector_body",
]

T = TypeVar("T")
M = TypeVar("M", bound=Message)

MAX_RECORD_BYTES = 960 * 1024
"""Largest record, in bytes; a test holds it equal to the log's limit."""


@dataclasses.dataclass(frozen=True)
class _Form:
    body: type
    message: type[Message]
    write: Callable[[Any], Message]
    read: Callable[[Any], Body]


_FORMS: Mapping[Kind, _Form] = {
    Kind.MANIFEST: _Form(types.ManifestBody, plan_pb2.Manifest, _documents.write_manifest, _documents.read_manifest),
    Kind.LEAD: _Form(types.LeadBody, control_pb2.Lead, _control.write_lead, _control.read_lead),
    Kind.PLAN: _Form(types.PlanBody, plan_pb2.Plan, _documents.write_plan, _documents.read_plan),
    Kind.ORDER: _Form(types.OrderBody, plan_pb2.Order, _documents.write_order, _documents.read_order),
    Kind.OPEN: _Form(types.OpenBody, control_pb2.Open, _control.write_open, _control.read_open),
    Kind.START: _Form(types.StartBody, bank_pb2.Start, _bank.write_start, _bank.read_start),
    Kind.RESUME: _Form(types.ResumeBody, bank_pb2.Resume, _bank.write_resume, _bank.read_resume),
    Kind.LEFT: _Form(types.LeftBody, bank_pb2.Left, _bank.write_left, _bank.read_left),
    Kind.JOIN: _Form(types.JoinBody, bank_pb2.Join, _bank.write_join, _bank.read_join),
    Kind.REFUSED: _Form(types.RefusedBody, bank_pb2.Refused, _bank.write_refused, _bank.read_refused),
    Kind.ROSTER: _Form(types.RosterBody, control_pb2.Roster, _control.write_roster, _control.read_roster),
    Kind.DEAL: _Form(types.DealBody, bank_pb2.Deal, _bank.write_deal, _bank.read_deal),
    Kind.SHARES: _Form(types.SharesBody, bank_pb2.Shares, _bank.write_shares, _bank.read_shares),
    Kind.COMPLAINT: _Form(types.ComplaintBody, bank_pb2.Complaint, _bank.write_complaint, _bank.read_complaint),
    Kind.COHORT: _Form(types.CohortBody, control_pb2.Cohort, _control.write_cohort, _control.read_cohort),
    Kind.QUERY: _Form(types.QueryBody, control_pb2.Query, _control.write_query, _control.read_query),
    Kind.RELEASE: _Form(types.VectorBody, bank_pb2.Vector, _vector.write_vector, _vector.read_release),
    Kind.MASKED: _Form(types.VectorBody, bank_pb2.Vector, _vector.write_vector, _vector.read_masked),
    Kind.SURVIVORS: _Form(
        types.SurvivorsBody, control_pb2.Survivors, _control.write_survivors, _control.read_survivors
    ),
    Kind.ACK: _Form(types.AckBody, bank_pb2.Ack, _bank.write_ack, _bank.read_ack),
    Kind.UNMASK: _Form(types.UnmaskBody, bank_pb2.Unmask, _bank.write_unmask, _bank.read_unmask),
    Kind.RESULT: _Form(types.ResultBody, control_pb2.Result, _control.write_result, _control.read_result),
    Kind.ABORT: _Form(types.AbortBody, control_pb2.Abort, _control.write_abort, _control.read_abort),
    Kind.END: _Form(types.EndBody, control_pb2.End, _control.write_end, _control.read_end),
    Kind.VERDICT: _Form(types.VerdictBody, bank_pb2.Verdict, _bank.write_verdict, _bank.read_verdict),
    Kind.VERSION: _Form(types.VersionBody, version_pb2.Version, _version.write_version, _version.read_version),
    Kind.ARTEFACT: _Form(types.ArtefactBody, version_pb2.Artefact, _version.write_artefact, _version.read_artefact),
    Kind.ALIAS: _Form(types.AliasBody, version_pb2.Alias, _version.write_alias, _version.read_alias),
    Kind.CHECKPOINT: _Form(
        types.CheckpointBody, version_pb2.Checkpoint, _version.write_checkpoint, _version.read_checkpoint
    ),
}

_KINDS: Mapping[type, Kind] = {form.body: kind for kind, form in _FORMS.items()}


def kind_of(body: Body) -> Kind:
    """The kind of record that a body belongs to.

    Raises:
        WireError: For a vector that was not made by `vector_body` or by decoding.
    """
    if isinstance(body, types.VectorBody):
        return _vector.vector_kind(body)
    return _KINDS[type(body)]


def encode_body(body: Body) -> bytes:
    """The bytes of a body; mappings are written by rising key.

    Raises:
        WireError: For a vector that was not made by `vector_body` or by decoding.
        InvalidRecord: For a value that a reader would refuse.
    """
    kind = kind_of(body)
    data = _serialize(_FORMS[kind].write, body)
    decode_body(kind, data)
    return data


def decode_body(kind: Kind, data: bytes) -> Body:
    """Reads a body.

    Raises:
        InvalidRecord: If the bytes are longer than a record, are not the kind's message, or hold a value out of range.
    """
    form = _FORMS[kind]
    return form.read(_parse(form.message, data, MAX_RECORD_BYTES))


def encode_header(header: Header) -> bytes:
    """The bytes of a header.

    Raises:
        InvalidRecord: For a value that a reader would refuse.
    """
    data = _serialize(_header.write_header, header)
    decode_header(data)
    return data


def decode_header(data: bytes) -> Header:
    """Reads a header.

    Raises:
        InvalidRecord: If the bytes are not a header or hold a value out of range.
    """
    return _header.read_header(_parse(record_pb2.Header, data, _header.MAX_HEADER_BYTES))


def encode_record(header: bytes, body: bytes, signature: bytes) -> bytes:
    """The bytes of a record from its three parts.

    Raises:
        InvalidRecord: If the record is over 960 KiB or the signature is not 64 bytes.
    """
    data = record_pb2.SignedRecord(header=header, body=body, signature=signature).SerializeToString()
    split_record(data)
    return data


def split_record(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Header bytes, body bytes and signature of a record, exactly as sent.

    Raises:
        InvalidRecord: If the record is over 960 KiB (seen before anything is parsed) or is not a record.
    """
    message = _parse(record_pb2.SignedRecord, data, MAX_RECORD_BYTES)
    if not message.header or len(message.signature) != SIGNATURE_BYTES:
        raise InvalidRecord(InvalidReason.MALFORMED, "not a signed record: no header, or a signature not of 64 bytes")
    return message.header, message.body, message.signature


def _serialize(write: Callable[[T], Message], value: T) -> bytes:
    try:
        return write(value).SerializeToString()
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidRecord(InvalidReason.BAD_FIELD, f"{type(value).__name__}: {error}") from error


def _parse(message: type[M], data: bytes, most: int) -> M:
    if len(data) > most:
        raise InvalidRecord(InvalidReason.TOO_LARGE, f"{message.__name__} of {len(data)} bytes: at most {most}")
    try:
        return message.FromString(data)
    except DecodeError:
        raise InvalidRecord(InvalidReason.MALFORMED, f"the bytes are not a {message.__name__}") from None
