"""The bank's own model: what is chosen, what it is made of, and that it is the same every time."""

import json
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import xgboost

from tacit.features.encode import local_values
from tacit.features.spec import Column, ColumnType, Contract, Provenance, Ratio
from tacit.scorer.engine import Engine
from tacit.trainer import local as subject
from tacit.trainer.local import LocalError, LocalRows, LocalSettings
from tacit.wire.local import Choice

DAY = 86_400
WINDOW = (1_000 * DAY, 1_060 * DAY)
SETTINGS = LocalSettings()
CONTRACT = Contract(
    columns=tuple(
        Column(
            name,
            ColumnType.AMOUNT,
            Provenance.CUSTOMER,
            tuple(Fraction(edge) for edge in range(1, 20)),
            Fraction(0),
            Fraction(1),
            coarse=(Fraction(0), Fraction(4), Fraction(9)),
        )
        for name in ("amount", "mean", "other")
    ),
    linear=("amount",),
    ratios=(Ratio("amount", "mean", (Fraction(1, 2), Fraction(1), Fraction(2))),),
    scale=Fraction(1),
)


def rows_of(seed: int, count: int = 6_000, rate: float = 0.03, knows: float = 0.0) -> LocalRows:
    """Rows whose frauds have a high `other` or a high ratio; the global margin knows a share of it."""
    rng = np.random.default_rng(seed)
    values = rng.gamma(2.0, 4.0, (count, 3)).astype(np.float32)
    risk = np.log(values[:, 0] / values[:, 1]) + (values[:, 2] > 15) * 2.0
    labels = (risk + rng.normal(0, 0.3, count)) > np.quantile(risk, 1 - rate)
    values[rng.random(values.shape) < 0.02] = np.nan
    times = rng.integers(*WINDOW, count)
    margins = knows * 4.0 * (risk - np.quantile(risk, 1 - rate)) + (1 - knows) * rng.normal(0, 1, count) - 2.0
    return LocalRows(values, labels.astype(np.uint8), times, margins)


def trees_of(file: bytes) -> list[dict[str, Any]]:
    """The trees of an XGBoost JSON file."""
    trees: list[dict[str, Any]] = json.loads(file)["learner"]["gradient_booster"]["model"]["trees"]
    return trees


def choose(rows: LocalRows, settings: LocalSettings = SETTINGS) -> subject.LocalModel:
    """The choice over the test's window."""
    return subject.choose(rows, CONTRACT, WINDOW, settings)


def test_residual_on_a_useful_global_model() -> None:
    """The default is kept: the bank's own 60 trees and 40 of the residual, on half the global margin."""
    found = choose(rows_of(0, knows=0.3))
    assert found.choice is Choice.GLOBAL_LOCAL
    assert found.names == ("amount", "mean", "other", "log_amount_over_mean")
    assert found.booster is not None
    learner = json.loads(found.booster)["learner"]
    assert learner["feature_names"] == list(found.names)
    assert learner["gradient_booster"]["model"]["gbtree_model_param"]["num_trees"] == "100"
    assert found.global_share == 0.5
    assert set(found.precision) == set(Choice)


def test_few_frauds_make_a_small_residual() -> None:
    """Below 100 training frauds: 20 trees on the whole global margin."""
    rows = rows_of(1, count=2_000, rate=0.03, knows=0.5)
    assert 20 <= rows.labels.sum() < 100
    found = choose(rows)
    assert found.booster is not None
    model = json.loads(found.booster)["learner"]["gradient_booster"]["model"]
    assert model["gbtree_model_param"]["num_trees"] == "20"
    assert found.global_share == 1.0
    assert max(len(tree["left_children"]) for tree in model["trees"]) <= 15


def test_very_few_frauds_serve_the_global_model() -> None:
    """Below 20 training frauds nothing is fitted; thresholds come from the global margins."""
    rows = rows_of(2, count=1_000, rate=0.015)
    assert rows.labels.sum() < 20
    found = choose(rows)
    assert (found.choice, found.booster, found.global_share, found.precision) == (Choice.GLOBAL, None, 1.0, {})
    recent = rows.margins[rows.times >= WINDOW[1] - 21 * DAY].astype(np.float32)
    assert found.thresholds is not None
    assert np.mean(recent >= np.float32(found.thresholds.review)) == pytest.approx(0.005, abs=0.003)


