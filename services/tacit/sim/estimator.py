"""The learner as a scikit-learn classifier: one party trains on rows it holds, with the product's own pieces.

For notebooks, comparisons and a bank's first look. It is mode `local` with one party: the noise of every question
is drawn here in full, nobody else has to be trusted, and nothing is sent.
"""

from fractions import Fraction
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_array, check_is_fitted, column_or_1d

from tacit.features.encode import encode
from tacit.features.spec import Contract
from tacit.features.types import Encoded
from tacit.learning import ensemble as files
from tacit.learning import leaves
from tacit.learning.course import RECORD_LEARNER, Course
from tacit.learning.sigmoid import sigmoid
from tacit.learning.statistics import bounded_sum
from tacit.learning.structure import SEED_BYTES
from tacit.learning.types import Ensemble, Learner, LearnerKind, Shares, StageKind
from tacit.privacy.calibration import Budget, calibrate, check_delta, check_wrap_around
from tacit.privacy.release import release
from tacit.privacy.types import Mode, Unit

_Floats = NDArray[np.float64]

_PRECONDITIONER_PART = Fraction(1, 19)
_TREES_PART = Fraction(3, 10)


def default_shares(kind: LearnerKind) -> Shares:
    """Shares without a quality round: 3/10 for trees, 1/19 of the additive part for the preconditioner."""
    if kind is LearnerKind.TREES:
        return Shares(trees=Fraction(1))
    trees = _TREES_PART if kind is LearnerKind.ADDITIVE_TREES else Fraction(0)
    first = (1 - trees) * _PRECONDITIONER_PART
    return Shares(preconditioner=first, gradients=1 - trees - first, trees=trees)


