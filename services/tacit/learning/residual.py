"""Where the trees of a bank's own model start: training, scoring and benches share this one formula. Pure.

Margin of a row = share * global margin + sum of the trees (docs/decisions/003). The share is 1 for a residual on the
whole global margin, 0 for a model that knows nothing of it, and 1/2 for the mean of the two in one file.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tacit.learning.types import LearningError

Margins = TypeVar("Margins", float, NDArray[np.float32], NDArray[np.float64])


def base_margin(margins: Margins, share: float) -> Margins:
    """What the trees are added to.

    Args:
        margins: The global model's margins, one or an array; its type is that of the result.
        share: Share of them, 0 to 1.
    """
    return margins * share


def mean_share(shares: Sequence[float]) -> float:
    """The share from which the mean of several models starts.

    Raises:
        LearningError: If there is no model.
    """
    if not shares:
        raise LearningError("the mean of no models has no share")
    return sum(shares) / len(shares)
