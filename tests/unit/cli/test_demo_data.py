"""The data of a demo: banks by name, a split by customer, the window that the days allow, the public population."""

import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import row_cases
from tacit.adapters.rows import RowsError
from tacit.cli import demo_data as subject
from tacit.cli.demo_data import Dates, Source
from tacit.cli.layout import Folder, LayoutError
from tacit.rounds.plan import Window
from tacit.sim import transactions
from tacit.sim.transactions import BankPlan, World
from tacit.wire import topics

DAY = 86_400
FIRST = dt.date(2018, 1, 1)
FIRST_SECOND = 1_514_764_800
MAPPING = {
    "api": "tacit.rows/v1",
    "transaction": "TX_ID",
    "customer": "CARD",
    "time": "AT",
    "amount": "AMOUNT",
    "entity": "SHOP",
    "label": "FRAUD",
    "zone": "UTC",
}


def source(folder: Path, owners: dict[str, list[Any]], **columns: Any) -> Source:  # noqa: ANN401
    """A table of six rows of cards 0, 1 and 2, its mapping, and who owns which card."""
    cards = {"CARD": [0, 1, 2, 0, 1, 2]}
    data = Path(row_cases.written(folder, row_cases.table(6, **(cards | columns)), "all.parquet"))
    customers = row_cases.written(folder, pl.DataFrame(owners), "customers.parquet")
    mapping = folder / "mapping.yaml"
    mapping.write_text(yaml.safe_dump(MAPPING), encoding="utf-8")
    return Source(data, mapping, f"{customers}:BANK")


