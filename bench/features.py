"""CPU seconds to load, compute, encode and group the Handbook's transactions, by stage, for one contract.

Usage: POLARS_MAX_THREADS=1 python bench/features.py [card.yaml | card-feed.yaml]
"""

import os
import sys
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import TypeVar

import polars as pl
import yaml

from tacit.adapters.rows import RowMapping, load
from tacit.features.encode import encode, group_by_unit
from tacit.features.spec import Contract
from tacit.features.windows import compute, feed_of
from tacit.wire import documents

T = TypeVar("T")
ROOT = Path(__file__).parents[1]
FOLDER = Path(os.environ.get("TACIT_DATA", ROOT.parent / "shared" / "data"))


def timed(name: str, stage: Callable[[], T]) -> T:
    """Runs a stage and prints its CPU and wall seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = stage()
    print(f"{name:<10}{time.process_time() - cpu:8.2f} s CPU{time.perf_counter() - wall:8.2f} s wall")
    return result


def main() -> None:
    """Measures one contract, by default the one on own rows."""
    name = sys.argv[1] if len(sys.argv) > 1 else "card.yaml"
    text = resources.files("tacit.features").joinpath("contracts", name).read_text("utf-8")
    contract = documents.parse(Contract, yaml.safe_load(text))
    mapping = documents.parse(RowMapping, yaml.safe_load((ROOT / "docs/examples/handbook.yaml").read_text("utf-8")))
    rows = timed("load", lambda: load(str(FOLDER / "handbook.parquet"), mapping))
    feeds: dict[str, pl.DataFrame] = {}
    if contract.columns[-1].feed is not None:
        feeds[contract.columns[-1].feed] = timed("feed", lambda: feed_of(rows))
    values = timed("windows", lambda: compute(rows, contract, feeds))
    bins = timed("encode", lambda: encode(values, contract))
    units = timed("group", lambda: group_by_unit(bins, rows, "customer"))
    print(
        f"{units.rows} rows, {units.units} customers, {bins.shape[0]} columns, {pl.thread_pool_size()} polars threads"
    )


if __name__ == "__main__":
    main()
