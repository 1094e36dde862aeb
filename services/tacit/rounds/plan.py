"""The plan of a run: what the operator signs and every bank recomputes its noise from (formats 1, protocol 1)."""

import datetime as dt
import enum
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from tacit import canonical
from tacit.learning.types import Learner, LearnerKind, QualityPlan, Shares, TreePlan
from tacit.privacy.types import Mode, Unit

API = "tacit.plan/v1"
ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
DURATION = re.compile(r"([1-9][0-9]{0,8})(ms|s|m|h|d)")
MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
MAX_EPSILON = 64
MAX_POPULATION = 10**10
LEAST_SUBSAMPLE = Fraction(1, 1024)
"""Lowest rate of rows: a row that is kept counts 1/rate, and banks take weights up to 1,024."""

MOST_LEAVES = 2**15
"""Leaves of all trees of a run: the model file, of some 15 bytes a leaf once compressed, has to fit a record."""

SHORTEST_TICK, LONGEST_TICK = "10ms", "60s"
LONGEST_RUN, LONGEST_WAIT = "90d", "7d"
"""Largest `deadlines.run`, and the largest of every other deadline."""


class PlanError(Exception):
    """A plan that cannot be run; the message names every wrong field with its value and the allowed range."""


class Promote(enum.StrEnum):
    """Whether a finished run's model serves without a hand."""

    MANUAL = "manual"
    AUTO = "auto"


def milliseconds(duration: str) -> int:
    """Reads a duration such as ``100ms``, ``60s`` or ``24h``.

    Raises:
        PlanError: If the text is not a whole number and a unit of ms, s, m, h, d.
    """
    match = DURATION.fullmatch(duration)
    if match is None:
        raise PlanError(f"duration {duration!r}: expected a whole number and ms, s, m, h or d, such as '60s'")
    return int(match[1]) * MILLISECONDS[match[2]]


@dataclass(frozen=True)
class Window:
    """Which rows a run learns from.

    Attributes:
        end: First day that is not in the training rows, midnight in the mapping's zone.
        days: Training rows are [end - days, end), 1 to 3,660.
        label_delay_days: Days until a row's label is final, 0 to 366.
        quality_days: Quality rows are [end, end + quality_days), 0 for no quality round, at most 366.
    """

    end: dt.date
    days: int
    label_delay_days: int = 7
    quality_days: int = 7

    @property
    def start(self) -> dt.date:
        """First day of the training rows."""
        return self.end - dt.timedelta(days=self.days)

    @property
    def ready(self) -> dt.date:
        """First day on which the run may be asked for: all its labels are final."""
        return self.end + dt.timedelta(days=self.quality_days + self.label_delay_days)


@dataclass(frozen=True)
class Deadlines:
    """How long a leader waits for all before it goes on with a quorum, up to 7 days; `run` ends the run, up to 90."""

    join: str = "60s"
    deal: str = "60s"
    attempt: str = "60s"
    grace: str = "2s"
    run: str = "24h"


