"""The transaction generator: generic properties over ten seeds, none of them a model result."""

import dataclasses
import datetime as dt
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tacit.adapters.rows import RowMapping, load
from tacit.sim.transactions import (
    FILE,
    MAPPING,
    MAPPING_FILE,
    BankPlan,
    Drift,
    FraudKind,
    FraudRates,
    Habits,
    World,
    WorldError,
    default_demo_world,
    generate,
    write,
)
from tacit.sim.transactions.merchants import CATEGORIES, ONLINE, Terminals, draw_terminals, growth
from tacit.sim.transactions.visits import MAX_CENTS, MIN_CENTS, draw_customers, to_cents

SEEDS = range(10)
DAY_US = 86_400 * 1_000_000
NORTH = BankPlan("north", 900, mean_amount=30.0, fraud_tilt=1.5, centre=(30.0, 70.0), reach=12.0)
SOUTH = BankPlan("south", 500, mean_amount=60.0, fraud_tilt=0.7, centre=(70.0, 30.0), reach=12.0)
NATION = BankPlan("nation", 600, mean_amount=90.0, reach=60.0)


def small(seed: int = 0, **changes: Any) -> World:  # noqa: ANN401  fields of World
    """A world of three banks that simulates in a fraction of a second."""
    defaults: dict[str, Any] = {"seed": seed, "banks": (NORTH, SOUTH, NATION), "days": 90, "terminals": 2_000}
    return World(**(defaults | changes))


@cache
def rows(seed: int) -> pl.DataFrame:
    """All rows of the small world, with bank and kind."""
    frames = generate(small(seed), kinds=True)
    return pl.concat([frame.with_columns(bank=pl.lit(name)) for name, frame in frames.items()])


@pytest.fixture(params=SEEDS)
def data(request: pytest.FixtureRequest) -> pl.DataFrame:
    """The small world's rows, for each of ten seeds."""
    return rows(request.param)


def single(data: pl.DataFrame, value: pl.Expr) -> float:
    """One number computed over a frame."""
    return float(data.select(value).item())


def one_kind(**changes: float) -> World:
    """A world where every kind of fraud is off but those given."""
    off: dict[str, Any] = {"large": 0.0, "terminal": 0.0, "account": 0.0, "testing": 0.0}
    return small(3, fraud=FraudRates(**(off | changes)))


def frauds_of(world: World) -> pl.DataFrame:
    """The fraudulent rows of a world."""
    return pl.concat(generate(world, kinds=True).values()).filter(fraud=1)


def test_columns_and_types() -> None:
    """The frame has the promised columns in order, with the promised types, and no kind unless asked."""
    utc = pl.Datetime("us", "UTC")
    assert generate(small())["north"].schema == {
        "transaction_id": pl.Int64,
        "customer_id": pl.Int64,
        "terminal_id": pl.Int64,
        "time": utc,
        "amount": pl.Float64,
        "fraud": pl.UInt8,
        "label_time": utc,
    }


def test_identifiers_are_unique(data: pl.DataFrame) -> None:
    """A transaction identifier appears once over all banks."""
    assert data["transaction_id"].n_unique() == data.height


def test_a_customer_is_in_one_bank(data: pl.DataFrame) -> None:
    """No customer identifier appears in two banks, and most customers have bought something."""
    banks = data.group_by("customer_id").agg(pl.col("bank").n_unique())
    assert banks["bank"].max() == 1
    assert 1_800 < banks.height <= 2_000


def test_terminals_are_shared(data: pl.DataFrame) -> None:
    """Customers of several banks meet at the same terminals."""
    banks = data.group_by("terminal_id").agg(pl.col("bank").n_unique())
    assert single(banks, (pl.col("bank") == 3).mean()) > 0.3
    assert data["terminal_id"].is_between(1, 2_000).all()


def test_regional_banks_have_their_own_terminals(data: pl.DataFrame) -> None:
    """Two regional banks far apart share fewer visits to a terminal than a bank shares with itself."""
    visits = data.group_by("terminal_id", "bank").len().pivot("bank", index="terminal_id", values="len").fill_null(0)
    assert np.corrcoef(visits["north"], visits["south"])[0, 1] < 0.3


