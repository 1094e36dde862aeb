from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OrderAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ORDER_ACTION_UNSPECIFIED: _ClassVar[OrderAction]
    ORDER_ACTION_CANCEL: _ClassVar[OrderAction]
    ORDER_ACTION_REVOKE: _ClassVar[OrderAction]
ORDER_ACTION_UNSPECIFIED: OrderAction
ORDER_ACTION_CANCEL: OrderAction
ORDER_ACTION_REVOKE: OrderAction

class Manifest(_message.Message):
    __slots__ = ("document",)
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    document: bytes
    def __init__(self, document: _Optional[bytes] = ...) -> None: ...

class Plan(_message.Message):
    __slots__ = ("plan_json", "operator", "signature")
    PLAN_JSON_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    plan_json: bytes
    operator: str
    signature: bytes
    def __init__(self, plan_json: _Optional[bytes] = ..., operator: _Optional[str] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Order(_message.Message):
    __slots__ = ("action", "run", "member", "signatures")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    SIGNATURES_FIELD_NUMBER: _ClassVar[int]
    action: OrderAction
    run: bytes
    member: str
    signatures: _containers.RepeatedCompositeFieldContainer[InnerSignature]
    def __init__(self, action: _Optional[_Union[OrderAction, str]] = ..., run: _Optional[bytes] = ..., member: _Optional[str] = ..., signatures: _Optional[_Iterable[_Union[InnerSignature, _Mapping]]] = ...) -> None: ...

class InnerSignature(_message.Message):
    __slots__ = ("signer", "signature")
    SIGNER_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    signer: str
    signature: bytes
    def __init__(self, signer: _Optional[str] = ..., signature: _Optional[bytes] = ...) -> None: ...