def test_a_misleading_global_model_is_left_alone() -> None:
    """Where the global margin misleads, the bank serves its own 60 trees."""
    rows = rows_of(3)
    found = choose(replace(rows, margins=np.where(rows.labels == 1, -9.0, 3.0) + rows.margins))
    assert found.choice is Choice.ALONE
    assert found.precision[Choice.ALONE] >= found.precision[Choice.GLOBAL_LOCAL] + 0.01
    assert found.booster is not None
    model = json.loads(found.booster)["learner"]["gradient_booster"]["model"]
    assert model["gbtree_model_param"]["num_trees"] == "60"
    assert found.global_share == 0.0


def test_global_and_local_is_the_mean_of_alone_and_residual() -> None:
    """The rolled margins, and those of the saved file on its share of the global margin, are the same mean."""
    rows = rows_of(14, knows=0.3)
    bench = subject._Bench(rows, CONTRACT, SETTINGS, WINDOW)
    every = slice(0, bench.labels.shape[0])
    matrix = bench.matrix(every.stop)
    alone, residual = (bench.fit(matrix, recipe) for recipe in (subject._ALONE, subject._RESIDUAL))
    expected = (bench.margins_of((alone,), every) + bench.margins_of((residual,), every)) / 2
    found = bench.margins_of(bench.parts(matrix)[Choice.GLOBAL_LOCAL], every)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    native = xgboost.Booster({"nthread": 1}, model_file=bytearray(subject._file((alone, residual))))
    base = bench.start(0.5, every)
    saved = native.inplace_predict(bench.values, predict_type="margin", base_margin=base, validate_features=False)
    np.testing.assert_allclose(saved, expected, atol=2e-5)
    single = native.inplace_predict(bench.values[:1], predict_type="margin", base_margin=base[:1])
    assert single.tolist() == saved[:1].tolist()


def test_a_file_of_one_part_is_the_part() -> None:
    """Nothing is scaled; XGBoost writes it out again as it was."""
    bench = subject._Bench(rows_of(15), CONTRACT, SETTINGS, WINDOW)
    alone = bench.fit(bench.matrix(bench.labels.shape[0]), subject._ALONE)
    native = xgboost.Booster(model_file=bytearray(subject._file((alone,))))
    assert native.get_dump(with_stats=True) == alone.booster.get_dump(with_stats=True)


def test_a_file_of_two_parts_keeps_splits_and_covers() -> None:
    """Trees stand one after the other with halved leaves; thresholds and covers are as they were."""
    bench = subject._Bench(rows_of(16, knows=0.3), CONTRACT, SETTINGS, WINDOW)
    matrix = bench.matrix(bench.labels.shape[0])
    parts = tuple(bench.fit(matrix, recipe) for recipe in (subject._ALONE, subject._RESIDUAL))
    merged = trees_of(subject._file(parts))
    single = [tree for part in parts for tree in trees_of(bytes(part.booster.save_raw("json")))]
    assert [tree["id"] for tree in merged] == list(range(100))
    for ours, theirs in zip(merged, single, strict=True):
        assert all(ours[name] == theirs[name] for name in ("split_indices", "sum_hessian", "default_left"))
        leaf = np.array(theirs["left_children"]) < 0
        expected = np.where(leaf, 0.5, 1.0) * theirs["split_conditions"]
        assert ours["split_conditions"] == expected.tolist()


def test_a_noisy_global_model_costs_global_and_local_little() -> None:
    """Pure noise in the global margin harms the mean less than the residual by itself."""
    found: dict[str, list[float]] = {"residual": [], "mean": []}
    for seed in range(20, 23):
        bench = subject._Bench(rows_of(seed), CONTRACT, SETTINGS, WINDOW)
        known, week = next(subject._weeks(bench, WINDOW[1]))
        both = bench.parts(bench.matrix(known))[Choice.GLOBAL_LOCAL]
        for name, parts in (("residual", both[1:]), ("mean", both)):
            found[name].append(subject._precision([bench.margins_of(parts, week)], [bench.labels[week]]))
    assert np.mean(found["mean"]) > np.mean(found["residual"])