def test_sorted_by_time_within_the_world(data: pl.DataFrame) -> None:
    """Rows of a bank rise in time and identifier and lie within the world's days."""
    for frame in data.partition_by("bank"):
        assert frame["time"].is_sorted()
        assert frame["transaction_id"].is_sorted()
    begin = dt.datetime(2018, 1, 1, tzinfo=dt.UTC)
    assert data["time"].is_between(begin, begin + dt.timedelta(days=90), closed="left").all()
    assert (data["time"].dt.timestamp("us") % 1_000_000 == 0).all()


def test_amounts_are_positive_with_two_decimals(data: pl.DataFrame) -> None:
    """An amount is a whole number of cents inside the limits."""
    amount = data["amount"].to_numpy()
    cents = np.rint(amount * 100)
    assert np.array_equal(amount, cents / 100)
    assert cents.min() >= MIN_CENTS
    assert cents.max() <= MAX_CENTS


def test_label_times(data: pl.DataFrame) -> None:
    """Fraud is known after one to seven days, a genuine row when the label delay has passed."""
    delay = data.select("fraud", delay=(pl.col("label_time") - pl.col("time")).dt.total_microseconds())
    fraud = delay.filter(fraud=1)["delay"]
    assert fraud.is_between(DAY_US, 7 * DAY_US).all()
    assert 2.5 * DAY_US < single(fraud.to_frame(), pl.col("delay").mean()) < 4.5 * DAY_US
    assert (delay.filter(fraud=0)["delay"] == 7 * DAY_US).all()


def test_rates(data: pl.DataFrame) -> None:
    """Volume and fraud rate are of the planned order."""
    assert 0.75 < data.height / (2_000 * 90) < 1.05
    assert 0.004 < single(data, pl.col("fraud").mean()) < 0.015


def test_every_kind_of_fraud_occurs(data: pl.DataFrame) -> None:
    """All four kinds occur, and the label is exactly 'some kind'."""
    assert set(data["fraud_kind"].unique()) == set(FraudKind)
    assert ((data["fraud_kind"] != FraudKind.NONE) == (data["fraud"] == 1)).all()


def test_kinds_look_as_described(data: pl.DataFrame) -> None:
    """Large frauds are large, testing amounts small and at night, account fraud above the bank's usual amounts."""
    median = dict(data.group_by("fraud_kind").agg(pl.col("amount").median()).iter_rows())
    assert median[FraudKind.LARGE] > 200
    assert median[FraudKind.ACCOUNT] > 2.5 * median[FraudKind.NONE]
    assert median[FraudKind.TERMINAL] < 2 * median[FraudKind.NONE]
    testing = data.filter(fraud_kind=FraudKind.TESTING)
    assert testing["amount"].is_between(0.5, 5.0).all()
    assert (testing["time"].dt.hour() <= 6).all()


def test_banks_differ(data: pl.DataFrame) -> None:
    """Amounts follow each bank's plan, and fraud aimed at cards its tilt."""
    aimed = pl.col("fraud_kind").is_in([FraudKind.LARGE, FraudKind.ACCOUNT, FraudKind.TESTING]).mean()
    by_bank = {row["bank"]: row for row in data.group_by("bank").agg(pl.col("amount").median(), aimed).to_dicts()}
    assert by_bank["north"]["amount"] < by_bank["south"]["amount"] < by_bank["nation"]["amount"]
    assert by_bank["north"]["fraud_kind"] > by_bank["south"]["fraud_kind"]


def test_daily_and_weekly_habits(data: pl.DataFrame) -> None:
    """People buy by day, more on Saturdays than on Sundays, and a few by night."""
    genuine = data.filter(fraud=0)
    night = single(genuine, (pl.col("time").dt.hour() <= 6).mean())
    assert 0.02 < night < 0.12
    weekdays = dict(genuine.group_by(pl.col("time").dt.weekday()).len().iter_rows())
    assert weekdays[6] > 1.1 * weekdays[7]


def test_same_world_same_bytes() -> None:
    """Equal worlds give equal frames."""
    first, second = generate(small(5)), generate(small(5))
    assert all(first[name].equals(second[name]) for name in first)


def test_other_seed_other_data() -> None:
    """Another seed gives other rows."""
    assert not generate(small(5))["north"].equals(generate(small(6))["north"])


