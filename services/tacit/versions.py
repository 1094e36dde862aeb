"""Model versions: what the registry states of a model, its stages, and how an alias moves. Pure.

A version's identity is the digest of its statement. Stages only say what may happen next; which version serves is
said by an alias, which moves by compare-and-set, so that two promotions at a time cannot both win.
"""

import datetime as dt
import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property

from tacit import canonical
from tacit.federation import ID
from tacit.privacy.types import Mode

API = "tacit.version/v1"
MAX_ROUNDS = 512
MAX_PARTICIPANTS = 100
MAX_UNIT_WORDS = 200
MAX_FIGURES = 64

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_CREATED = "%Y-%m-%dT%H:%M:%SZ"


class VersionError(Exception):
    """A version, a change of stage or a move of an alias that breaks a rule; the message names value and range."""


class Stage(enum.StrEnum):
    """How far a version has come."""

    CANDIDATE = "candidate"
    EVALUATED = "evaluated"
    APPROVED = "approved"
    SERVING = "serving"
    RETIRED = "retired"
    REVOKED = "revoked"


NEXT: Mapping[Stage, frozenset[Stage]] = {
    Stage.CANDIDATE: frozenset({Stage.EVALUATED, Stage.RETIRED, Stage.REVOKED}),
    Stage.EVALUATED: frozenset({Stage.APPROVED, Stage.RETIRED, Stage.REVOKED}),
    Stage.APPROVED: frozenset({Stage.SERVING, Stage.RETIRED, Stage.REVOKED}),
    Stage.SERVING: frozenset({Stage.APPROVED, Stage.RETIRED, Stage.REVOKED}),
    Stage.RETIRED: frozenset({Stage.REVOKED}),
    Stage.REVOKED: frozenset(),
}
"""Stages that may follow each stage. A version that another one replaces is approved again, ready for a rollback."""

SERVABLE = frozenset({Stage.APPROVED, Stage.SERVING})
"""Stages of a version that an alias may point to."""


@dataclass(frozen=True)
class Guarantee:
    """The privacy statement of a version, from the run's reserved rho.

    Guarantee: for neighbouring data sets that differ in one `unit`, the whole run is (epsilon, delta)-differentially
    private, given at most `c` banks that deviate and at least `q` survivors a round (mode `distributed`).

    Attributes:
        epsilon: At most the plan's, [0, 64].
        delta: (0, 1).
        unit: The unit in words, such as ``customer, given the feature table``.
        mode: Trust mode.
        q: Least survivors of a round.
        c: Banks that may collude.
    """

    epsilon: Fraction
    delta: Fraction
    unit: str
    mode: Mode
    q: int
    c: int


@dataclass(frozen=True)
class QualityFigure:
    """One figure of the noised quality round and the half-width of its 90 % interval."""

    value: Fraction
    half_width: Fraction


