"""What `tacit plan` and `tacit run submit` do: drafts of plans, and what a plan costs, without a terminal."""

import datetime as dt
import json
import math
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import Any

from tacit import canonical
from tacit.adapters.journal import EVERY
from tacit.cli.text import epsilon as words
from tacit.features.spec import Contract
from tacit.federation import Manifest, Policy
from tacit.learning.course import LOCAL_LEARNER
from tacit.learning.types import Learner
from tacit.privacy import accounting, calibration
from tacit.privacy.types import GRID, Mode
from tacit.rounds.plan import Plan
from tacit.rounds.terms import Terms, work_out
from tacit.runtime import documents
from tacit.trainer import policy as rules
from tacit.wire.documents import parse
from tacit.wire.errors import DocumentError

BYTES_A_CELL = 8
SMALL_EPSILON = Fraction(1, 2)
FEW_FRAUD_UNITS = 300
"""Below both, the noise outweighs what so few frauds can teach (privacy: learning needs about this many)."""

TEMPLATE = resources.files("tacit.cli").joinpath("plan_template.yaml")
"""The commented plan; what a wish decides stands in braces."""


@dataclass(frozen=True)
class Wish:
    """What a new plan says differently from the defaults.

    Attributes:
        model: Name of the model.
        mode: Trust mode; None for the first that the epoch allows.
        epsilon: Of the whole run, as a decimal or `a/b`.
        delta: Of the whole run; None for the largest power of ten that is at most 1/(10 population) and 1e-5.
        population: Units over all banks.
        fraud_units: Expected units with a fraud.
        end: First day after the training rows; None for the latest whose labels are final.
        days: Days of training rows.
    """

    model: str = "card-fraud"
    mode: Mode | None = None
    epsilon: str = "1"
    delta: str | None = None
    population: int = 10_000
    fraud_units: int = 2000
    end: dt.date | None = None
    days: int = 90


@dataclass(frozen=True)
class StageCost:
    """Rounds of one kind.

    Attributes:
        kind: What their vectors hold.
        rounds: How many.
        cells: Length of a vector.
        clip: L2 bound of one unit's vector.
        sigma_clips: Standard deviation of one bank's noise, as a multiple of the bound.
        sigma_grid: The same in grid units of 2^-16.
        rho: zCDP of the rounds together.
    """

    kind: str
    rounds: int
    cells: int
    clip: str
    sigma_clips: float
    sigma_grid: float
    rho: float


@dataclass(frozen=True)
class BankView:
    """What one bank's policy and ledger say.

    Attributes:
        bank: Member id.
        objections: Refusal codes with reasons; empty when it would take part.
        runs_left: How many runs like this one its caps still cover, this one included.
        ledger: Whether what it has been charged already was known.
    """

    bank: str
    objections: tuple[str, ...]
    runs_left: int
    ledger: bool

    @property
    def takes_part(self) -> bool:
        """Whether it would join."""
        return not self.objections and self.runs_left > 0


@dataclass(frozen=True)
class Assessment:
    """What a plan costs at worst. Every figure follows from public documents, policies and the banks' own ledgers.

    Attributes:
        epsilon: Of the reserved budget, at most the plan's, for adding or removing one `unit`.
        delta: The plan's.
        unit: The unit in words.
        mode: Who adds the noise.
        rho: Reserved zCDP.
        rounds: Rounds, the quality round included.
        vector_bytes: Bytes of vectors that one bank sends.
        months: Calendar months that the whole cost is charged to.
        stages: Rounds by kind.
        persons: Number of banks that know a person to the epsilon that this person pays.
        warnings: What to think about before asking.
        banks: One entry per policy given.
    """

    epsilon: str
    delta: str
    unit: str
    mode: str
    rho: float
    rounds: int
    vector_bytes: int
    months: tuple[str, ...]
    stages: tuple[StageCost, ...]
    persons: Mapping[int, float]
    warnings: tuple[str, ...]
    banks: tuple[BankView, ...]


def new(wish: Wish, manifest: Manifest, contract: Contract, today: dt.date) -> str:
    """A commented plan with the defaults of the product.

    Raises:
        DocumentError: If a wish has the wrong form.
        PlanError: If it is out of range.
    """
    mode = wish.mode or manifest.modes[0]
    learner = LOCAL_LEARNER if mode is Mode.LOCAL else Learner()
    text = TEMPLATE.read_text(encoding="utf-8").format(
        federation=manifest.federation,
        manifest=canonical.label(manifest.digest),
        contract=canonical.label(contract.digest),
        not_after=today + dt.timedelta(days=30),
        model=wish.model,
        mode=mode,
        epsilon=wish.epsilon,
        delta=wish.delta or _delta(wish.population),
        population=wish.population,
        fraud_units=wish.fraud_units,
        end=wish.end or today - dt.timedelta(days=14),
        days=wish.days,
        paid_retries=0 if mode is Mode.LOCAL else 2,
        kappa=canonical.number(learner.kappa),
    )
    work_out(read(text.encode(), manifest, contract), contract, manifest)
    return text


