"""The four lines: which rows they see, which cards leave the test, and figures that never hide a missing fraud."""

import datetime as dt

import numpy as np
import polars as pl
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from federation_cases import CONTRACT
from tacit.rounds.plan import Window
from tacit.sim import lines, metrics
from tacit.sim.lines import BankRows, Figures, Scored
from tacit.trainer import snapshot
from tacit.wire.local import API, Choice, LocalDocument

DAY = lines.DAY
REACH = snapshot.span(Window(dt.date(2018, 2, 1), 31, 7, 7), 0, "UTC")
TEST = (REACH.last, REACH.last + 7 * DAY)
NAN = float("nan")


def frame(rows: list[dict[str, int]]) -> pl.DataFrame:
    """Normalised rows: customer, time, and where they differ label, delay of the label, amount."""
    times = [row["time"] for row in rows]
    return pl.DataFrame(
        {
            "transaction": [str(number) for number in range(len(rows))],
            "customer": [f"c{row.get('customer', 0)}" for row in rows],
            "entity": [0] * len(rows),
            "time": times,
            "amount": [row.get("amount", 1_000) for row in rows],
            "label": pl.Series([row.get("label", 0) for row in rows], dtype=pl.UInt8),
            "label_time": [row["time"] + row.get("delay", 3 * DAY) for row in rows],
            "weekend": pl.Series([0] * len(rows), dtype=pl.UInt8),
            "night": pl.Series([0] * len(rows), dtype=pl.UInt8),
        }
    )


def prepared(*rows: dict[str, int]) -> BankRows:
    """A bank's rows, cut."""
    return lines.prepare(frame(list(rows)), CONTRACT, REACH, TEST, {})


def scored(labels: list[int], seed: int = 0) -> Scored:
    """Rows whose first column follows the label."""
    truth = np.array(labels, np.uint8)
    values = np.random.default_rng(seed).normal(size=(truth.size, 3)).astype(np.float32)
    values[:, 0] += 3 * truth
    return Scored(values, truth, np.arange(truth.size), np.zeros(truth.size, np.int64))


def bank(labels: list[int]) -> BankRows:
    """A bank of which only the test rows count."""
    return BankRows(scored([0, 1]), scored(labels))


@pytest.mark.parametrize(
    ("time", "part"),
    [
        (REACH.start - 1, None),
        (REACH.start, "training"),
        (REACH.end - 1, "training"),
        (REACH.end, None),
        (TEST[0] - 1, None),
        (TEST[0], "test"),
        (TEST[1] - 1, "test"),
        (TEST[1], None),
    ],
)
def test_a_row_is_in_the_part_of_its_second(time: int, part: str | None) -> None:
    """First seconds belong to a part, last ones do not; what lies between is in none."""
    found = prepared({"time": time})
    assert found.training.labels.size == (part == "training")
    assert found.test.labels.size == (part == "test")


@pytest.mark.parametrize(("late", "training"), [(0, 1), (1, 0)])
def test_training_knows_what_is_known_when_the_run_is_asked_for(late: int, training: int) -> None:
    """A label that is final a second too late is no fraud to learn from."""
    time = REACH.end - 1
    found = prepared({"time": time, "label": 1, "delay": REACH.ready - time + late})
    assert found.training.labels.tolist() == [training]


def test_the_test_knows_all() -> None:
    """Labels of test rows are the final ones, however late."""
    assert prepared({"time": TEST[0], "label": 1, "delay": 90 * DAY}).test.labels.tolist() == [1]


@pytest.mark.parametrize(
    ("known", "kept"),
    [(TEST[0], 0), (TEST[0] + 1, 1), (TEST[0] + DAY, 1), (TEST[0] - 30 * DAY, 0)],
)
def test_a_card_known_before_the_day_begins_leaves(known: int, kept: int) -> None:
    """A fraud known at the row's midnight takes the card out; one known during the day does not."""
    fraud = {"time": REACH.start, "label": 1, "delay": known - REACH.start}
    found = prepared(fraud, {"time": TEST[0] + 5 * 3_600})
    assert found.test.labels.size == kept


def test_other_cards_stay() -> None:
    """Only the customer with the known fraud is taken out, and only after it was known."""
    fraud = {"time": TEST[0], "label": 1, "customer": 1, "delay": DAY}
    later = [{"time": TEST[0] + day * DAY + 60, "customer": customer} for day in (0, 1, 2) for customer in (1, 2)]
    found = prepared(fraud, *later)
    assert found.test.labels.size == 1 + 3 + 1
    assert found.test.days.max() == TEST[0] // DAY + 2