@dataclass(frozen=True)
class Plan:
    """A run's plan (formats 1). Numbers are exact; the same bytes are the same run.

    Attributes:
        federation: Federation id.
        manifest: Digest of the manifest epoch, ``sha256:<hex>``.
        not_after: Last day on which a bank may join.
        model: Name of the model, same form as a bank id.
        contract: Digest of the feature contract, ``sha256:<hex>``.
        unit: Privacy unit.
        mode: Trust mode.
        epsilon: Epsilon of the whole run for `unit`, add/remove neighbours, (0, 64].
        delta: Delta of the whole run, (0, 1/population].
        population: Units over all banks, rounded up to one significant digit, public.
        window: Rows.
        learner: What is learnt.
        shares: Shares of the budget.
        nonce: 32 random bytes as hex; a new nonce is a new run and a new spend.
        quality: The quality round, None for none.
        parent: Digest of the version that this run's model is meant to follow, None for the first.
        subsample: Rate of rows kept by the keyed rule, [1/1024, 1].
        paid_retries: Prepaid retries, 0 to 16; 0 in mode `local`.
        deadlines: How long a leader waits.
        tick: Grid of times at which vectors are published, 10 ms to 60 s and at most `deadlines.attempt`.
        promote: Whether the model serves without a hand.
        api: Format of the document.
    """

    federation: str
    manifest: str
    not_after: dt.date
    model: str
    contract: str
    unit: Unit
    mode: Mode
    epsilon: Fraction
    delta: Fraction
    population: int
    window: Window
    learner: Learner
    shares: Shares
    nonce: str
    quality: QualityPlan | None = None
    parent: str | None = None
    subsample: Fraction = Fraction(1)
    paid_retries: int = 0
    deadlines: Deadlines = Deadlines()
    tick: str = "100ms"
    promote: Promote = Promote.MANUAL
    api: str = API

    def __post_init__(self) -> None:
        """Refuses a plan that breaks a range, naming every field at fault."""
        faults = [
            *_identity(self),
            *_times(self),
            *_privacy(self),
            *_window(self),
            *_learner(self.learner),
            *_shares(self),
        ]
        if faults:
            raise PlanError("; ".join(faults))

    @property
    def rounds(self) -> int:
        """Rounds of the run, the quality round included."""
        additive = self.learner.rounds + 1 if self.learner.kind is not LearnerKind.TREES else 0
        trees = self.learner.trees.rounds if self.learner.trees is not None else 0
        return additive + trees + (1 if self.quality is not None else 0)


def run_id(plan_json: bytes) -> bytes:
    """The run id: SHA-256 of the plan's bytes, 32 bytes."""
    return hashlib.sha256(plan_json).digest()


def outside(name: str, value: Fraction | int, low: Fraction | int, high: Fraction | int) -> Iterator[str]:
    """Says what is wrong with a number outside [low, high]; nothing when it is inside."""
    if not low <= value <= high:
        yield f"{name} = {canonical.number(Fraction(value))}: expected {low} to {high}"


def _identity(plan: Plan) -> Iterator[str]:
    if plan.api != API:
        yield f"api = {plan.api!r}: expected {API!r}"
    for name in ("federation", "model"):
        if ID.fullmatch(getattr(plan, name)) is None:
            yield f"{name} = {getattr(plan, name)!r}: expected {ID.pattern}"
    if re.fullmatch(r"[0-9a-f]{64}", plan.nonce) is None:
        yield f"nonce = {plan.nonce!r}: expected 64 lower-case hex digits"
    for name in ("manifest", "contract", "parent"):
        text = getattr(plan, name)
        if text is not None and re.fullmatch(r"sha256:[0-9a-f]{64}", text) is None:
            yield f"{name} = {text!r}: expected 'sha256:<64 hex digits>'"


def _times(plan: Plan) -> Iterator[str]:
    for name in ("join", "deal", "attempt", "grace"):
        yield from _duration(f"deadlines.{name}", getattr(plan.deadlines, name), "1ms", LONGEST_WAIT)
    yield from _duration("deadlines.run", plan.deadlines.run, "1ms", LONGEST_RUN)
    faults = list(_duration("tick", plan.tick, SHORTEST_TICK, LONGEST_TICK))
    yield from faults or _duration("tick", plan.tick, SHORTEST_TICK, plan.deadlines.attempt)


def _duration(name: str, text: str, low: str, high: str) -> Iterator[str]:
    """Says what is wrong with a duration; nothing if `high` is none, which its own field says."""
    try:
        value = milliseconds(text)
    except PlanError as error:
        yield f"{name}: {error}"
        return
    if DURATION.fullmatch(high) is not None and not milliseconds(low) <= value <= milliseconds(high):
        yield f"{name} = {text!r}: expected {low} to {high}"