def _grouped(bins: NDArray[np.uint8], labels: NDArray[np.uint8], customers: ArrayLike | None) -> Encoded:
    """Rows ordered by unit; every row is its own without customers."""
    if customers is None:
        return Encoded(bins, np.arange(labels.shape[0] + 1, dtype=np.int64), labels)
    names = column_or_1d(customers)
    if names.shape != labels.shape:
        raise ValueError(f"customers must have shape {labels.shape}, got {names.shape}")
    _, unit, counts = np.unique(names, return_inverse=True, return_counts=True)
    order = np.argsort(unit, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Encoded(np.ascontiguousarray(bins[:, order]), starts, labels[order])


def _fraction(value: Fraction | float | str, name: str) -> Fraction:
    """The decimal number that a person sees, exactly."""
    try:
        return value if isinstance(value, Fraction) else Fraction(str(value))
    except ValueError as error:
        raise ValueError(f"{name} must be a finite number, got {value!r}") from error


def _trained(course: Course, budget: Budget, encoded: Encoded) -> Course:
    """Answers every question of the course from the rows, each with fresh noise."""
    grown = np.zeros(encoded.rows, dtype=np.float64)
    while not course.finished:
        stage, noise = course.stage, budget.noises[course.round]
        weights, trees = course.question
        margins = grown if weights is None else course.basis.margins(encoded, weights) + grown
        released = release(bounded_sum(stage, encoded, course.basis, margins, trees=trees), noise, Mode.LOCAL)
        course = course.advance(released.values.tolist(), noise.variance)
        if stage.kind is StageKind.TREES:
            grown += leaves.margins(encoded, *course.forests[-1])
    return course


class TacitClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Differentially private fraud classifier over a public feature contract.

    Guarantee: what `fit` learns (`ensemble_`, and all that is computed from it) is (`epsilon`, `delta`)-differentially
    private for adding or removing one unit: all rows of one customer where `customers` is given, one row otherwise.
    Every call of `fit` spends that budget once more; cross-validation with k folds spends it k times on most rows.
    If the contract has columns that mix customers, a customer-level claim holds given the feature table only. The
    noise comes from the operating system, so two fits differ.

    Args:
        contract: Public columns, bins and basis; X has these columns in this order.
        epsilon: Privacy budget, above 0.
        delta: Failure probability, at most 1 / population.
        learner: The learner's numbers; None for the additive learner's defaults, or `RECORD_LEARNER` without customers.
        shares: Shares of the budget by kind of round; None for `default_shares`.
        classes: The two labels, the positive one last; public, so that a missing class is not told from data.
        population: Public number of units, rounded up, to check delta against; None to skip the check.
        structure_seed: Public 32 bytes from which tree structures are drawn.

    Attributes:
        learner_: The learner that was used.
        ensemble_: The model's tables and trees.
        classes_: shape (2,).
        epsilon_: Epsilon that was spent, never above `epsilon`.
        unit_: What one unit is.
        n_rounds_: Questions that were answered.
        n_features_in_: Number of columns.
        feature_names_in_: Names of the contract's columns.
    """

    def __init__(
        self,
        contract: Contract,
        *,
        epsilon: Fraction | float | str = 1,
        delta: Fraction | float | str = "0.00001",
        learner: Learner | None = None,
        shares: Shares | None = None,
        classes: tuple[Any, Any] = (0, 1),
        population: int | None = None,
        structure_seed: bytes = bytes(SEED_BYTES),
    ) -> None:
        self.contract = contract
        self.epsilon = epsilon
        self.delta = delta
        self.learner = learner
        self.shares = shares
        self.classes = classes
        self.population = population
        self.structure_seed = structure_seed

    def fit(self, X: ArrayLike, y: ArrayLike, *, customers: ArrayLike | None = None) -> Self:  # noqa: N803  scikit-learn
        """Trains under differential privacy.

        Args:
            X: Shape (rows, columns): an array in contract order, or a data frame with the contract's column names.
            y: Shape (rows,): labels from `classes`.
            customers: Shape (rows,): whose row it is, for unit `customer`; None for unit `record`.

        Returns:
            This classifier.

        Raises:
            ValueError: If X, y or customers do not fit.
            PrivacyError: If epsilon, delta or the shares cannot be used.
            LearningError: If the learner does not fit the contract.
        """
        values = self._values(X)
        encoded = _grouped(encode(values, self.contract), self._labels(y, values.shape[0]), customers)
        learner = self.learner or (RECORD_LEARNER if customers is None else Learner())
        shares = self.shares or default_shares(learner.kind)
        course = Course.start(learner, shares, self.contract, None, self.structure_seed)
        budget = self._budget(course)
        self.learner_ = learner
        self.ensemble_: Ensemble = _trained(course, budget, encoded).ensemble()
        self.classes_ = np.asarray(self.classes)
        self.epsilon_ = budget.epsilon
        self.unit_ = Unit.RECORD if customers is None else Unit.CUSTOMER
        self.n_rounds_ = len(course.stages)
        self.n_features_in_ = len(self.contract.columns)
        self.feature_names_in_ = np.array([column.name for column in self.contract.columns], dtype=object)
        return self

    def decision_function(self, X: ArrayLike) -> _Floats:  # noqa: N803  scikit-learn
        """Margins (log-odds of the positive class), float64, shape (rows,)."""
        check_is_fitted(self)
        return files.margins(self.ensemble_, encode(self._values(X), self.contract))

    def predict_proba(self, X: ArrayLike) -> _Floats:  # noqa: N803  scikit-learn
        """Probabilities of both classes, float64, shape (rows, 2)."""
        positive = sigmoid(self.decision_function(X))
        return np.column_stack([1.0 - positive, positive])

    def predict(self, X: ArrayLike) -> NDArray[Any]:  # noqa: N803  scikit-learn
        """The class whose probability is at least one half, shape (rows,)."""
        positive = self.decision_function(X) >= 0.0
        labels: NDArray[Any] = self.classes_[positive.astype(np.intp)]
        return labels

    def to_booster(self) -> bytes:
        """The model as an XGBoost JSON model file, whose margins are those of `decision_function` within 1e-5."""
        check_is_fitted(self)
        return files.booster(self.ensemble_, self.contract)

    def __sklearn_tags__(self) -> Tags:
        """Two classes, missing values allowed, fits differ by their noise."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.allow_nan = True
        tags.non_deterministic = True
        return tags

    def _budget(self, course: Course) -> Budget:
        epsilon, delta = _fraction(self.epsilon, "epsilon"), _fraction(self.delta, "delta")
        budget = calibrate(epsilon, delta, [(stage.clip, stage.share) for stage in course.stages], mode=Mode.LOCAL)
        if self.population is not None:
            check_delta(delta, self.population)
            check_wrap_around(budget, self.population)
        return budget

    def _values(self, table: ArrayLike) -> NDArray[np.float32]:
        """Raw values in contract order; a data frame must name exactly the contract's columns."""
        names = [column.name for column in self.contract.columns]
        given = getattr(table, "columns", None)
        if given is not None and list(given) != names:
            raise ValueError(f"X must have the contract's columns {names} in this order, got {list(given)}")
        values = check_array(table, dtype=np.float32, ensure_all_finite="allow-nan", ensure_min_samples=0)
        if values.shape[1] != len(names):
            raise ValueError(f"X must have {len(names)} columns, as the contract has, got {values.shape[1]}")
        return np.asarray(values, dtype=np.float32)

    def _labels(self, y: ArrayLike, rows: int) -> NDArray[np.uint8]:
        labels = column_or_1d(y)
        if labels.shape != (rows,):
            raise ValueError(f"y must have shape ({rows},), got {labels.shape}")
        classes = np.asarray(self.classes)
        if classes.shape != (2,) or classes[0] == classes[1]:
            raise ValueError(f"classes must be two different labels, got {self.classes!r}")
        if not np.isin(labels, classes).all():
            raise ValueError(f"y must hold {classes[0]!r} and {classes[1]!r} only")
        return np.asarray(labels == classes[1], dtype=np.uint8)
