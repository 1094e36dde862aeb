"""Encoded rows: what features hand to learning."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Encoded:
    """Binned rows of one bank, grouped by customer.

    Attributes:
        bins: uint8, shape (columns, rows): the contract's bin of each value, columns in contract order.
        starts: int64, shape (units + 1,): rows starts[u] to starts[u + 1] belong to unit u; starts[0] = 0.
        labels: uint8, shape (rows,): 1 for fraud.
    """

    bins: NDArray[np.uint8]
    starts: NDArray[np.int64]
    labels: NDArray[np.uint8]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.labels.shape[0])

    @property
    def units(self) -> int:
        """Number of units (customers, or rows for unit `record`)."""
        return int(self.starts.shape[0]) - 1