def test_a_bank_does_not_depend_on_the_others() -> None:
    """Another bank's size, habits or absence leave a bank's rows as they are."""
    alone = generate(small(5, banks=(NORTH,)))["north"]
    larger = dataclasses.replace(SOUTH, customers=50, mean_amount=10.0)
    assert alone.equals(generate(small(5, banks=(NORTH, larger)))["north"])


def test_place_changes_identifiers_only() -> None:
    """A bank in another place keeps everything but its transaction and customer identifiers."""
    first = generate(small(5, banks=(NORTH, SOUTH)))["south"]
    second = generate(small(5, banks=(SOUTH,)))["south"]
    assert first.drop("transaction_id", "customer_id").equals(second.drop("transaction_id", "customer_id"))
    assert (first["transaction_id"] - second["transaction_id"]).unique().to_list() == [10**12]
    assert (first["customer_id"] - second["customer_id"]).unique().to_list() == [10**7]


@pytest.mark.parametrize(
    ("rate", "kind"),
    [
        ("large", FraudKind.LARGE),
        ("terminal", FraudKind.TERMINAL),
        ("account", FraudKind.ACCOUNT),
        ("testing", FraudKind.TESTING),
    ],
)
def test_each_rate_drives_its_kind(rate: str, kind: FraudKind) -> None:
    """With every other rate at 0 only one kind of fraud is left."""
    assert frauds_of(one_kind(**{rate: 0.002}))["fraud_kind"].unique().to_list() == [kind]


def test_no_rate_no_fraud() -> None:
    """With all rates at 0 there is no fraud."""
    assert frauds_of(one_kind()).is_empty()


def test_account_fraud_is_relative_to_the_customer() -> None:
    """Account fraud is measured by the customer's own amounts, in every bank."""
    frames = generate(one_kind(account=0.002), kinds=True)
    for frame in frames.values():
        means = frame.group_by("customer_id").agg(usual=pl.col("amount").filter(pl.col("fraud") == 0).mean())
        joined = frame.filter(fraud=1).join(means, on="customer_id")
        assert 2.0 < single(joined, (pl.col("amount") / pl.col("usual")).median()) < 8.0


def test_account_fraud_lasts_two_weeks() -> None:
    """A single takeover's transactions lie within fourteen days."""
    frauds = frauds_of(one_kind(account=0.0001))
    span = frauds.group_by("customer_id").agg(days=(pl.col("time").max() - pl.col("time").min()).dt.total_days())
    assert single(span, pl.col("days").median()) <= 14
    assert frauds.height > 2 * span.height


def test_terminal_fraud_strikes_several_banks() -> None:
    """A compromised terminal hits customers of more than one bank, for at most 28 days at a time."""
    world = one_kind(terminal=0.0005)
    frames = generate(world, kinds=True)
    hit = pl.concat([frame.filter(fraud=1).with_columns(bank=pl.lit(name)) for name, frame in frames.items()])
    assert (hit.group_by("terminal_id").agg(pl.col("bank").n_unique())["bank"] > 1).any()
    visits = pl.concat(frames.values()).filter(pl.col("terminal_id").is_in(hit["terminal_id"].unique().to_list()))
    assert single(visits, pl.col("fraud").mean()) < 0.6


def test_testing_bursts_are_short() -> None:
    """A burst is four to ten transactions at one terminal within a few hours."""
    bursts = frauds_of(one_kind(testing=0.0001)).group_by("customer_id", pl.col("time").dt.date())
    shape = bursts.agg(pl.len(), pl.col("terminal_id").n_unique(), hours=(pl.col("time").max() - pl.col("time").min()))
    bursts_alone = shape.filter(pl.col("terminal_id") == 1)
    assert bursts_alone["len"].is_between(4, 10).all()
    assert bursts_alone.select(pl.col("hours").max()).item() < dt.timedelta(hours=4)
    assert bursts_alone.height >= 0.9 * shape.height


def test_tilt_of_zero_spares_a_bank() -> None:
    """With tilt 0 only terminal fraud reaches a bank's customers."""
    bank = dataclasses.replace(NORTH, fraud_tilt=0.0)
    kinds = generate(small(2, banks=(bank,)), kinds=True)["north"].filter(fraud=1)["fraud_kind"]
    assert kinds.unique().to_list() == [FraudKind.TERMINAL]