def test_a_fraud_before_the_window_counts_for_nothing() -> None:
    """Cards were replaced by then."""
    assert prepared({"time": REACH.start - 1, "label": 1, "delay": 0}, {"time": TEST[0]}).test.labels.size == 1


def test_the_earliest_news_of_a_card_decides() -> None:
    """Of two frauds the one known first takes the card out."""
    late = {"time": REACH.start, "label": 1, "delay": 90 * DAY}
    early = {"time": REACH.start + 1, "label": 1, "delay": DAY}
    assert prepared(late, early, {"time": TEST[0]}).test.labels.size == 0


def test_customers_and_days_are_those_of_the_rows() -> None:
    """Codes are equal for equal customers; days count from 1970 UTC."""
    rows = [{"time": TEST[0] + place * DAY, "customer": who} for place, who in enumerate((5, 3, 5))]
    found = prepared(*rows).test
    assert found.customers[0] == found.customers[2] != found.customers[1]
    assert (found.days - TEST[0] // DAY).tolist() == [0, 1, 2]


def test_columns_are_the_contracts_then_the_ratios() -> None:
    """As a bank's own models see them; amounts in units of the currency."""
    found = prepared({"time": TEST[0], "amount": 1_234}).test
    assert found.values.dtype == np.float32
    assert found.values[0, 0] == pytest.approx(12.34)


def test_a_bank_alone_learns_what_separates() -> None:
    """The baseline ranks new rows of the same kind; the pooled one uses every bank's rows."""
    truth = [0] * 300 + [1] * 60
    test = scored(truth, seed=2)
    alone = lines.fit_alone([scored(truth)], threads=1)
    pooled = lines.fit_alone([scored(truth), scored(truth, seed=1)], threads=1)
    assert metrics.auc(test.labels, lines.margins_of(alone, test)) > 0.9
    assert alone.num_boosted_rounds() == pooled.num_boosted_rounds() == 60
    assert not np.allclose(lines.margins_of(alone, test), lines.margins_of(pooled, test))


def test_fits_are_repeatable() -> None:
    """The same rows give the same margins."""
    rows = scored([0] * 80 + [1] * 20)
    first, second = (lines.margins_of(lines.fit_alone([rows], threads=1), rows) for _ in range(2))
    assert np.array_equal(first, second)


def test_margins_start_from_their_base() -> None:
    """Trees add to the base; without one they start from zero."""
    rows = scored([0] * 80 + [1] * 20)
    booster = lines.fit_alone([rows], threads=1)
    base = np.linspace(-2.0, 2.0, 100)
    plain = lines.margins_of(booster, rows)
    assert plain.dtype == np.float64
    assert lines.margins_of(booster, rows, base) == pytest.approx(plain + base, abs=1e-5)
    assert lines.margins_of(booster, rows, np.zeros(100)) == pytest.approx(plain)


def document(booster: xgboost.Booster | None, choice: Choice, share: float) -> LocalDocument:
    """What a trainer's bank-only port says."""
    return LocalDocument(
        api=API,
        run="ab" * 32,
        model="sha256:" + "cd" * 32,
        name="card",
        contract="sha256:" + "ef" * 32,
        verdict="VERIFIED",
        choice=choice,
        precision={},
        frauds=0,
        global_share=share,
        names=(),
        thresholds=None,
        booster=None if booster is None else bytes(booster.save_raw("json")).decode(),
    )


@pytest.mark.parametrize(
    ("choice", "share", "trees", "start"),
    [
        (Choice.GLOBAL, 1.0, 0.0, 1.0),
        (Choice.ALONE, 0.0, 1.0, 0.0),
        (Choice.GLOBAL_LOCAL, 1.0, 1.0, 1.0),
        (Choice.GLOBAL_LOCAL, 0.5, 1.0, 0.5),
    ],
)
def test_margins_are_those_of_the_choice(choice: Choice, share: float, trees: float, start: float) -> None:
    """Global takes no trees, alone no global margin, and both together the share that was fitted."""
    rows = scored([0] * 80 + [1] * 20)
    booster, base = lines.fit_alone([rows], threads=1), np.linspace(-3.0, 1.0, 100)
    found = lines.chosen_margins(document(booster, choice, share), rows, base)
    assert found == pytest.approx(trees * lines.margins_of(booster, rows) + start * base, abs=1e-5)


def test_a_choice_without_a_booster_is_the_global_model() -> None:
    """Nothing is added to it."""
    base = np.array([0.5, -0.5])
    assert lines.chosen_margins(document(None, Choice.GLOBAL_LOCAL, 1.0), scored([0, 1]), base) is base


@pytest.mark.parametrize("labels", [[], [0, 0, 0], [1, 1]])
def test_no_figures_without_both_kinds(labels: list[int]) -> None:
    """NaN, which a summary shows as nothing."""
    found = lines.figures(np.array(labels, np.uint8), np.zeros(len(labels)))
    assert np.isnan([found.ap, found.auc, found.recall]).all()
    assert found.plain() == {"ap": None, "auc": None, "recall": None}


@settings(max_examples=20)
@given(st.lists(st.integers(0, 1), max_size=40))
def test_figures_are_the_metrics(labels: list[int]) -> None:
    """AP, AUC and recall, each in its place."""
    truth = np.array([0, 1, *labels], np.uint8)
    margins = np.random.default_rng(len(labels)).normal(size=truth.size)
    found = lines.figures(truth, margins)
    assert found.ap == metrics.average_precision(truth, margins)
    assert found.auc == metrics.auc(truth, margins)
    assert found.recall == metrics.recall_at_budget(truth, margins)


def test_a_summary_has_six_digits() -> None:
    """More would be noise."""
    assert Figures(1 / 3, 0.5, NAN).plain() == {"ap": 0.333333, "auc": 0.5, "recall": None}


def three() -> lines.Line:
    """A good, a bad and a middling bank."""
    labels = [0, 0, 0, 1]
    places = {"good": [1.0, 2.0, 3.0, 4.0], "bad": [2.0, 3.0, 4.0, 1.0], "middle": [1.0, 2.0, 4.0, 3.0]}
    margins = {name: np.array(values) for name, values in places.items()}
    return lines.line({name: bank(labels) for name in places}, margins)


def test_a_line_holds_every_bank() -> None:
    """AP by hand: fraud at place 1, 4 and 2."""
    found = three()
    assert {name: item.ap for name, item in found.banks.items()} == {"good": 1.0, "bad": 0.25, "middle": 0.5}
    assert (found.median.ap, found.worst.ap) == (0.5, 0.25)
    assert (found.median.auc, found.worst.auc) == pytest.approx((2 / 3, 0.0))


def test_all_customers_are_scored_together() -> None:
    """Not a mean over banks: margins of banks are compared with each other."""
    found = three()
    labels = np.array([0, 0, 0, 1] * 3, np.uint8)
    margins = np.array([1.0, 2.0, 3.0, 4.0, 2.0, 3.0, 4.0, 1.0, 1.0, 2.0, 4.0, 3.0])
    assert found.all.auc == pytest.approx(metrics.auc(labels, margins))


def test_the_order_of_margins_need_not_be_that_of_banks() -> None:
    """Labels follow the margins' names."""
    rows = {"one": bank([0, 0, 1]), "two": bank([1, 0, 0, 0])}
    right = {"two": np.array([9.0, 1.0, 2.0, 3.0]), "one": np.array([1.0, 2.0, 9.0])}
    assert lines.line(rows, right).all.auc == 1.0


def test_banks_without_fraud_are_left_out_of_the_summaries() -> None:
    """Their own figures are empty; the median and the worst are over the others."""
    rows = {"one": bank([0, 0, 1]), "none": bank([0, 0])}
    found = lines.line(rows, {"one": np.array([1.0, 2.0, 3.0]), "none": np.zeros(2)})
    assert np.isnan(found.banks["none"].ap)
    assert (found.median.ap, found.worst.ap) == (1.0, 1.0)


def test_no_fraud_anywhere_is_no_error() -> None:
    """Every figure of the line is empty."""
    found = lines.line({"one": bank([0, 0]), "two": bank([])}, {"one": np.zeros(2), "two": np.zeros(0)})
    empty = {"ap": None, "auc": None, "recall": None}
    assert found.plain() == {**empty, "median": empty, "worst": empty, "banks": {"one": empty, "two": empty}}
