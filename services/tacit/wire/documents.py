"""Strict JSON to frozen dataclasses: plans, contracts, manifests, policies.

Unknown keys, duplicate keys and JSON floats are refused at every depth, so that one document has one meaning and
its RFC 8785 bytes (`canonical.encode`) read back to an equal value.
"""

import dataclasses
import datetime as dt
import functools
import json
import re
import types
import typing
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, NoReturn, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from tacit import canonical
from tacit.wire.errors import DocumentError

T = TypeVar("T")

MAX_BYTES = 960 * 1024
MAX_INTEGER = 2**53 - 1
NUMBER = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40}|/[1-9][0-9]{0,39})?")
FLOAT_HINT = 'not a whole number: write it as a string, such as "0.5" or "1/3", so that it stays exact'
NUMBER_HINT = 'expected a whole number or a string such as "0.5" or "1/3", at most 40 digits a part'
SHOWN_CHARACTERS = 60


def parse(cls: type[T], data: bytes | Mapping[str, object]) -> T:
    """Reads a document into its frozen dataclass.

    Args:
        cls: The dataclass that describes the document.
        data: JSON bytes (UTF-8, at most 960 KiB), or plain data that a YAML reader gave (dates allowed).

    Returns:
        An instance of `cls`; `parse(cls, canonical.encode(x)) == x`.

    Raises:
        DocumentError: If the data is not JSON, or a value has the wrong type or form. One line per value.
        Exception: Whatever `cls.__post_init__` raises, unchanged (`PlanError`, `ContractError`, ..).
    """
    try:
        return _read(cls, _load(cls.__name__, data) if isinstance(data, bytes) else _plain(data, ""))
    except RecursionError:
        raise DocumentError(f"{cls.__name__}: nested too deeply") from None


def parse_canonical(cls: type[T], data: bytes) -> T:
    """Reads a document that must be in RFC 8785 form, as everything that is signed.

    Raises:
        DocumentError: As `parse`, and if the bytes are not the RFC 8785 form of themselves.
    """
    value = parse(cls, data)
    if canonical.encode(_load(cls.__name__, data)) != data:
        raise DocumentError(f"{cls.__name__}: the bytes are not in RFC 8785 form (sorted keys, no spaces)")
    return value


def _read(cls: type[T], tree: object) -> T:
    wrong = list(_wrong_numbers(cls, tree, ""))
    if wrong:
        _fail(cls.__name__, wrong)
    try:
        (value,) = _adapter(typing.cast("Any", cls)).validate_json(json.dumps([tree]))
    except ValidationError as error:
        _fail(cls.__name__, [_line(cls, item) for item in error.errors(include_url=False, include_context=False)])
    return typing.cast("T", value)


@functools.cache
def _adapter(cls: type) -> TypeAdapter[Any]:
    # Pydantic takes a configuration from outside only for a type that has none of its own, hence the tuple.
    return TypeAdapter(tuple[cls], config=ConfigDict(extra="forbid", strict=True))  # type: ignore[valid-type]


def _fail(name: str, lines: list[str]) -> NoReturn:
    raise DocumentError("\n  ".join([f"{name} has {len(lines)} wrong value(s):", *lines]))


def _load(name: str, data: bytes) -> object:
    if len(data) > MAX_BYTES:
        raise DocumentError(f"{name}: {len(data)} bytes, expected at most {MAX_BYTES}")
    try:
        return json.loads(
            data.decode(),
            object_pairs_hook=_pairs,
            parse_float=_refuse_float,
            parse_int=_integer,
            parse_constant=_refuse_float,
        )
    except ValueError as error:
        raise DocumentError(f"{name}: not JSON: {error}") from None


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise DocumentError(f"key {_shown(key)} stands twice")
        found[key] = value
    return found


def _refuse_float(text: str) -> NoReturn:
    raise DocumentError(f"{_shown(text)}: {FLOAT_HINT}")


