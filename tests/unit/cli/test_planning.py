"""Drafts of plans and what they cost, without a terminal: figures, warnings, files that keep their lines."""

import datetime as dt
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cli_cases
from tacit.cli import planning as subject
from tacit.cli.planning import Assessment, BankView, StageCost, Wish
from tacit.federation import Cap, Policy
from tacit.privacy import accounting
from tacit.privacy.types import Mode
from tacit.rounds.plan import Plan, PlanError
from tacit.runtime import documents
from tacit.wire.errors import DocumentError

TODAY = dt.date(2018, 9, 1)
NONCE = "12" * 32
FOUND = Assessment(
    epsilon="0.999999",
    delta="0.00001",
    unit="all rows of one customer",
    mode="local",
    rho=0.0123456789,
    rounds=34,
    vector_bytes=1_234_567,
    months=("2018-05", "2018-06"),
    stages=(StageCost("gradient", 32, 600, "1", 12.34567, 809_085.6, 0.0111111),),
    persons={1: 0.25, 3: 0.9999991},
    warnings=("think twice",),
    banks=(),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> cli_cases.Federation3:
    """A founded folder."""
    return cli_cases.make(tmp_path_factory.mktemp("planning"))


@pytest.fixture(scope="module")
def policy(place: cli_cases.Federation3) -> Policy:
    """A bank's policy."""
    return documents.load(Policy, place.policy())


def made(place: cli_cases.Federation3, **changes: Any) -> Plan:  # noqa: ANN401  fields of Wish
    """A new plan, read."""
    return subject.read(subject.new(Wish(**changes), place.manifest, place.contract, TODAY).encode())


def ledger(lifetime: int = 0, **months: int) -> dict[str, Any]:
    """A ledger's report; months as m2018_05, all months as `every`."""
    named = {name.removeprefix("m").replace("_", "-").replace("every", "*"): nano for name, nano in months.items()}
    buckets = [{"name": name, "charged_nano": nano} for name, nano in named.items()]
    return {"lifetime": {"charged_nano": lifetime}, "buckets": buckets}


@pytest.mark.parametrize(
    ("wish", "field", "value"),
    [
        ({"model": "other"}, "model", "other"),
        ({"epsilon": "0.75"}, "epsilon", Fraction(3, 4)),
        ({"delta": "0.000002"}, "delta", Fraction(1, 500_000)),
        ({"population": 90_000}, "population", 90_000),
        ({"mode": Mode.LOCAL}, "mode", Mode.LOCAL),
    ],
)
def test_a_wish_is_in_the_plan(place: cli_cases.Federation3, wish: dict[str, Any], field: str, value: object) -> None:
    """Exactly as it was said; the rest stays as it is."""
    found, plain = made(place, **wish), made(place)
    assert getattr(found, field) == value
    if field != "population":
        assert replace(found, **{field: getattr(plain, field), "nonce": plain.nonce}) == plain


def test_days_of_a_wish(place: cli_cases.Federation3) -> None:
    """End and length of the window, and how long banks may join."""
    found = made(place, end=dt.date(2018, 7, 1), days=60)
    assert (found.window.end, found.window.days) == (dt.date(2018, 7, 1), 60)
    assert made(place).window.end == TODAY - dt.timedelta(days=14)
    assert found.not_after == TODAY + dt.timedelta(days=30)


def test_a_mode_that_the_epoch_forbids_is_refused(place: cli_cases.Federation3) -> None:
    """Before anything is written."""
    with pytest.raises(PlanError, match="mode"):
        made(place, mode=Mode.DISTRIBUTED)


@pytest.mark.parametrize("wish", [{"epsilon": "0"}, {"days": 0}, {"population": 0}, {"epsilon": "1000"}])
def test_a_wish_out_of_range_is_refused(place: cli_cases.Federation3, wish: dict[str, Any]) -> None:
    """By the plan's own ranges."""
    with pytest.raises((PlanError, DocumentError)):
        made(place, **wish)


@given(st.integers(1, 10**9))
def test_delta_is_the_largest_power_of_ten_that_is_small_enough(population: int) -> None:
    """At most 1/(10 population) and 1e-5; ten times it would be too much for one of both."""
    delta = Fraction(subject._delta(population))
    limit = min(Fraction(1, 10 * population), Fraction(1, 10**5))
    assert delta <= limit < 10 * delta


@pytest.mark.parametrize("data", [b"", b"[1]", b"text", b"\xff\xfe", b"a: [", b"a: 1\na: 2"])
def test_what_is_no_plan_is_refused(data: bytes) -> None:
    """As a document's error."""
    with pytest.raises(DocumentError):
        subject.read(data)


def test_what_is_said_is_not_filled_in(place: cli_cases.Federation3) -> None:
    """A digest or nonce in the plan is kept against the documents at hand."""
    text = subject.new(Wish(), place.manifest, place.contract, TODAY)
    other = "sha256:" + "00" * 32
    told = "\n".join(f"contract: {other}" if line.startswith("contract:") else line for line in text.splitlines())
    found = subject.read(f"{told}\nnonce: '{NONCE}'\n".encode(), place.manifest, place.contract)
    assert (found.contract, found.nonce) == (other, NONCE)


@pytest.mark.parametrize("name", ["plan.txt", "plan", "plan.yaml.bak"])
def test_files_of_other_kinds_are_refused(tmp_path: Path, name: str) -> None:
    """The suffix is named; the file is not read."""
    for work in (subject.load, subject.keep_nonce):
        with pytest.raises(DocumentError, match=r"expected \.json, \.yaml or \.yml"):
            work(tmp_path / name)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """With the system's reason."""
    for work in (subject.load, subject.keep_nonce):
        with pytest.raises(DocumentError, match=r"plan\.yaml: cannot be read: No such file"):
            work(tmp_path / "plan.yaml")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a: 1 # kept\n", "a: 1 # kept\nnonce: "),
        ("a: 1\n\n\n", "a: 1\nnonce: "),
        ("# only\na: 1", "# only\na: 1\nnonce: "),
    ],
)
def test_a_nonce_is_a_line_at_the_end(tmp_path: Path, before: str, after: str) -> None:
    """Everything before it stays; it is 32 random bytes in hexadecimal digits."""
    path = tmp_path / "plan.yaml"
    path.write_text(before)
    subject.keep_nonce(path)
    text = path.read_text()
    assert text.startswith(after)
    assert len(bytes.fromhex(documents.read_yaml(text.encode())["nonce"])) == 32  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", ["yaml", "json"])
