"""Canonical JSON (RFC 8785) of frozen documents, and SHA-256 digests over it.

Documents (plans, contracts, manifests) are frozen dataclasses. Numbers that are not whole travel as
strings, because RFC 8785 would round them through a float: a fraction is written as a decimal string where
that is exact, else as ``"a/b"``.
"""

import dataclasses
import datetime as dt
import enum
import hashlib
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import rfc8785

DIGEST_PREFIX = "sha256:"


def number(value: Fraction) -> int | str:
    """The canonical form of a rational number.

    Args:
        value: Any rational number.

    Returns:
        An integer where the value is whole; the shortest exact decimal string where there is one; else ``"a/b"``.
    """
    if value.denominator == 1:
        return value.numerator
    twos = fives = 0
    rest = value.denominator
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    if rest != 1:
        return f"{value.numerator}/{value.denominator}"
    places = max(twos, fives)
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    sign = "-" if value < 0 else ""
    return f"{sign}{digits[:-places]}.{digits[-places:]}"


def plain(value: object) -> Any:  # noqa: ANN401  JSON has no narrower type
    """Turns a document into dicts, lists, strings, integers, booleans and None.

    Fields that are None are left out, so that a later optional field does not change old digests.

    Args:
        value: A frozen dataclass, or anything it may hold.

    Returns:
        Plain data, ready for RFC 8785.

    Raises:
        TypeError: For a value that has no canonical form; floats are such values.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = (field.name for field in dataclasses.fields(value))
        return {name: plain(item) for name in names if (item := getattr(value, name)) is not None}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return _scalar(value)


def _scalar(value: object) -> int | str | None:
    if isinstance(value, enum.StrEnum):
        return value.value
    if isinstance(value, Fraction):
        return number(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"no canonical form for {type(value).__name__}: {value!r}")


def encode(value: object) -> bytes:
    """The RFC 8785 bytes of a document."""
    return rfc8785.dumps(plain(value))


def digest(value: object) -> bytes:
    """SHA-256 (32 bytes) of a document's RFC 8785 bytes."""
    return hashlib.sha256(encode(value)).digest()


def label(value: bytes) -> str:
    """Writes a digest the way documents and people read it: ``sha256:<hex>``."""
    return DIGEST_PREFIX + value.hex()


def parse_label(text: str) -> bytes:
    """Reads a digest written by `label`.

    Raises:
        ValueError: If the text is not ``sha256:`` and 64 lower-case hexadecimal digits.
    """
    body = text.removeprefix(DIGEST_PREFIX)
    if not text.startswith(DIGEST_PREFIX) or len(body) != 64 or body.strip("0123456789abcdef"):  # noqa: PLR2004
        raise ValueError(f"expected a digest 'sha256:<64 hex digits>', got {text!r}")
    return bytes.fromhex(body)
