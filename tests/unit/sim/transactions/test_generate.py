"""From transactions to frames and files: identifiers, clocks, labels, and what a bank's folder holds."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from tacit.sim.transactions import FILE, MAPPING, MAPPING_FILE, generate, write
from tacit.sim.transactions.visits import FraudKind
from tacit.sim.transactions.world import BankPlan, FraudRates, World

BANKS = (BankPlan("one", 120), BankPlan("two", 60))
OFTEN = FraudRates(large=0.01, terminal=0.005, account=0.005, testing=0.005)


def world(**changes: Any) -> World:  # noqa: ANN401  fields of World
    """Two small banks over twenty days with much fraud."""
    defaults: dict[str, Any] = {"seed": 6, "banks": BANKS, "days": 20, "terminals": 100, "fraud": OFTEN}
    return World(**(defaults | changes))


def test_one_frame_a_bank_in_order() -> None:
    """Banks come as the world lists them, and nobody can change the result."""
    found = generate(world())
    assert list(found) == ["one", "two"]
    with pytest.raises(TypeError):
        found["three"] = pl.DataFrame()  # type: ignore[index]


def test_identifiers_begin_with_the_banks_place() -> None:
    """Transactions count from 1 in order of time; customers from 1 within their bank's block."""
    for place, frame in enumerate(generate(world()).values(), start=1):
        assert frame["transaction_id"].to_list() == [place * 10**12 + row for row in range(1, frame.height + 1)]
        customers = frame["customer_id"] - place * 10**7
        assert customers.min() >= 1  # type: ignore[operator]
        assert customers.max() <= BANKS[place - 1].customers  # type: ignore[operator]


def test_terminal_identifiers_are_public_ones() -> None:
    """From 1 to the number of terminals, the same in both banks."""
    found = pl.concat(generate(world()).values())["terminal_id"]
    assert found.min() >= 1  # type: ignore[operator]
    assert found.max() <= 100  # type: ignore[operator]


@pytest.mark.parametrize("start", [dt.date(1970, 1, 1), dt.date(2024, 2, 28)])
def test_times_begin_with_the_worlds_first_day(start: dt.date) -> None:
    """In UTC; all days of the world have transactions, and no other day has."""
    frame = generate(world(start=start))["one"]
    days = frame["time"].dt.date().unique().sort().to_list()
    assert days == [start + dt.timedelta(days=number) for number in range(20)]


@pytest.mark.parametrize("delay", [2, 7, 30])
def test_labels_are_final_after_the_delay(delay: int) -> None:
    """Frauds between one day and the delay, genuine rows exactly then."""
    frame = generate(world(label_delay_days=delay))["one"]
    late = frame.select("fraud", days=(pl.col("label_time") - pl.col("time")).dt.total_seconds() / 86_400)
    assert set(late.filter(fraud=0)["days"].to_list()) == {float(delay)}
    frauds = late.filter(fraud=1)["days"]
    assert frauds.is_between(1.0, delay).all()
    assert frauds.n_unique() > 10


def test_kinds_are_added_only_on_request() -> None:
    """The column is the last one, agrees with the label, and its absence changes nothing else."""
    plain, told = generate(world())["one"], generate(world(), kinds=True)["one"]
    assert told.columns == [*plain.columns, "fraud_kind"]
    assert told.drop("fraud_kind").equals(plain)
    assert ((told["fraud_kind"] != FraudKind.NONE).cast(pl.UInt8) == told["fraud"]).all()


def test_the_mapping_names_every_column_it_needs() -> None:
    """What the mapping says of a column holds in the frames; it cannot be changed by accident."""
    frame = generate(world())["one"]
    named = {MAPPING[key] for key in ("transaction", "customer", "entity", "time", "amount", "label", "label_time")}
    assert named == set(frame.columns)
    with pytest.raises(TypeError):
        MAPPING["zone"] = "CET"  # type: ignore[index]


def test_files_hold_the_frames(tmp_path: Path) -> None:
    """What is written reads back as what is generated, with the mapping beside it."""
    folders = write(world(), tmp_path / "deep" / "banks")
    frames = generate(world())
    assert set(folders) == set(frames)
    for name, folder in folders.items():
        assert folder == tmp_path / "deep" / "banks" / name
        assert pl.read_parquet(folder / FILE).equals(frames[name])
        assert yaml.safe_load((folder / MAPPING_FILE).read_text(encoding="utf-8")) == dict(MAPPING)


def test_files_that_are_there_are_replaced(tmp_path: Path) -> None:
    """Another world in the same folder leaves nothing of the first; other files stay."""
    write(world(), tmp_path)
    (tmp_path / "one" / "policy.json").write_text("kept")
    folders = write(world(seed=7), tmp_path)
    assert pl.read_parquet(folders["one"] / FILE).equals(generate(world(seed=7))["one"])
    assert (tmp_path / "one" / "policy.json").read_text() == "kept"


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """A file in the way is told by the system's own error."""
    (tmp_path / "one").write_text("a file")
    with pytest.raises(OSError, match="one"):
        write(world(), tmp_path)


def test_all_rows_of_all_kinds_are_kept() -> None:
    """Purchases, marked ones and added ones are all in the frame, ordered by time with ties as they were."""
    frame = generate(world(), kinds=True)["one"]
    counts = np.bincount(frame["fraud_kind"].to_numpy(), minlength=len(FraudKind))
    assert counts.min() > 0
    assert frame["time"].is_sorted()
    assert frame.select("transaction_id").is_unique().all()
