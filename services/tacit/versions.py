"""Model versions: what the registry states of a model, its stages, and how an alias moves. Pure.

A version's identity is the digest of its statement. Stages only say what may happen next; which version serves is
said by an alias, which moves by compare-and-set, so that two promotions at a time cannot both win.
"""

import datetime as dt
import enum
import re
from collections import Counter
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


class ArtefactError(Exception):
    """A stored model file cannot be given."""


class ArtefactMissingError(ArtefactError):
    """No file of that digest is stored."""


class ArtefactCorruptError(ArtefactError):
    """The stored file does not have its digest any more; it is never given out."""


class StoreError(Exception):
    """The registry's database cannot be used, for now or as it is."""


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

SERVING_ALIAS = "serving"
"""The alias that scorers follow; its moves carry a version's stage along."""

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
        created: When the run ended, as the leader wrote it into END, ``YYYY-MM-DDThh:mm:ssZ``; advisory. Nothing in a
            statement comes from the registry's own clock, so that a registry that starts again writes the same bytes.
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


@dataclass(frozen=True)
class Published:
    """A version that stands on the versions topic.

    Attributes:
        version: The statement.
        position: Place among all versions, from 1.
        number: Place among the versions of its model, from 1.
        stage: How far it has come.
        conflict: Why it can never serve: its parent was not the model's newest version. Empty for none.
        moves: Moves of the model's serving alias before it was published.
    """

    version: ModelVersion
    position: int
    number: int
    stage: Stage = Stage.CANDIDATE
    conflict: str = ""
    moves: int = 0

    @property
    def label(self) -> str:
        """The version's digest, ``sha256:<hex>``."""
        return canonical.label(self.version.digest)


