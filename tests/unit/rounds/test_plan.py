"""Validation of plans, durations, windows and run ids."""

import datetime as dt
import hashlib
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

import wire_cases as cases
from tacit import canonical
from tacit.learning.types import Clip, Learner, LearnerKind, QualityPlan, Shares, TreePlan
from tacit.privacy.types import Mode
from tacit.rounds.plan import Deadlines, Plan, PlanError, Window, milliseconds, run_id

PLAN = cases.PLAN
QUALITY = Shares(preconditioner=Fraction(1, 20), gradients=Fraction(9, 10), quality=Fraction(1, 20))
TREES = Shares(trees=Fraction(1))


def refused(**changes: object) -> str:
    """The message of a refused plan."""
    with pytest.raises(PlanError) as caught:
        replace(PLAN, **changes)  # type: ignore[arg-type]
    return str(caught.value)


def learner(**changes: object) -> Learner:
    """The plan's learner with some changes."""
    return replace(PLAN.learner, **changes)  # type: ignore[arg-type]


def window(**changes: object) -> Window:
    """The plan's window with some changes."""
    return replace(PLAN.window, **changes)  # type: ignore[arg-type]


def trees(**changes: object) -> Learner:
    """A learner of trees alone."""
    return learner(kind=LearnerKind.TREES, trees=replace(TreePlan(), **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("100ms", 100), ("1s", 1000), ("60s", 60_000), ("5m", 300_000), ("24h", 86_400_000), ("7d", 604_800_000)],
)
def test_durations(text: str, expected: int) -> None:
    """Whole numbers of ms, s, m, h and d."""
    assert milliseconds(text) == expected


@pytest.mark.parametrize(
    "text", ["", "60", "s", "0s", "-1s", "1.5s", "1 s", "1S", "1w", "01s", "1s ", "9999999999s", "٣s"]
)
def test_other_durations_are_refused(text: str) -> None:
    """The text as it was given stands in the error."""
    with pytest.raises(PlanError, match="expected a whole number and ms, s, m, h or d"):
        milliseconds(text)


