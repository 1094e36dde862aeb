"""Every plan whose terms can be worked out can be answered by a bank without rows, round by round."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import federation_cases as cases
from tacit.features.types import Encoded
from tacit.learning import statistics, trial
from tacit.learning.basis import Basis
from tacit.learning.types import (
    Clip,
    Learner,
    LearnerKind,
    LearningError,
    QualityPlan,
    Shares,
    Stage,
    StageKind,
    TreePlan,
)
from tacit.privacy.types import PrivacyError
from tacit.rounds.plan import PlanError
from tacit.rounds.terms import Terms

EMPTY = Encoded(np.zeros((2, 0), np.uint8), np.zeros(1, np.int64), np.zeros(0, np.uint8))
SHARES = {
    LearnerKind.ADDITIVE: Shares(Fraction(1, 20), Fraction(9, 10), Fraction(0), Fraction(1, 20)),
    LearnerKind.TREES: Shares(trees=Fraction(19, 20), quality=Fraction(1, 20)),
    LearnerKind.ADDITIVE_TREES: Shares(Fraction(1, 20), Fraction(1, 2), Fraction(2, 5), Fraction(1, 20)),
}
clips = st.sampled_from([Fraction(1, 100), Fraction(1, 2), Fraction(3), Fraction(4), Fraction(16)])
edges = st.lists(st.integers(-1001, 1001).map(lambda n: Fraction(n, 25)), min_size=1, max_size=5, unique=True)


@st.composite
def tree_plans(draw: st.DrawFn) -> TreePlan:
    """Tree parts, many of them beyond what a contract of two columns can give."""
    number = draw(st.integers(1, 16))
    return TreePlan(2, number, draw(st.integers(1, 8)), draw(st.integers(1, 4)), draw(clips))


@st.composite
def changes(draw: st.DrawFn) -> dict[str, object]:
    """Parts of a plan that its questions depend on."""
    kind = draw(st.sampled_from(LearnerKind))
    trees = draw(tree_plans()) if kind is not LearnerKind.ADDITIVE else None
    learner = Learner(kind=kind, rounds=2, average=1, clip=Clip(draw(clips), draw(clips)), trees=trees)
    weights = tuple(draw(st.lists(st.sampled_from([Fraction(1, 2**16), Fraction(1)]), min_size=1, max_size=4)))
    quality = QualityPlan(edges=tuple(sorted(draw(edges))), weights=weights)
    rate = draw(st.sampled_from([Fraction(1, 1025), Fraction(1, 1024), Fraction(1, 3), Fraction(1)]))
    return {"learner": learner, "shares": SHARES[kind], "quality": quality, "subsample": rate}


def worked_out(changed: dict[str, object]) -> Terms | None:
    """The plan's terms; None if it is refused."""
    try:
        return cases.terms(**changed)
    except (PlanError, LearningError, PrivacyError):
        return None


@settings(max_examples=60, deadline=None)
@given(changes())
def test_what_is_accepted_can_be_answered_and_taken(changed: dict[str, object]) -> None:
    """A bank without rows answers every question of an accepted plan with zeros, and the course takes each sum."""
    terms = worked_out(changed)
    if terms is None:
        return
    course, basis = terms.start(bytes(32), [bytes(32)]), Basis(terms.contract)
    while not course.finished:
        weights, trees = course.question
        margins = basis.margins(EMPTY, weights) if weights is not None else np.zeros(0)
        rate = 1 / terms.plan.subsample
        plan = terms.plan.quality
        found = statistics.bounded_sum(course.stage, EMPTY, basis, margins, trees=trees, plan=plan, weight=rate)
        assert found.sums.tolist() == [0] * course.stage.cells
        course = course.advance(found.sums.tolist(), terms.budget.noises[course.round].variance)


TREES = TreePlan(1, 2, 2, 2, Fraction(1, 2))
TREE_STAGE = Stage(StageKind.TREES, 16, Fraction(1, 2), Fraction(1))
GRADIENT = Stage(StageKind.GRADIENT, 7, Fraction(1), Fraction(1))


def test_what_fits_is_let_through() -> None:
    """Trees of this contract, a gradient at the lowest rate."""
    size = Basis(cases.CONTRACT).size
    trial.check_answerable([TREE_STAGE], cases.CONTRACT, trees=TREES)
    trial.check_answerable([replace(GRADIENT, cells=size)], cases.CONTRACT, weight=Fraction(1024))


REFUSED: list[tuple[Callable[[], None], type[Exception], str]] = [
    (
        lambda: trial.check_answerable([TREE_STAGE], cases.CONTRACT, trees=replace(TREES, columns_per_tree=3)),
        LearningError,
        "columns_per_tree must be from 1 to 2, got 3",
    ),
    (lambda: trial.check_answerable([TREE_STAGE], cases.CONTRACT), LearningError, "needs its structure"),
    (
        lambda: trial.check_answerable([replace(TREE_STAGE, clip=Fraction(17))], cases.CONTRACT, trees=TREES),
        PrivacyError,
        "clip must be 1/65536 to 16, got 17",
    ),
    (lambda: trial.check_answerable([GRADIENT], cases.CONTRACT), LearningError, "cells, got 7"),
    (
        lambda: trial.check_answerable(
            [replace(GRADIENT, cells=Basis(cases.CONTRACT).size)], cases.CONTRACT, weight=Fraction(1025)
        ),
        LearningError,
        "weight must be above 0 and at most 1024, got 1025",
    ),
    (
        lambda: trial.check_answerable([Stage(StageKind.QUALITY, 4, Fraction(1), Fraction(1))], cases.CONTRACT),
        LearningError,
        "needs the quality part",
    ),
]


@pytest.mark.parametrize(("ask", "error", "message"), REFUSED)
def test_what_no_bank_could_answer_is_refused(ask: Callable[[], None], error: type[Exception], message: str) -> None:
    """Each with the value and the range."""
    with pytest.raises(error, match=message):
        ask()