def read(data: bytes, manifest: Manifest | None = None, contract: Contract | None = None) -> Plan:
    """A plan from YAML or JSON; what is left out is filled in: the nonce at random, digests from the documents.

    Raises:
        DocumentError: If the data is no plan.
        PlanError: If a value is out of range.
    """
    content = documents.read_yaml(data)
    content.setdefault("nonce", secrets.token_hex(32))
    if manifest is not None:
        content.setdefault("manifest", canonical.label(manifest.digest))
        content.setdefault("federation", manifest.federation)
    if contract is not None:
        content.setdefault("contract", canonical.label(contract.digest))
    return parse(Plan, content)


def load(path: Path, manifest: Manifest | None = None, contract: Contract | None = None) -> Plan:
    """A plan from a file, filled in as `read` does.

    Raises:
        DocumentError: If the file cannot be read or is no plan; the message begins with the path.
        PlanError: If a value is out of range.
    """
    try:
        return read(_bytes(path), manifest, contract)
    except DocumentError as error:
        raise DocumentError(f"{path}: {error}") from None
    except Exception as error:
        error.add_note(f"in {path}")
        raise


def keep_nonce(path: Path, *, fresh: bool = False) -> None:
    """Writes a nonce into a plan's file unless it has one; every other line stays.

    It is written before the plan is sent, so that sending the file again is the same run and never a second spend.

    Args:
        path: The plan, YAML or JSON.
        fresh: Replace the nonce that it has: a new run.

    Raises:
        DocumentError: If the file cannot be read, or would not read back with the nonce.
    """
    from tacit.cli.epochs import replace_file  # noqa: PLC0415  loads the cryptography; a check never writes

    data = _bytes(path)
    content = documents.read_yaml(data)
    if "nonce" in content and not fresh:
        return
    nonce = secrets.token_hex(32)
    text = data.decode()
    if path.suffix == ".json":
        text = json.dumps({**content, "nonce": nonce}, indent=2, default=str) + "\n"
    else:
        kept = re.sub(r"(?m)^nonce:.*\n?", "", text)
        text = f'{kept.rstrip()}\nnonce: "{nonce}"\n'
    if documents.read_yaml(text.encode()) != {**_texts(content, path), "nonce": nonce}:
        raise DocumentError(f'{path}: write the line `nonce: "{nonce}"` into it by hand, at its end')
    replace_file(path, text)


def assess(
    plan: Plan,
    contract: Contract,
    manifest: Manifest,
    policies: Sequence[Policy] = (),
    ledgers: Mapping[str, Mapping[str, Any]] | None = None,
    today: dt.date | None = None,
) -> Assessment:
    """Works out what a plan costs and what banks would say.

    Args:
        plan: The plan.
        contract: Its contract.
        manifest: Its epoch.
        policies: Policies of banks.
        ledgers: Account to what its trainer's ``GET /v1/ledger`` says.
        today: The banks' date; None for today in UTC.

    Raises:
        PlanError: If plan, contract and epoch do not fit.
        UnaffordableError: If the noise that the plan needs cannot be had.
        PrivacyError: If delta is above 1/population.
    """
    terms = work_out(plan, contract, manifest)
    day = today or dt.datetime.now(dt.UTC).date()
    warnings = [*calibration.check_delta(plan.delta, plan.population), *_warnings(plan)]
    held = ledgers or {}
    return Assessment(
        epsilon=terms.epsilon,
        delta=str(canonical.number(plan.delta)),
        unit=terms.unit_text,
        mode=str(plan.mode),
        rho=terms.budget.reserved_rho_nano / 10**9,
        rounds=len(terms.stages),
        vector_bytes=sum(stage.cells for stage in terms.stages) * BYTES_A_CELL,
        months=rules.buckets(terms),
        stages=tuple(_stages(terms)),
        persons=_persons(terms),
        warnings=tuple(warnings),
        banks=tuple(_bank(terms, manifest, policy, held.get(policy.account), day) for policy in policies),
    )


