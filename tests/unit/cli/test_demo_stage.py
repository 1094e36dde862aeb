"""What a demo prepares on a tiny world: folder, epoch, policies, plan; its baselines and the thread they run in."""

import datetime as dt
import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from tacit import canonical
from tacit.cli import demo_stage as subject
from tacit.cli.demo_data import Source
from tacit.cli.demo_stage import Background, Stage, Wish
from tacit.cli.layout import LayoutError
from tacit.federation import Manifest, Policy
from tacit.learning.course import LOCAL_LEARNER
from tacit.privacy.types import Mode, Unit
from tacit.rounds.plan import Plan, Promote
from tacit.runtime import documents
from tacit.sim import transactions
from tacit.sim.transactions import MAPPING, BankPlan, FraudRates, World

DAYS = 76
WORLD = World(
    3,
    (BankPlan("one", 40), BankPlan("two", 25)),
    days=DAYS,
    terminals=60,
    fraud=FraudRates(large=0.02, account=0.005, testing=0.0),
)


def wish(folder: Path, **changes: Any) -> Wish:  # noqa: ANN401
    """What the command line asked for."""
    asked = Wish(None, None, kafka=False, epsilon=Fraction(2), mode=Mode.LOCAL, seed=3, folder=folder)
    return replace(asked, **changes)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """A tiny federation, laid out once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transactions, "default_demo_world", lambda seed: replace(WORLD, seed=seed))
        return subject.prepare(wish(tmp_path_factory.mktemp("stage") / "run"))


def test_everything_lies_in_the_folder(stage: Stage) -> None:
    """Data, keys, epoch, contract, policies and the plan; settings come later."""
    folder = stage.folder
    assert stage.banks == ["one", "two"] == folder.banks
    assert documents.load(Manifest, folder.manifest) == stage.manifest
    assert documents.load(Plan, folder.plan) == stage.terms.plan
    assert documents.load(Policy, folder.bank("two") / "policy.json").bank == "two"
    assert folder.path.is_absolute()


def test_rows_are_those_of_the_seed(stage: Stage) -> None:
    """Every generated row of every bank is there."""
    world = transactions.generate(WORLD)
    assert {bank: frame.height for bank, frame in stage.frames.items()} == {
        bank: frame.height for bank, frame in world.items()
    }
    assert (stage.zone, stage.feeds) == ("UTC", {})


def test_the_plan_is_the_default_one(stage: Stage) -> None:
    """Learner and shares of mode local, the window that the data allow, promoted at once."""
    plan = stage.terms.plan
    assert (plan.epsilon, plan.mode, plan.unit, plan.promote) == (Fraction(2), Mode.LOCAL, Unit.CUSTOMER, Promote.AUTO)
    assert plan.learner == LOCAL_LEARNER
    assert plan.window == stage.dates.window
    assert plan.manifest == canonical.label(stage.manifest.digest)
    assert plan.contract == canonical.label(stage.terms.contract.digest)
    assert plan.population == 70


def test_shares_are_all_of_the_budget(stage: Stage) -> None:
    """Nothing of epsilon is left unspent, nothing is spent twice."""
    shares = stage.terms.plan.shares
    assert shares.preconditioner + shares.gradients + shares.trees + shares.quality == 1


def test_the_banks_would_take_part(stage: Stage) -> None:
    """A demo's own policies hold nothing against its plan, but for the days of its labels being over."""
    policy = documents.load(Policy, stage.folder.bank("one") / "policy.json")
    plan = stage.terms.plan
    assert policy.bucket_cap.epsilon >= plan.epsilon
    assert plan.delta <= policy.largest_delta
    assert policy.allow_mixing_features is stage.terms.contract.mixing
    assert plan.not_after >= dt.datetime.now(dt.UTC).date()


@pytest.mark.parametrize(
    ("population", "delta"), [(100, Fraction(1, 10**5)), (100_000, Fraction(1, 10**5)), (10**6, Fraction(1, 10**6))]
)
def test_delta_never_exceeds_one_over_the_population(stage: Stage, population: int, delta: Fraction) -> None:
    """And is 1e-5 where that is smaller."""
    asked = wish(stage.folder.path)
    plan = subject.make_plan(asked, stage.manifest, stage.terms.contract, stage.dates, population)
    assert plan.delta == delta
    assert plan.delta * plan.population <= 1