def mean_by_half(world: World, value: pl.Expr) -> tuple[float, float]:
    """A mean over the first and over the second half of a world's days."""
    data = pl.concat(generate(world, kinds=True).values()).sort("time")
    middle = dt.datetime.combine(world.start, dt.time(), dt.UTC) + dt.timedelta(days=world.days / 2)
    first, second = data.filter(pl.col("time") < middle), data.filter(pl.col("time") >= middle)
    return first.select(value.mean()).item(), second.select(value.mean()).item()


@pytest.mark.parametrize("seed", SEEDS)
def test_fraud_mix_drifts(seed: int) -> None:
    """With a strong drift card testing grows and large-amount fraud fades."""
    often = FraudRates(large=0.01, testing=0.01)
    world = small(seed, drift=Drift(large=-0.85, testing=8.0), fraud=often, days=120)
    frauds = pl.col("fraud_kind").cast(pl.Int8)
    first, second = mean_by_half(world, frauds == FraudKind.TESTING)
    assert second > 1.15 * first
    first, second = mean_by_half(world, frauds == FraudKind.LARGE)
    assert second < 0.9 * first


def test_amounts_and_rates_drift() -> None:
    """Prices and volumes follow their yearly growth."""
    drift = Drift(amount=3.0, rate=1.0)
    flat = small(4, drift=Drift(amount=0.0, rate=0.0), days=126)
    grown = small(4, drift=drift, days=126)
    first, second = mean_by_half(grown, pl.col("amount").clip(0, 200))
    assert second > 1.1 * first
    ratio = sum(f.height for f in generate(grown).values()) / sum(f.height for f in generate(flat).values())
    assert ratio == pytest.approx(growth(1.0, np.arange(126)).mean(), rel=0.03)


def test_default_drift_is_slow() -> None:
    """In the default world prices change by less than a tenth between the halves."""
    first, second = mean_by_half(small(1), pl.col("amount").clip(0, 200))
    assert second == pytest.approx(first, rel=0.1)


def test_growth_compounds() -> None:
    """A year's growth is the yearly share, and two years' its square."""
    assert growth(0.5, np.array([0.0, 365.25, 730.5])) == pytest.approx([1.0, 1.5, 2.25])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.0, 1e6), min_size=1, max_size=20))
def test_cents_are_rounded_and_limited(amounts: list[float]) -> None:
    """Cents are within half a cent of the amount, save at the limits."""
    cents = to_cents(np.array(amounts))
    inside = np.clip(np.array(amounts) * 100, MIN_CENTS, MAX_CENTS)
    assert np.all(np.abs(cents - inside) <= 0.5 + 1e-6)


@pytest.fixture
def terminals() -> Terminals:
    """Terminals of the small world."""
    return draw_terminals(small())


def test_terminal_identifiers_and_categories(terminals: Terminals) -> None:
    """Identifiers are 1 to the number of terminals, each once; every category occurs about as often as planned."""
    assert np.array_equal(np.sort(terminals.ids), np.arange(1, 2_001))
    shares = np.bincount(terminals.category, minlength=len(CATEGORIES)) / 2_000
    assert shares == pytest.approx([share for _, share, _ in CATEGORIES], abs=0.04)


def test_near_stays_in_the_cell(terminals: Terminals) -> None:
    """A pick near a point is a terminal of the point's cell, also at the edges of the draw."""
    points = np.random.default_rng(0).uniform(0.0, 100.0, (2, 500))
    side = terminals.cells_a_side
    cell = (points[1] * side / 100).astype(int) * side + (points[0] * side / 100).astype(int)
    for draw in (0.0, 0.5, np.nextafter(1.0, 0.0)):
        picked = terminals.near(points[0], points[1], np.full(500, draw))
        filled = terminals.starts[cell] < terminals.starts[cell + 1]
        assert np.all(picked[filled] >= terminals.starts[cell][filled])
        assert np.all(picked[filled] < terminals.starts[cell + 1][filled])


def test_near_falls_back_where_a_cell_is_empty() -> None:
    """A point in an empty cell is served by the whole world."""
    few = dataclasses.replace(draw_terminals(small(terminals=2)), starts=np.array([0, 0, 2, 2, 2]), cells_a_side=2)
    picked = few.near(np.full(100, 1.0), np.full(100, 1.0), np.linspace(0.0, 0.999, 100))
    assert set(picked.tolist()) == {0, 1}


