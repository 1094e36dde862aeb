"""The model that serves: global and local part in one immutable object, so that one assignment swaps both."""

import enum
import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tacit.features.encode import local_names, local_values
from tacit.features.spec import Contract
from tacit.learning.residual import base_margin
from tacit.scorer.engine import Engine, ModelError
from tacit.scorer.rows import RowReader
from tacit.wire.local import Choice


class Decision(enum.StrEnum):
    """What is proposed for a transaction."""

    APPROVE = "approve"
    REVIEW = "review"
    DECLINE = "decline"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Margins at and above which a row is reviewed or declined.

    Attributes:
        review: Finite.
        decline: Finite, at least `review`.
    """

    review: float
    decline: float

    def __post_init__(self) -> None:
        """Refuses thresholds out of order."""
        if not (math.isfinite(self.review) and math.isfinite(self.decline) and self.review <= self.decline):
            raise ModelError(f"thresholds must be finite with review <= decline, got {self.review}, {self.decline}")

    def decide(self, margin: float) -> Decision:
        """The decision for a margin."""
        if margin >= self.decline:
            return Decision.DECLINE
        return Decision.REVIEW if margin >= self.review else Decision.APPROVE


@dataclass(frozen=True, slots=True)
class Identity:
    """Which model serves.

    Attributes:
        name: Name of the model.
        version: Digest of the registry's statement.
        file: Digest of the global model file.
        choice: What the bank serves.
        contract: Digest of the feature contract.
        sequence: Number of the alias's move that named it.
    """

    name: str
    version: str
    file: str
    choice: Choice
    contract: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Score:
    """The answer for one row.

    Attributes:
        margin: Log-odds of fraud.
        probability: 1 / (1 + exp(-margin)).
        decision: By the thresholds.
    """

    margin: float
    probability: float
    decision: Decision


class Live:
    """A loaded model with its thresholds: immutable, shared by threads.

    Args:
        identity: Which model it is.
        contract: The rows' contract.
        thresholds: Of the margins that it gives.
        engine: The global model.
        local: The bank's own booster, over `local_names`; None exactly for `Choice.GLOBAL`.
        share: Share of the global margin that the booster starts from, 0 to 1; not used unless `Choice.GLOBAL_LOCAL`.

    Attributes:
        rows: Reads rows of the contract.

    Raises:
        ModelError: If the local part does not fit the choice, or the share is outside its range.
    """

    def __init__(
        self,
        identity: Identity,
        contract: Contract,
        thresholds: Thresholds,
        engine: Engine,
        local: Engine | None,
        *,
        share: float = 1.0,
    ) -> None:
        if not 0.0 <= share <= 1.0:
            raise ModelError(f"the share of the global margin must be from 0 to 1, got {share}")
        if (local is None) != (identity.choice is Choice.GLOBAL):
            raise ModelError(f"choice {identity.choice}: a local model must be there unless the choice is global")
        if local is not None and local.names != local_names(contract):
            raise ModelError(f"the local model's features must be {local_names(contract)}, got {local.names}")
        self.identity = identity
        self.contract = contract
        self.thresholds = thresholds
        self.rows = RowReader(contract)
        self._engine = engine
        self._local = local
        self._share = identity.choice.start(share)

    def score(self, row: Sequence[float]) -> Score:
        """Scores one row.

        Args:
            row: Values in contract order, finite as float32 or NaN for missing.

        Raises:
            ModelError: If the number of values is not the contract's.
        """
        if len(row) != len(self.contract.columns):
            raise ModelError(f"a row must have {len(self.contract.columns)} values, got {len(row)}")
        # A C float array rounds to float32 as NumPy does, at a fraction of the cost for one row.
        margin = self._margin(np.frombuffer(array("f", row), dtype=np.float32))
        return Score(margin, probability(margin), self.thresholds.decide(margin))

    def _margin(self, values: NDArray[np.float32]) -> float:
        if self._local is None:
            return self._engine.margin(values)
        features = local_values(values[None, :], self.contract)[0]
        base = base_margin(self._engine.margin(values), self._share) if self._share else 0.0
        return self._local.margin(features, base)

    def margins(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """Margins of many rows; each row's bits are those of `score`.

        Args:
            values: float32, shape (rows, columns) in contract order, NaN for missing.

        Returns:
            float64, shape (rows,).

        Raises:
            ModelError: If the shape does not fit.
        """
        if self._local is None or values.ndim != 2 or values.shape[1] != len(self.contract.columns):  # noqa: PLR2004
            return self._engine.margins(values)
        features = local_values(values, self.contract)
        if self._share:
            return self._local.margins(features, base_margin(self._engine.margins(values), self._share))
        return self._local.margins(features, np.zeros(values.shape[0]))

    def warm(self) -> None:
        """Scores a row of centres and one with nothing in it, so that the first caller pays for no first time.

        Raises:
            ModelError: If a margin is not finite.
        """
        centres = [float(column.centre) for column in self.contract.columns]
        for row in (centres, [math.nan] * len(centres)):
            margin = self.score(row).margin
            if not math.isfinite(margin):
                raise ModelError(f"the model gives margin {margin}; only finite margins are served")


def probability(margin: float) -> float:
    """1 / (1 + exp(-margin)), exact to the last digits for both signs and never an overflow."""
    small = math.exp(-abs(margin))
    return 1.0 / (1.0 + small) if margin >= 0.0 else small / (1.0 + small)
