from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Version(_message.Message):
    __slots__ = ("statement",)
    STATEMENT_FIELD_NUMBER: _ClassVar[int]
    statement: bytes
    def __init__(self, statement: _Optional[bytes] = ...) -> None: ...

class Artefact(_message.Message):
    __slots__ = ("digest", "content_zstd")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    CONTENT_ZSTD_FIELD_NUMBER: _ClassVar[int]
    digest: bytes
    content_zstd: bytes
    def __init__(self, digest: _Optional[bytes] = ..., content_zstd: _Optional[bytes] = ...) -> None: ...

class Alias(_message.Message):
    __slots__ = ("alias", "version_digest", "sequence")
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    VERSION_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    alias: str
    version_digest: bytes
    sequence: int
    def __init__(self, alias: _Optional[str] = ..., version_digest: _Optional[bytes] = ..., sequence: _Optional[int] = ...) -> None: ...

class Checkpoint(_message.Message):
    __slots__ = ("head", "sequence")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    head: bytes
    sequence: int
    def __init__(self, head: _Optional[bytes] = ..., sequence: _Optional[int] = ...) -> None: ...
