"""A plan in numbers: stages, slots, noise, the printed epsilon, and everything that does not fit."""

import datetime as dt
import random
from dataclasses import replace
from fractions import Fraction

import pytest

import federation_cases as cases
from tacit import canonical
from tacit.features.spec import Contract, Provenance
from tacit.federation import Manifest, Member, Operator
from tacit.learning import ensemble, leaves, structure
from tacit.learning.types import Ensemble, Learner, LearnerKind, QualityPlan, Shares, StageKind, TreePlan
from tacit.privacy import accounting
from tacit.privacy.types import Mode, Unit
from tacit.rounds.plan import MOST_LEAVES, Plan, PlanError, Window
from tacit.rounds.terms import EARLIEST, LATEST, Terms, UnaffordableError, work_out
from tacit.rounds.types import ArtefactBody
from tacit.wire import codec


def manifest(contract: Contract = cases.CONTRACT, **changes: object) -> Manifest:
    """An epoch of three members; terms read its numbers, never its signatures."""
    members = tuple(Member(f"bank-{n}", n, f"s{n}", f"g{n}", f"User:{n}") for n in (1, 2, 3))
    made = Manifest(
        federation="sim",
        epoch=1,
        members=members,
        operators=(Operator("operator", "o"),),
        aggregator="a",
        registry="r",
        t=3,
        q=3,
        c=1,
        modes=(Mode.LOCAL, Mode.DISTRIBUTED),
        contracts=(canonical.label(contract.digest),),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def plan(epoch: Manifest, **changes: object) -> Plan:
    """A plan under the epoch."""
    named = {"manifest": canonical.label(epoch.digest), **changes}
    return replace(cases.any_plan(), **named)  # type: ignore[arg-type]


def terms(**changes: object) -> Terms:
    """A plan worked out."""
    epoch = manifest()
    return work_out(plan(epoch, **changes), cases.CONTRACT, epoch)


def test_stages_and_slots() -> None:
    """Curvature, gradients, quality; as many slots as rounds where nothing is retried."""
    worked = terms()
    assert [stage.kind for stage in worked.stages] == [StageKind.PRECONDITIONER, StageKind.GRADIENT, StageKind.QUALITY]
    assert worked.slots == 3
    assert (worked.q, worked.c) == (1, 0)


def test_paid_retries_are_slots_and_cost() -> None:
    """Mode `distributed` counts its prepaid retries into slots and into the reserved cost."""
    worked, more = (terms(mode=Mode.DISTRIBUTED, paid_retries=number) for number in (0, 2))
    assert (worked.slots, more.slots) == (3, 5)
    assert (worked.q, worked.c) == (3, 1)
    dearest = max(noise.rho_nano for noise in more.budget.noises)
    assert more.budget.reserved_rho_nano == sum(noise.rho_nano for noise in more.budget.noises) + 2 * dearest


def test_the_reserved_epsilon_is_within_the_plans() -> None:
    """What is printed is at least the epsilon of the reserved cost and at most what the plan names."""
    worked = terms(epsilon=Fraction(2))
    exact = accounting.epsilon(worked.budget.reserved_rho_nano, worked.plan.delta)
    assert exact <= Fraction(worked.epsilon) <= 2
    assert Fraction(worked.epsilon) - Fraction(exact) < Fraction(1, 10**5)
    assert len(worked.epsilon.partition(".")[2]) == 6


def test_a_smaller_epsilon_costs_more_noise() -> None:
    """Half the epsilon, more variance in every round."""
    pairs = zip(terms(epsilon=Fraction(1)).budget.noises, terms(epsilon=Fraction(2)).budget.noises, strict=True)
    assert all(small.variance > large.variance for small, large in pairs)


def test_the_unit_as_it_must_be_printed() -> None:
    """A column that mixes customers is said; at record level so is any column that looks at another row."""
    assert terms().unit_text == "customer"
    first = replace(cases.CONTRACT.columns[0], provenance=Provenance.MIXING)
    mixed = replace(cases.CONTRACT, columns=(first, *cases.CONTRACT.columns[1:]))
    epoch = manifest(mixed)
    asked = plan(epoch, contract=canonical.label(mixed.digest))
    assert work_out(asked, mixed, epoch).unit_text == "customer, given the feature table"
    assert work_out(replace(asked, unit=Unit.RECORD), mixed, epoch).unit_text == "record, given the feature table"
    plain = manifest(cases.CONTRACT)
    assert work_out(plan(plain, unit=Unit.RECORD), cases.CONTRACT, plain).unit_text == "record"


def test_customer_windows_condition_a_record_level_claim() -> None:
    """A window over the customer's other rows is that customer's own, but it is not the row's own."""
    window = replace(cases.CONTRACT.columns[0], of="mean(amount)", key="customer", days=7)
    own = replace(cases.CONTRACT, columns=(window, *cases.CONTRACT.columns[1:]))
    epoch = manifest(own)
    asked = plan(epoch, contract=canonical.label(own.digest))
    assert work_out(asked, own, epoch).unit_text == "customer"
    assert work_out(replace(asked, unit=Unit.RECORD), own, epoch).unit_text == "record, given the feature table"


def test_a_whole_epsilon_is_printed_as_it_is() -> None:
    """Rounding up changes no value that six places can hold."""
    worked = terms()
    exactly = replace(worked, budget=replace(worked.budget, epsilon=8.0))
    assert exactly.epsilon == "8.000000"
    assert replace(worked, budget=replace(worked.budget, epsilon=0.1)).epsilon == "0.100001"


def test_the_seed_is_committed_by_run_and_joins() -> None:
    """Structures depend on the run and on the JOINs that the banks signed, in whatever order they are named."""
    worked = terms()
    assert worked.seed(b"a", [b"b", b"c"]) == terms(epsilon=Fraction(1)).seed(b"a", [b"c", b"b"])
    assert len({worked.seed(*args) for args in ((b"a", [b"b"]), (b"a", [b"c"]), (b"b", [b"b"]), (b"a", []))}) == 4
    assert worked.start(b"a", [b"b"]).seed == worked.seed(b"a", [b"b"])


SMALL_TREES = TreePlan(rounds=1, trees_per_round=2, depth=2, columns_per_tree=2)
TREE_SHARES = Shares(trees=Fraction(19, 20), quality=Fraction(1, 20))
TREES = Learner(kind=LearnerKind.TREES, trees=SMALL_TREES)
UNANSWERABLE = {
    "edges": ({"quality": QualityPlan(edges=(Fraction(-1000), Fraction(0)))}, PlanError, "expected -40 to 40"),
    "columns": (
        {"learner": replace(TREES, trees=replace(SMALL_TREES, columns_per_tree=255)), "shares": TREE_SHARES},
        PlanError,
        "columns_per_tree must be from 1 to 2, got 255",
    ),
    "clip": (
        {
            "learner": replace(TREES, trees=replace(SMALL_TREES, clip=Fraction(16), trees_per_round=16)),
            "shares": TREE_SHARES,
        },
        UnaffordableError,
        "clip must be 1/65536 to 16, got 64",
    ),
}


@pytest.mark.parametrize("name", UNANSWERABLE)
def test_what_no_bank_could_answer_has_no_terms(name: str) -> None:
    """A signed plan that would stop every bank, or the aggregator, in its first round is refused before it starts."""
    changes, error, message = UNANSWERABLE[name]
    with pytest.raises(error, match=message):
        terms(**changes)


MISFITS = {
    "federation": ({"federation": "other"}, "federation = 'other'"),
    "manifest": ({"manifest": canonical.label(bytes(32))}, "the epoch in force is"),
    "contract": ({"contract": canonical.label(bytes(32))}, "not among the manifest's contracts"),
    "too early": ({"window": Window(EARLIEST - dt.timedelta(days=1), 30)}, "window.end = 1989-12-31"),
    "too late": ({"window": Window(LATEST + dt.timedelta(days=1), 30)}, "window.end = 2200-01-02"),
    "the end of time": ({"window": Window(dt.date.max, 30)}, "window.end = 9999-12-31"),
    "the beginning of time": ({"window": Window(dt.date.min, 3000)}, "window.end = 0001-01-01"),
}


@pytest.mark.parametrize(("changes", "said"), MISFITS.values(), ids=MISFITS.keys())
def test_a_plan_that_does_not_fit_is_refused(changes: dict[str, object], said: str) -> None:
    """The message names the field, its value and what is expected."""
    with pytest.raises(PlanError, match=said):
        terms(**changes)


@pytest.mark.parametrize("day", [EARLIEST, LATEST])
def test_the_range_of_days_is_inclusive(day: dt.date) -> None:
    """The first and the last day are allowed."""
    assert terms(window=Window(day, 30)).plan.window.end == day


def test_a_mode_that_the_epoch_lacks_is_refused() -> None:
    """Modes are the manifest's."""
    epoch = manifest(modes=(Mode.LOCAL,))
    with pytest.raises(PlanError, match="mode = distributed: the manifest allows local"):
        work_out(plan(epoch, mode=Mode.DISTRIBUTED), cases.CONTRACT, epoch)


def test_another_document_under_the_same_name_is_refused() -> None:
    """The contract at hand must be the one whose digest the plan names."""
    epoch = manifest()
    other = replace(cases.CONTRACT, scale=Fraction(1, 4))
    with pytest.raises(PlanError, match="the document at hand is"):
        work_out(plan(epoch), other, epoch)


def test_noise_that_cannot_be_had_is_refused() -> None:
    """A delta that no noise reaches, or noise below the exact range, is an error of privacy, not a crash."""
    with pytest.raises(UnaffordableError):
        terms(epsilon=Fraction(1, 10**9), delta=Fraction(1, 10**9))


def test_several_faults_are_told_together() -> None:
    """Whoever mends a plan sees everything at once."""
    with pytest.raises(PlanError, match=r"federation.*manifest"):
        terms(federation="other", manifest=canonical.label(bytes(32)))


def test_the_largest_forest_fits_a_record() -> None:
    """All leaves that a plan may ask for, every one a number of its own: the file is published whole."""
    asked = TreePlan(rounds=64, trees_per_round=2, depth=8, columns_per_tree=2)
    assert asked.rounds * asked.trees_per_round * 2**asked.depth == MOST_LEAVES
    draw = random.Random(1)
    forests = []
    for number in range(asked.rounds):
        sums = [draw.randrange(-(10**7), 10**7) for _ in range(leaves.cells(asked))]
        forests.append((structure.draw(bytes(32), cases.CONTRACT, asked, number), leaves.solve(sums, 10**12, asked)))
    content = ensemble.booster(Ensemble(0.0, forests=tuple(forests)), cases.CONTRACT)
    record = codec.encode_body(ArtefactBody(ensemble.digest(content), content))
    assert len(record) < codec.MAX_RECORD_BYTES
