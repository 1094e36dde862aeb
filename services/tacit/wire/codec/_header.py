"""The header and the frame of a record."""

from google.protobuf.timestamp_pb2 import Timestamp

from tacit.rounds.types import Header, Kind
from tacit.wire.codec import _checks as check
from tacit.wire.errors import InvalidReason
from tacit.wire.v1 import record_pb2 as pb

MAX_HEADER_BYTES = 4096
MAX_SEQ = 2**63 - 1
MAX_SECONDS = 253_402_300_799
NANOS_PER_MILLISECOND = 1_000_000


def write_header(header: Header) -> pb.Header:
    """A header to its message."""
    seconds, milliseconds = divmod(header.create_time_ms, 1000)
    return pb.Header(
        federation=header.federation,
        manifest_digest=header.manifest,
        run=header.run,
        round=header.round,
        slot=header.slot,
        kind=f"KIND_{header.kind.name}",
        sender=header.sender,
        context=header.context,
        body_digest=header.body,
        fence=header.fence,
        create_time=Timestamp(seconds=seconds, nanos=milliseconds * NANOS_PER_MILLISECOND),
        seq=header.seq,
        previous_digest=header.previous,
        journal_head=header.journal_head,
    )


def read_header(message: pb.Header) -> Header:
    """A header from its message; which fields a kind needs is the envelope's question."""
    return Header(
        federation=check.identifier("federation", message.federation),
        manifest=check.exact("manifest_digest", message.manifest_digest),
        run=check.absent_or_exact("run", message.run),
        round=check.within("round", message.round, 0, check.MAX_SLOTS - 1),
        slot=check.within("slot", message.slot, 0, check.MAX_SLOTS - 1),
        kind=_read_kind(message.kind),
        sender=check.identifier("sender", message.sender),
        context=check.exact("context", message.context),
        body=check.exact("body_digest", message.body_digest),
        fence=check.absent_or_exact("fence", message.fence),
        create_time_ms=_read_time(message.create_time),
        seq=check.within("seq", message.seq, 0, MAX_SEQ),
        previous=check.absent_or_exact("previous_digest", message.previous_digest),
        journal_head=check.absent_or_exact("journal_head", message.journal_head),
    )


def _read_kind(value: int) -> Kind:
    try:
        return Kind(value)
    except ValueError:
        check.refuse(f"kind = {value}: expected 1 to {max(Kind).value}", InvalidReason.UNKNOWN_KIND)


def _read_time(message: Timestamp) -> int:
    check.within("seconds of create_time", message.seconds, 0, MAX_SECONDS)
    check.within("nanos of create_time", message.nanos, 0, 999_999_999)
    if message.nanos % NANOS_PER_MILLISECOND:
        check.refuse(f"create_time has {message.nanos} nanoseconds: expected whole milliseconds")
    return message.seconds * 1000 + message.nanos // NANOS_PER_MILLISECOND
