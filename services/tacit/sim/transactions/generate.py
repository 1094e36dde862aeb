"""From a world to data frames and files, one bank at a time."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import polars as pl
import yaml
from numpy.typing import NDArray

from tacit.sim.transactions.frauds import draw_frauds, mark_terminal_fraud
from tacit.sim.transactions.merchants import Terminals, draw_terminals
from tacit.sim.transactions.visits import Batch, FraudKind, draw_customers, draw_visits, join, select
from tacit.sim.transactions.world import DAY, BankPlan, World

FILE = "data/transactions.parquet"
MAPPING_FILE = "mapping.yaml"
MAPPING: Mapping[str, str] = MappingProxyType(
    {
        "api": "tacit.rows/v1",
        "transaction": "transaction_id",
        "customer": "customer_id",
        "entity": "terminal_id",
        "time": "time",
        "amount": "amount",
        "label": "fraud",
        "label_time": "label_time",
        "currency": "EUR",
        "zone": "UTC",
    }
)
_CUSTOMERS_A_BANK = 10_000_000
_TRANSACTIONS_A_BANK = 10**12


def generate(world: World, *, kinds: bool = False) -> Mapping[str, pl.DataFrame]:
    """Simulates every bank of a world.

    Equal worlds give equal frames. A bank's rows depend on the world's seed and settings and on its own plan; its
    place among the banks enters the transaction and customer identifiers, nothing else of other banks does.

    Args:
        world: What to simulate.
        kinds: Whether to add the column ``fraud_kind`` (UInt8, `FraudKind`): for analysis, never a feature.

    Returns:
        By bank name a frame sorted by time with the columns transaction_id, customer_id and terminal_id (Int64;
        the first two are unique over all banks), time (Datetime, microseconds, UTC, whole seconds), amount (Float64,
        currency units with exactly two decimals), fraud (UInt8, 1 for fraud) and label_time (Datetime: when the
        label is known; for a genuine transaction when the label delay has passed).
    """
    terminals = draw_terminals(world)
    frames = {
        bank.name: _frame(world, place, bank, terminals, kinds=kinds) for place, bank in enumerate(world.banks, start=1)
    }
    return MappingProxyType(frames)


def write(world: World, folder: Path) -> Mapping[str, Path]:
    """Simulates a world and writes ``<bank>/data/transactions.parquet`` and ``<bank>/mapping.yaml`` for each bank.

    Args:
        world: What to simulate.
        folder: Made where it is missing; files of the same name are replaced.

    Returns:
        By bank name the bank's folder.

    Raises:
        OSError: If a file cannot be written.
    """
    folders = {name: _write_bank(frame, folder / name) for name, frame in generate(world).items()}
    return MappingProxyType(folders)


def _write_bank(frame: pl.DataFrame, folder: Path) -> Path:
    target = folder / FILE
    target.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(target, compression="zstd", statistics=True)
    (folder / MAPPING_FILE).write_text(yaml.safe_dump(dict(MAPPING), sort_keys=False), encoding="utf-8")
    return folder


def _frame(world: World, place: int, bank: BankPlan, terminals: Terminals, *, kinds: bool) -> pl.DataFrame:
    batch = _transactions(world, bank, terminals)
    time = world.epoch + batch.second
    columns = {
        "transaction_id": place * _TRANSACTIONS_A_BANK + np.arange(1, time.size + 1),
        "customer_id": place * _CUSTOMERS_A_BANK + 1 + batch.customer,
        "terminal_id": terminals.ids[batch.terminal],
        "time": _datetimes("time", time),
        "amount": batch.cents / 100.0,
        "fraud": (batch.kind != FraudKind.NONE).astype(np.uint8),
        "label_time": _datetimes("label_time", time + _label_delay(world, bank, batch)),
    }
    return pl.DataFrame(columns | ({"fraud_kind": batch.kind} if kinds else {}))


def _transactions(world: World, bank: BankPlan, terminals: Terminals) -> Batch:
    customers = draw_customers(world, bank, terminals)
    visits = draw_visits(world, bank, customers, terminals)
    batch = join(
        [
            mark_terminal_fraud(world, bank, visits, terminals),
            draw_frauds(world, bank, customers, terminals),
        ]
    )
    return select(batch, np.argsort(batch.second, kind="stable"))


def _label_delay(world: World, bank: BankPlan, batch: Batch) -> NDArray[np.int64]:
    rng, longest = world.stream("bank", bank.name, "labels"), world.label_delay_days * DAY
    fraud = np.flatnonzero(batch.kind != FraudKind.NONE)
    delay = np.full(batch.kind.size, longest, np.int64)
    delay[fraud] = DAY + np.floor((longest - DAY) * rng.beta(2.0, 3.0, fraud.size)).astype(np.int64)
    return delay


def _datetimes(name: str, seconds: NDArray[np.int64]) -> pl.Series:
    return pl.Series(name, seconds * 1_000_000).cast(pl.Datetime("us", "UTC"))
