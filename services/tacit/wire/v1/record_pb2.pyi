import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KIND_UNSPECIFIED: _ClassVar[Kind]
    KIND_MANIFEST: _ClassVar[Kind]
    KIND_LEAD: _ClassVar[Kind]
    KIND_PLAN: _ClassVar[Kind]
    KIND_ORDER: _ClassVar[Kind]
    KIND_OPEN: _ClassVar[Kind]
    KIND_START: _ClassVar[Kind]
    KIND_RESUME: _ClassVar[Kind]
    KIND_LEFT: _ClassVar[Kind]
    KIND_JOIN: _ClassVar[Kind]
    KIND_REFUSED: _ClassVar[Kind]
    KIND_ROSTER: _ClassVar[Kind]
    KIND_DEAL: _ClassVar[Kind]
    KIND_SHARES: _ClassVar[Kind]
    KIND_COMPLAINT: _ClassVar[Kind]
    KIND_COHORT: _ClassVar[Kind]
    KIND_QUERY: _ClassVar[Kind]
    KIND_RELEASE: _ClassVar[Kind]
    KIND_MASKED: _ClassVar[Kind]
    KIND_SURVIVORS: _ClassVar[Kind]
    KIND_ACK: _ClassVar[Kind]
    KIND_UNMASK: _ClassVar[Kind]
    KIND_RESULT: _ClassVar[Kind]
    KIND_ABORT: _ClassVar[Kind]
    KIND_END: _ClassVar[Kind]
    KIND_VERDICT: _ClassVar[Kind]
    KIND_VERSION: _ClassVar[Kind]
    KIND_ARTEFACT: _ClassVar[Kind]
    KIND_ALIAS: _ClassVar[Kind]
    KIND_CHECKPOINT: _ClassVar[Kind]
KIND_UNSPECIFIED: Kind
KIND_MANIFEST: Kind
KIND_LEAD: Kind
KIND_PLAN: Kind
KIND_ORDER: Kind
KIND_OPEN: Kind
KIND_START: Kind
KIND_RESUME: Kind
KIND_LEFT: Kind
KIND_JOIN: Kind
KIND_REFUSED: Kind
KIND_ROSTER: Kind
KIND_DEAL: Kind
KIND_SHARES: Kind
KIND_COMPLAINT: Kind
KIND_COHORT: Kind
KIND_QUERY: Kind
KIND_RELEASE: Kind
KIND_MASKED: Kind
KIND_SURVIVORS: Kind
KIND_ACK: Kind
KIND_UNMASK: Kind
KIND_RESULT: Kind
KIND_ABORT: Kind
KIND_END: Kind
KIND_VERDICT: Kind
KIND_VERSION: Kind
KIND_ARTEFACT: Kind
KIND_ALIAS: Kind
KIND_CHECKPOINT: Kind

class SignedRecord(_message.Message):
    __slots__ = ("header", "body", "signature")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    header: bytes
    body: bytes
    signature: bytes
    def __init__(self, header: _Optional[bytes] = ..., body: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Header(_message.Message):
    __slots__ = ("federation", "manifest_digest", "run", "round", "slot", "kind", "sender", "context", "body_digest", "fence", "create_time", "seq", "previous_digest", "journal_head")
    FEDERATION_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_DIGEST_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    SLOT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    BODY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_HEAD_FIELD_NUMBER: _ClassVar[int]
    federation: str
    manifest_digest: bytes
    run: bytes
    round: int
    slot: int
    kind: Kind
    sender: str
    context: bytes
    body_digest: bytes
    fence: bytes
    create_time: _timestamp_pb2.Timestamp
    seq: int
    previous_digest: bytes
    journal_head: bytes
    def __init__(self, federation: _Optional[str] = ..., manifest_digest: _Optional[bytes] = ..., run: _Optional[bytes] = ..., round: _Optional[int] = ..., slot: _Optional[int] = ..., kind: _Optional[_Union[Kind, str]] = ..., sender: _Optional[str] = ..., context: _Optional[bytes] = ..., body_digest: _Optional[bytes] = ..., fence: _Optional[bytes] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., seq: _Optional[int] = ..., previous_digest: _Optional[bytes] = ..., journal_head: _Optional[bytes] = ...) -> None: ...
