"""Checks of single values: each returns the value or raises `InvalidRecord` with name, value and range."""

import enum
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from typing import NoReturn, Protocol, TypeVar

from tacit.rounds.plan import ID
from tacit.rounds.types import DIGEST_BYTES
from tacit.wire.errors import InvalidReason, InvalidRecord
from tacit.wire.v1.control_pb2 import BankDigest

E = TypeVar("E", bound=enum.IntEnum)

MAX_BANKS = 100
MAX_CELLS = 4096
MAX_SLOTS = 512
SIGNATURE_BYTES = 64
SHOWN_CHARACTERS = 60

_PRINTABLE = re.compile(r"[ -~]*")
_EPSILON = re.compile(r"[0-9]+(\.[0-9]+|/[1-9][0-9]*)?")


def refuse(detail: str, reason: InvalidReason = InvalidReason.BAD_FIELD) -> NoReturn:
    """Raises `InvalidRecord`."""
    raise InvalidRecord(reason, detail)


def exact(name: str, value: bytes, size: int = DIGEST_BYTES) -> bytes:
    """Bytes of one length, a digest's unless told."""
    if len(value) != size:
        refuse(f"{name} has {len(value)} bytes: expected {size}")
    return value


def absent_or_exact(name: str, value: bytes, size: int = DIGEST_BYTES) -> bytes:
    """Bytes that are empty or of one length."""
    return exact(name, value, size) if value else value


def sized(name: str, value: bytes, most: int) -> bytes:
    """Bytes of length 1 to `most`."""
    within(f"length of {name}", len(value), 1, most)
    return value


def identifier(name: str, value: str) -> str:
    """The id of a federation, member, role or alias."""
    if ID.fullmatch(value) is None:
        refuse(f"{name} = {value[:SHOWN_CHARACTERS]!r}: expected {ID.pattern}")
    return value


def text(name: str, value: str, least: int, most: int) -> str:
    """Printable ASCII of bounded length."""
    within(f"length of {name}", len(value), least, most)
    if _PRINTABLE.fullmatch(value) is None:
        refuse(f"{name} holds characters outside printable ASCII")
    return value


def epsilon(name: str, value: str) -> str:
    """A number that is not negative, as text: whole, decimal or a/b, at most 64 characters."""
    if len(value) > 64 or _EPSILON.fullmatch(value) is None:  # noqa: PLR2004  the length in the message
        refuse(f'{name} = {value[:SHOWN_CHARACTERS]!r}: expected "1", "0.5" or "1/3", at most 64 characters')
    return value


def within(name: str, value: int, low: int, high: int) -> int:
    """An integer in [low, high]."""
    if not low <= value <= high:
        refuse(f"{name} = {value}: expected {low} to {high}")
    return value


def count(name: str, items: Sized, low: int, high: int) -> None:
    """A number of items in [low, high]."""
    within(f"number of {name}", len(items), low, high)


def member(name: str, kinds: type[E], value: int) -> E:
    """A known value of an enum; UNSPECIFIED and unknown numbers are refused."""
    try:
        return kinds(value)
    except ValueError:
        refuse(f"{name} = {value}: expected one of {', '.join(f'{item.value} {item.name}' for item in kinds)}")


def finite(name: str, values: Sequence[float]) -> tuple[float, ...]:
    """Floats without NaN and infinity."""
    for position, value in enumerate(values):
        if not math.isfinite(value):
            refuse(f"{name}[{position}] = {value}: expected a finite number")
    return tuple(values)


def rising(name: str, ids: Iterable[str]) -> Iterator[str]:
    """Ids in strictly rising order, so that none stands twice."""
    last = ""
    for value in ids:
        if identifier(name, value) <= last:
            refuse(f"{name} {value!r} stands after {last!r}: expected strictly rising ids")
        last = value
        yield value


def write_digests(entries: Mapping[str, bytes]) -> list[BankDigest]:
    """A mapping of bank to digest as messages, by rising bank."""
    return [BankDigest(bank=bank, digest=entries[bank]) for bank in sorted(entries)]


def read_digests(name: str, entries: Sequence[BankDigest]) -> dict[str, bytes]:
    """A mapping of bank to digest, 1 to 100 banks."""
    count(name, entries, 1, MAX_BANKS)
    banks = rising(f"bank in {name}", (entry.bank for entry in entries))
    return {bank: exact(f"{name}[{bank}]", entry.digest) for bank, entry in zip(banks, entries, strict=True)}


class TwoShares(Protocol):
    """What a recipient gets for one slot: a value of the self-seed share, one of the key share, empty if none."""

    recipient: str
    seed: bytes
    key: bytes


def read_pair(name: str, entries: Sequence[TwoShares], size: int) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Two mappings of recipient to bytes, self-seed shares and key shares, at most 100 recipients."""
    count(name, entries, 0, MAX_BANKS)
    recipients = list(rising(f"recipient in {name}", (entry.recipient for entry in entries)))
    for recipient, entry in zip(recipients, entries, strict=True):
        absent_or_exact(f"seed share for {recipient}", entry.seed, size)
        absent_or_exact(f"key share for {recipient}", entry.key, size)
        if not entry.seed and not entry.key:
            refuse(f"{name}[{recipient}] is empty: expected a seed share, a key share or both")
    seeds = {entry.recipient: entry.seed for entry in entries if entry.seed}
    return seeds, {entry.recipient: entry.key for entry in entries if entry.key}
