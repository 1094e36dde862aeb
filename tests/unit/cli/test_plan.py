"""`tacit plan`: a new plan holds the defaults, a check prices it, and banks answer by policy and ledger."""

import datetime as dt
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from cli_cases import Federation3, answers, make, serving
from tacit import canonical
from tacit.cli import planning
from tacit.cli.main import run
from tacit.federation import Cap, Policy
from tacit.learning.course import LOCAL_LEARNER
from tacit.privacy import accounting
from tacit.privacy.types import GRID, Mode
from tacit.rounds.plan import Plan, PlanError
from tacit.rounds.terms import work_out
from tacit.runtime import documents
from tacit.runtime.exit_codes import ExitCode
from tacit.wire.errors import DocumentError

TODAY = dt.date(2018, 9, 1)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Federation3:
    """A founded folder."""
    return make(tmp_path_factory.mktemp("plan"))


@pytest.fixture(scope="module")
def text(place: Federation3) -> str:
    """A new plan."""
    return planning.new(planning.Wish(), place.manifest, place.contract, TODAY)


@pytest.fixture(scope="module")
def plan(place: Federation3, text: str) -> Plan:
    """The same, read."""
    return planning.read(text.encode(), place.manifest, place.contract)


@pytest.fixture(scope="module")
def policy(place: Federation3) -> Policy:
    """A bank's policy."""
    return documents.load(Policy, place.policy())


def test_a_new_plan_has_the_defaults_of_the_product(plan: Plan, place: Federation3) -> None:
    """Figures of formats 1; a learner that says nothing is the same learner."""
    assert plan.manifest == canonical.label(place.manifest.digest)
    assert plan.learner == LOCAL_LEARNER
    assert (plan.epsilon, plan.delta, plan.population) == (1, Fraction(1, 10**5), 10_000)
    assert (plan.mode, plan.paid_retries) == (Mode.LOCAL, 0)
    assert plan.window.ready == TODAY


@pytest.mark.parametrize(("population", "delta"), [(200, "0.00001"), (10_000, "0.00001"), (10_001, "0.000001")])
def test_delta_is_at_most_a_tenth_of_one_over_the_population(place: Federation3, population: int, delta: str) -> None:
    """And never above what a policy allows that says nothing."""
    wish = planning.Wish(population=population)
    made = planning.read(planning.new(wish, place.manifest, place.contract, TODAY).encode())
    assert made.delta == Fraction(delta)
    assert made.delta * population * 10 <= 1


def test_what_is_left_out_is_filled_in(place: Federation3, text: str) -> None:
    """Digests from the documents, and each time another nonce."""
    lines = [line for line in text.splitlines() if not line.startswith(("manifest:", "contract:"))]
    first, second = (planning.read("\n".join(lines).encode(), place.manifest, place.contract) for _ in range(2))
    assert first.contract == canonical.label(place.contract.digest)
    assert first.nonce != second.nonce
    assert replace(first, nonce=second.nonce) == second


def test_figures_follow_from_the_terms(plan: Plan, place: Federation3) -> None:
    """Stages, noise, bytes and rho equal what every bank computes."""
    found = planning.assess(plan, place.contract, place.manifest, today=TODAY)
    terms = work_out(plan, place.contract, place.manifest)
    assert [(item.kind, item.rounds) for item in found.stages] == [
        ("preconditioner", 1),
        ("gradient", 32),
        ("quality", 1),
    ]
    assert found.rounds == 34
    assert found.rho == pytest.approx(sum(item.rho for item in found.stages))
    assert found.vector_bytes == 8 * sum(stage.cells for stage in terms.stages)
    gradient = found.stages[1]
    assert gradient.sigma_grid**2 == pytest.approx(terms.budget.noises[1].variance)
    assert gradient.sigma_clips == pytest.approx(gradient.sigma_grid / (float(terms.stages[1].clip) * GRID))
    assert found.months[0] == "2018-04"
    assert Fraction(found.epsilon) <= plan.epsilon