def test_popular_terminals_are_visited_more(terminals: Terminals) -> None:
    """Picks follow popularity."""
    picked = terminals.anywhere(np.random.default_rng(1).random(200_000))
    assert np.corrcoef(np.bincount(picked, minlength=2_000), np.diff(terminals.cumulative))[0, 1] > 0.95


def test_among_keeps_to_the_categories(terminals: Terminals) -> None:
    """Picks among categories have such a category; without any such terminal all are open."""
    draws = np.linspace(0.0, 0.999_999, 1_000)
    assert set(terminals.category[terminals.among(ONLINE, draws)]) == set(ONLINE)
    groceries = dataclasses.replace(terminals, category=np.zeros(2_000, np.uint8))
    assert np.array_equal(groceries.among(ONLINE, draws), groceries.anywhere(draws))


def test_compromises_are_steady_from_the_first_day() -> None:
    """About rate x mean duration of the terminals are compromised on any day, the first one included."""
    world = small(terminals=40_000, drift=Drift(terminal=0.0))
    share = draw_terminals(world).compromised.mean(axis=0)
    assert share[0] == pytest.approx(0.00034 * 21, rel=0.3)
    assert share.mean() == pytest.approx(0.00034 * 21, rel=0.2)


def test_customers_follow_the_plan() -> None:
    """Mean rate and median amount of a large bank are those of its plan."""
    bank = BankPlan("large", 20_000, mean_amount=70.0, daily_rate=1.5)
    world = small(banks=(bank,))
    customers = draw_customers(world, bank, draw_terminals(world))
    assert customers.count == 20_000
    assert customers.rate.mean() == pytest.approx(1.5, rel=0.03)
    assert np.median(customers.mean_amount) == pytest.approx(70.0, rel=0.03)
    assert customers.regulars.shape == (20_000, 20)


def test_a_world_of_one_of_everything() -> None:
    """The smallest world works; no purchase is no error."""
    world = World(1, (BankPlan("tiny", 1, daily_rate=0.01),), days=1, terminals=1)
    assert generate(world)["tiny"].height <= 2


def test_default_demo_world() -> None:
    """The demo has the five banks and the 37 + 90 + 7 + 7 days."""
    world = default_demo_world(7)
    assert (world.seed, world.days, world.terminals) == (7, 141, 10_000)
    assert [bank.customers for bank in world.banks] == [4_000, 2_500, 1_500, 1_200, 800]
    assert world.start == dt.date(2018, 1, 1)


def test_demo_volume_and_fraud_customers() -> None:
    """The demo has about 1.2 million rows, 0.6 to 1 % fraud and 2,000 customers with fraud in its training days."""
    data = pl.concat(generate(default_demo_world(0)).values())
    assert 1_150_000 < data.height < 1_350_000
    assert 0.006 < single(data, pl.col("fraud").mean()) < 0.010
    begin = dt.datetime(2018, 2, 7, tzinfo=dt.UTC)
    training = data.filter(pl.col("time").is_between(begin, begin + dt.timedelta(days=90), closed="left"))
    assert training.filter(fraud=1)["customer_id"].n_unique() >= 2_000


def test_written_files(tmp_path: Path) -> None:
    """Each bank gets its rows and a mapping that names columns which are there."""
    world = small(2, days=10)
    folders = write(world, tmp_path)
    assert set(folders) == {"north", "south", "nation"}
    for name, frame in generate(world).items():
        assert folders[name] == tmp_path / name
        assert pl.read_parquet(tmp_path / name / FILE).equals(frame)
        mapping = yaml.safe_load((tmp_path / name / MAPPING_FILE).read_text())
        assert mapping == dict(MAPPING)
        assert {value for key, value in mapping.items() if key not in {"api", "currency", "zone"}} == set(frame.columns)


def test_written_files_are_read_as_rows(tmp_path: Path) -> None:
    """The reader of a bank's rows takes the folder with its mapping as it is, every row, to the cent."""
    folder = write(small(2, days=10), tmp_path)["north"]
    mapping = RowMapping(**yaml.safe_load((folder / MAPPING_FILE).read_text()))
    read, written = load(str(folder / "data"), mapping), pl.read_parquet(folder / FILE)
    assert read.height == written.height
    assert read["label"].sum() == written["fraud"].sum()
    assert read["amount"].sum() == int(np.rint(written["amount"].to_numpy() * 100).sum())


