"""Every learner that a plan may name runs over the real machines, and so does subsampling."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

import federation_cases as cases
from tacit.features.encode import encode
from tacit.learning import ensemble
from tacit.learning.types import LearnerKind, Shares, TreePlan
from tacit.rounds import verify
from tacit.rounds.types import Kind, QueryBody
from tacit.scorer.engine import Engine
from tacit.sim.federation import Federation, Hazards

Make = Callable[..., Federation]
TREES = TreePlan(rounds=2, trees_per_round=2, depth=2, columns_per_tree=2)
SHARES = {
    LearnerKind.ADDITIVE: Shares(Fraction(1, 20), Fraction(9, 10), Fraction(0), Fraction(1, 20)),
    LearnerKind.TREES: Shares(trees=Fraction(19, 20), quality=Fraction(1, 20)),
    LearnerKind.ADDITIVE_TREES: Shares(Fraction(1, 20), Fraction(12, 20), Fraction(6, 20), Fraction(1, 20)),
}


def learner_plan(fed: Federation, kind: LearnerKind, **changes: object) -> object:
    """The small plan with another learner."""
    plan = cases.plan_for(fed, **changes)
    trees = None if kind is LearnerKind.ADDITIVE else TREES
    return replace(plan, learner=replace(plan.learner, kind=kind, trees=trees), shares=SHARES[kind])


@pytest.mark.parametrize("kind", list(LearnerKind))
def test_every_learner_finishes_with_one_model(make: Make, kind: LearnerKind) -> None:
    """Sums are exact, budgets kept, and every bank and an outside reader hold the same model file."""
    fed = make(seed=3, hazards=Hazards(delay=0.2, duplicate=0.1))
    run = fed.submit(learner_plan(fed, kind))  # type: ignore[arg-type]
    fed.run(run)
    assert cases.broken(fed, run) == []


@pytest.mark.parametrize("kind", [LearnerKind.TREES, LearnerKind.ADDITIVE_TREES])
def test_the_model_file_scores_as_the_fold_does(make: Make, kind: LearnerKind) -> None:
    """The published file gives the margins of the released tables and leaves, edges of every bin included."""
    fed = make(seed=5)
    run = fed.run(fed.submit(learner_plan(fed, kind)))  # type: ignore[arg-type]
    assert run.course is not None
    values = np.array([[amount, flag] for amount in (0, 5, 7, 20, 99.9, 100, 500) for flag in (0, 1)], np.float32)
    expected = ensemble.margins(run.course.ensemble(), encode(values, cases.CONTRACT))
    found = Engine.load(verify.model_bytes(run), cases.CONTRACT).margins(values)
    assert np.abs(found - expected).max() < 1e-5


def test_tree_queries_carry_their_structure(make: Make) -> None:
    """Only tree rounds ask with trees, and each round asks with trees of its own."""
    fed = make(seed=7)
    fed.run(fed.submit(learner_plan(fed, LearnerKind.ADDITIVE_TREES)))  # type: ignore[arg-type]
    bodies = [record.body for record in cases.by_kind(fed, Kind.QUERY)]
    structures = [body.structure for body in bodies if isinstance(body, QueryBody)]
    assert [structure is not None for structure in structures] == [False, False, True, True, False]
    assert structures[2] != structures[3]


def test_structures_depend_on_the_roster_that_nobody_knew_before(make: Make) -> None:
    """Two runs of one plan in two federations draw different trees: the seed is committed, not chosen."""
    drawn = []
    for seed in (1, 2):
        fed = make(seed=seed)
        fed.run(fed.submit(learner_plan(fed, LearnerKind.TREES)))  # type: ignore[arg-type]
        first = cases.by_kind(fed, Kind.QUERY)[0].body
        assert isinstance(first, QueryBody)
        drawn.append(first.structure)
    assert drawn[0] != drawn[1]


def test_a_subsampled_run_is_exact_and_keeps_its_rows(make: Make) -> None:
    """Rows are kept by the journal's key, so that a crash in the middle changes nothing of what is summed."""
    fed = make(seed=11, hazards=Hazards(crash=0.1))
    run = fed.submit(cases.plan_for(fed, subsample=Fraction(1, 2)))
    fed.run(run)
    assert cases.broken(fed, run) == []
