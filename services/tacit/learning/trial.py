"""Whether the questions of a plan can be answered: they are put to a bank without rows (algorithm 4).

What would refuse a question refuses it here, before anybody has spent anything or waits for an answer.
"""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from tacit.features.spec import Contract
from tacit.features.types import Encoded
from tacit.learning import statistics, structure
from tacit.learning.basis import Basis
from tacit.learning.types import QualityPlan, Stage, StageKind, Structure, TreePlan

SEED = bytes(structure.SEED_BYTES)
"""Which trees are drawn does not matter: whether they can be drawn is a matter of plan and contract alone."""


def check_answerable(
    stages: Sequence[Stage],
    contract: Contract,
    *,
    trees: TreePlan | None = None,
    quality: QualityPlan | None = None,
    weight: Fraction = Fraction(1),
) -> None:
    """Puts each different question of a run to a bank without rows.

    Args:
        stages: The questions.
        contract: The feature contract.
        trees: The tree part of the plan, for stages of kind TREES.
        quality: The quality part of the plan, for a stage of kind QUALITY.
        weight: What a row counts, 1 / rate under subsampling.

    Raises:
        LearningError: If trees, cells, basis, quality part or weight do not fit.
        PrivacyError: If a clip or a number of cells is outside of what can be bounded.
    """
    basis, margins = Basis(contract), np.zeros(0, dtype=np.float64)
    empty = Encoded(
        np.zeros((len(contract.columns), 0), dtype=np.uint8), np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.uint8)
    )
    for stage in dict.fromkeys(stages):
        drawn = _drawn(stage, contract, trees)
        statistics.bounded_sum(stage, empty, basis, margins, trees=drawn, plan=quality, weight=weight)


def _drawn(stage: Stage, contract: Contract, trees: TreePlan | None) -> Structure | None:
    return structure.draw(SEED, contract, trees, 0) if stage.kind is StageKind.TREES and trees is not None else None
