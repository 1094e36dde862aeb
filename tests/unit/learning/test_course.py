"""The course of a run: its questions, and what follows from released sums."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from tacit.features.spec import Contract
from tacit.features.types import Encoded
from tacit.learning import leaves
from tacit.learning.course import RECORD_LEARNER, Course, stages
from tacit.learning.statistics import bounded_sum
from tacit.learning.structure import draw
from tacit.learning.types import (
    Clip,
    Learner,
    LearnerKind,
    LearningError,
    QualityPlan,
    Shares,
    StageKind,
    TreePlan,
    Weights,
)

Draw = Callable[..., Encoded]
SEED = bytes(range(32))
TREES = TreePlan(rounds=3, trees_per_round=2, depth=3)
ADDITIVE_SHARES = Shares(Fraction(5, 100), Fraction(90, 100), Fraction(0), Fraction(5, 100))
TREE_SHARES = Shares(trees=Fraction(95, 100), quality=Fraction(5, 100))
BOTH_SHARES = Shares(
    Fraction(95, 100) * Fraction(7, 10) / 19,
    Fraction(95, 100) * Fraction(7, 10) * Fraction(18, 19),
    Fraction(95, 100) * Fraction(3, 10),
    Fraction(5, 100),
)
PLANS = {
    LearnerKind.ADDITIVE: (Learner(rounds=8, average=3), ADDITIVE_SHARES),
    LearnerKind.TREES: (Learner(LearnerKind.TREES, trees=TREES), TREE_SHARES),
    LearnerKind.ADDITIVE_TREES: (Learner(LearnerKind.ADDITIVE_TREES, rounds=8, average=3, trees=TREES), BOTH_SHARES),
}
KINDS = list(PLANS)


@pytest.fixture(scope="module")
def rows(contract: Contract) -> Encoded:
    """1,200 customers with columns around their centres; frauds are large amounts or happen at risky terminals."""
    generator = np.random.default_rng(9)
    noise = generator.normal(size=(len(contract.columns), 12_000))
    places = zip(contract.columns, noise, strict=True)
    bins = [np.digitize(float(c.centre) + float(c.spread) * z, [float(edge) for edge in c.edges]) for c, z in places]
    chance = np.where((noise[0] > 1.8) | (noise[13] > 2.0), 0.15, 0.002)
    labels = generator.random(12_000) < chance
    return Encoded(np.array(bins, np.uint8), np.arange(0, 12_001, 10), labels.astype(np.uint8))


def start(kind: LearnerKind, contract: Contract, plan: QualityPlan | None = QualityPlan()) -> Course:  # noqa: B008  frozen
    """The course of one of the plans."""
    learner, shares = PLANS[kind]
    return Course.start(learner, shares, contract, plan, SEED)


def answer(course: Course, rows: Encoded) -> list[int]:
    """What a federation of one bank answers without noise."""
    weights, trees = course.question
    assert weights is not None
    margins = course.basis.margins(rows, weights)
    for structure, values in course.forests:
        margins += leaves.margins(rows, structure, values)
    return bounded_sum(course.stage, rows, course.basis, margins, trees=trees, plan=course.quality_plan).sums.tolist()


@pytest.fixture(scope="module", params=KINDS)
def finished(request: pytest.FixtureRequest, contract: Contract, rows: Encoded) -> Course:
    """A whole run."""
    course = start(request.param, contract)
    while not course.finished:
        course = course.advance(answer(course, rows), 10**6)
    return course


def test_default_plan_has_34_rounds(contract: Contract) -> None:
    """Preconditioner, 32 gradients, quality; cells, clips and shares of the specification."""
    found = stages(Learner(), ADDITIVE_SHARES, contract, QualityPlan())
    assert [stage.kind for stage in found] == [
        StageKind.PRECONDITIONER,
        *[StageKind.GRADIENT] * 32,
        StageKind.QUALITY,
    ]
    assert [(s.cells, s.clip, s.share) for s in (found[0], found[1], found[-1])] == [
        (55, 1, Fraction(1, 20)),
        (55, 2, Fraction(90, 3200)),
        (16, 1, Fraction(1, 20)),
    ]


def test_few_expected_frauds_lower_the_clip(contract: Contract) -> None:
    """Below 1,000 expected fraud units a gradient is clipped at 1; a lower clip of the plan stays."""
    few = Learner(expected_fraud_units=999)
    low = replace(few, clip=Clip(gradient=Fraction(1, 2)))
    many = replace(few, expected_fraud_units=1000)
    clips = [stages(learner, ADDITIVE_SHARES, contract, QualityPlan())[1].clip for learner in (few, low, many)]
    assert clips == [1, Fraction(1, 2), 2]


@pytest.mark.parametrize(
    ("kind", "rounds"), [(LearnerKind.ADDITIVE, 10), (LearnerKind.TREES, 4), (LearnerKind.ADDITIVE_TREES, 13)]
)
def test_every_plan_has_its_rounds(kind: LearnerKind, rounds: int, contract: Contract) -> None:
    """The shares of all rounds add up to 1, and tree rounds have their own cells and clip."""
    course = start(kind, contract)
    assert len(course.stages) == rounds
    assert sum(stage.share for stage in course.stages) == 1
    trees = [stage for stage in course.stages if stage.kind is StageKind.TREES]
    assert all(stage.cells == 32 and stage.clip == leaves.clip(TREES) for stage in trees)


def test_no_quality_round_unless_asked(contract: Contract) -> None:
    """Without a quality part its share goes to the others."""
    shares = Shares(Fraction(1, 20), Fraction(19, 20))
    assert stages(Learner(rounds=2), shares, contract, None)[-1].kind is StageKind.GRADIENT


@pytest.mark.parametrize(
    ("learner", "shares", "message"),
    [
        (Learner(), Shares(Fraction(1, 20), Fraction(9, 10)), "has share 0"),
        (Learner(), Shares(Fraction(1, 20), Fraction(9, 10), Fraction(0), Fraction(1, 10)), "add up to 21/20"),
        (Learner(), Shares(Fraction(1, 20), Fraction(8, 10), Fraction(1, 10), Fraction(1, 20)), "add up to 9/10"),
        (Learner(LearnerKind.TREES), TREE_SHARES, "needs its `trees` part"),
        (Learner(LearnerKind.TREES, trees=TreePlan(16, 16, 8)), TREE_SHARES, "has 8192 cells; at most 4096"),
    ],
)
def test_refuses_plans_that_do_not_fit(learner: Learner, shares: Shares, message: str, contract: Contract) -> None:
    """Cells, shares and parts are checked before the first question."""
    with pytest.raises(LearningError, match=message):
        Course.start(learner, shares, contract, QualityPlan(), SEED)


def test_every_row_starts_at_the_public_rate(contract: Contract, rows: Encoded) -> None:
    """The first question's weights give the starting margin, for every learner."""
    for kind in KINDS:
        course = start(kind, contract)
        weights = course.question[0]
        assert weights is not None
        assert course.basis.margins(rows, weights) == pytest.approx(-4.59512)