@given(number=st.integers(1, 999_999_999), unit=st.sampled_from(["ms", "s", "m", "h", "d"]))
def test_duration_scales_with_its_number(number: int, unit: str) -> None:
    """N units are n times one unit."""
    assert milliseconds(f"{number}{unit}") == number * milliseconds(f"1{unit}")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"api": "tacit.plan/v2"}, "api = 'tacit.plan/v2': expected 'tacit.plan/v1'"),
        ({"federation": "Demo"}, "federation = 'Demo'"),
        ({"model": ""}, "model = ''"),
        ({"model": "a" * 41}, "model = "),
        ({"nonce": "ab"}, "nonce = 'ab': expected 64 lower-case hex digits"),
        ({"nonce": "AB" * 32}, "nonce = "),
        ({"manifest": "ab" * 32}, "manifest = "),
        ({"contract": "sha256:abc"}, "contract = 'sha256:abc'"),
        ({"parent": "1"}, "parent = '1'"),
        ({"tick": "0ms"}, "tick: duration '0ms'"),
        ({"tick": "9ms"}, "tick = '9ms': expected 10ms to 60s"),
        ({"tick": "61s", "deadlines": Deadlines(attempt="2m")}, "tick = '61s': expected 10ms to 60s"),
        ({"tick": "2s", "deadlines": Deadlines(attempt="1s")}, "tick = '2s': expected 10ms to 1s"),
        ({"deadlines": Deadlines(attempt="soon")}, "deadlines.attempt: duration 'soon'"),
        ({"deadlines": Deadlines(run="91d")}, "deadlines.run = '91d': expected 1ms to 90d"),
        ({"deadlines": Deadlines(join="8d")}, "deadlines.join = '8d': expected 1ms to 7d"),
        ({"deadlines": Deadlines(deal="8d")}, "deadlines.deal = '8d'"),
        ({"deadlines": Deadlines(attempt="169h")}, "deadlines.attempt = '169h'"),
        ({"deadlines": Deadlines(grace="999999999d")}, "deadlines.grace = '999999999d'"),
        ({"deadlines": Deadlines(join="soon")}, "deadlines.join: duration 'soon'"),
        ({"deadlines": Deadlines(grace="2")}, "deadlines.grace"),
        ({"epsilon": Fraction(0)}, "epsilon = 0: expected above 0 and at most 64"),
        ({"epsilon": Fraction(-1)}, "epsilon = -1"),
        ({"epsilon": Fraction(129, 2)}, "epsilon = 64.5"),
        ({"population": 0}, "population = 0: expected 1 to 10000000000"),
        ({"population": 10**10 + 1}, "population = 10000000001"),
        ({"delta": Fraction(0)}, "delta = 0: expected above 0 and at most 1/population"),
        ({"delta": Fraction(1, 9999)}, "delta = 1/9999"),
        ({"subsample": Fraction(0)}, "subsample = 0: expected 1/1024 to 1"),
        ({"subsample": Fraction(1, 1025)}, "subsample = 1/1025"),
        ({"subsample": Fraction(11, 10)}, "subsample = 1.1"),
        ({"paid_retries": 1}, "paid_retries in mode local = 1: expected 0 to 0"),
        ({"paid_retries": -1}, "paid_retries in mode local = -1"),
        ({"mode": Mode.DISTRIBUTED, "paid_retries": 17}, "paid_retries in mode distributed = 17: expected 0 to 16"),
        ({"window": window(days=0)}, "window.days = 0: expected 1 to 3660"),
        ({"window": window(days=3661)}, "window.days = 3661"),
        ({"window": window(label_delay_days=-1)}, "window.label_delay_days = -1"),
        ({"window": window(label_delay_days=367)}, "window.label_delay_days = 367"),
        ({"window": window(quality_days=367)}, "window.quality_days = 367: expected 0 to 366"),
        (
            {"quality": QualityPlan(), "shares": QUALITY, "window": window(quality_days=0)},
            "quality_days = 0: expected 1",
        ),
        ({"learner": learner(rounds=0, average=1)}, "learner.rounds = 0: expected 1 to 256"),
        ({"learner": learner(rounds=257)}, "learner.rounds = 257"),
        ({"learner": learner(average=33)}, "learner.average = 33: expected 1 to 32"),
        ({"learner": learner(momentum=Fraction(1))}, "learner.momentum = 1: expected 0 to 99/100"),
        ({"learner": learner(damp=Fraction(0))}, "learner.damp = 0"),
        ({"learner": learner(kappa=Fraction(11))}, "learner.kappa = 11"),
        ({"learner": learner(ridge=Fraction(0))}, "learner.ridge = 0"),
        ({"learner": learner(starting_margin=Fraction(21))}, "learner.starting_margin = 21: expected -20 to 20"),
        ({"learner": learner(clip=Clip(preconditioner=Fraction(17)))}, "learner.clip.preconditioner = 17"),
        ({"learner": learner(clip=Clip(gradient=Fraction(0)))}, "learner.clip.gradient = 0"),
        ({"learner": learner(expected_fraud_units=-1)}, "learner.expected_fraud_units = -1"),
        ({"learner": learner(trees=TreePlan())}, "learner.trees: not used with kind additive"),
        ({"learner": learner(kind=LearnerKind.TREES)}, "learner.trees: missing with kind trees"),
        ({"learner": trees(rounds=65), "shares": TREES}, "learner.trees.rounds = 65: expected 1 to 64"),
        ({"learner": trees(trees_per_round=17), "shares": TREES}, "learner.trees.trees_per_round = 17"),
        ({"learner": trees(depth=9), "shares": TREES}, "learner.trees.depth = 9: expected 1 to 8"),
        (
            {"learner": trees(rounds=64, trees_per_round=3, depth=8), "shares": TREES},
            "rounds x trees_per_round x 2^depth = 49152: expected 1 to 32768",
        ),
        ({"learner": trees(columns_per_tree=0), "shares": TREES}, "learner.trees.columns_per_tree = 0"),
        ({"learner": trees(clip=Fraction(0)), "shares": TREES}, "learner.trees.clip = 0"),
        ({"shares": Shares(preconditioner=Fraction(1, 2), gradients=Fraction(1, 4))}, "shares add up to 0.75"),
        ({"shares": Shares(gradients=Fraction(1))}, "shares.preconditioner = 0: expected above 0"),
        ({"shares": QUALITY}, "shares.quality = 0.05: expected 0"),
        ({"shares": Shares(Fraction(-1), Fraction(2))}, "shares.preconditioner = -1: expected above 0"),
        ({"quality": QualityPlan()}, "shares.quality = 0: expected above 0"),
    ],
)
def test_plan_out_of_range(changes: dict[str, object], message: str) -> None:
    """The error names the field, the value and the range."""
    assert message in refused(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"tick": "10ms", "subsample": Fraction(1, 1024)},
        {"learner": trees(rounds=64, trees_per_round=2, depth=8), "shares": TREES},
        {"tick": "60s", "deadlines": Deadlines(attempt="60s")},
        {"deadlines": Deadlines(join="7d", deal="7d", attempt="7d", grace="7d", run="90d")},
    ],
)
def test_plan_at_the_ends_of_its_times(changes: dict[str, object]) -> None:
    """Both ends of every range of a time are allowed."""
    assert replace(PLAN, **changes)  # type: ignore[arg-type]


