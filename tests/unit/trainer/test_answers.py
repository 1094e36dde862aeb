"""A bank's answer to a round: kept margins equal recomputed ones, and a request digest that covers what is asked."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

import federation_cases as cases
from tacit.learning import leaves
from tacit.learning.basis import Basis
from tacit.learning.course import Course
from tacit.learning.types import (
    Learner,
    LearnerKind,
    QualityPlan,
    Shares,
    StageKind,
    TreePlan,
    Weights,
)
from tacit.privacy.types import Mode, Unit
from tacit.rounds.plan import Window
from tacit.rounds.state import Run
from tacit.rounds.terms import Terms
from tacit.trainer.answers import Answerer, Margins, request_digest
from tacit.trainer.snapshot import Part, Snapshot, build, keyed_rule, span

TREES = TreePlan(rounds=3, trees_per_round=2, depth=2, columns_per_tree=2)
SHARES = {
    LearnerKind.ADDITIVE: Shares(Fraction(1, 10), Fraction(8, 10), Fraction(0), Fraction(1, 10)),
    LearnerKind.TREES: Shares(trees=Fraction(9, 10), quality=Fraction(1, 10)),
    LearnerKind.ADDITIVE_TREES: Shares(*[Fraction(1, 4)] * 4),
}
KINDS = list(SHARES)
ROUNDS = {LearnerKind.ADDITIVE: 5, LearnerKind.TREES: 4, LearnerKind.ADDITIVE_TREES: 8}


def terms_of(kind: LearnerKind, **changes: object) -> Terms:
    """A plan of three rounds of each part that the kind has, and a quality round."""
    trees = TREES if kind is not LearnerKind.ADDITIVE else None
    learner = Learner(kind=kind, rounds=3, average=2, trees=trees)
    return cases.terms(learner=learner, shares=SHARES[kind], **changes)


def snapshot_of(terms: Terms, seed: int = 1) -> Snapshot:
    """Rows of one bank under a plan."""
    plan = terms.plan
    reach, kept = span(plan.window, 0, "UTC"), keyed_rule(b"k" * 32, b"r", plan.subsample)
    return build(cases.rows(seed, count=80), terms.contract, plan, reach, feeds={}, kept=kept)


def answerer(terms: Terms, snapshot: Snapshot | None = None) -> Answerer:
    """A fresh one, with nothing kept."""
    return Answerer(snapshot or snapshot_of(terms), terms, Basis(terms.contract))


def courses(terms: Terms) -> Iterator[Course]:
    """The states of a run before every round, from sums that are as good as released ones."""
    course, draw = terms.start(bytes(32), [bytes(32)]), np.random.default_rng(3)
    while not course.finished:
        yield course
        course = course.advance([int(value) for value in draw.integers(-(2**18), 2**18, course.stage.cells)], 2**30)
    yield course


def recomputed(part: Part, course: Course, basis: Basis) -> Margins:
    """Margins from nothing."""
    total = basis.margins(part.encoded, course.weights)
    return total + sum(leaves.margins(part.encoded, structure, solved) for structure, solved in course.forests)


@pytest.mark.parametrize("kind", KINDS)
def test_kept_margins_are_the_recomputed_ones(kind: LearnerKind) -> None:
    """Before every round, for the rows that it asks of, and once more when asked twice."""
    terms = terms_of(kind)
    kept = answerer(terms)
    for course in courses(terms):
        for part in (kept.snapshot.training, kept.snapshot.quality):
            expected = recomputed(part, course, kept.basis)
            for _ in range(2):
                np.testing.assert_allclose(kept.margins(part, course, course.weights), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_does_not_depend_on_what_was_kept(kind: LearnerKind) -> None:
    """A bank that starts again in the middle of a run answers to the bit as one that did not."""
    terms = terms_of(kind)
    kept = answerer(terms)
    asked = [course for course in courses(terms) if not course.finished]
    assert len(asked) == ROUNDS[kind] == len(terms.stages)
    for course in asked:
        one, other = kept.bounded(course), answerer(terms, kept.snapshot).bounded(course)
        assert one.sums.tolist() == other.sums.tolist()
        assert one.sensitivity == other.sensitivity
        assert one.sums.shape == (course.stage.cells,)


@pytest.mark.parametrize("kind", [LearnerKind.TREES, LearnerKind.ADDITIVE_TREES])
def test_leaves_are_added_once(kind: LearnerKind) -> None:
    """Several rounds at once, as after a restart, and none twice."""
    terms = terms_of(kind)
    last = [*courses(terms)][-1]
    assert len(last.forests) == 3
    fresh = answerer(terms)
    first = fresh.final_margins(last)
    np.testing.assert_allclose(first, recomputed(fresh.snapshot.training, last, fresh.basis), rtol=0, atol=1e-12)
    assert np.array_equal(first, fresh.final_margins(last))
    assert not np.allclose(first, fresh.basis.margins(fresh.snapshot.training.encoded, last.weights))


def test_new_weights_replace_the_old_margins() -> None:
    """The margins of one question are not answered with another's."""
    terms = terms_of(LearnerKind.ADDITIVE)
    kept = answerer(terms)
    course, part = terms.start(bytes(32), [bytes(32)]), kept.snapshot.training
    zero = Weights((0.0,) * kept.basis.size)
    one = Weights((*zero.values[:-1], 1.0))
    assert not kept.margins(part, course, zero).any()
    assert kept.margins(part, course, one).all()
    assert not kept.margins(part, course, zero).any()