def test_a_run_separates_frauds(finished: Course, rows: Encoded) -> None:
    """The model of each learner ranks frauds above others, and its own quality round says so."""
    assert finished.quality is not None
    assert finished.quality.auc.value > 0.7
    assert finished.quality.rows == pytest.approx(rows.rows, rel=0.6)


def test_the_model_holds_what_was_learnt(finished: Course) -> None:
    """Tables of the averaged weights and the trees of every tree round, in order."""
    model = finished.ensemble()
    kind = finished.learner.kind
    assert len(model.forests) == (0 if kind is LearnerKind.ADDITIVE else 3)
    flat = all(value == 0.0 for line in model.lines for value in line.values)
    assert flat == (kind is LearnerKind.TREES)
    if finished.descent is not None:
        assert model.lines == finished.basis.tables(finished.descent.averaged()).lines


def test_quality_round_asks_with_the_final_weights(contract: Contract, rows: Encoded) -> None:
    """After the last gradient the averaged weights are asked with, by trees and by the quality round alike."""
    course = start(LearnerKind.ADDITIVE_TREES, contract)
    for _ in range(9):
        course = course.advance(answer(course, rows), 0)
    assert course.descent is not None
    final = course.descent.averaged()
    assert course.question[0] == final
    for _ in range(3):
        assert course.question[1] == draw(SEED, contract, TREES, course.round)
        course = course.advance(answer(course, rows), 0)
    assert course.question == (final, None)