@pytest.mark.parametrize("fresh", [False, True])
def test_a_nonce_that_is_there_is_kept_unless_told(tmp_path: Path, suffix: str, *, fresh: bool) -> None:
    """The same file sent again is the same run; a fresh one is another."""
    path = tmp_path / f"plan.{suffix}"
    text = json.dumps({"nonce": NONCE, "a": 1}) if suffix == "json" else f'nonce: "{NONCE}"\na: 1\n'
    path.write_text(text)
    subject.keep_nonce(path, fresh=fresh)
    content = documents.read_yaml(path.read_bytes())
    assert (content["nonce"] == NONCE) is not fresh
    assert content["a"] == 1
    assert path.read_text().count("nonce") == 1


@pytest.mark.parametrize(
    ("charged", "left"),
    [
        (None, 10),
        (ledger(), 10),
        (ledger(50), 5),
        (ledger(0, m2018_05=31), 6),
        (ledger(0, m2018_05=31, m2018_06=95), 0),
        (ledger(0, m2018_07=100), 10),
        (ledger(0, every=20), 8),
        (ledger(0, every=20, m2018_05=40), 6),
        (ledger(150), 0),
    ],
)
def test_runs_left_by_hand(
    policy: Policy, monkeypatch: pytest.MonkeyPatch, charged: dict[str, Any] | None, left: int
) -> None:
    """Caps of 100, ten a run: the fullest of the run's months or the lifetime decides, never below zero."""
    monkeypatch.setattr("tacit.privacy.accounting.cap_nano", lambda *_: 100)
    assert subject.runs_left(policy, ("2018-05", "2018-06"), 10, charged) == left


@pytest.mark.parametrize(("bucket", "lifetime"), [(1, 8), (8, 1)])
def test_both_caps_count(policy: Policy, bucket: int, lifetime: int) -> None:
    """The tighter one decides."""
    delta = Fraction(1, 10**5)
    tight = replace(policy, bucket_cap=Cap(Fraction(bucket), delta), lifetime_cap=Cap(Fraction(lifetime), delta))
    once = accounting.cap_nano(Fraction(1), delta)
    assert subject.runs_left(tight, ("2018-05",), once, None) == 1