def test_a_person_at_more_banks_pays_by_the_square(plan: Plan, place: Federation3) -> None:
    """Cost rho (j/k)^2 for j = 1, 2, k; never more than the plan's epsilon at k."""
    manifest = replace(place.manifest, max_banks_per_person=3)
    moved = replace(plan, manifest=canonical.label(manifest.digest))
    persons = planning.assess(moved, place.contract, manifest, today=TODAY).persons
    assert list(persons) == [1, 2, 3]
    rho = work_out(moved, place.contract, manifest).budget.reserved_rho_nano
    assert persons[1] == accounting.epsilon(-(-rho // 9), plan.delta)
    assert persons[1] < persons[2] < persons[3] <= 1


def test_warnings_name_small_epsilon_and_large_delta(plan: Plan, place: Federation3) -> None:
    """Both are said before anybody spends."""
    weak = replace(plan, epsilon=Fraction(2, 5), learner=replace(plan.learner, expected_fraud_units=299))
    assert "299 expected units" in planning.assess(weak, place.contract, place.manifest, today=TODAY).warnings[0]
    enough = replace(weak, learner=replace(plan.learner, expected_fraud_units=300))
    assert planning.assess(enough, place.contract, place.manifest, today=TODAY).warnings == ()
    loose = replace(plan, delta=Fraction(1, 20_000))
    assert "1/(10 population)" in planning.assess(loose, place.contract, place.manifest, today=TODAY).warnings[0]


def test_a_bank_says_what_it_objects_to(plan: Plan, place: Federation3, policy: Policy) -> None:
    """By the trainer's own rules."""
    stern = replace(policy, allow_mixing_features=False)
    willing, objecting = planning.assess(plan, place.contract, place.manifest, [policy, stern], today=TODAY).banks
    assert willing.takes_part
    assert not objecting.takes_part
    assert objecting.objections[0].startswith("POLICY: ")


def test_runs_left_count_both_caps_and_the_ledger(policy: Policy) -> None:
    """The tightest month or the lifetime decides; a charge for a gap counts in every month."""
    whole = accounting.cap_nano(policy.bucket_cap.epsilon, policy.bucket_cap.delta)
    assert planning.runs_left(policy, ["2018-05"], whole // 3, None) == 3
    ledger = {"lifetime": {"charged_nano": 0}, "buckets": [{"name": "2018-05", "charged_nano": whole // 2}]}
    assert planning.runs_left(policy, ["2018-05"], whole // 3, ledger) == 1
    assert planning.runs_left(policy, ["2018-06"], whole // 3, ledger) == 3
    gap = {"lifetime": {"charged_nano": whole}, "buckets": [{"name": "*", "charged_nano": whole}]}
    assert planning.runs_left(policy, ["2018-06"], 1, gap) == 0
    small = replace(policy, lifetime_cap=Cap(Fraction(1), Fraction(1, 10**5)))
    assert planning.runs_left(small, ["2018-06"], accounting.cap_nano(Fraction(1), Fraction(1, 10**5)), None) == 1


@pytest.mark.parametrize("suffix", [".yaml", ".json"])
def test_a_nonce_is_written_once(tmp_path: Path, text: str, plan: Plan, suffix: str) -> None:
    """Sending twice is the same run; a fresh nonce is another one."""
    path = tmp_path / f"plan{suffix}"
    content = documents.read_yaml(text.encode())
    path.write_text(text if suffix == ".yaml" else json.dumps(content, default=str))
    planning.keep_nonce(path)
    kept = planning.load(path)
    planning.keep_nonce(path)
    assert planning.load(path) == kept
    assert replace(kept, nonce=plan.nonce) == plan
    planning.keep_nonce(path, fresh=True)
    assert planning.load(path).nonce != kept.nonce


def test_comments_of_a_plan_stay(tmp_path: Path, text: str) -> None:
    """Only the nonce's line is added."""
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    planning.keep_nonce(path)
    assert path.read_text().startswith(text.rstrip())
    assert path.read_text().count("\n") == text.count("\n") + 1


def test_a_plan_in_one_line_is_not_damaged(tmp_path: Path, plan: Plan) -> None:
    """Where no line can be added, a hand has to."""
    path = tmp_path / "plan.yaml"
    content = {key: value for key, value in canonical.plain(plan).items() if key != "nonce"}
    path.write_text(json.dumps(content))
    with pytest.raises(DocumentError):
        planning.keep_nonce(path)
    assert path.read_text() == json.dumps(content)


def test_wrong_values_name_the_file(tmp_path: Path, text: str) -> None:
    """And the range."""
    path = tmp_path / "plan.yaml"
    path.write_text(text.replace('epsilon: "1"', 'epsilon: "65"'))
    with pytest.raises(PlanError, match="epsilon = 65") as caught:
        planning.load(path)
    assert caught.value.__notes__ == [f"in {path}"]
    with pytest.raises(DocumentError, match=r"expected \.json"):
        planning.load(tmp_path / "plan.txt")
    with pytest.raises(DocumentError, match="cannot be read"):
        planning.load(tmp_path / "none.yaml")


def new(place: Federation3, out: Path, *more: str) -> int:
    """`tacit plan new`."""
    files = ["--manifest", str(place.folder.manifest), "--contract", str(place.folder.contracts / "contract.json")]
    return run(["plan", "new", *files, "--out", str(out), "--window-end", "2018-08-01", *more])


def check(place: Federation3, path: Path, *more: str) -> int:
    """`tacit plan check`."""
    files = ["--manifest", str(place.folder.manifest), "--contract", str(place.folder.contracts / "contract.json")]
    return run(["plan", "check", str(path), *files, *more])


def test_the_commands_write_and_price_a_plan(
    place: Federation3, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole way, for people and for machines."""
    path = tmp_path / "plan.yaml"
    assert new(place, path, "--epsilon", "0.4", "--fraud-units", "100") == 0
    assert check(place, path) == 0
    shown = capsys.readouterr().out
    assert "WARNING: epsilon 0.4" in shown
    assert "unit       customer, given the feature table" in shown
    assert check(place, path, "--json", "--policy", str(place.policy())) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["banks"][0]["bank"] == "ash"
    assert found["banks"][0]["runs_left"] > 1


def test_a_plan_is_not_overwritten(place: Federation3, tmp_path: Path) -> None:
    """Its nonce may be a run."""
    path = tmp_path / "plan.yaml"
    path.write_text("mine")
    assert new(place, path) == ExitCode.CANNOT_CREATE
    assert path.read_text() == "mine"


def test_a_ledger_counts_and_refuses(
    place: Federation3, tmp_path: Path, policy: Policy, capsys: pytest.CaptureFixture[str]
) -> None:
    """A full account means exit code 1; a stranger's ledger is a wrong call."""
    path = tmp_path / "plan.yaml"
    assert new(place, path) == 0
    full = {"account": policy.account, "lifetime": {"charged_nano": 2**52}, "buckets": []}
    with serving(answers({"/v1/ledger": full})) as url:
        assert check(place, path, "--policy", str(place.policy()), "--ledger", url) == ExitCode.REFUSED
        assert "0 runs like this one left, after what its ledger was charged" in capsys.readouterr().out
        assert check(place, path, "--ledger", url) == ExitCode.USAGE
    assert policy.account in capsys.readouterr().err


def test_documents_beside_the_plan_are_found(place: Federation3, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder of a federation needs no options; without one the option is named."""
    path = place.path / "beside.yaml"
    assert new(place, path) == 0
    assert run(["plan", "check", str(path)]) == 0
    elsewhere = place.path / "settings" / "plan.yml"
    elsewhere.write_text(path.read_text())
    capsys.readouterr()
    assert run(["plan", "check", str(elsewhere)]) == ExitCode.USAGE
    assert "--manifest" in capsys.readouterr().err
    elsewhere.unlink()
