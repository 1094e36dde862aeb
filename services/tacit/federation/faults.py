"""What every rule of the package says when it is broken: the value and the allowed range."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

from tacit import canonical


class FederationError(Exception):
    """A manifest, policy or acceptance that breaks a rule; the message names value and allowed range."""


def refuse(subject: str, faults: Sequence[str]) -> None:
    """Raises `FederationError` for a subject that has faults; nothing otherwise."""
    if faults:
        raise FederationError(f"{subject}: {'; '.join(faults)}")


def listed(values: Iterable[str]) -> str:
    """Values for a message."""
    return ", ".join(values) or "none"


def outside(name: str, value: Fraction | int, low: Fraction | int, high: Fraction | int) -> Iterator[str]:
    """Says what is wrong with a number outside [low, high]; nothing when it is inside."""
    if not low <= value <= high:
        yield f"{name} = {canonical.number(Fraction(value))}: expected {low} to {high}"


def wrong_labels(name: str, values: Iterable[str]) -> Iterator[str]:
    """Values that are no ``sha256:`` digest."""
    for value in values:
        try:
            canonical.parse_label(value)
        except ValueError as error:
            yield f"{name}: {error}"


def twice(name: str, values: Iterable[object]) -> Iterator[str]:
    """Values that stand more than once."""
    for value, number in Counter(values).items():
        if number > 1:
            yield f"{name} {value} stands {number} times: expected once"


def wrong_ids(name: str, values: Iterable[str]) -> Iterator[str]:
    """Values that are no id, or the id of a role."""
    for value in values:
        if ID.fullmatch(value) is None or value in ROLES:
            yield f"{name} = {value!r}: expected {ID.pattern} and none of {listed(sorted(ROLES))}"


ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


ROLES = frozenset({"aggregator", "registry"})
"""Sender ids of roles; no member and no operator may have one."""
