"""The bank's own model on top of the global one, and which of them the bank serves.

Everything here is made from the bank's raw rows and is private to it: nothing of the result, neither a tree nor an
average precision nor a threshold, may leave the bank. The choice is made by a rolling origin over the last weeks of
the training window, each week scored by models that saw only rows whose labels were final when it began.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tacit.features.encode import local_names, local_values
from tacit.features.spec import Contract
from tacit.learning.residual import base_margin, mean_share
from tacit.wire.local import Choice, Thresholds

WEEK = 7 * 86_400
DAY = 86_400
WEEKS = 3
LEAST_FRAUDS = 20
FEW_FRAUDS = 100
LEAST_GAIN = 0.01

_Margins = NDArray[np.float64]


class LocalError(Exception):
    """Rows or settings that no local model can be made from; the message names the value and what is allowed."""


@dataclass(frozen=True, eq=False)
class LocalRows:
    """A bank's labelled rows of the training window.

    Attributes:
        values: float32, shape (rows, columns): raw values in contract order, NaN for missing.
        labels: uint8, shape (rows,): 1 for fraud.
        times: int64, shape (rows,): epoch seconds.
        margins: float64, shape (rows,): the global model's margins.
    """

    values: NDArray[np.float32]
    labels: NDArray[np.uint8]
    times: NDArray[np.int64]
    margins: _Margins


@dataclass(frozen=True)
class LocalSettings:
    """How the bank chooses and what it alerts on.

    Attributes:
        review_rate: Share of rows at or above the review threshold, in (0, 1).
        decline_rate: Share of rows at or above the decline threshold, in (0, review_rate].
        delay_days: Days until a label is final, 0 to 90.
        threads: Threads of XGBoost, 1 or more; the same number gives the same bytes.
        seed: XGBoost's seed.
    """

    review_rate: float = 0.005
    decline_rate: float = 0.001
    delay_days: int = 7
    threads: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses settings out of range."""
        if not 0 < self.decline_rate <= self.review_rate < 1:
            raise LocalError(
                f"rates must satisfy 0 < decline_rate <= review_rate < 1, got {self.decline_rate}, {self.review_rate}"
            )
        if not 0 <= self.delay_days <= 90 or self.threads < 1:  # noqa: PLR2004  a quarter
            raise LocalError(f"delay_days must be 0 to 90 and threads 1 or more, got {self.delay_days}, {self.threads}")


@dataclass(frozen=True)
class LocalModel:
    """What the bank serves. Bank-only, all of it.

    Attributes:
        choice: Which model.
        precision: Average precision of each candidate over the last weeks, mean over weeks weighted by frauds;
            empty where no week could be scored.
        frauds: Frauds in the weeks that were scored.
        booster: XGBoost JSON file of the residual or of the bank's own model; None for `Choice.GLOBAL`.
        global_share: Share of the global margin that the booster starts from, 0 to 1; 0 for `Choice.ALONE`.
        names: Features of the booster, in order.
        thresholds: For the chosen model's margins, from the same weeks; None if the window's end has no rows.
    """

    choice: Choice
    precision: Mapping[Choice, float]
    frauds: int
    booster: bytes | None
    global_share: float
    names: tuple[str, ...]
    thresholds: Thresholds | None


@dataclass(frozen=True)
class _Recipe:
    """What a candidate starts from, and its XGBoost settings."""

    share: float
    rounds: int
    depth: int
    rate: float


_ALONE = _Recipe(share=0.0, rounds=60, depth=4, rate=0.15)
_RESIDUAL = _Recipe(share=1.0, rounds=40, depth=4, rate=0.1)
_SMALL_RESIDUAL = _Recipe(share=1.0, rounds=20, depth=3, rate=0.1)


def _check(rows: LocalRows, contract: Contract, start: int, end: int) -> None:
    count = rows.labels.shape[0]
    if rows.values.shape != (count, len(contract.columns)):
        raise LocalError(f"values must have shape ({count}, {len(contract.columns)}), got {rows.values.shape}")
    if rows.times.shape != (count,) or rows.margins.shape != (count,):
        raise LocalError(f"times and margins must have shape ({count},)")
    if not np.isfinite(rows.margins).all():
        raise LocalError("margins must be finite")
    if not np.isin(rows.labels, (0, 1)).all():
        raise LocalError("labels must be 0 or 1")
    if not start < end:
        raise LocalError(f"the window must end after its start, got {start} and {end}")


@dataclass(frozen=True)
class _Fitted:
    """A booster, and the share of the global margin that it starts from."""

    booster: Any
    share: float


_Parts = tuple[_Fitted, ...]