@pytest.mark.parametrize(
    ("precision", "frauds", "expected"),
    [
        ((0.50, 0.50, 0.50), 50, Choice.GLOBAL_LOCAL),
        ((0.505, 0.509, 0.50), 50, Choice.GLOBAL_LOCAL),
        ((0.52, 0.50, 0.50), 50, Choice.ALONE),
        ((0.50, 0.53, 0.50), 50, Choice.GLOBAL),
        ((0.55, 0.53, 0.50), 50, Choice.ALONE),
        ((0.53, 0.55, 0.50), 20, Choice.GLOBAL),
        ((0.90, 0.90, 0.10), 19, Choice.GLOBAL_LOCAL),
    ],
)
def test_rule_of_the_choice(precision: tuple[float, float, float], frauds: int, expected: Choice) -> None:
    """Another one only if better by 0.01 with at least 20 frauds."""
    assert subject._chosen(dict(zip(Choice, precision, strict=True)), frauds) is expected


def test_same_rows_same_result() -> None:
    """Deterministic, whatever the order of the rows in time."""
    rows = rows_of(4, knows=0.5)
    order = np.argsort(rows.times, kind="stable")
    moved = LocalRows(rows.values[order], rows.labels[order], rows.times[order], rows.margins[order])
    assert choose(rows) == choose(rows) == choose(moved)


def test_rows_outside_the_window_change_nothing() -> None:
    """Quality days and older rows are not looked at."""
    rows = rows_of(5, knows=0.5)
    late = rows_of(6, count=500, rate=0.5)
    times = np.concatenate([rows.times, np.full(250, WINDOW[1]), np.full(250, WINDOW[0] - 1)])
    both = LocalRows(
        np.concatenate([rows.values, late.values]),
        np.concatenate([rows.labels, late.labels]),
        times,
        np.concatenate([rows.margins, late.margins]),
    )
    assert choose(both) == choose(rows)


def test_no_week_is_scored_by_a_model_that_saw_unsettled_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of the delay before a week, and the week itself, are in no training set of it."""
    bench = subject._Bench(rows_of(7), CONTRACT, SETTINGS, WINDOW)
    weeks = list(subject._weeks(bench, WINDOW[1]))
    assert len(weeks) == 3
    for number, (known, week) in enumerate(weeks):
        begin = WINDOW[1] - (3 - number) * 7 * DAY
        assert bench.times[known - 1] < begin - 7 * DAY <= bench.times[known]
        assert begin <= bench.times[week].min() <= bench.times[week].max() < begin + 7 * DAY


def test_labels_of_the_scored_weeks_do_not_reach_the_scores() -> None:
    """Turning the last week's labels over leaves the rolled margins of all weeks as they were."""
    rows = rows_of(8, knows=0.5)
    turned = replace(rows, labels=np.where(rows.times >= WINDOW[1] - 7 * DAY, 1 - rows.labels, rows.labels))
    first, second = (
        subject._rolled(subject._Bench(r, CONTRACT, SETTINGS, WINDOW), WINDOW[1])[0] for r in (rows, turned)
    )
    for choice in Choice:
        assert all(np.array_equal(a, b) for a, b in zip(first[choice], second[choice], strict=True))


def test_engine_scores_the_residual_as_xgboost() -> None:
    """The saved file on the global margin, in the scorer and in XGBoost."""
    rows = rows_of(9, knows=0.3)
    found = choose(rows)
    assert found.booster is not None
    values = local_values(rows.values, CONTRACT)
    native = xgboost.Booster({"nthread": 1}, model_file=bytearray(found.booster))
    base = rows.margins * found.global_share
    matrix = xgboost.DMatrix(values, base_margin=base, feature_names=list(found.names), nthread=1)
    margins = Engine.of(found.booster, found.names).margins(values, base)
    np.testing.assert_allclose(margins, native.predict(matrix, output_margin=True), atol=2e-5)


