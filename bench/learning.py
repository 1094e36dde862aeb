"""One run of the additive learner by the product's own functions, without processes."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import xgboost
from numpy.typing import NDArray

from tacit.features.spec import Contract
from tacit.features.types import Encoded
from tacit.learning.basis import Basis
from tacit.learning.course import Course
from tacit.learning.statistics import bounded_sum
from tacit.learning.types import Ensemble, Learner, Shares
from tacit.privacy.calibration import calibrate
from tacit.privacy.release import release
from tacit.privacy.types import Mode

DELTA = Fraction(1, 10**5)
WITHOUT_QUALITY = Shares(preconditioner=Fraction(5, 100), gradients=Fraction(95, 100))


@dataclass(frozen=True)
class Setting:
    """What a run spends and who adds the noise.

    Attributes:
        epsilon: Budget of the whole run.
        mode: Trust mode.
        q: Banks that must survive a round.
        c: Banks whose noise may be missing.
        paid_retries: Releases that may be made twice.
    """

    epsilon: Fraction
    mode: Mode = Mode.LOCAL
    q: int = 1
    c: int = 0
    paid_retries: int = 0


def distributed(epsilon: Fraction, banks: int) -> Setting:
    """The default q and c of a roster (protocol 1), two prepaid retries."""
    q, c = max(3, 2 * banks // 3 + 1), max(1, banks // 5)
    return Setting(epsilon, Mode.DISTRIBUTED, q, c, 2)


def learn(banks: Sequence[Encoded], contract: Contract, learner: Learner, setting: Setting, basis: Basis) -> Ensemble:
    """Trains: every bank answers every round with its clipped sum and its own OpenDP draw; the sums are added.

    Args:
        banks: Every bank's rows.
        contract: The feature contract.
        learner: The additive learner.
        setting: Budget and trust.
        basis: The contract's basis, with a kernel or without.

    Returns:
        The model.
    """
    course = Course.start(learner, WITHOUT_QUALITY, contract, None, bytes(32))
    questions = [(stage.clip, stage.share) for stage in course.stages]
    noises = calibrate(
        setting.epsilon,
        DELTA,
        questions,
        mode=setting.mode,
        q=setting.q,
        c=setting.c,
        paid_retries=setting.paid_retries,
    ).noises
    while not course.finished:
        weights, _ = course.question
        assert weights is not None  # noqa: S101  the additive learner always asks with weights
        total = np.zeros(course.stage.cells, dtype=np.int64)
        for rows in banks:
            sums = bounded_sum(course.stage, rows, basis, basis.margins(rows, weights))
            total += release(sums, noises[course.round], setting.mode).values
        course = course.advance(total.tolist(), len(banks) * noises[course.round].variance)
    return course.ensemble()


def split(rows: Encoded, banks: NDArray[np.integer], count: int) -> list[Encoded]:
    """Rows of unit `record` by bank.

    Args:
        rows: Rows, each a unit of its own.
        banks: Shape (rows,): bank number of each row.
        count: Number of banks.
    """
    parts = []
    for bank in range(count):
        keep = np.flatnonzero(banks == bank)
        starts = np.arange(keep.size + 1, dtype=np.int64)
        parts.append(Encoded(np.ascontiguousarray(rows.bins[:, keep]), starts, rows.labels[keep]))
    return parts


def file_margins(model: bytes, values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Margins that XGBoost computes from the model file."""
    booster = xgboost.Booster()
    booster.load_model(bytearray(model))
    found = booster.inplace_predict(values, predict_type="margin", validate_features=False)
    return np.asarray(found, dtype=np.float64)
