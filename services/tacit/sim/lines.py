"""The four lines that a federation is judged by (evaluation 2.4): alone, federated, federated + local, pooled.

All lines see the same columns. Figures are of the last days of the data; cards that are known to be compromised are
taken out first (evaluation 3a). This looks at every bank's rows, so it is for demos and benches alone.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tacit.features import windows
from tacit.features.encode import local_values
from tacit.features.spec import Contract
from tacit.learning.residual import base_margin
from tacit.trainer.snapshot import Span
from tacit.wire.local import Choice, LocalDocument

DAY = 86_400

Margins = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scored:
    """Rows of one bank with the columns of its own models.

    Attributes:
        values: float32, shape (rows, columns + ratios): `features.encode.local_values`.
        labels: uint8, shape (rows,).
        customers: int64, shape (rows,): codes within the bank.
        days: int64, shape (rows,): days since 1970 UTC.
    """

    values: NDArray[np.float32]
    labels: NDArray[np.uint8]
    customers: NDArray[np.int64]
    days: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class BankRows:
    """A bank's training rows and its test rows."""

    training: Scored
    test: Scored


@dataclass(frozen=True)
class Figures:
    """Figures of one set of rows; NaN where it has no fraud, or nothing but fraud."""

    ap: float
    auc: float
    recall: float

    def plain(self) -> dict[str, float | None]:
        """For a summary; NaN becomes None."""
        return {name: None if np.isnan(value) else round(value, 6) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        all: Over all customers of all banks.
        median: Medians over banks, figure by figure.
        worst: The smallest over banks, figure by figure.
        banks: Per bank.
    """

    all: Figures
    median: Figures
    worst: Figures
    banks: Mapping[str, Figures]

    def plain(self) -> dict[str, object]:
        """For a summary."""
        banks = {name: figures.plain() for name, figures in self.banks.items()}
        return {**self.all.plain(), "median": self.median.plain(), "worst": self.worst.plain(), "banks": banks}


def prepare(
    rows: pl.DataFrame, contract: Contract, reach: Span, test: tuple[int, int], feeds: Mapping[str, pl.DataFrame]
) -> BankRows:
    """Computes a bank's columns once and cuts them into training and test rows.

    Args:
        rows: Normalised rows of the bank, look-back included.
        contract: The feature contract.
        reach: The plan's window.
        test: First and last second (exclusive) of the test rows.
        feeds: Feed frames by name.

    Returns:
        The rows; training labels are those known when the run may be asked for, test labels the final ones.
    """
    values = local_values(windows.compute(rows, contract, feeds).to_numpy().astype(np.float32), contract)
    codes = rows["customer"].rank("dense").to_numpy().astype(np.int64)
    times, labels = rows["time"].to_numpy(), rows["label"].to_numpy().astype(np.uint8)
    known = labels * (rows["label_time"].to_numpy() <= reach.ready)
    training = (times >= reach.start) & (times < reach.end)
    inside = (times >= test[0]) & (times < test[1]) & ~_compromised(rows, reach.start)

    def cut(which: NDArray[np.bool_], truth: NDArray[np.uint8]) -> Scored:
        return Scored(values[which], truth[which].astype(np.uint8), codes[which], times[which] // DAY)

    return BankRows(cut(training, known), cut(inside, labels))


def _compromised(rows: pl.DataFrame, start: int) -> NDArray[np.bool_]:
    """Rows of cards with a fraud since `start` that was known before the row's day began."""
    frauds = rows.filter((pl.col("label") == 1) & (pl.col("time") >= start))
    first = frauds.group_by("customer").agg(pl.col("label_time").min().alias("known"))
    joined = rows.select("customer", "time").join(first, on="customer", how="left", maintain_order="left")
    day = joined["time"] - joined["time"] % DAY
    return (joined["known"] <= day).fill_null(value=False).to_numpy()


Booster = Any
"""XGBoost's; the library has no types, and is loaded where it is used: its import takes seconds of a demo's start."""


def fit_alone(rows: Sequence[Scored], threads: int) -> Booster:
    """The baseline of a bank alone or of the pooled centre: depth 4, 60 trees, eta .15, 256 bins (formats 4)."""
    import xgboost  # noqa: PLC0415  as `Booster` says

    matrix = xgboost.QuantileDMatrix(
        np.concatenate([part.values for part in rows]),
        np.concatenate([part.labels for part in rows]),
        nthread=threads,
        max_bin=256,
    )
    wanted = {"objective": "binary:logistic", "max_depth": 4, "eta": 0.15, "max_bin": 256, "base_score": 0.5}
    return xgboost.train({**wanted, "nthread": threads, "verbosity": 0, "seed": 0}, matrix, 60)


def margins_of(booster: Booster, rows: Scored, base: Margins | None = None) -> Margins:
    """Margins of a booster over all columns; `base` are margins to start from."""
    start = np.zeros(rows.labels.shape[0]) if base is None else base
    found = booster.inplace_predict(
        rows.values, predict_type="margin", base_margin=start.astype(np.float32), validate_features=False
    )
    return np.asarray(found, dtype=np.float64)


def loaded(model: bytes) -> Booster:
    """A model file as XGBoost reads it."""
    import xgboost  # noqa: PLC0415  as `Booster` says

    booster = xgboost.Booster()
    booster.load_model(bytearray(model))
    return booster


def global_margins(model: bytes, contract: Contract, rows: Scored) -> Margins:
    """Margins of the federated model file, which knows the contract's columns only."""
    booster = loaded(model)
    values = np.ascontiguousarray(rows.values[:, : len(contract.columns)])
    return np.asarray(booster.inplace_predict(values, predict_type="margin", validate_features=False), dtype=np.float64)


def chosen_margins(document: LocalDocument, rows: Scored, base: Margins) -> Margins:
    """Margins of what a bank chose to serve, from its trainer's local document."""
    if document.choice is Choice.GLOBAL or document.booster is None:
        return base
    return margins_of(
        loaded(document.booster.encode()), rows, base_margin(base, document.choice.start(document.global_share))
    )


def figures(labels: NDArray[np.uint8], margins: Margins) -> Figures:
    """AP, AUC and recall at the alert budget (top 0.5 %)."""
    if not 0 < int(labels.sum()) < labels.shape[0]:
        return Figures(float("nan"), float("nan"), float("nan"))
    from tacit.sim import metrics  # noqa: PLC0415  loads scikit-learn

    return Figures(
        metrics.average_precision(labels, margins),
        metrics.auc(labels, margins),
        metrics.recall_at_budget(labels, margins),
    )


def line(banks: Mapping[str, BankRows], margins: Mapping[str, Margins]) -> Line:
    """One line from every bank's test margins."""
    per_bank = {name: figures(rows.test.labels, margins[name]) for name, rows in banks.items()}
    labels = np.concatenate([banks[name].test.labels for name in margins])
    together = figures(labels, np.concatenate(list(margins.values())))
    return Line(together, _over(per_bank, statistics.median), _over(per_bank, min), per_bank)


def _over(banks: Mapping[str, Figures], summary: Any) -> Figures:  # noqa: ANN401  median or min
    def one(name: str) -> float:
        values = [value for item in banks.values() if not np.isnan(value := getattr(item, name))]
        return float(summary(values)) if values else float("nan")

    return Figures(one("ap"), one("auc"), one("recall"))