@pytest.mark.parametrize("kind", KINDS)
def test_the_quality_round_asks_the_quality_rows(kind: LearnerKind) -> None:
    """And no other round does: a plan's weeks are never counted for what they were not meant for."""
    terms = terms_of(kind)
    snapshot = snapshot_of(terms)
    empty = snapshot_of(terms_of(kind, window=Window(cases.dt.date(2010, 1, 1), 31, 7, 7))).training
    without_quality, without_training = replace(snapshot, quality=empty), replace(snapshot, training=empty)
    for course in courses(terms):
        if not course.finished:
            quality = course.stage.kind is StageKind.QUALITY
            assert answerer(terms, without_quality).bounded(course).sums.any() != quality
            assert answerer(terms, without_training).bounded(course).sums.any() == quality


def test_a_subsampled_row_counts_for_those_left_out() -> None:
    """Half the rate doubles a row's contribution, as long as no clip cuts it."""
    terms = terms_of(LearnerKind.ADDITIVE, unit=Unit.RECORD)
    course = next(courses(terms))
    wide = replace(course, stages=tuple(replace(stage, clip=Fraction(16)) for stage in course.stages))
    rows = snapshot_of(terms)
    halved = replace(terms, plan=replace(terms.plan, subsample=Fraction(1, 2)))
    whole, double = answerer(terms, rows).bounded(wide).sums, answerer(halved, rows).bounded(wide).sums
    # Every unit is truncated to the grid by itself.
    assert np.abs(double - 2 * whole).max() <= rows.training.encoded.units
    assert whole.any()


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A finished run of two banks."""
    fed = cases.federation(tmp_path_factory.mktemp("answers"), 2, seed=1)
    yield fed.run(fed.submit(cases.plan_for(fed)), 300)
    fed.close()


def test_one_question_has_one_digest(asked: Run) -> None:
    """The same however often it is computed; every round has its own."""
    assert asked.terms is not None
    digests = [request_digest(asked, attempt, asked.terms) for attempt in asked.attempts]
    assert digests == [request_digest(asked, attempt, asked.terms) for attempt in asked.attempts]
    assert len(set(digests)) == 3
    assert {len(digest) for digest in digests} == {32}


WINDOW = cases.any_plan().window
PLAN_CHANGES: dict[str, object] = {
    "window end": {"window": replace(WINDOW, end=cases.dt.date(2018, 2, 2))},
    "window days": {"window": replace(WINDOW, days=30)},
    "label delay": {"window": replace(WINDOW, label_delay_days=8)},
    "quality days": {"window": replace(WINDOW, quality_days=8)},
    "contract": {"contract": "sha256:" + "1" * 64},
    "mode": {"mode": Mode.DISTRIBUTED},
    "manifest": {"manifest": "sha256:" + "1" * 64},
    "unit": {"unit": Unit.RECORD},
}


@pytest.mark.parametrize("changes", PLAN_CHANGES.values(), ids=PLAN_CHANGES.keys())
def test_the_digest_covers_what_the_plan_says(asked: Run, changes: dict[str, object]) -> None:
    """A slot that was spent on one reading of the plan is not answered for another."""
    assert asked.terms is not None
    other = replace(asked.terms, plan=replace(asked.terms.plan, **changes))  # type: ignore[arg-type]
    assert request_digest(asked, asked.attempts[0], other) != request_digest(asked, asked.attempts[0], asked.terms)


@pytest.mark.parametrize("name", ["variance", "sensitivity"])
def test_the_digest_covers_the_noise(asked: Run, name: str) -> None:
    """Of this round; another round's noise is another question."""
    terms = asked.terms
    assert terms is not None

    def with_noise(number: int) -> Terms:
        noises = list(terms.budget.noises)
        noises[number] = replace(noises[number], **{name: getattr(noises[number], name) + 1})
        return replace(terms, budget=replace(terms.budget, noises=tuple(noises)))

    before = request_digest(asked, asked.attempts[1], terms)
    assert request_digest(asked, asked.attempts[1], with_noise(1)) != before
    assert request_digest(asked, asked.attempts[1], with_noise(0)) == before


def test_the_digest_covers_the_query_and_its_parent(asked: Run) -> None:
    """Other weights, or the same asked after other results, are another request."""
    terms = asked.terms
    assert terms is not None
    attempt = asked.attempts[1]
    before = request_digest(asked, attempt, terms)
    header = replace(attempt.query.header, body=bytes(32))
    other = replace(attempt, query=replace(attempt.query, header=header))
    assert request_digest(asked, other, terms) != before
    first = asked.results[0]
    changed = replace(first, header=replace(first.header, body=bytes(32)), digest=bytes(32))
    history = replace(asked, results=[changed, *asked.results[1:]])
    assert history.parent(1) != asked.parent(1)
    assert request_digest(history, attempt, terms) != before


def test_a_plan_without_a_quality_round_is_answered_too() -> None:
    """Nothing of the quality part is needed for the rest."""
    shares = Shares(Fraction(1, 10), Fraction(9, 10))
    terms = cases.terms(learner=Learner(rounds=3, average=2), shares=shares, quality=None)
    sums = [answerer(terms).bounded(course).sums for course in courses(terms) if not course.finished]
    assert len(sums) == 4
    assert QualityPlan() != terms.plan.quality