def test_every_fault_is_named_at_once() -> None:
    """An operator mends a plan in one go."""
    message = refused(epsilon=Fraction(65), nonce="", window=window(days=0), tick="never")
    assert all(part in message for part in ("epsilon = 65", "nonce = ''", "window.days = 0", "tick: duration 'never'"))


@pytest.mark.parametrize(
    "changes",
    [
        {"epsilon": Fraction(64)},
        {"delta": Fraction(1, 10_000)},
        {"parent": PLAN.contract},
        {"mode": Mode.DISTRIBUTED, "paid_retries": 16},
        {"window": Window(dt.date(2018, 8, 1), 3660, 366, 0)},
        {"learner": learner(rounds=256, average=256, momentum=Fraction(0))},
        {"learner": trees(depth=5, rounds=64, trees_per_round=16), "shares": TREES},
        {"quality": QualityPlan(), "shares": QUALITY},
    ],
)
def test_plan_at_the_edge_of_its_ranges(changes: dict[str, object]) -> None:
    """Both ends of each range belong to it."""
    assert replace(PLAN, **changes).federation == "demo"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "rounds"),
    [
        ({}, 33),
        ({"quality": QualityPlan(), "shares": QUALITY}, 34),
        ({"learner": trees(rounds=5), "shares": TREES}, 5),
        (
            {
                "learner": learner(kind=LearnerKind.ADDITIVE_TREES, trees=TreePlan(rounds=4)),
                "shares": Shares(Fraction(1, 20), Fraction(1, 2), Fraction(9, 20)),
            },
            37,
        ),
    ],
)
def test_number_of_rounds(changes: dict[str, object], rounds: int) -> None:
    """Preconditioner, gradients, trees and quality."""
    assert replace(PLAN, **changes).rounds == rounds  # type: ignore[arg-type]


def test_window_is_half_open() -> None:
    """90 days before the end, and ready when the labels of the quality rows are final."""
    assert PLAN.window.start == dt.date(2018, 5, 3)
    assert (PLAN.window.end - PLAN.window.start).days == 90
    assert PLAN.window.ready == dt.date(2018, 8, 15)


def test_run_id_is_the_digest_of_the_bytes() -> None:
    """The same bytes are the same run; a new nonce is a new run."""
    data = canonical.encode(PLAN)
    assert run_id(data) == hashlib.sha256(data).digest()
    assert run_id(canonical.encode(replace(PLAN, nonce="cd" * 32))) != run_id(data)


@given(nonce=st.binary(min_size=32, max_size=32))
def test_any_nonce_of_32_bytes_is_a_plan(nonce: bytes) -> None:
    """The nonce is free; everything else stays."""
    plan: Plan = replace(PLAN, nonce=nonce.hex())
    assert replace(plan, nonce=PLAN.nonce) == PLAN
