"""The four lines on 90 days of the Handbook, first fold: alone, global, global + local as chosen, pooled.

All lines of a table see the same columns. *network feed*: terminal windows from hourly rows over all banks;
*own-bank*: from the bank's own transactions and labels. Mode `local`; the federated line is measured under
`distributed` noise too, which has the floors. Functions instead of processes.

Usage: python bench/handbook.py [REGION9 | IID10 ...]
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import polars as pl
from common import Figure, need_data, write
from handbook_data import DAY, DELAY_DAYS, FIRST_DAY, FIRST_FOLD, WEEK_DAYS, Handbook
from learning import Setting, distributed, file_margins, learn

from tacit.adapters import kernel as kernels
from tacit.features.encode import encode, group_by_unit, unit_order
from tacit.features.types import Encoded
from tacit.features.windows import feed_of
from tacit.learning import ensemble
from tacit.learning.basis import Basis
from tacit.learning.residual import base_margin
from tacit.learning.types import Learner
from tacit.sim import lines
from tacit.sim.lines import BankRows, Line, Margins
from tacit.trainer import local
from tacit.trainer.local import LocalRows, LocalSettings
from tacit.trainer.snapshot import Span
from tacit.wire.local import Choice

DAYS = 90
SHARED = "federated, distributed (functions only)"
SPLITS = ("REGION9", "IID10")
FLOORS = {("REGION9", "own-bank"): 0.64, ("IID10", "own-bank"): 0.345}
REFERENCE = {
    ("REGION9", "own-bank"): "prototype, central noise: .650, pooled .686",
    ("IID10", "own-bank"): "prototype, central noise: .36, pooled .389",
}
FEEDS = {"network feed": "card-feed.yaml", "own-bank": "card.yaml"}


@dataclass(frozen=True, eq=False)
class Bank:
    """One bank's rows: for its own models, and encoded for the federation."""

    rows: BankRows
    encoded: Encoded
    local: LocalRows


def reach() -> Span:
    """The window: 90 days that end with the Handbook's training week."""
    end = FIRST_DAY + FIRST_FOLD + WEEK_DAYS
    days = (0, end - DAYS, end, end, end + DELAY_DAYS)
    return Span(*(day * DAY for day in days))


def bank(book: Handbook, frame: pl.DataFrame, feeds: Mapping[str, pl.DataFrame]) -> Bank:
    """Columns of one bank from its own rows, and from the feed where the contract says so."""
    span = reach()
    test = (span.ready, span.ready + WEEK_DAYS * DAY)
    ordered = frame[unit_order(frame)]
    # The Handbook takes out cards with frauds from its training week on, not those of all 90 days.
    week = replace(span, start=span.end - WEEK_DAYS * DAY)
    rows = BankRows(
        lines.prepare(ordered, book.contract, span, test, feeds).training,
        lines.prepare(ordered, book.contract, week, test, feeds).test,
    )
    inside = ordered["time"].is_between(span.start, span.end, closed="left")
    chosen = ordered.filter(inside)
    values = np.ascontiguousarray(rows.training.values[:, : len(book.contract.columns)])
    encoded = group_by_unit(encode(values, book.contract), chosen, "customer")
    times, nothing = chosen["time"].to_numpy(), np.zeros(chosen.height)
    return Bank(rows, encoded, LocalRows(values, rows.training.labels, times, nothing))


def four_lines(book: Handbook, banks: Mapping[str, Bank]) -> dict[str, Line]:
    """Trains and scores every line."""
    contract, rows = book.contract, {name: it.rows for name, it in banks.items()}
    basis = Basis(contract, kernels.find())
    encoded = [it.encoded for it in banks.values()]
    settings = Setting(Fraction(1)), distributed(Fraction(1), len(banks))
    models = [ensemble.booster(learn(encoded, contract, Learner(), it, basis), contract) for it in settings]
    federated, shared = (
        {name: lines.global_margins(model, contract, it.test) for name, it in rows.items()} for model in models
    )
    pooled = lines.fit_alone([it.training for it in rows.values()], 1)
    margins: dict[str, dict[str, Margins]] = {
        "alone": {n: lines.margins_of(lines.fit_alone([it.training], 1), it.test) for n, it in rows.items()},
        "federated": federated,
        SHARED: shared,
        "federated + local as chosen": {n: chosen(book, it, models[0], federated[n]) for n, it in banks.items()},
        "pooled": {n: lines.margins_of(pooled, it.test) for n, it in rows.items()},
    }
    return {name: lines.line(rows, found) for name, found in margins.items()}


def chosen(book: Handbook, it: Bank, model: bytes, base: Margins) -> Margins:
    """Margins of what the bank's own rolling origin picks."""
    span = reach()
    known = LocalRows(it.local.values, it.local.labels, it.local.times, file_margins(model, it.local.values))
    made = local.choose(known, book.contract, (span.start, span.end), LocalSettings())
    if made.choice is Choice.GLOBAL or made.booster is None:
        return base
    start = base_margin(base, made.choice.start(made.global_share))
    return lines.margins_of(lines.loaded(made.booster), it.rows.test, start)


def figures(split: str, feed: str, found: Mapping[str, Line]) -> list[Figure]:
    """The table's rows as figures."""
    made = []
    for name, line in found.items():
        key = (split, feed)
        label = f"W90, {split}, {feed}, {name}"
        floor, reference = (FLOORS.get(key), REFERENCE.get(key, "")) if name == SHARED else (None, "")
        made.append(Figure(f"{label}: all customers", line.all.ap, "AP", reference, floor))
        made.append(Figure(f"{label}: median bank", line.median.ap, "AP"))
        made.append(Figure(f"{label}: worst bank", line.worst.ap, "AP"))
    return made


def main() -> int:
    """Measures the splits that are named, by default both, on both feature rows."""
    splits = sys.argv[1:] or SPLITS
    customers = pl.read_parquet(need_data("handbook_customers.parquet"))
    found: list[Figure] = []
    print("unit customer (given the feature table for the feed), eps 1, delta 1e-5, mode local unless said, 33 rounds")
    for feed, contract in FEEDS.items():
        book = Handbook(contract)
        feeds = {column.feed: feed_of(book.transactions) for column in book.contract.columns if column.feed}
        for split in splits:
            numbers = customers.select(pl.col("CUSTOMER_ID").cast(pl.Int64), pl.col(f"BANK_{split}").cast(pl.Int64))
            owner = book.transactions["customer"].cast(pl.Int64).replace_strict(dict(numbers.iter_rows()))
            parts = {n: book.transactions.filter(owner == n) for n in sorted(owner.unique().to_list())}
            banks = {f"bank-{n}": bank(book, frame, feeds) for n, frame in parts.items()}
            found += figures(split, feed, four_lines(book, banks))
    return write("handbook", found)


if __name__ == "__main__":
    sys.exit(main())