def render(found: Assessment) -> str:
    """An assessment for people."""
    low, high = found.months[0], found.months[-1]
    span = low if low == high else f"{low} to {high}"
    lines = [
        f"epsilon    {found.epsilon} at worst, at delta {found.delta}; zCDP rho {found.rho:.6g}",
        f"unit       {found.unit} (adding or removing one)",
        f"mode       {found.mode}",
        f"rounds     {found.rounds}; {found.vector_bytes:,} bytes of vectors a bank",
        f"charged    in full to each of {len(found.months)} months: {span}",
        *(f"person     known to {count} bank(s): epsilon {words(value)}" for count, value in found.persons.items()),
        "",
        f"{'stage':<16}{'rounds':>7}{'cells':>7}{'clip':>8}{'sigma / clip':>14}{'sigma (grid)':>14}{'rho':>12}",
        *(
            f"{item.kind:<16}{item.rounds:>7}{item.cells:>7}{item.clip:>8}{item.sigma_clips:>14.3f}"
            f"{item.sigma_grid:>14,.0f}{item.rho:>12.6f}"
            for item in found.stages
        ),
        "(noise of one bank; grid units are 2^-16)",
        *(f"WARNING: {warning}" for warning in found.warnings),
        *(line for bank in found.banks for line in _bank_lines(bank)),
    ]
    return "\n".join(lines)


def runs_left(policy: Policy, months: Sequence[str], rho_nano: int, ledger: Mapping[str, Any] | None) -> int:
    """How many runs that charge `rho_nano` to these months both caps of a policy still cover, 0 or more."""
    charged = {bucket["name"]: int(bucket["charged_nano"]) for bucket in ledger["buckets"]} if ledger else {}
    lifetime = int(ledger["lifetime"]["charged_nano"]) if ledger else 0
    everywhere = charged.get(EVERY, 0)
    cap = accounting.cap_nano(policy.bucket_cap.epsilon, policy.bucket_cap.delta)
    rooms = [cap - charged.get(month, everywhere) for month in months]
    rooms.append(accounting.cap_nano(policy.lifetime_cap.epsilon, policy.lifetime_cap.delta) - lifetime)
    return max(0, min(rooms) // rho_nano)


def _bytes(path: Path) -> bytes:
    if path.suffix not in {".json", ".yaml", ".yml"}:
        raise DocumentError(f"{path}: suffix {path.suffix!r}: expected .json, .yaml or .yml")
    try:
        return path.read_bytes()
    except OSError as error:
        raise DocumentError(f"{path}: cannot be read: {error.strerror}") from None


def _texts(content: dict[str, object], path: Path) -> dict[str, object]:
    """The content as it reads back: JSON has no dates, only their text."""
    if path.suffix != ".json":
        return content
    again: dict[str, object] = json.loads(json.dumps(content, default=str))
    return again


def _delta(population: int) -> str:
    # A policy that says nothing allows 1e-5 at most.
    digits = max(5, len(str(max(population, 1) * 10 - 1)))
    return f"0.{'0' * (digits - 1)}1"


def _warnings(plan: Plan) -> Iterator[str]:
    units = plan.learner.expected_fraud_units
    if plan.epsilon < SMALL_EPSILON and units < FEW_FRAUD_UNITS:
        epsilon = canonical.number(plan.epsilon)
        yield (
            f"epsilon {epsilon} with {units} expected units with a fraud: below epsilon {float(SMALL_EPSILON)} and "
            f"{FEW_FRAUD_UNITS} units the noise outweighs what can be learnt; add banks or days, or raise epsilon"
        )


def _stages(terms: Terms) -> Iterator[StageCost]:
    rounds = zip(terms.stages, terms.budget.noises, strict=True)
    for stage, group in groupby(rounds, key=lambda pair: pair[0]):
        noises = [noise for _, noise in group]
        sigma = math.sqrt(noises[0].variance)
        yield StageCost(
            kind=stage.kind.value,
            rounds=len(noises),
            cells=stage.cells,
            clip=str(canonical.number(stage.clip)),
            sigma_clips=sigma / float(GRID * stage.clip),
            sigma_grid=sigma,
            rho=sum(noise.rho_nano for noise in noises) / 10**9,
        )


def _persons(terms: Terms) -> dict[int, float]:
    """A person known to j of at most k banks pays rho (j/k)^2 (protocol 7)."""
    k, rho = terms.banks_per_person, terms.budget.reserved_rho_nano
    counts = sorted({count for count in (1, 2, k) if count <= k})
    return {count: accounting.epsilon(-(-rho * count**2 // k**2), terms.plan.delta) for count in counts}


def _bank(
    terms: Terms, manifest: Manifest, policy: Policy, ledger: Mapping[str, Any] | None, today: dt.date
) -> BankView:
    found = rules.objections(terms, manifest, policy, today)
    left = runs_left(policy, rules.buckets(terms), terms.budget.reserved_rho_nano, ledger)
    return BankView(policy.bank, tuple(f"{item.code.name}: {item.reason}" for item in found), left, ledger is not None)


def _bank_lines(bank: BankView) -> list[str]:
    basis = "after what its ledger was charged" if bank.ledger else "if its ledger is empty (--ledger URL asks)"
    answer = "takes part" if bank.takes_part else "does not take part"
    left = f"{bank.bank}: {answer}; {bank.runs_left} runs like this one left, {basis}"
    return ["", left, *(f"  {objection}" for objection in bank.objections)]
