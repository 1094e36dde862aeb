"""What a plan means in numbers: stages, noise, reserved budget. Every party computes this for itself."""

import datetime as dt
import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from tacit import canonical
from tacit.features.spec import Contract, ContractError
from tacit.federation import Manifest
from tacit.learning.course import Course, stages
from tacit.learning.trial import check_answerable
from tacit.learning.types import LearningError, Stage
from tacit.privacy import calibration
from tacit.privacy.calibration import Budget
from tacit.privacy.types import Mode, PrivacyError, Unit
from tacit.rounds.plan import Plan, PlanError

SEED_DOMAIN = b"tacit.seed.v1"

EARLIEST, LATEST = dt.date(1990, 1, 1), dt.date(2200, 1, 1)
"""Range of a window's end: months before and after it can be counted on every machine."""


class UnaffordableError(PlanError):
    """A plan whose noise cannot be had at the epsilon that it promises."""


@dataclass(frozen=True)
class Terms:
    """A plan worked out under its contract and manifest.

    Attributes:
        plan: The plan.
        contract: The contract whose digest the plan names.
        stages: One per round.
        budget: Noise per round and the reserved rho.
        banks_per_person: k of the manifest.
        q: Least banks whose vectors make a round, as printed: of the manifest, or 1 in mode `local` (each bank alone).
        c: Banks whose noise may be missing; 0 in mode `local`.
    """

    plan: Plan
    contract: Contract
    stages: tuple[Stage, ...]
    budget: Budget
    banks_per_person: int
    q: int
    c: int

    @property
    def slots(self) -> int:
        """Slots of the run, K = rounds + paid retries: no bank answers more questions (protocol 3 and 4)."""
        return len(self.stages) + self.plan.paid_retries

    @property
    def unit_text(self) -> str:
        """The unit as it must be printed (protocol 6).

        "Given the feature table" stands behind `customer` whenever a column mixes customers, and behind `record`
        whenever a column looks at any other row, the customer's own included.
        """
        columns = self.contract.columns
        windows = self.plan.unit is Unit.RECORD and any(column.of is not None for column in columns)
        return f"{self.plan.unit}{', given the feature table' if self.contract.mixing or windows else ''}"

    @property
    def epsilon(self) -> str:
        """Epsilon of the reserved rho, as a decimal string rounded up at the sixth place."""
        millionths = math.ceil(Fraction(self.budget.epsilon) * 10**6)
        return f"{millionths // 10**6}.{millionths % 10**6:06d}"

    def seed(self, run: bytes, joins: Iterable[bytes]) -> bytes:
        """The public seed of random structures, of the plan and of what the banks signed (protocol 8).

        No field of ROSTER that its writer is free to choose goes in: else a leader could try values until it likes
        the trees.

        Args:
            run: Run id.
            joins: Digests of the JOINs that ROSTER names, 32 bytes each, in any order.

        Returns:
            32 bytes.
        """
        return hashlib.sha256(b"".join((SEED_DOMAIN, run, *sorted(joins)))).digest()

    def start(self, run: bytes, joins: Iterable[bytes]) -> Course:
        """The public state of learning before round 0; arguments as `seed`."""
        plan = self.plan
        return Course.start(plan.learner, plan.shares, self.contract, plan.quality, self.seed(run, joins))


def work_out(plan: Plan, contract: Contract, manifest: Manifest) -> Terms:
    """Computes the terms of a plan.

    Args:
        plan: A plan whose own ranges hold.
        contract: The contract.
        manifest: The epoch that the plan names.

    Returns:
        The terms: the same on every machine.

    Raises:
        PlanError: If plan, contract and manifest do not fit each other, or the learner cannot be asked for.
        UnaffordableError: If the noise that the plan needs cannot be had.
    """
    try:
        return _work_out(plan, contract, manifest)
    except PrivacyError as error:
        raise UnaffordableError(str(error)) from error
    except (LearningError, ContractError) as error:
        raise PlanError(str(error)) from error


def _work_out(plan: Plan, contract: Contract, manifest: Manifest) -> Terms:
    """As `work_out`, with the errors of the packages below.

    Args:
        plan: A plan whose own ranges hold.
        contract: The contract.
        manifest: The epoch that the plan names.

    Returns:
        The terms: the same on every machine.

    Raises:
        PlanError: If plan, contract and manifest do not fit each other.
        PrivacyError: If the noise that the plan needs cannot be had, or a question has a clip that no bank can bound.
        LearningError: If the learner cannot be asked for with this contract, or no bank could answer a question.
    """
    faults = list(_misfits(plan, contract, manifest))
    if faults:
        raise PlanError("; ".join(faults))
    asked = stages(plan.learner, plan.shares, contract, plan.quality)
    trees, quality = plan.learner.trees, plan.quality
    check_answerable(asked, contract, trees=trees, quality=quality, weight=1 / plan.subsample)
    local = plan.mode is Mode.LOCAL
    q, c = (1, 0) if local else (manifest.q, manifest.c)
    budget = calibration.calibrate(
        plan.epsilon,
        plan.delta,
        [(stage.clip, stage.share) for stage in asked],
        mode=plan.mode,
        banks_per_person=manifest.max_banks_per_person,
        q=q,
        c=c,
        paid_retries=plan.paid_retries,
    )
    calibration.check_wrap_around(budget, plan.population, len(manifest.members))
    return Terms(plan, contract, asked, budget, manifest.max_banks_per_person, q, c)


def _misfits(plan: Plan, contract: Contract, manifest: Manifest) -> list[str]:
    allowed = ", ".join(manifest.modes)
    checks = (
        (plan.federation == manifest.federation, f"federation = {plan.federation!r}: expected {manifest.federation!r}"),
        (
            plan.manifest == canonical.label(manifest.digest),
            f"manifest = {plan.manifest}: the epoch in force is {canonical.label(manifest.digest)}",
        ),
        (plan.mode in manifest.modes, f"mode = {plan.mode}: the manifest allows {allowed}"),
        (plan.contract in manifest.contracts, f"contract = {plan.contract}: not among the manifest's contracts"),
        (
            plan.contract == canonical.label(contract.digest),
            f"contract = {plan.contract}: the document at hand is {canonical.label(contract.digest)}",
        ),
        (
            EARLIEST <= plan.window.end <= LATEST,
            f"window.end = {plan.window.end}: expected {EARLIEST} to {LATEST}",
        ),
    )
    return [message for holds, message in checks if not holds]