def _integer(text: str) -> int:
    if len(text) > len(str(-MAX_INTEGER)) or abs(int(text)) > MAX_INTEGER:
        raise DocumentError(f"{_shown(text)}: expected a whole number from {-MAX_INTEGER} to {MAX_INTEGER}")
    return int(text)


def _plain(value: object, path: str) -> object:
    if isinstance(value, Mapping):
        return {_key(key, path): _plain(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{path}.{position}") for position, item in enumerate(value)]
    return _scalar(value, path.removeprefix("."))


def _key(key: object, path: str) -> str:
    if not isinstance(key, str):
        raise DocumentError(f"{path.removeprefix('.') or 'document'}: key {_shown(key)} is not text")
    return key


def _scalar(value: object, path: str) -> object:
    if isinstance(value, float):
        raise DocumentError(f"{path} = {value}: {FLOAT_HINT}")
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, int) and not isinstance(value, bool):
        return _integer(str(value))
    if value is None or isinstance(value, str | bool):
        return value
    raise DocumentError(
        f"{path} = {_shown(value)}: expected text, a whole number, a date, true, false, a list or a map"
    )


def _wrong_numbers(hint: Any, value: object, path: str) -> Iterator[str]:  # noqa: ANN401  any type annotation
    """Checks the form of every number before a `Fraction` is made: an exponent such as 1e999999999 never is."""
    if hint is Fraction:
        if not (type(value) is int or (isinstance(value, str) and NUMBER.fullmatch(value))):
            yield f"{path.removeprefix('.')} = {_shown(value)}: {NUMBER_HINT}"
        return
    for inner, item, name in _parts(hint, value):
        yield from _wrong_numbers(inner, item, f"{path}{name}")


def _parts(hint: Any, value: object) -> Iterator[tuple[Any, object, str]]:  # noqa: ANN401  any type annotation
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if _described(hint) and isinstance(value, dict):
        yield from ((inner, value[name], f".{name}") for name, inner in _hints(hint) if name in value)
    elif origin is tuple and isinstance(value, list):
        hints = arguments if arguments[-1] is not Ellipsis else arguments[:1] * len(value)
        yield from ((inner, item, f".{n}") for n, (inner, item) in enumerate(zip(hints, value, strict=False)))
    elif origin is Mapping and isinstance(value, dict):
        yield from ((arguments[1], item, f".{name}") for name, item in value.items())
    elif origin in (types.UnionType, typing.Union) and value is not None:
        yield from ((inner, value, "") for inner in arguments if inner is not types.NoneType)


def _described(hint: object) -> bool:
    return dataclasses.is_dataclass(hint)


@functools.cache
def _hints(cls: Any) -> tuple[tuple[str, Any], ...]:  # noqa: ANN401  any dataclass
    hints = typing.get_type_hints(cls)
    return tuple((field.name, hints[field.name]) for field in dataclasses.fields(cls))


def _line(cls: type, error: ErrorDetails) -> str:
    location = error["loc"][1:]
    path = ".".join(str(part) for part in location) or "document"
    if error["type"] == "unexpected_keyword_argument":
        return f"{path}: unknown key{_known_keys(cls, location)}"
    if error["type"].startswith("missing"):
        return f"{path}: missing"
    return f"{path} = {_shown(error['input'])}: {error['msg'].replace('Input should be', 'expected')}"


def _known_keys(cls: type, location: tuple[int | str, ...]) -> str:
    """Names the keys that stand beside an unknown one, where its class can be told from the top."""
    hint: Any = cls
    for part in location[:-1]:
        options = [item for item in (hint, *typing.get_args(hint)) if _described(item)]
        hint = dict(_hints(options[0])).get(str(part), hint) if options and isinstance(part, str) else hint
    options = [item for item in (hint, *typing.get_args(hint)) if _described(item)]
    return f"; known are {', '.join(name for name, _ in _hints(options[0]))}" if options else ""


def _shown(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}.."
