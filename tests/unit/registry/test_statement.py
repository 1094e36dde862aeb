"""What is stated of a finished run."""

from dataclasses import replace
from fractions import Fraction

import pytest

from registry_cases import Case
from tacit import canonical
from tacit.registry.statement import statement
from tacit.rounds import verify
from tacit.rounds.types import EndBody, RoundError
from tacit.wire.statements import read_statement


def test_lineage_is_the_run_s(case: Case) -> None:
    """Run, plan, contract, banks, rounds, parent, file."""
    run, found = case.run("second"), case.version("second")
    assert (found.run, found.plan) == (canonical.label(run.id), canonical.label(run.id))
    assert found.contract == canonical.label(case.fed.contract.digest)
    assert found.participants == ("bank-0", "bank-1")
    assert (found.rounds, found.model) == (2, "card")
    assert found.parent == case.label("first")
    assert found.size_bytes == len(verify.model_bytes(run))
    assert isinstance(run.end.body if run.end else None, EndBody)
    assert found.file == canonical.label(run.end.body.model)  # type: ignore[union-attr]


def test_the_guarantee_is_the_plan_s_or_less(case: Case) -> None:
    """Epsilon of the reserved budget, never above the plan's; the unit names the feature table."""
    run, found = case.run("first"), case.version("first").guarantee
    assert run.terms is not None
    assert found.epsilon == Fraction(run.terms.epsilon) <= Fraction(8)
    assert (found.delta, found.unit) == (Fraction(1, 10**5), "customer, given the feature table")
    assert (found.mode, found.q, found.c) == ("local", 1, 0)


def test_epsilon_is_cut_at_the_plan_s(case: Case) -> None:
    """A figure that was rounded above the plan's is not printed as more than was promised."""
    run = case.run("first")
    assert run.terms is not None
    budget = replace(run.terms.budget, epsilon=8.0000001)
    rounded = replace(run, terms=replace(run.terms, budget=budget))
    assert rounded.terms is not None
    assert Fraction(rounded.terms.epsilon) > 8
    assert statement(rounded, 1).guarantee.epsilon == 8


def test_quality_is_the_noised_one(case: Case) -> None:
    """Figures to a millionth, half-widths upwards, margins as thresholds."""
    run, found = case.run("first"), case.version("first")
    assert run.course is not None
    assert run.course.quality is not None
    assert set(found.quality) == {"average_precision", "auc", "recall", "calibration"}
    auc = found.quality["auc"]
    assert abs(float(auc.value) - run.course.quality.auc.value) <= 5e-7
    assert 0 <= float(auc.half_width) - run.course.quality.auc.half_width <= 1e-6
    assert float(found.thresholds["review"]) == pytest.approx(run.course.quality.review_margin, abs=5e-7)
    assert found.thresholds["review"] <= found.thresholds["decline"]


def test_without_a_quality_round_there_are_no_figures(case: Case) -> None:
    """Nothing is made up."""
    found = case.version("second")
    assert (found.quality, found.thresholds) == ({}, {})


def test_the_time_is_that_of_end(case: Case) -> None:
    """From the record, not from any clock."""
    assert case.version("first").created.startswith("2020-09-13T12:26:4")


@pytest.mark.parametrize(
    ("milliseconds", "created"),
    [(0, "1970-01-01T00:00:00Z"), (2**63, "9999-12-31T23:59:59Z"), (-5, "1970-01-01T00:00:00Z")],
)
def test_a_time_that_no_calendar_has_is_moved_into_it(case: Case, milliseconds: int, created: str) -> None:
    """A leader's clock cannot stop the registry."""
    run = case.run("first")
    assert run.end is not None
    end = replace(run.end, header=replace(run.end.header, create_time_ms=milliseconds))
    assert statement(replace(run, end=end), 1).created == created


def test_the_statement_reads_back(case: Case) -> None:
    """Canonical bytes, equal value, same digest."""
    found = case.version("first")
    again = read_statement(canonical.encode(found))
    assert (again, again.digest) == (found, found.digest)


def test_a_run_that_is_not_over_has_none(case: Case) -> None:
    """The caller's mistake is said."""
    with pytest.raises(RoundError, match="it is not finished"):
        statement(replace(case.run("first"), end=None), 1)
