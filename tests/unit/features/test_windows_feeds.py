"""Feed columns join rows of a network's feed from their release on, and nothing that is released later enters."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_cases import DAY, card, card_document, contract_of, random_rows
from tacit.features.spec import Column, Contract
from tacit.features.windows import FeatureError, check_feed, compute, feed_of

HOUR = 3600
START = 1_522_540_800
PERIODS = pytest.mark.parametrize("period", [HOUR, 900, DAY // 4, DAY])


def contract() -> Contract:
    """The terminal columns of the feed contract alone."""
    document = card_document("card-feed.yaml")
    columns = [column for column in document["columns"] if "feed" in column]
    return contract_of({**document, "columns": columns, "linear": ["t_nb1"], "hats": [], "ratios": []})


def random_feed(seed: int, period: int = HOUR, ids: int = 5, rows: int = 400) -> pl.DataFrame:
    """A feed with gaps, for terminals 1 to ids; the transactions know terminal 0 too."""
    rng = np.random.default_rng(seed)
    start = START + rng.integers(0, 60 * DAY // period, rows) * period
    feed = pl.DataFrame({"entity": rng.integers(1, ids + 1, rows), "start": start, "count": rng.integers(0, 9, rows)})
    feed = feed.unique(["entity", "start"], maintain_order=True)
    frauds = (feed["count"].to_numpy() * rng.random(feed.height)).astype(np.int64)
    return feed.with_columns(frauds=pl.Series(frauds), period=pl.lit(period, pl.Int64))


def expected(feed: pl.DataFrame, row: dict[str, Any], column: Column) -> float:
    """One value straight from the rule of the feed."""
    period, delay = feed["period"][0], column.delay_days * DAY
    slots = [slot for slot in range(START - 99 * DAY, START + 99 * DAY, period) if slot + period + delay <= row["time"]]
    usable = set(slots[-(column.days or 0) * DAY // period :])
    held = [item for item in feed.to_dicts() if item["entity"] == row["entity"] and item["start"] in usable]
    count = sum(item["count"] for item in held)
    if column.of == "count":
        return float(count)
    return float(np.float32(sum(item["frauds"] for item in held) / count)) if count else 0.0


@PERIODS
def test_feed_columns_equal_their_definition(period: int) -> None:
    """Windows of w days hold the last w days' periods that are released, for any period."""
    feed, rows = random_feed(period, period), random_rows(3, rows=25, tie=1)
    result = compute(rows, contract(), {"network": feed})
    for column in contract().columns:
        assert result[column.name].to_list() == [expected(feed, row, column) for row in rows.to_dicts()]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 60 * DAY))
