"""Q2: the Handbook's week at record level, one pooled party under mode `local`, beside published private trees.

Usage: python bench/quality_week.py [repeats, 5 or more]
"""

import sys
from collections.abc import Sequence
from fractions import Fraction

import polars as pl
from common import Figure, need_data, repeated, write
from handbook_data import FIRST_FOLD, Handbook, Rows
from learning import Setting, distributed, file_margins, learn, split

from tacit.features.types import Encoded
from tacit.learning import ensemble
from tacit.learning.basis import Basis
from tacit.learning.course import RECORD_LEARNER
from tacit.sim import metrics

FLOOR = 0.62
BANKS = 10
PEERS = {
    1: "CCS'22 code .370 +- .034, DP-EBM .352, own linear + trees .604; logistic without privacy .606",
    4: "CCS'22 code .523, DP-EBM .125; XGBoost without privacy .637 to .683",
}


def bank_of(rows: Rows) -> list[Encoded]:
    """The split BANK_IID10."""
    banks = pl.read_parquet(need_data("handbook_customers.parquet"), columns=["CUSTOMER_ID", "BANK_IID10"])
    number = dict(banks.select(pl.all().cast(pl.Int64)).iter_rows())
    return split(rows.encoded, pl.Series(rows.customers).replace_strict(number).to_numpy(), BANKS)


def measured(book: Handbook, banks: Sequence[Encoded], setting: Setting, test: Rows, basis: Basis) -> metrics.Metrics:
    """One run and its figures on the test week, scored from the model file by XGBoost."""
    model = ensemble.booster(learn(banks, book.contract, RECORD_LEARNER, setting, basis), book.contract)
    return metrics.measure(test.encoded.labels, file_margins(model, test.values), test.customers, test.days)


def figures(name: str, runs: Sequence[metrics.Metrics], reference: str, floor: float | None) -> list[Figure]:
    """Mean and spread of one setting's runs."""
    return [
        repeated(f"{name}: AP", [run.average_precision for run in runs], "AP", reference, floor=floor),
        repeated(f"{name}: AUC", [run.auc for run in runs], "AUC"),
        repeated(f"{name}: CP@100", [run.card_precision or 0.0 for run in runs], "CP@100", "ceiling .397"),
        repeated(f"{name}: recall, top 0.5 %", [run.recall_at_budget for run in runs], "recall"),
        repeated(f"{name}: log loss", [run.log_loss for run in runs], "nats"),
    ]


def main() -> int:
    """Measures eps 1 and 4 in mode `local`, and eps 1 in `distributed` by functions."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    book = Handbook()
    training, test = book.training(FIRST_FOLD, "record"), book.test(FIRST_FOLD)
    print(f"train {training.encoded.rows} rows, {training.encoded.labels.sum()} frauds; ", end="")
    print(f"test {test.encoded.rows} rows, {test.encoded.labels.sum()} frauds")
    basis, found = Basis(book.contract), []
    for epsilon in (1, 4):
        setting = Setting(Fraction(epsilon))
        runs = [measured(book, [training.encoded], setting, test, basis) for _ in range(repeats)]
        name = f"record, local, n = 1, eps {epsilon}, delta 1e-5, 33 rounds"
        found += figures(name, runs, PEERS[epsilon], FLOOR if epsilon == 1 else None)
    shares = distributed(Fraction(1), BANKS)
    parts = bank_of(training)
    runs = [measured(book, parts, shares, test, basis) for _ in range(repeats)]
    name = (
        f"record, distributed (functions only), n = {BANKS}, q {shares.q}, c {shares.c}, eps 1, delta 1e-5, 33 rounds"
    )
    return write("quality_week", found + figures(name, runs, "no floor", None))


if __name__ == "__main__":
    sys.exit(main())