@dataclass(frozen=True)
class ModelVersion:
    """The registry's statement of one model version.

    Attributes:
        model: Name of the model, same form as a bank id.
        run: Run id, which is the digest of the plan, ``sha256:<hex>``.
        contract: Digest of the feature contract.
        file: Digest of the model file.
        size_bytes: Length of the model file.
        participants: Banks of the roster (mode `local`) or cohort, rising.
        rounds: Rounds of the run, 1 to 512.
        guarantee: What was promised to customers.
        created: When the registry wrote the statement, ``YYYY-MM-DDThh:mm:ssZ``.
        parent: Digest of the version that this one follows, None for a model's first.
        quality: Figures of the quality round by name, empty if the plan had none.
        thresholds: Margins by name (``review``, ``decline``), empty if the plan had no quality round.
        api: Format of the document.
    """

    model: str
    run: str
    contract: str
    file: str
    size_bytes: int
    participants: tuple[str, ...]
    rounds: int
    guarantee: Guarantee
    created: str
    parent: str | None = None
    quality: Mapping[str, QualityFigure] = field(default_factory=dict)
    thresholds: Mapping[str, Fraction] = field(default_factory=dict)
    api: str = API

    def __post_init__(self) -> None:
        """Refuses a statement that breaks a range, naming every field at fault."""
        faults = [*_names(self), *_digests(self), *_numbers(self), *_promises(self.guarantee)]
        if faults:
            raise VersionError("; ".join(faults))

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the statement's RFC 8785 JSON: the version's identity."""
        return canonical.digest(self)

    @property
    def plan(self) -> str:
        """Digest of the plan: the run id by another name."""
        return self.run


@dataclass(frozen=True)
class AliasState:
    """Where an alias points.

    Attributes:
        alias: Name, same form as a bank id.
        version: Digest of the version.
        sequence: Number of the move, from 1.
    """

    alias: str
    version: str
    sequence: int


def advance(current: Stage, target: Stage) -> Stage:
    """The next stage of a version.

    Raises:
        VersionError: If `target` may not follow `current`.
    """
    if target not in NEXT[current]:
        allowed = ", ".join(sorted(NEXT[current])) or "nothing"
        raise VersionError(f"stage {current} to {target}: after {current} comes {allowed}")
    return target


def check_parent(version: ModelVersion, champion: str | None) -> None:
    """Compare-and-set on lineage: a version may replace only the one that its plan named as parent.

    Args:
        version: The version to promote.
        champion: Digest of the version that the alias points to now, None if to none.

    Raises:
        VersionError: If another version was promoted since the plan was made.
    """
    if version.parent != champion:
        raise VersionError(f"parent {version.parent}: the version in place is {champion}; train again or move by hand")


def move_alias(alias: str, current: AliasState | None, expected: str | None, target: str, stage: Stage) -> AliasState:
    """Points an alias to another version, forward or back.

    Args:
        alias: Name of the alias.
        current: Where it points now, None for a new alias.
        expected: Digest that the caller believes it points to, None for nothing.
        target: Digest of the version it shall point to.
        stage: Stage of that version.

    Returns:
        The new state, its sequence one higher.

    Raises:
        VersionError: If the alias moved in between, the target may not serve, or a name is malformed.
    """
    in_place = current.version if current is not None else None
    if in_place != expected:
        raise VersionError(f"alias {alias!r} points to {in_place}, not to {expected}: it moved in between")
    if stage not in SERVABLE:
        raise VersionError(f"version {target} is {stage}: an alias points to approved or serving versions only")
    faults = [*_name("alias", alias), *_label("version", target)]
    if faults:
        raise VersionError("; ".join(faults))
    if current is None:
        return AliasState(alias, target, 1)
    return replace(current, version=target, sequence=current.sequence + 1)


def _name(name: str, value: str) -> Iterator[str]:
    if ID.fullmatch(value) is None:
        yield f"{name} = {value!r}: expected {ID.pattern}"


def _label(name: str, value: str) -> Iterator[str]:
    try:
        canonical.parse_label(value)
    except ValueError as error:
        yield f"{name}: {error}"


def _outside(name: str, value: Fraction | int, low: Fraction | int, high: Fraction | int) -> Iterator[str]:
    if not low <= value <= high:
        yield f"{name} = {canonical.number(Fraction(value))}: expected {low} to {high}"


def _names(version: ModelVersion) -> Iterator[str]:
    if version.api != API:
        yield f"api = {version.api!r}: expected {API!r}"
    yield from _name("model", version.model)
    for bank in version.participants:
        yield from _name("participant", bank)
    if list(version.participants) != sorted(set(version.participants)):
        yield "participants: expected rising ids, each once"
    for name in (*version.quality, *version.thresholds):
        if _NAME.fullmatch(name) is None:
            yield f"figure {name!r}: expected {_NAME.pattern}"
    try:
        dt.datetime.strptime(version.created, _CREATED).replace(tzinfo=dt.UTC)
    except ValueError:
        yield f"created = {version.created!r}: expected a time such as '2018-08-01T00:00:00Z'"


def _digests(version: ModelVersion) -> Iterator[str]:
    for name in ("run", "contract", "file"):
        yield from _label(name, getattr(version, name))
    if version.parent is not None:
        yield from _label("parent", version.parent)


def _numbers(version: ModelVersion) -> Iterator[str]:
    yield from _outside("rounds", version.rounds, 1, MAX_ROUNDS)
    yield from _outside("size_bytes", version.size_bytes, 1, 2**53 - 1)
    yield from _outside("number of participants", len(version.participants), 1, MAX_PARTICIPANTS)
    yield from _outside("number of figures", len(version.quality) + len(version.thresholds), 0, MAX_FIGURES)
    for name, figure in version.quality.items():
        if figure.half_width < 0:
            yield f"quality.{name}.half_width = {canonical.number(figure.half_width)}: expected 0 or more"


def _promises(guarantee: Guarantee) -> Iterator[str]:
    yield from _outside("guarantee.epsilon", guarantee.epsilon, 0, 64)
    if not 0 < guarantee.delta < 1:
        yield f"guarantee.delta = {canonical.number(guarantee.delta)}: expected above 0 and below 1"
    yield from _outside("length of guarantee.unit", len(guarantee.unit), 1, MAX_UNIT_WORDS)
    yield from _outside("guarantee.q", guarantee.q, 1, MAX_PARTICIPANTS)
    yield from _outside("guarantee.c", guarantee.c, 0, MAX_PARTICIPANTS)