def test_writing_twice_gives_the_same_files(tmp_path: Path) -> None:
    """A second run replaces the files by equal ones."""
    world = small(2, days=5, banks=(NORTH,))
    target = write(world, tmp_path)["north"] / FILE
    before = target.read_bytes()
    write(world, tmp_path)
    assert target.read_bytes() == before


INVALID: list[tuple[Callable[[], object], str]] = [
    (lambda: BankPlan("Bad Name", 1), r"BankPlan.name .* got 'Bad Name'"),
    (lambda: BankPlan("../up", 1), r"BankPlan.name"),
    (lambda: BankPlan("a", 0), r"1 <= BankPlan.customers <= 5000000, got 0"),
    (lambda: BankPlan("a", customers=True), r"BankPlan.customers to be a whole number, got True"),
    (lambda: BankPlan("a", 1.5), r"BankPlan.customers to be a whole number"),  # type: ignore[arg-type]
    (lambda: BankPlan("a", 1, mean_amount=0.0), r"BankPlan.mean_amount .* got 0.0"),
    (lambda: BankPlan("a", 1, mean_amount=float("nan")), r"BankPlan.mean_amount .* got nan"),
    (lambda: BankPlan("a", 1, daily_rate=21.0), r"0.01 <= BankPlan.daily_rate <= 20.0, got 21.0"),
    (lambda: BankPlan("a", 1, fraud_tilt=-1.0), r"BankPlan.fraud_tilt"),
    (lambda: BankPlan("a", 1, fraud_tilt="x"), r"fraud_tilt to be a number, got 'x'"),  # type: ignore[arg-type]
    (lambda: BankPlan("a", 1, centre=(0.0, 101.0)), r"BankPlan.centre .* got 101.0"),
    (lambda: BankPlan("a", 1, centre=(1.0,)), r"BankPlan.centre to be a pair"),  # type: ignore[arg-type]
    (lambda: BankPlan("a", 1, reach=0.0), r"BankPlan.reach"),
    (lambda: Habits(elsewhere=1.1), r"0.0 <= Habits.elsewhere <= 1.0, got 1.1"),
    (lambda: Habits(regulars=0), r"1 <= Habits.regulars <= 200, got 0"),
    (lambda: Habits(regulars=2.5), r"Habits.regulars to be a whole number"),  # type: ignore[arg-type]
    (lambda: Habits(big_factor=(5.0, 4.0)), r"Habits.big_factor .* low <= high, got \(5.0, 4.0\)"),
    (lambda: FraudRates(large=0.2), r"0.0 <= FraudRates.large <= 0.1, got 0.2"),
    (lambda: FraudRates(terminal_days=(1.5, 3)), r"terminal_days to be a whole number"),  # type: ignore[arg-type]
    (lambda: FraudRates(testing_size=(0, 3)), r"FraudRates.testing_size .* got 0"),
    (lambda: Drift(rate=-1.0), r"-0.9 <= Drift.rate <= 9.0, got -1.0"),
    (lambda: small(-1), r"World.seed .* got -1"),
    (lambda: small(2**63), r"World.seed"),
    (lambda: small(days=0), r"1 <= World.days <= 3660, got 0"),
    (lambda: small(terminals=0), r"World.terminals"),
    (lambda: small(label_delay_days=1), r"2 <= World.label_delay_days <= 60, got 1"),
    (lambda: small(start=dt.datetime(2018, 1, 1, tzinfo=dt.UTC)), r"World.start to be a date"),
    (lambda: small(start=dt.date(1950, 1, 1)), r"year of World.start .* got 1950"),
    (lambda: small(banks=()), r"number of World.banks <= 1000, got 0"),
    (lambda: small(banks=[NORTH]), r"World.banks to be a tuple of BankPlan"),
    (lambda: small(banks=("north",)), r"World.banks to be a tuple of BankPlan"),
    (lambda: small(banks=(NORTH, SOUTH, NORTH)), r"different names in World.banks, got north more than once"),
]


@pytest.mark.parametrize(("make", "message"), INVALID)
def test_bad_values_are_refused(make: Callable[[], object], message: str) -> None:
    """Each bad value is refused with its name, the value and the range."""
    with pytest.raises(WorldError, match=message):
        make()