def test_every_plan_is_a_run_of_its_own(stage: Stage) -> None:
    """Two demos on the same documents never share a run id."""
    asked = wish(stage.folder.path)
    first, second = (subject.make_plan(asked, stage.manifest, stage.terms.contract, stage.dates, 100) for _ in range(2))
    assert first.nonce != second.nonce
    assert replace(first, nonce=second.nonce) == second


@pytest.mark.parametrize("name", ["old.txt", ".hidden"])
def test_a_folder_with_anything_in_it_is_refused(tmp_path: Path, name: str) -> None:
    """And left as it is."""
    (tmp_path / name).touch()
    with pytest.raises(LayoutError, match="is not empty: choose another folder with --out"):
        subject.prepare(wish(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_too_few_days_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any key is made."""
    monkeypatch.setattr(transactions, "default_demo_world", lambda seed: replace(WORLD, seed=seed, days=40))
    with pytest.raises(LayoutError, match="a demo needs at least"):
        subject.prepare(wish(tmp_path / "run"))
    assert not (tmp_path / "run" / "keys").exists()


def test_a_table_is_split_over_its_banks(tmp_path: Path) -> None:
    """Real input takes the generator's place, by its mapping and its file of customers."""
    rows = pl.concat(transactions.generate(WORLD).values()).with_columns(
        transaction_id=pl.int_range(pl.len(), dtype=pl.Int64)
    )
    rows.write_parquet(tmp_path / "all.parquet")
    owners = rows.select("customer_id").unique().with_columns(BANK=pl.col("customer_id") % 3)
    owners.write_parquet(tmp_path / "customers.parquet")
    (tmp_path / "mapping.yaml").write_text(yaml.safe_dump(dict(MAPPING)), encoding="utf-8")
    source = Source(tmp_path / "all.parquet", tmp_path / "mapping.yaml", f"{tmp_path / 'customers.parquet'}:BANK")
    found = subject.prepare(wish(tmp_path / "run", source=source))
    assert found.banks == ["bank-0", "bank-1", "bank-2"]
    assert sum(frame.height for frame in found.frames.values()) == rows.height


def test_the_feed_contract_takes_terminal_columns_from_the_feed() -> None:
    """Under the name that trainers get the file by; all other columns are the same ones."""
    plain, fed = subject.card_contract(), subject.card_contract(feed=True)
    assert not any(column.feed for column in plain.columns)
    assert {column.feed for column in fed.columns if column.feed} == {subject.FEED}
    own = [column for column in fed.columns if not column.feed]
    assert own == [column for column in plain.columns if column in own]
    assert [column.name for column in plain.columns] == [column.name for column in fed.columns]


def test_baselines_score_every_test_row(stage: Stage) -> None:
    """Each bank alone and the pooled centre, on the same rows of the last week."""
    found = subject.compare(stage)
    first, last = stage.dates.test_seconds(stage.zone)
    assert set(found.margins) == {"alone", "pooled"}
    for bank in stage.banks:
        test = found.rows[bank].test
        assert test.labels.size > 0
        assert first // 86_400 <= test.days.min()
        assert test.days.max() < last // 86_400
        for margins in found.margins.values():
            assert margins[bank].shape == test.labels.shape
    assert not np.allclose(found.margins["alone"]["one"], found.margins["pooled"]["one"])


def test_work_in_the_background_gives_its_result() -> None:
    """As often as it is asked for; in a thread of its own."""
    work = Background(threading.current_thread)
    first = work.result()
    assert first is not threading.current_thread()
    assert first is work.result()
    assert first.daemon


def test_work_begins_before_it_is_asked_for() -> None:
    """And an answer of nothing is an answer."""
    begun = threading.Event()
    work = Background(begun.set)
    assert begun.wait(10)
    assert work.result() is None


@pytest.mark.parametrize("error", [ValueError("no rows"), KeyboardInterrupt(), SystemExit(3)])
def test_an_error_in_the_background_is_raised_where_it_is_asked_for(error: BaseException) -> None:
    """The very same one, each time."""

    def fail() -> None:
        raise error

    work = Background(fail)
    for _ in range(2):
        with pytest.raises(type(error)) as told:
            work.result()
        assert told.value is error