class _Bench:
    """The window's rows in order of time, and their quantile bins, made once for all fits."""

    def __init__(self, rows: LocalRows, contract: Contract, settings: LocalSettings, window: tuple[int, int]) -> None:
        inside = np.flatnonzero((rows.times >= window[0]) & (rows.times < window[1]))
        order = inside[np.argsort(rows.times[inside], kind="stable")]
        self.names = local_names(contract)
        self.settings = settings
        self.values = local_values(rows.values[order], contract)
        self.labels = rows.labels[order]
        self.times = rows.times[order]
        self.margins = rows.margins[order].astype(np.float32)
        self._whole: Any = None

    def matrix(self, rows: int) -> Any:  # noqa: ANN401  XGBoost has no types
        """The first rows, binned by the whole window's quantiles."""
        if self._whole is None:
            self._whole = self._binned(self.labels.shape[0], None)
        return self._whole if rows == self.labels.shape[0] else self._binned(rows, self._whole)

    def _binned(self, rows: int, reference: object) -> Any:  # noqa: ANN401  XGBoost has no types
        import xgboost  # noqa: PLC0415  seconds of every trainer's start; only the choice needs it

        return xgboost.QuantileDMatrix(
            self.values[:rows],
            self.labels[:rows],
            feature_names=list(self.names),
            nthread=self.settings.threads,
            max_bin=256,
            ref=reference,
        )

    def fit(self, matrix: Any, recipe: _Recipe) -> _Fitted:  # noqa: ANN401  XGBoost has no types
        """Fits a recipe on a matrix made here."""
        matrix.set_info(base_margin=self.start(recipe.share, slice(matrix.num_row())))
        params = {
            "objective": "binary:logistic",
            "tree_method": "hist",
            "max_depth": recipe.depth,
            "eta": recipe.rate,
            "max_bin": 256,
            "base_score": 0.5,
            "nthread": self.settings.threads,
            "seed": self.settings.seed,
            "verbosity": 0,
        }
        import xgboost  # noqa: PLC0415  as above

        return _Fitted(xgboost.train(params, matrix, recipe.rounds), recipe.share)

    def start(self, share: float, rows: slice) -> NDArray[np.float32]:
        """The margins that trees start from."""
        return base_margin(self.margins[rows], share)

    def margins_of(self, parts: _Parts, rows: slice) -> _Margins:
        """Mean of the margins of fitted parts."""
        found = [
            part.booster.inplace_predict(
                self.values[rows],
                predict_type="margin",
                base_margin=self.start(part.share, rows),
                validate_features=False,
            )
            for part in parts
        ]
        return np.asarray(np.mean(found, axis=0, dtype=np.float64))

    def parts(self, matrix: Any) -> dict[Choice, _Parts]:  # noqa: ANN401  XGBoost has no types
        """The candidates that have trees, fitted on a matrix made here."""
        alone = self.fit(matrix, _ALONE)
        if int(self.labels[: matrix.num_row()].sum()) < FEW_FRAUDS:
            return {Choice.ALONE: (alone,), Choice.GLOBAL_LOCAL: (self.fit(matrix, _SMALL_RESIDUAL),)}
        # A noisy global margin pulls trees that start from it below the bank's own (docs/decisions/002).
        return {Choice.ALONE: (alone,), Choice.GLOBAL_LOCAL: (alone, self.fit(matrix, _RESIDUAL))}


def _file(parts: _Parts) -> bytes:
    """One XGBoost JSON file whose margins are the mean of the parts', if it starts from the mean of their shares."""
    first, *others = [json.loads(bytes(part.booster.save_raw("json"))) for part in parts]
    model = first["learner"]["gradient_booster"]["model"]
    for other in others:
        model["trees"] += other["learner"]["gradient_booster"]["model"]["trees"]
    count = len(model["trees"])
    for number, tree in enumerate(model["trees"]):
        tree["id"] = number
        _scale(tree, 1 / len(parts))
    model["gbtree_model_param"]["num_trees"] = str(count)
    model["tree_info"], model["iteration_indptr"] = [0] * count, list(range(count + 1))
    return json.dumps(first, separators=(",", ":")).encode()


def _scale(tree: dict[str, Any], factor: float) -> None:
    """Multiplies the margins of a tree's nodes; a leaf keeps its margin where a split keeps its threshold."""
    tree["base_weights"] = [weight * factor for weight in tree["base_weights"]]
    tree["split_conditions"] = [
        value * factor if left < 0 else value
        for value, left in zip(tree["split_conditions"], tree["left_children"], strict=True)
    ]


def _weeks(bench: _Bench, end: int) -> Iterator[tuple[int, slice]]:
    """Each of the last weeks: how many rows had final labels when it began, and its own rows."""
    for number in range(WEEKS, 0, -1):
        begin = end - number * WEEK
        known, first, last = np.searchsorted(
            bench.times, [begin - bench.settings.delay_days * DAY, begin, begin + WEEK]
        ).tolist()
        if last > first and bench.labels[:known].any():
            yield known, slice(first, last)