def _privacy(plan: Plan) -> Iterator[str]:
    if not 0 < plan.epsilon <= MAX_EPSILON:
        yield f"epsilon = {canonical.number(plan.epsilon)}: expected above 0 and at most {MAX_EPSILON}"
    yield from outside("population", plan.population, 1, MAX_POPULATION)
    if plan.delta <= 0 or plan.delta * max(plan.population, 1) > 1:
        yield f"delta = {canonical.number(plan.delta)}: expected above 0 and at most 1/population"
    yield from outside("subsample", plan.subsample, LEAST_SUBSAMPLE, 1)
    most = 0 if plan.mode is Mode.LOCAL else 16
    yield from outside(f"paid_retries in mode {plan.mode}", plan.paid_retries, 0, most)


def _window(plan: Plan) -> Iterator[str]:
    yield from outside("window.days", plan.window.days, 1, 3660)
    yield from outside("window.label_delay_days", plan.window.label_delay_days, 0, 366)
    least = 0 if plan.quality is None else 1
    yield from outside("window.quality_days", plan.window.quality_days, least, 366)


def _learner(learner: Learner) -> Iterator[str]:
    yield from outside("learner.rounds", learner.rounds, 1, 256)
    yield from outside("learner.average", learner.average, 1, learner.rounds)
    yield from outside("learner.momentum", learner.momentum, 0, Fraction(99, 100))
    yield from outside("learner.damp", learner.damp, Fraction(1, 100), 2)
    yield from outside("learner.kappa", learner.kappa, 0, 10)
    yield from outside("learner.ridge", learner.ridge, Fraction(1, 1000), 10)
    yield from outside("learner.starting_margin", learner.starting_margin, -20, 20)
    yield from outside("learner.clip.preconditioner", learner.clip.preconditioner, Fraction(1, 100), 16)
    yield from outside("learner.clip.gradient", learner.clip.gradient, Fraction(1, 100), 16)
    yield from outside("learner.expected_fraud_units", learner.expected_fraud_units, 0, MAX_POPULATION)
    wants_trees = learner.kind is not LearnerKind.ADDITIVE
    if wants_trees != (learner.trees is not None):
        yield f"learner.trees: {'missing' if wants_trees else 'not used'} with kind {learner.kind}"
    if learner.trees is not None:
        yield from _trees(learner.trees)


def _trees(trees: TreePlan) -> Iterator[str]:
    yield from outside("learner.trees.rounds", trees.rounds, 1, 64)
    yield from outside("learner.trees.trees_per_round", trees.trees_per_round, 1, 16)
    yield from outside("learner.trees.depth", trees.depth, 1, 8)
    yield from outside("learner.trees.columns_per_tree", trees.columns_per_tree, 1, 255)
    yield from outside("learner.trees.clip", trees.clip, Fraction(1, 100), 16)
    if 1 <= trees.depth <= 8:  # noqa: PLR2004  said above
        leaves = trees.rounds * trees.trees_per_round * 2**trees.depth
        yield from outside("learner.trees.rounds x trees_per_round x 2^depth", leaves, 1, MOST_LEAVES)


def _shares(plan: Plan) -> Iterator[str]:
    kind, shares = plan.learner.kind, plan.shares
    used = {
        "preconditioner": kind is not LearnerKind.TREES,
        "gradients": kind is not LearnerKind.TREES,
        "trees": kind is not LearnerKind.ADDITIVE,
        "quality": plan.quality is not None,
    }
    for name, wanted in used.items():
        share: Fraction = getattr(shares, name)
        if wanted != (share > 0) or share < 0:
            yield f"shares.{name} = {canonical.number(share)}: expected {'above 0' if wanted else '0'}"
    total = shares.preconditioner + shares.gradients + shares.trees + shares.quality
    if total != 1:
        yield f"shares add up to {canonical.number(total)}: expected exactly 1"