def test_thresholds_hold_the_rates() -> None:
    """About the asked shares of the last weeks lie at or above the thresholds; declines are rarer."""
    settings = LocalSettings(review_rate=0.05, decline_rate=0.01)
    found = choose(rows_of(10, knows=0.3), settings)
    assert found.thresholds is not None
    assert found.thresholds.review < found.thresholds.decline
    bench = subject._Bench(rows_of(10, knows=0.3), CONTRACT, settings, WINDOW)
    margins = np.concatenate(subject._rolled(bench, WINDOW[1])[0][found.choice])
    assert np.mean(margins >= found.thresholds.review) == pytest.approx(0.05, abs=0.002)
    assert np.mean(margins >= found.thresholds.decline) == pytest.approx(0.01, abs=0.002)


def test_a_short_window_takes_the_default() -> None:
    """No week can be scored: global + local, thresholds from the final model's own rows."""
    rows = rows_of(11, rate=0.1, knows=0.3)
    found = subject.choose(rows, CONTRACT, (WINDOW[1] - 7 * DAY, WINDOW[1]), SETTINGS)
    assert (found.choice, found.precision, found.frauds) == (Choice.GLOBAL_LOCAL, {}, 0)
    assert found.booster is not None
    assert found.thresholds is not None


def test_an_empty_end_has_no_thresholds() -> None:
    """A bank without rows in the last weeks gets none."""
    rows = rows_of(12, knows=0.3)
    early = replace(rows, times=np.minimum(rows.times, WINDOW[1] - 22 * DAY))
    assert choose(early).thresholds is None


def test_no_rows_serve_the_global_model() -> None:
    """A bank that has not started yet."""
    none = LocalRows(
        np.empty((0, 3), np.float32), np.empty(0, np.uint8), np.empty(0, np.int64), np.empty(0, np.float64)
    )
    found = choose(none)
    assert (found.choice, found.thresholds) == (Choice.GLOBAL, None)


def test_precision_weights_weeks_by_frauds() -> None:
    """Weeks without frauds do not count."""
    margins = [np.array([3.0, 2.0, 1.0]), np.array([1.0, 2.0]), np.array([5.0])]
    labels = [np.array([1, 1, 0]), np.array([1, 0]), np.array([0])]
    found = subject._precision(margins, [part.astype(np.uint8) for part in labels])
    assert found == pytest.approx((2 * 1.0 + 1 * 0.5) / 3)


BROKEN = {
    "values": lambda rows: replace(rows, values=rows.values[:, :2]),
    "times": lambda rows: replace(rows, times=rows.times[1:]),
    "margins": lambda rows: replace(rows, margins=rows.margins[1:]),
    "finite": lambda rows: replace(rows, margins=np.full_like(rows.margins, np.nan)),
    "labels": lambda rows: replace(rows, labels=rows.labels + 1),
}


@pytest.mark.parametrize("name", BROKEN)
def test_rows_that_do_not_fit_are_refused(name: str) -> None:
    """The faulty part is named."""
    with pytest.raises(LocalError, match=name):
        choose(BROKEN[name](rows_of(0, count=50)))


def test_an_empty_window_is_refused() -> None:
    """The window must have a length."""
    with pytest.raises(LocalError, match="window"):
        subject.choose(rows_of(0, count=50), CONTRACT, (WINDOW[0], WINDOW[0]), SETTINGS)


@pytest.mark.parametrize(
    "change",
    [
        {"review_rate": 0.0},
        {"review_rate": 1.0},
        {"decline_rate": 0.0},
        {"decline_rate": 0.01},
        {"delay_days": -1},
        {"delay_days": 91},
        {"threads": 0},
    ],
)
def test_settings_out_of_range(change: dict[str, float]) -> None:
    """Rates, delay and threads have ranges."""
    with pytest.raises(LocalError, match="must"):
        LocalSettings(**change)  # type: ignore[arg-type]
