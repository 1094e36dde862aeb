"""Topics as data: who writes which kinds where (protocol 2). Every member and role reads all of them."""

import dataclasses
import enum
import re
from collections.abc import Iterable

from tacit.rounds.plan import ID
from tacit.rounds.types import BANK_KINDS, CONTROL_KINDS, VERSION_KINDS, Kind
from tacit.wire.errors import WireError

AGGREGATOR = "aggregator"
"""Sender id of the aggregator role; no member may have it."""

REGISTRY = "registry"
"""Sender id of the registry role; no member may have it."""

DEFAULT_PREFIX = "tacit"

_PREFIX = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+(-[a-z0-9]+)*)*")
_MAX_PREFIX = 100


class Family(enum.StrEnum):
    """The three families of topics."""

    CONTROL = "control"
    BANK = "bank"
    VERSIONS = "versions"


@dataclasses.dataclass(frozen=True, slots=True)
class Topic:
    """One topic; it has a single partition.

    Attributes:
        name: Full name, dots only, lower case.
        family: Which rules hold.
        writer: The one sender id that may write: a role, or the bank itself.
        kinds: Kinds of record that may stand on it.
    """

    name: str
    family: Family
    writer: str
    kinds: frozenset[Kind]


def control(prefix: str = DEFAULT_PREFIX) -> Topic:
    """The control topic.

    Raises:
        WireError: If the prefix is not lower-case letters, digits, inner hyphens and dots.
    """
    return Topic(f"{_checked(prefix)}.control.v1", Family.CONTROL, AGGREGATOR, CONTROL_KINDS)


def bank(prefix: str, bank_id: str) -> Topic:
    """A bank's own topic; every member reads it.

    Raises:
        WireError: If the prefix or the bank id is malformed.
    """
    if ID.fullmatch(bank_id) is None:
        raise WireError(f"bank id {bank_id!r}: expected {ID.pattern}")
    return Topic(f"{_checked(prefix)}.bank.v1.{bank_id}", Family.BANK, bank_id, BANK_KINDS)


def versions(prefix: str = DEFAULT_PREFIX) -> Topic:
    """The topic of model versions.

    Raises:
        WireError: If the prefix is malformed.
    """
    return Topic(f"{_checked(prefix)}.versions.v1", Family.VERSIONS, REGISTRY, VERSION_KINDS)


def federation(prefix: str, banks: Iterable[str]) -> tuple[Topic, ...]:
    """All topics of a federation: control, versions, then one per bank in the order given."""
    return (control(prefix), versions(prefix), *(bank(prefix, bank_id) for bank_id in banks))


def find(name: str) -> Topic:
    """The topic of that name, whatever its prefix.

    Raises:
        WireError: If the name is none of a topic's.
    """
    head, _, last = name.rpartition(".")
    if head.endswith(".bank.v1"):
        return bank(head.removesuffix(".bank.v1"), last)
    if name.endswith(".control.v1"):
        return control(name.removesuffix(".control.v1"))
    if name.endswith(".versions.v1"):
        return versions(name.removesuffix(".versions.v1"))
    raise WireError(f"topic {name!r}: expected <prefix>.control.v1, <prefix>.versions.v1 or <prefix>.bank.v1.<bank>")


def bank_of(name: str) -> str | None:
    """The bank whose own topic this is; None for any other name."""
    try:
        topic = find(name)
    except WireError:
        return None
    return topic.writer if topic.family is Family.BANK else None


def _checked(prefix: str) -> str:
    if len(prefix) > _MAX_PREFIX or _PREFIX.fullmatch(prefix) is None:
        raise WireError(f"topic prefix {prefix!r}: expected a-z, 0-9, '-' and '.', at most {_MAX_PREFIX} characters")
    return prefix