def _rolled(bench: _Bench, end: int) -> tuple[dict[Choice, list[_Margins]], list[NDArray[np.uint8]]]:
    """Margins of every candidate and labels, week by week."""
    margins: dict[Choice, list[_Margins]] = {choice: [] for choice in Choice}
    labels = []
    for known, week in _weeks(bench, end):
        matrix = bench.matrix(known)
        for choice, parts in bench.parts(matrix).items():
            margins[choice].append(bench.margins_of(parts, week))
        margins[Choice.GLOBAL].append(bench.margins[week].astype(np.float64))
        labels.append(bench.labels[week])
    return margins, labels


def _precision(margins: list[_Margins], labels: list[NDArray[np.uint8]]) -> float:
    """Mean of the weeks' average precisions, weighted by their frauds."""
    frauds = [int(part.sum()) for part in labels]
    pairs = zip(labels, margins, frauds, strict=True)
    from sklearn.metrics import average_precision_score  # noqa: PLC0415  as XGBoost above

    total = sum(count * float(average_precision_score(part, score)) for part, score, count in pairs if count)
    return total / sum(frauds)


def _chosen(precision: Mapping[Choice, float], frauds: int) -> Choice:
    """`global+local`, unless another one is clearly better on enough frauds."""
    if frauds < LEAST_FRAUDS:
        return Choice.GLOBAL_LOCAL
    bar = precision[Choice.GLOBAL_LOCAL] + LEAST_GAIN
    better = [choice for choice in (Choice.GLOBAL, Choice.ALONE) if precision[choice] >= bar]
    return max(better, key=lambda choice: precision[choice], default=Choice.GLOBAL_LOCAL)


def _thresholds(margins: _Margins, settings: LocalSettings) -> Thresholds | None:
    if margins.shape[0] == 0:
        return None
    levels = [1.0 - settings.review_rate, 1.0 - settings.decline_rate]
    review, decline = np.quantile(margins, levels, method="higher").tolist()
    return Thresholds(review, decline)


def _recent(bench: _Bench, end: int) -> slice:
    return slice(int(np.searchsorted(bench.times, end - WEEKS * WEEK)), bench.times.shape[0])


def _without_local(bench: _Bench, end: int) -> LocalModel:
    thresholds = _thresholds(bench.margins[_recent(bench, end)].astype(np.float64), bench.settings)
    return LocalModel(Choice.GLOBAL, {}, 0, None, 1.0, bench.names, thresholds)


def choose(rows: LocalRows, contract: Contract, window: tuple[int, int], settings: LocalSettings) -> LocalModel:
    """Fits the bank's candidates and picks one of {alone, global, global + local}.

    Default is `global+local`; another one is taken only if its average precision over the last three weeks is
    better by 0.01 with at least 20 frauds in them. A bank with fewer than 20 frauds in the window serves `global`.
    Alone is 60 trees of depth 4, rate 0.15. The residual is 40 trees of depth 4, rate 0.1, on the global margin, and
    global + local the mean of the residual's margin and that of the bank alone; below 100 frauds it is 20 trees of
    depth 3 on the global margin. Where no week can be scored, thresholds come from the final model's own rows of those
    weeks.

    Args:
        rows: The bank's labelled rows; those outside the window are not looked at.
        contract: Their contract.
        window: Epoch seconds of the training window, end exclusive.
        settings: Rates, label delay, threads and seed.

    Returns:
        The choice, what it rests on, the model to serve and its thresholds.

    Raises:
        LocalError: If shapes, margins, labels or the window do not fit.
    """
    _check(rows, contract, *window)
    bench = _Bench(rows, contract, settings, window)
    if int(bench.labels.sum()) < LEAST_FRAUDS:
        return _without_local(bench, window[1])
    margins, labels = _rolled(bench, window[1])
    frauds = sum(int(part.sum()) for part in labels)
    precision = {choice: _precision(margins[choice], labels) for choice in Choice} if frauds else {}
    choice = _chosen(precision, frauds)
    if choice is Choice.GLOBAL:
        thresholds = _thresholds(np.concatenate(margins[choice]), settings)
        return LocalModel(choice, precision, frauds, None, 1.0, bench.names, thresholds)
    matrix = bench.matrix(bench.labels.shape[0])
    parts = (bench.fit(matrix, _ALONE),) if choice is Choice.ALONE else bench.parts(matrix)[choice]
    scored = margins[choice] or [bench.margins_of(parts, _recent(bench, window[1]))]
    thresholds = _thresholds(np.concatenate(scored), settings)
    share = mean_share([part.share for part in parts])
    return LocalModel(choice, precision, frauds, _file(parts), share, bench.names, thresholds)
