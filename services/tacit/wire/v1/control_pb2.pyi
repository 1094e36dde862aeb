from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_FINISHED: _ClassVar[Outcome]
    OUTCOME_ABORTED: _ClassVar[Outcome]
    OUTCOME_CANCELLED: _ClassVar[Outcome]

class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REASON_UNSPECIFIED: _ClassVar[Reason]
    REASON_NONE: _ClassVar[Reason]
    REASON_QUORUM: _ClassVar[Reason]
    REASON_DEADLINE: _ClassVar[Reason]
    REASON_SLOTS: _ClassVar[Reason]
    REASON_BAD_DEALER: _ClassVar[Reason]
    REASON_MISSING_RECORD: _ClassVar[Reason]
    REASON_REVOKED: _ClassVar[Reason]
    REASON_ORDER: _ClassVar[Reason]
    REASON_PLAN: _ClassVar[Reason]
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_FINISHED: Outcome
OUTCOME_ABORTED: Outcome
OUTCOME_CANCELLED: Outcome
REASON_UNSPECIFIED: Reason
REASON_NONE: Reason
REASON_QUORUM: Reason
REASON_DEADLINE: Reason
REASON_SLOTS: Reason
REASON_BAD_DEALER: Reason
REASON_MISSING_RECORD: Reason
REASON_REVOKED: Reason
REASON_ORDER: Reason
REASON_PLAN: Reason

class Lead(_message.Message):
    __slots__ = ("nonce", "holder", "previous_digest")
    NONCE_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    nonce: bytes
    holder: str
    previous_digest: bytes
    def __init__(self, nonce: _Optional[bytes] = ..., holder: _Optional[str] = ..., previous_digest: _Optional[bytes] = ...) -> None: ...

class Open(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    def __init__(self, run: _Optional[bytes] = ...) -> None: ...

class BankDigest(_message.Message):
    __slots__ = ("bank", "digest")
    BANK_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    bank: str
    digest: bytes
    def __init__(self, bank: _Optional[str] = ..., digest: _Optional[bytes] = ...) -> None: ...

class Roster(_message.Message):
    __slots__ = ("joins",)
    JOINS_FIELD_NUMBER: _ClassVar[int]
    joins: _containers.RepeatedCompositeFieldContainer[BankDigest]
    def __init__(self, joins: _Optional[_Iterable[_Union[BankDigest, _Mapping]]] = ...) -> None: ...

class Cohort(_message.Message):
    __slots__ = ("deals", "complaints")
    DEALS_FIELD_NUMBER: _ClassVar[int]
    COMPLAINTS_FIELD_NUMBER: _ClassVar[int]
    deals: _containers.RepeatedCompositeFieldContainer[BankDigest]
    complaints: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, deals: _Optional[_Iterable[_Union[BankDigest, _Mapping]]] = ..., complaints: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Weights(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, values: _Optional[_Iterable[float]] = ...) -> None: ...

class Tree(_message.Message):
    __slots__ = ("columns", "cuts")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    CUTS_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedScalarFieldContainer[int]
    cuts: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, columns: _Optional[_Iterable[int]] = ..., cuts: _Optional[_Iterable[int]] = ...) -> None: ...

class Structure(_message.Message):
    __slots__ = ("trees",)
    TREES_FIELD_NUMBER: _ClassVar[int]
    trees: _containers.RepeatedCompositeFieldContainer[Tree]
    def __init__(self, trees: _Optional[_Iterable[_Union[Tree, _Mapping]]] = ...) -> None: ...

class Query(_message.Message):
    __slots__ = ("weights", "structure")
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    STRUCTURE_FIELD_NUMBER: _ClassVar[int]
    weights: Weights
    structure: Structure
    def __init__(self, weights: _Optional[_Union[Weights, _Mapping]] = ..., structure: _Optional[_Union[Structure, _Mapping]] = ...) -> None: ...

class Survivors(_message.Message):
    __slots__ = ("masked",)
    MASKED_FIELD_NUMBER: _ClassVar[int]
    masked: _containers.RepeatedCompositeFieldContainer[BankDigest]
    def __init__(self, masked: _Optional[_Iterable[_Union[BankDigest, _Mapping]]] = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ("used", "sums", "variance", "rho_nano", "weights", "structure")
    USED_FIELD_NUMBER: _ClassVar[int]
    SUMS_FIELD_NUMBER: _ClassVar[int]
    VARIANCE_FIELD_NUMBER: _ClassVar[int]
    RHO_NANO_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    STRUCTURE_FIELD_NUMBER: _ClassVar[int]
    used: _containers.RepeatedCompositeFieldContainer[BankDigest]
    sums: _containers.RepeatedScalarFieldContainer[int]
    variance: str
    rho_nano: int
    weights: Weights
    structure: Structure
    def __init__(self, used: _Optional[_Iterable[_Union[BankDigest, _Mapping]]] = ..., sums: _Optional[_Iterable[int]] = ..., variance: _Optional[str] = ..., rho_nano: _Optional[int] = ..., weights: _Optional[_Union[Weights, _Mapping]] = ..., structure: _Optional[_Union[Structure, _Mapping]] = ...) -> None: ...

class Abort(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: Reason
    def __init__(self, reason: _Optional[_Union[Reason, str]] = ...) -> None: ...

class End(_message.Message):
    __slots__ = ("outcome", "reason", "model_digest", "epsilon_promised", "epsilon_spent")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    EPSILON_PROMISED_FIELD_NUMBER: _ClassVar[int]
    EPSILON_SPENT_FIELD_NUMBER: _ClassVar[int]
    outcome: Outcome
    reason: Reason
    model_digest: bytes
    epsilon_promised: str
    epsilon_spent: str
    def __init__(self, outcome: _Optional[_Union[Outcome, str]] = ..., reason: _Optional[_Union[Reason, str]] = ..., model_digest: _Optional[bytes] = ..., epsilon_promised: _Optional[str] = ..., epsilon_spent: _Optional[str] = ...) -> None: ...