def frames(first: int, last: int, **more: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Rows at two seconds of the same bank."""
    return {"one": pl.DataFrame({"time": [first, last], "customer": ["a", "b"]}), **more}


def days(count: int) -> dict[str, pl.DataFrame]:
    """Rows on the first and on the last of some days."""
    return frames(FIRST_SECOND, FIRST_SECOND + count * DAY - 1)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Ash", "ash"),
        ("Bank of Elm", "bank-of-elm"),
        (7, "bank-7"),
        ("7 Oaks", "bank-7-oaks"),
        ("  --Fir__ ", "fir"),
        ("Größe & Co.", "gr-e-co"),
        ("x" * 60, "x" * 34),
        ("a" * 33 + " b", "a" * 33),
        (1.5, "bank-1-5"),
    ],
)
def test_ids_of_banks_by_hand(value: object, expected: str) -> None:
    """Small letters, digits and single hyphens; a digit first gets a word before it."""
    assert subject.bank_id(value) == expected


@given(st.from_regex(r"[A-Za-z0-9]", fullmatch=True), st.text())
def test_every_id_is_one_that_members_may_have(first: str, rest: str) -> None:
    """A name that begins with a letter or digit always has an id."""
    found = subject.bank_id(first + rest)
    assert topics.bank("demo", found).name.endswith(f".{found}")
    assert found.removeprefix("bank-").startswith(first.lower())


@pytest.mark.parametrize("value", ["", "---", "éü", " "])
def test_a_name_without_letters_or_digits_is_refused(value: str) -> None:
    """With the value."""
    with pytest.raises(LayoutError, match="expected letters or digits"):
        subject.bank_id(value)


def test_a_split_gives_every_bank_its_own_customers(tmp_path: Path) -> None:
    """Each row lands in exactly one bank, whole, with the mapping beside it."""
    folder = Folder(tmp_path / "fed")
    found = subject.split(folder, source(tmp_path, {"CARD": [0, 1, 2], "BANK": ["Oak", "Ash", "Oak"]}))
    assert found == ["ash", "oak"]
    held = {bank: pl.read_parquet(folder.bank(bank) / "data" / "transactions.parquet") for bank in found}
    assert held["ash"]["TX_ID"].to_list() == [101, 104]
    assert held["oak"]["TX_ID"].to_list() == [100, 102, 103, 105]
    assert held["oak"].columns == row_cases.table().columns
    assert yaml.safe_load((folder.bank("ash") / "mapping.yaml").read_text(encoding="utf-8")) == MAPPING


def test_cards_may_be_text(tmp_path: Path) -> None:
    """Whatever type the key has in both files."""
    made = source(tmp_path, {"CARD": ["a", "b"], "BANK": [1, 2]}, CARD=["a", "b", "a", "b", "a", "b"])
    folder = Folder(tmp_path / "fed")
    assert subject.split(folder, made) == ["bank-1", "bank-2"]
    held = pl.read_parquet(folder.bank("bank-2") / "data" / "transactions.parquet")
    assert held["CARD"].unique().to_list() == ["b"]


@pytest.mark.parametrize(
    ("names", "words"),
    [(["Ash", "ASH"], "would all be 'ash'"), (["Registry", "oak"], "name of a role"), (["operator"], "name of a role")],
)
def test_names_that_would_be_taken_for_another_are_refused(tmp_path: Path, names: list[str], words: str) -> None:
    """Two banks never become one member, and none becomes a role; nothing is written."""
    made = source(tmp_path, {"CARD": list(range(len(names))), "BANK": names})
    with pytest.raises(LayoutError, match=words):
        subject.split(Folder(tmp_path / "fed"), made)
    assert not (tmp_path / "fed").exists()


def test_banks_without_any_usable_row_have_no_dates() -> None:
    """The message says which command explains it."""
    empty = pl.DataFrame(schema={"time": pl.Int64, "customer": pl.Int64})
    with pytest.raises(LayoutError, match="tacit data check"):
        subject.dates({"ash": empty}, 0, "UTC")


def test_customers_without_a_bank_are_counted(tmp_path: Path) -> None:
    """With one of them; nothing is written."""
    folder = Folder(tmp_path / "fed")
    with pytest.raises(LayoutError, match=r"2 customers of .* have no bank in .*, such as [12]"):
        subject.split(folder, source(tmp_path, {"CARD": [0], "BANK": ["Oak"]}))
    assert not folder.path.exists()


@pytest.mark.parametrize("banks", ["", "customers.parquet", ":BANK"])
def test_the_file_and_its_column_are_both_named(tmp_path: Path, banks: str) -> None:
    """The message shows the form."""
    made = source(tmp_path, {"CARD": [0, 1, 2], "BANK": ["a", "b", "c"]})
    with pytest.raises(LayoutError, match="expected FILE:COLUMN"):
        subject.split(Folder(tmp_path / "fed"), Source(made.data, made.mapping, banks))


@pytest.mark.parametrize(
    ("owners", "message"),
    [
        ({"CARD": [0, 1, 2], "BENCH": ["a", "b", "c"]}, "no column 'BANK'"),
        ({"CARD": [0, 1, 2], "BANK": ["a", None, "c"]}, "1 null values"),
        ({"CARD": [0, 1, 1], "BANK": ["a", "b", "c"]}, "repeat a customer"),
    ],
)
def test_a_file_of_customers_that_does_not_fit(tmp_path: Path, owners: dict[str, list[Any]], message: str) -> None:
    """The fault is named."""
    with pytest.raises(RowsError, match=message):
        subject.split(Folder(tmp_path / "fed"), source(tmp_path, owners))


def test_what_was_split_is_loaded(tmp_path: Path) -> None:
    """Every bank's normalised rows under the mapping that they share."""
    folder = Folder(tmp_path / "fed")
    banks = subject.split(folder, source(tmp_path, {"CARD": [0, 1, 2], "BANK": ["Oak", "Ash", "Oak"]}))
    found, mapping = subject.load(folder, banks)
    assert {bank: frame.height for bank, frame in found.items()} == {"ash": 2, "oak": 4}
    assert (mapping.customer, mapping.zone) == ("CARD", "UTC")
    assert found["ash"]["amount"].to_list() == [1_125, 1_425]


def test_generated_banks_are_the_worlds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the seed that was asked for."""
    asked: list[int] = []

    def tiny(seed: int) -> World:
        asked.append(seed)
        return World(seed, (BankPlan("one", 5), BankPlan("two", 5)), days=3, terminals=9)

    monkeypatch.setattr(transactions, "default_demo_world", tiny)
    folder = Folder(tmp_path)
    assert subject.generate(folder, 9) == ["one", "two"]
    assert asked == [9]
    assert (folder.bank("two") / transactions.FILE).exists()
    assert folder.banks == ["one", "two"]


@pytest.mark.parametrize("look_back", [0, 37])
@pytest.mark.parametrize("length", [21, 55, 90])
def test_the_window_is_as_long_as_the_days_allow(look_back: int, length: int) -> None:
    """Look-back, window, days until labels are final, test: nothing is left over and nothing overlaps."""
    found = subject.dates(days(look_back + length + 14), look_back, "UTC")
    assert found.window.days == length
    assert found.window.start == FIRST + dt.timedelta(days=look_back)
    assert found.test[1] == FIRST + dt.timedelta(days=look_back + length + 14)
    assert found.test[1] - found.test[0] == dt.timedelta(days=7)


def test_a_longer_past_is_not_used() -> None:
    """Ninety days at most, the latest ones."""
    found = subject.dates(days(400), 37, "UTC")
    assert found.window.days == 90
    assert found.window.end == FIRST + dt.timedelta(days=400 - 14)


def test_labels_of_the_window_are_final_when_the_data_end() -> None:
    """The quality rows are the week after the window; nothing of the test week is asked for."""
    found = subject.dates(days(141), 37, "UTC")
    assert found.window == Window(FIRST + dt.timedelta(days=127), 90, 7, 7)
    assert found.window.ready == found.test[1]
    assert found.test[0] == found.window.end + dt.timedelta(days=7)


@pytest.mark.parametrize(("count", "look_back"), [(34, 0), (71, 37), (1, 0)])
def test_too_few_days_are_told(count: int, look_back: int) -> None:
    """With what there is and what is needed."""
    with pytest.raises(LayoutError, match=f"cover {count} days: a demo needs at least {35 + look_back}"):
        subject.dates(days(count), look_back, "UTC")


def test_all_banks_together_have_the_days() -> None:
    """The first and the last row may be different banks'; a bank without rows does not matter."""
    early = pl.DataFrame({"time": [FIRST_SECOND], "customer": ["x"]})
    held = frames(FIRST_SECOND + 60 * DAY, FIRST_SECOND + 120 * DAY, early=early, none=early.clear())
    found = subject.dates(held, 0, "UTC")
    assert found.test[1] == FIRST + dt.timedelta(days=121)
    assert found.window.days == 90


def test_days_are_those_of_the_zone() -> None:
    """A row at 23:30 UTC is of the next day in Rome."""
    held = frames(FIRST_SECOND, FIRST_SECOND + 60 * DAY - 1_800)
    utc, rome = (subject.dates(held, 0, zone).test[1] for zone in ("UTC", "Europe/Rome"))
    assert rome - utc == dt.timedelta(days=1)


def test_seconds_of_the_test_are_midnights() -> None:
    """Of the zone, over a change of the clocks too."""
    dates = Dates(Window(dt.date(2018, 3, 11), 30), (dt.date(2018, 3, 24), dt.date(2018, 3, 31)))
    first, last = dates.test_seconds("UTC")
    assert (first, last - first) == (1_521_849_600, 7 * DAY)
    first, last = dates.test_seconds("Europe/Rome")
    assert (first, last - first) == (1_521_849_600 - 3_600, 7 * DAY - 3_600)


@pytest.mark.parametrize(
    ("count", "expected"), [(1, 1), (9, 9), (10, 10), (11, 20), (99, 100), (100, 100), (101, 200), (901, 1_000)]
)
def test_the_population_by_hand(count: int, expected: int) -> None:
    """Rounded up to one significant digit."""
    assert subject.population({"one": pl.DataFrame({"customer": range(count)})}) == expected


@given(st.lists(st.integers(1, 400), min_size=1, max_size=4))
def test_the_population_is_never_too_small(counts: list[int]) -> None:
    """At least the customers, below one unit of the digit more, one digit and zeros; equal names count per bank."""
    held = {str(place): pl.DataFrame({"customer": range(count)}) for place, count in enumerate(counts)}
    found, text = subject.population(held), str(subject.population(held))
    assert sum(counts) <= found < sum(counts) + 10 ** (len(str(sum(counts))) - 1)
    assert text.rstrip("0") == text[0]


def test_a_customer_counts_once() -> None:
    """However many transactions there are."""
    assert subject.population({"one": pl.DataFrame({"customer": ["a", "b", "a", "a"]})}) == 2