class Catalogue:
    """The versions topic as a fold: every reader that feeds it the same records in the same order holds the same.

    Rules: the first VERSION of a run stands. A version whose parent is not the model's newest version is kept, with
    the conflict noted, and starts no line: no alias may point to it. The first ALIAS of each sequence stands, the next
    sequence being one above the last.

    Attributes:
        files: Digests of the model files that stand on the topic.
        entries: Versions by digest, in order.
        aliases: Where each alias points, by model and alias.
        moves: Every move that stands, in order.
        void: How many records did not stand, by reason; repeats are among them.
    """

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.entries: dict[str, Published] = {}
        self.aliases: dict[tuple[str, str], AliasState] = {}
        self.moves: list[AliasState] = []
        self.void: Counter[str] = Counter()
        self._runs: dict[str, str] = {}
        self._newest: dict[str, str] = {}
        self._history: dict[tuple[str, str], list[str]] = {}

    def of_run(self, run: str) -> Published | None:
        """The version of a run, None if none stands."""
        label = self._runs.get(run)
        return self.entries[label] if label is not None else None

    def newest(self, model: str) -> str | None:
        """Digest of the model's newest version without a conflict."""
        return self._newest.get(model)

    def alias(self, model: str, alias: str = SERVING_ALIAS) -> AliasState | None:
        """Where a model's alias points."""
        return self.aliases.get((model, alias))

    def hold(self, file: str) -> None:
        """Takes an ARTEFACT in."""
        self.files.add(file)

    def register(self, version: ModelVersion) -> str:
        """Takes a VERSION in.

        Returns:
            Nothing if it stands, else the reason: ``repeat`` (the same statement again) or ``run`` (another one).
        """
        label, model = canonical.label(version.digest), version.model
        if version.run in self._runs:
            return self._voided("repeat" if self._runs[version.run] == label else "run")
        newest = self._newest.get(model)
        conflict = "" if version.parent == newest else f"parent is {version.parent}, the newest version was {newest}"
        number = 1 + sum(entry.version.model == model for entry in self.entries.values())
        moves = len(self._history.get((model, SERVING_ALIAS), ()))
        self.entries[label] = Published(version, len(self.entries) + 1, number, conflict=conflict, moves=moves)
        self._runs[version.run] = label
        if not conflict:
            self._newest[model] = label
        return ""

    def point(self, alias: str, target: str, sequence: int) -> str:
        """Takes an ALIAS in.

        Returns:
            Nothing if it stands, else the reason: ``version`` (unknown), ``conflict``, ``stage``, ``repeat`` or
            ``sequence`` (not the next one).
        """
        entry = self.entries.get(target)
        if entry is None:
            return self._voided("version")
        key = (entry.version.model, alias)
        history = self._history.get(key, [])
        if 1 <= sequence <= len(history) and history[sequence - 1] == target:
            return self._voided("repeat")
        reason = _bar(entry) or ("" if sequence == len(history) + 1 else "sequence")
        if reason:
            return self._voided(reason)
        self._carry_stage(self.aliases.get(key), entry, alias)
        self.aliases[key] = AliasState(alias, target, sequence)
        self.moves.append(self.aliases[key])
        self._history[key] = [*history, target]
        return ""

    def next_move(self, model: str, target: str, expected: int, alias: str = SERVING_ALIAS) -> AliasState:
        """The move of an alias that somebody asks for, by compare-and-set on its sequence.

        A hand that moves an alias to a candidate evaluates and approves it by that.

        Args:
            model: Name of the model.
            target: Digest of one of its versions.
            expected: Sequence that the caller has seen, 0 for an alias that points nowhere.
            alias: Name of the alias.

        Returns:
            What ALIAS has to say.

        Raises:
            VersionError: If the alias moved in between, or the version is unknown, in conflict, retired or revoked.
        """
        current = self.aliases.get((model, alias))
        sequence = current.sequence if current is not None else 0
        if expected != sequence:
            raise VersionError(f"alias {alias!r} of {model!r} is at sequence {sequence}, not {expected}: it moved")
        entry = self.entries.get(target)
        if entry is None or entry.version.model != model:
            raise VersionError(f"version {target} is none of model {model!r}")
        if _bar(entry):
            raise VersionError(f"version {target} may not serve: {entry.conflict or entry.stage}")
        stage = entry.stage if entry.stage in SERVABLE else _approved(entry.stage)
        return move_alias(alias, current, current.version if current is not None else None, target, stage)

    def automatic(self, model: str) -> AliasState | None:
        """The move to the model's newest version that a plan with ``promote: auto`` asks for, if it is still due.

        It is due while the serving alias stands as it did when the version was published, at the version's parent
        (`check_parent`); any move in between is somebody's decision and ends it.
        """
        entry = self.entries.get(self._newest.get(model, ""))
        current = self.alias(model)
        champion = current.version if current is not None else None
        if entry is None or entry.stage is not Stage.CANDIDATE or entry.version.parent != champion:
            return None
        moves = current.sequence if current is not None else 0
        return self.next_move(model, entry.label, moves) if moves == entry.moves else None

    def _carry_stage(self, before: AliasState | None, entry: Published, alias: str) -> None:
        if alias != SERVING_ALIAS:
            return
        if before is not None:
            replaced = self.entries[before.version]
            self.entries[before.version] = replace(replaced, stage=advance(replaced.stage, Stage.APPROVED))
        now = self.entries[entry.label]
        self.entries[entry.label] = replace(now, stage=advance(_approved(now.stage), Stage.SERVING))

    def _voided(self, reason: str) -> str:
        self.void[reason] += 1
        return reason


def _bar(entry: Published) -> str:
    """Why no alias may point to a version."""
    if entry.conflict:
        return "conflict"
    return "stage" if entry.stage in {Stage.RETIRED, Stage.REVOKED} else ""


def _approved(stage: Stage) -> Stage:
    """The stage after evaluation and approval, which a move of the serving alias implies."""
    if stage is Stage.CANDIDATE:
        stage = advance(stage, Stage.EVALUATED)
    return advance(stage, Stage.APPROVED) if stage is Stage.EVALUATED else stage


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
