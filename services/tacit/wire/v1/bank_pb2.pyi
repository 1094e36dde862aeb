from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Refusal(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REFUSAL_UNSPECIFIED: _ClassVar[Refusal]
    REFUSAL_VERSION: _ClassVar[Refusal]
    REFUSAL_CONTRACT: _ClassVar[Refusal]
    REFUSAL_POLICY: _ClassVar[Refusal]
    REFUSAL_BUDGET: _ClassVar[Refusal]
    REFUSAL_BUSY: _ClassVar[Refusal]
    REFUSAL_PAUSED: _ClassVar[Refusal]
REFUSAL_UNSPECIFIED: Refusal
REFUSAL_VERSION: Refusal
REFUSAL_CONTRACT: Refusal
REFUSAL_POLICY: Refusal
REFUSAL_BUDGET: Refusal
REFUSAL_BUSY: Refusal
REFUSAL_PAUSED: Refusal

class Start(_message.Message):
    __slots__ = ("boot",)
    BOOT_FIELD_NUMBER: _ClassVar[int]
    boot: bytes
    def __init__(self, boot: _Optional[bytes] = ...) -> None: ...

class Resume(_message.Message):
    __slots__ = ("journal_seq", "journal_digest", "topic_seq", "topic_digest", "rebuilt", "signature")
    JOURNAL_SEQ_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    TOPIC_SEQ_FIELD_NUMBER: _ClassVar[int]
    TOPIC_DIGEST_FIELD_NUMBER: _ClassVar[int]
    REBUILT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    journal_seq: int
    journal_digest: bytes
    topic_seq: int
    topic_digest: bytes
    rebuilt: bool
    signature: bytes
    def __init__(self, journal_seq: _Optional[int] = ..., journal_digest: _Optional[bytes] = ..., topic_seq: _Optional[int] = ..., topic_digest: _Optional[bytes] = ..., rebuilt: _Optional[bool] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Left(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    def __init__(self, run: _Optional[bytes] = ...) -> None: ...

class Join(_message.Message):
    __slots__ = ("run_key", "slots_digest")
    RUN_KEY_FIELD_NUMBER: _ClassVar[int]
    SLOTS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    run_key: bytes
    slots_digest: bytes
    def __init__(self, run_key: _Optional[bytes] = ..., slots_digest: _Optional[bytes] = ...) -> None: ...

class Refused(_message.Message):
    __slots__ = ("code",)
    CODE_FIELD_NUMBER: _ClassVar[int]
    code: Refusal
    def __init__(self, code: _Optional[_Union[Refusal, str]] = ...) -> None: ...

class ShareCommitments(_message.Message):
    __slots__ = ("recipient", "seed", "key")
    RECIPIENT_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    recipient: str
    seed: bytes
    key: bytes
    def __init__(self, recipient: _Optional[str] = ..., seed: _Optional[bytes] = ..., key: _Optional[bytes] = ...) -> None: ...

class SlotDeal(_message.Message):
    __slots__ = ("public_key", "seed_commitment", "shares")
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    SEED_COMMITMENT_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    public_key: bytes
    seed_commitment: bytes
    shares: _containers.RepeatedCompositeFieldContainer[ShareCommitments]
    def __init__(self, public_key: _Optional[bytes] = ..., seed_commitment: _Optional[bytes] = ..., shares: _Optional[_Iterable[_Union[ShareCommitments, _Mapping]]] = ...) -> None: ...

class Deal(_message.Message):
    __slots__ = ("slots", "salt", "shares_digest")
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    SALT_FIELD_NUMBER: _ClassVar[int]
    SHARES_DIGEST_FIELD_NUMBER: _ClassVar[int]
    slots: _containers.RepeatedCompositeFieldContainer[SlotDeal]
    salt: bytes
    shares_digest: bytes
    def __init__(self, slots: _Optional[_Iterable[_Union[SlotDeal, _Mapping]]] = ..., salt: _Optional[bytes] = ..., shares_digest: _Optional[bytes] = ...) -> None: ...

class SealedShares(_message.Message):
    __slots__ = ("recipient", "seed", "key")
    RECIPIENT_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    recipient: str
    seed: bytes
    key: bytes
    def __init__(self, recipient: _Optional[str] = ..., seed: _Optional[bytes] = ..., key: _Optional[bytes] = ...) -> None: ...

class SealedSlot(_message.Message):
    __slots__ = ("shares",)
    SHARES_FIELD_NUMBER: _ClassVar[int]
    shares: _containers.RepeatedCompositeFieldContainer[SealedShares]
    def __init__(self, shares: _Optional[_Iterable[_Union[SealedShares, _Mapping]]] = ...) -> None: ...

class Shares(_message.Message):
    __slots__ = ("slots",)
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    slots: _containers.RepeatedCompositeFieldContainer[SealedSlot]
    def __init__(self, slots: _Optional[_Iterable[_Union[SealedSlot, _Mapping]]] = ...) -> None: ...

class Complaint(_message.Message):
    __slots__ = ("dealer", "slots")
    DEALER_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    dealer: str
    slots: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, dealer: _Optional[str] = ..., slots: _Optional[_Iterable[int]] = ...) -> None: ...

class Vector(_message.Message):
    __slots__ = ("cells",)
    CELLS_FIELD_NUMBER: _ClassVar[int]
    cells: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, cells: _Optional[_Iterable[int]] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ("survivors_digest",)
    SURVIVORS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    survivors_digest: bytes
    def __init__(self, survivors_digest: _Optional[bytes] = ...) -> None: ...

class OpenedShare(_message.Message):
    __slots__ = ("dealer", "share")
    DEALER_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    dealer: str
    share: bytes
    def __init__(self, dealer: _Optional[str] = ..., share: _Optional[bytes] = ...) -> None: ...

class Unmask(_message.Message):
    __slots__ = ("survivors_digest", "seed_shares", "key_shares")
    SURVIVORS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SEED_SHARES_FIELD_NUMBER: _ClassVar[int]
    KEY_SHARES_FIELD_NUMBER: _ClassVar[int]
    survivors_digest: bytes
    seed_shares: _containers.RepeatedCompositeFieldContainer[OpenedShare]
    key_shares: _containers.RepeatedCompositeFieldContainer[OpenedShare]
    def __init__(self, survivors_digest: _Optional[bytes] = ..., seed_shares: _Optional[_Iterable[_Union[OpenedShare, _Mapping]]] = ..., key_shares: _Optional[_Iterable[_Union[OpenedShare, _Mapping]]] = ...) -> None: ...

class Verdict(_message.Message):
    __slots__ = ("subject_digest", "deviation")
    SUBJECT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    DEVIATION_FIELD_NUMBER: _ClassVar[int]
    subject_digest: bytes
    deviation: str
    def __init__(self, subject_digest: _Optional[bytes] = ..., deviation: _Optional[str] = ...) -> None: ...
