"""Q5: federated sums equal central sums bit for bit, and the model file scores like the product's own scorer.

Usage: python bench/exactness.py [partitions]
"""

import sys
from fractions import Fraction

import numpy as np
from common import Figure, write
from handbook_data import FIRST_FOLD, Handbook, Rows
from learning import Setting, file_margins, learn
from numpy.typing import NDArray

from tacit.features.encode import encode
from tacit.features.spec import Contract
from tacit.features.types import Encoded
from tacit.learning import ensemble
from tacit.learning.basis import Basis
from tacit.learning.statistics import bounded_sum
from tacit.learning.types import Ensemble, Learner, Stage, StageKind, Weights
from tacit.scorer.engine import Engine

MARGIN_ERROR = 1e-5
SINGLE_ROWS = 500


def permuted(rows: Encoded, units: NDArray[np.integer], draw: np.random.Generator) -> Encoded:
    """Some units of a bank in the order given, each unit's rows shuffled."""
    parts = [draw.permutation(np.arange(rows.starts[unit], rows.starts[unit + 1])) for unit in units]
    starts = np.concatenate([[0], np.cumsum([part.size for part in parts])]).astype(np.int64)
    order = np.concatenate([np.zeros(0, dtype=np.int64), *parts]).astype(np.int64)
    return Encoded(np.ascontiguousarray(rows.bins[:, order]), starts, rows.labels[order])


def summed(stage: Stage, banks: list[Encoded], basis: Basis, weights: Weights) -> NDArray[np.int64]:
    """The sum of the banks' bounded sums."""
    sums = [bounded_sum(stage, rows, basis, basis.margins(rows, weights)).sums for rows in banks]
    return np.asarray(np.sum(sums, axis=0, dtype=np.int64))


def unequal_cells(rows: Encoded, contract: Contract, partitions: int) -> tuple[int, int]:
    """Cells in which a federated sum differs from the central one, and cells compared."""
    basis, draw = Basis(contract), np.random.default_rng(0)
    weights = Weights(tuple(draw.normal(0.0, 1.0, basis.size).tolist()))
    wrong = compared = 0
    for kind in (StageKind.PRECONDITIONER, StageKind.GRADIENT):
        stage = Stage(kind, basis.size, Fraction(1, 2), Fraction(1))
        central = summed(stage, [rows], basis, weights)
        for number in range(partitions):
            owner = draw.integers(0, 2 + 3 * number, rows.units)
            banks = [draw.permutation(np.flatnonzero(owner == bank)) for bank in range(2 + 3 * number)]
            federated = summed(stage, [permuted(rows, units, draw) for units in banks], basis, weights)
            wrong += int((federated != central).sum())
            compared += basis.size
    return wrong, compared


def margin_errors(trained: Ensemble, contract: Contract, test: Rows) -> tuple[float, float, float]:
    """Largest differences of the file under XGBoost: whole batch and single rows to the tables, file to the scorer."""
    model = ensemble.booster(trained, contract)
    own = ensemble.margins(trained, encode(test.values, contract))
    batch = file_margins(model, test.values)
    some = np.linspace(0, len(own) - 1, SINGLE_ROWS).astype(np.int64)
    single = np.array([file_margins(model, test.values[row : row + 1])[0] for row in some])
    scored = Engine.load(model, contract).margins(test.values)
    return (
        float(np.abs(batch - own).max()),
        float(np.abs(single - own[some]).max()),
        float(np.abs(batch - scored).max()),
    )


def main() -> int:
    """Measures partitions and orders of one week's customers, and one model file."""
    partitions = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    book = Handbook()
    training, test = book.training(FIRST_FOLD, "customer"), book.test(FIRST_FOLD)
    wrong, compared = unequal_cells(training.encoded, book.contract, partitions)
    basis = Basis(book.contract)
    trained = learn([training.encoded], book.contract, Learner(expected_fraud_units=500), Setting(Fraction(1)), basis)
    batch, single, scorer = margin_errors(trained, book.contract, test)
    name = f"cells that differ, of {compared}: {2 * partitions} partitions (2 to {3 * partitions - 1} banks), orders"
    found = [
        Figure(name, wrong, "cells", "0", ceiling=0.0, repeats=2 * partitions),
        Figure(
            f"model file to tables, {len(test.days)} rows at once", batch, "margin", "<= 1e-5", ceiling=MARGIN_ERROR
        ),
        Figure(f"model file to tables, {SINGLE_ROWS} single rows", single, "margin", "<= 1e-5", ceiling=MARGIN_ERROR),
        Figure("model file to the scorer's engine", scorer, "margin", "<= 1e-5", ceiling=MARGIN_ERROR),
    ]
    return write("exactness", found)


if __name__ == "__main__":
    sys.exit(main())