def test_nothing_later_enters(seed: int, second: int) -> None:
    """Changing, adding or removing any feed row that is not released at a moment changes no row before it."""
    feed, moment = random_feed(seed), START + second
    rows = random_rows(seed, rows=60, tie=1)
    at_or_before = rows["time"] <= moment
    released = pl.col("start") + HOUR + 7 * DAY <= moment
    more = pl.when(released).then(pl.col("count")).otherwise(pl.col("count") * 7 + 1000)
    wanted = compute(rows, contract(), {"network": feed}).filter(at_or_before)
    for other in (
        feed.with_columns(count=more, frauds=more // 2 * (~released) + pl.col("frauds") * released),
        feed.filter(released),
    ):
        assert compute(rows, contract(), {"network": other}).filter(at_or_before).equals(wanted)


@pytest.mark.parametrize(("wait", "count"), [(-1, 0), (0, 3), (DAY - 1, 3), (DAY + HOUR - 1, 3), (DAY + HOUR, 3)])
def test_a_feed_row_is_used_from_its_release(wait: int, count: int) -> None:
    """Usable from start + period + delay on, for the window's length of periods."""
    row = random_rows(1, rows=1).with_columns(
        time=pl.lit(START + HOUR + 7 * DAY + wait, pl.Int64), entity=pl.lit(1, pl.Int64)
    )
    feed = pl.DataFrame({"entity": [1], "start": [START], "count": [3], "frauds": [1]})
    result = compute(row, contract(), {"network": feed})
    assert result["t_nb7"].to_list() == [count]
    assert result["t_nb1"].to_list() == [count if wait < DAY else 0]
    assert result["t_risk30"].to_list() == [float(np.float32(1 / 3)) if count else 0.0]


def test_terminals_without_a_feed_row_count_nothing() -> None:
    """A terminal that the network never saw has count 0 and risk 0."""
    rows = random_rows(2).with_columns(entity=pl.lit(99, pl.Int64))
    result = compute(rows, contract(), {"network": random_feed(2)})
    assert (result.to_numpy() == 0).all()


def test_an_empty_feed_counts_nothing() -> None:
    """A feed without rows is a feed."""
    result = compute(random_rows(2), contract(), {"network": random_feed(2).head(0)})
    assert (result.to_numpy() == 0).all()


def test_order_of_rows_and_feed_is_free() -> None:
    """Shuffling the feed changes nothing; the result follows the transactions' order."""
    feed, rows = random_feed(4), random_rows(4)
    result = compute(rows, contract(), {"network": feed})
    assert compute(rows, contract(), {"network": feed.reverse()}).equals(result)
    assert compute(rows.reverse(), contract(), {"network": feed}).equals(result.reverse())


def test_own_rows_do_not_enter_feed_columns() -> None:
    """Feed columns come of the feed alone; customer columns of the rows alone."""
    rows, feed = random_rows(5), random_feed(5)
    full = compute(rows, card("card-feed.yaml"), {"network": feed})
    part = compute(rows.head(50), card("card-feed.yaml"), {"network": feed})
    terminal = [column.name for column in contract().columns]
    assert part.select(terminal).equals(full.head(50).select(terminal))
    customer = [column.name for column in card().columns if column.key == "customer"]
    assert full.select(customer).equals(compute(rows, card()).select(customer))


@PERIODS
def test_a_network_publishes_what_it_saw(period: int) -> None:
    """The feed of transactions counts each once, in its period, and frauds that are known at the release."""
    rows = random_rows(6)
    feed = feed_of(rows, period, delay_days=7)
    check_feed("network", feed)
    assert feed["count"].sum() == rows.height
    for item in feed.to_dicts():
        inside = rows.filter(pl.col("entity") == item["entity"], pl.col("time") // period * period == item["start"])
        known = inside.filter(pl.col("label") == 1, pl.col("label_time") <= item["start"] + period + 7 * DAY)
        assert (item["count"], item["frauds"]) == (inside.height, known.height)


def test_feed_of_all_rows_nears_exact_windows() -> None:
    """With rows on whole hours and labels known after 7 days the feed lags the exact window by one hour."""
    rows = random_rows(7, rows=200, tie=HOUR)
    rows = rows.with_columns(label_time=pl.col("time") + 7 * DAY)
    later = rows.with_columns(pl.col("time", "label_time") + HOUR)
    fed = compute(later, contract(), {"network": feed_of(rows)})
    exact = compute(rows, card())
    assert fed.equals(exact.select(fed.columns))


def test_a_missing_feed_is_named() -> None:
    """The contract's feed has to be given."""
    with pytest.raises(FeatureError, match="needs feed 'network'; feeds given: other"):
        compute(random_rows(1), contract(), {"other": random_feed(1)})


def test_feed_and_rows_have_entities_of_one_type() -> None:
    """Text ids never match numbers, so the mismatch is refused."""
    feed = random_feed(1).cast({"entity": pl.String})
    with pytest.raises(FeatureError, match="entity is String; allowed: Int64, as in the transactions"):
        compute(random_rows(1), contract(), {"network": feed})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda feed: feed.drop("count"), "feed network has no column 'count'"),
        (lambda feed: feed.cast({"start": pl.Float64}), "start is Float64; allowed: Int64"),
        (lambda feed: feed.with_columns(pl.col("start") + 1), "rows with a start that is no multiple of 3600 s"),
        (lambda feed: feed.with_columns(frauds=pl.col("count") + 1), "rows with frauds outside 0 to count"),
        (lambda feed: feed.with_columns(frauds=pl.lit(-1, pl.Int64)), "rows with frauds outside 0 to count"),
        (lambda feed: pl.concat([feed, feed.head(1)]), "2 rows with an entity and start that stand twice"),
        (lambda feed: feed.with_columns(period=pl.lit(7000)), "feed period is 7000 s; allowed: a divisor of 86400"),
        (lambda feed: feed.with_columns(period=pl.lit(0)), "feed period is 0 s; allowed: a divisor of 86400"),
        (
            lambda feed: feed.with_columns(
                period=pl.when(pl.col("entity") == feed["entity"][0]).then(3600).otherwise(60)
            ),
            "rows with a period other than the first row's",
        ),
    ],
)
def test_feeds_of_another_shape_are_refused(change: Any, message: str) -> None:  # noqa: ANN401
    """What a feed may not hold is named with a row that holds it."""
    with pytest.raises(FeatureError, match=message):
        check_feed("network", change(random_feed(1)))


def test_period_of_a_published_feed_divides_a_day() -> None:
    """A network cannot publish by periods that do not tile a day."""
    with pytest.raises(FeatureError, match="feed period is 5000 s"):
        feed_of(random_rows(1), 5000)