@pytest.mark.parametrize(
    ("epsilon", "units", "warned"),
    [("0.4", 299, True), ("0.5", 299, False), ("0.4", 300, False), ("2", 10, False)],
)
def test_too_little_to_learn_from_is_said(
    place: cli_cases.Federation3, epsilon: str, units: int, *, warned: bool
) -> None:
    """Only where epsilon and frauds are both small."""
    found = list(subject._warnings(made(place, epsilon=epsilon, fraud_units=units)))
    assert bool(found) is warned
    assert all(f"epsilon {epsilon} with {units} expected units" in warning for warning in found)


@pytest.mark.parametrize(("objections", "left", "joins"), [((), 1, True), ((), 0, False), (("POLICY: no",), 3, False)])
def test_a_bank_joins_without_objections_and_with_budget(
    objections: tuple[str, ...], left: int, *, joins: bool
) -> None:
    """Both are needed."""
    assert BankView("ash", objections, left, ledger=True).takes_part is joins


def test_the_ledger_of_the_account_is_asked(place: cli_cases.Federation3, policy: Policy) -> None:
    """Another account's charges are none of this bank's."""
    plan = made(place)
    full = ledger(accounting.cap_nano(policy.lifetime_cap.epsilon, policy.lifetime_cap.delta))
    for account, left in ((policy.account, 0), ("another", None)):
        found = subject.assess(plan, place.contract, place.manifest, [policy], {account: full}, TODAY).banks[0]
        assert found.ledger is (left == 0)
        assert (found.runs_left == 0) is (left == 0)


def test_an_assessment_of_a_stage_is_the_sum_of_its_rounds(place: cli_cases.Federation3) -> None:
    """Rho adds up, bytes are eight a cell of every round, sigma is the same in both measures."""
    found = subject.assess(made(place), place.contract, place.manifest, today=TODAY)
    assert sum(item.rho for item in found.stages) == pytest.approx(found.rho)
    assert sum(item.rounds * item.cells for item in found.stages) * 8 == found.vector_bytes
    for item in found.stages:
        assert item.sigma_grid == pytest.approx(item.sigma_clips * float(Fraction(item.clip)) * 2**16)


def test_the_text_has_every_figure() -> None:
    """Rounded up where it is a promise."""
    text = subject.render(FOUND)
    for part in (
        "epsilon    0.999999 at worst, at delta 0.00001; zCDP rho 0.0123457",
        "unit       all rows of one customer (adding or removing one)",
        "rounds     34; 1,234,567 bytes of vectors a bank",
        "charged    in full to each of 2 months: 2018-05 to 2018-06",
        "person     known to 3 bank(s): epsilon 1.000000",
        "WARNING: think twice",
    ):
        assert part in text
    row = next(line for line in text.splitlines() if line.startswith("gradient"))
    assert row.split() == ["gradient", "32", "600", "1", "12.346", "809,086", "0.011111"]


def test_columns_of_the_text_stand_under_their_names() -> None:
    """Heads and figures end at the same places."""
    lines = subject.render(FOUND).splitlines()
    head = next(line for line in lines if line.startswith("stage"))
    assert len(head) == len(lines[lines.index(head) + 1])


def test_one_month_is_no_span() -> None:
    """It is named once."""
    assert "to each of 1 months: 2018-05\n" in subject.render(replace(FOUND, months=("2018-05",)))


@pytest.mark.parametrize(
    ("bank", "text"),
    [
        (BankView("ash", (), 3, ledger=True), "ash: takes part; 3 runs like this one left, after what its ledger"),
        (BankView("elm", (), 3, ledger=False), "elm: takes part; 3 runs like this one left, if its ledger is empty"),
        (BankView("oak", ("PAUSED: now",), 3, ledger=True), "oak: does not take part"),
        (BankView("yew", (), 0, ledger=True), "yew: does not take part; 0 runs"),
    ],
)
def test_what_banks_say(bank: BankView, text: str) -> None:
    """With the basis of the count, and each objection on a line of its own."""
    found = subject.render(replace(FOUND, banks=(bank,)))
    assert text in found
    assert all(f"\n  {objection}" in found for objection in bank.objections)