def test_trees_differ_from_round_to_round(contract: Contract) -> None:
    """The structure is a function of seed and round number."""
    course = start(LearnerKind.TREES, contract)
    first = course.question[1]
    assert course.advance([0] * 32, 1).question[1] != first


def test_folding_twice_gives_the_same_model(finished: Course, contract: Contract, rows: Encoded) -> None:
    """Every verifier that folds the same sums holds the same bits."""
    again = start(finished.learner.kind, contract)
    while not again.finished:
        again = again.advance(answer(again, rows), 10**6)
    assert again.ensemble() == finished.ensemble()
    assert again.quality == finished.quality


def test_no_model_before_the_last_learning_round(contract: Contract) -> None:
    """An unfinished course has no ensemble."""
    course = start(LearnerKind.ADDITIVE, contract).advance([0] * 55, 1)
    assert not course.learnt
    with pytest.raises(LearningError, match="1 of 10 rounds are done"):
        course.ensemble()


def test_model_is_there_before_the_quality_round(contract: Contract) -> None:
    """The quality round does not change the model."""
    course = start(LearnerKind.ADDITIVE, contract)
    for _ in range(9):
        course = course.advance([100] * 55, 1)
    assert course.learnt
    assert not course.finished
    assert course.advance([0] * 16, 1).ensemble() == course.ensemble()


@pytest.mark.parametrize(("cells", "variance"), [(54, 1), (56, 1), (55, -1)])
def test_refuses_sums_that_do_not_fit(cells: int, variance: int, contract: Contract) -> None:
    """The message names the round and its kind."""
    with pytest.raises(LearningError, match=r"round 0 \(preconditioner\): expected 55 sums"):
        start(LearnerKind.ADDITIVE, contract).advance([0] * cells, variance)


def test_nothing_follows_the_last_round(finished: Course) -> None:
    """A finished course has no question and takes no sum."""
    with pytest.raises(LearningError, match="rounds are done"):
        assert finished.question
    with pytest.raises(LearningError, match="rounds are done"):
        finished.advance([0], 1)


def test_courses_are_values(contract: Contract) -> None:
    """Advancing leaves the old state as it was."""
    course = start(LearnerKind.ADDITIVE, contract)
    before = course.question
    course.advance([5] * 55, 1)
    assert course.question == before
    assert course.round == 0
    assert isinstance(before[0], Weights)


def test_record_level_changes_bounds_and_kappa_alone() -> None:
    """The record-level learner is the default one but for both clips and kappa."""
    assert RECORD_LEARNER.clip == Clip(Fraction(1, 4), Fraction(1, 4))
    assert replace(RECORD_LEARNER, kappa=Learner().kappa, clip=Clip()) == Learner()


def test_record_level_stages_keep_their_clips(contract: Contract) -> None:
    """The rule for few fraud units lowers no bound that is lower already."""
    few = replace(RECORD_LEARNER, expected_fraud_units=10)
    asked = stages(few, Shares(Fraction(5, 100), Fraction(95, 100)), contract, None)
    assert {stage.clip for stage in asked} == {Fraction(1, 4)}
