"""The additive learner on the handbook's card transactions: the figures that the product states."""

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

import tacit
from tacit.features import encode, windows
from tacit.features.spec import Contract
from tacit.features.types import Encoded
from tacit.learning.course import Course
from tacit.learning.statistics import bounded_sum
from tacit.learning.types import Learner, QualityPlan, Shares
from tacit.privacy.calibration import calibrate
from tacit.privacy.release import release
from tacit.privacy.types import Mode
from tacit.runtime.documents import load

pytestmark = [pytest.mark.data, pytest.mark.slow, pytest.mark.timeout(600)]
CARD = Path(tacit.__file__).parent / "features" / "contracts" / "card.yaml"
FIRST_DAY = 1_522_540_800
TRAIN, WEEK, TEST = (32, 121), (115, 121), (129, 135)
SHARES = Shares(Fraction(5, 100), Fraction(90, 100), Fraction(0), Fraction(5, 100))
SECOND = FIRST_DAY + pl.col("TX_TIME_SECONDS").cast(pl.Int64)


@pytest.fixture(scope="module")
def contract() -> Contract:
    """The default card contract."""
    return load(Contract, CARD)


@pytest.fixture(scope="module")
def raw() -> pl.DataFrame:
    """The handbook's transactions."""
    folder = os.environ.get("TACIT_DATA")
    if folder is None:
        pytest.skip("TACIT_DATA names no folder")
    return pl.read_parquet(Path(folder) / "handbook.parquet")


@pytest.fixture(scope="module")
def transactions(raw: pl.DataFrame) -> pl.DataFrame:
    """The normalised frame; a label is known after seven days."""
    return raw.select(
        transaction=pl.col("TRANSACTION_ID").cast(pl.Int64),
        customer=pl.col("CUSTOMER_ID").cast(pl.Int64),
        entity=pl.col("TERMINAL_ID").cast(pl.Int64),
        time=SECOND,
        amount=(pl.col("TX_AMOUNT") * 100).round().cast(pl.Int64),
        label=pl.col("TX_FRAUD").cast(pl.UInt8),
        label_time=SECOND + 7 * 86_400,
        weekend=(pl.col("TX_DATETIME").dt.weekday() >= 6).cast(pl.UInt8),
        night=(pl.col("TX_DATETIME").dt.hour() <= 6).cast(pl.UInt8),
        day=pl.col("TX_TIME_DAYS").cast(pl.Int64),
    )


@pytest.fixture(scope="module")
def bins(transactions: pl.DataFrame, contract: Contract) -> NDArray[np.uint8]:
    """Binned columns of all rows."""
    return encode.encode(windows.compute(transactions, contract).to_numpy().astype(np.float64), contract)


def between(transactions: pl.DataFrame, bins: NDArray[np.uint8], keep: pl.Series) -> Encoded:
    """Some rows, grouped by customer."""
    return encode.group_by_unit(bins[:, keep.to_numpy()], transactions.filter(keep), "customer")


@pytest.fixture(scope="module")
def train(transactions: pl.DataFrame, bins: NDArray[np.uint8]) -> Encoded:
    """The 90 days up to the handbook's training week's end."""
    return between(transactions, bins, transactions["day"].is_between(*TRAIN))


@pytest.fixture(scope="module")
def test_week(transactions: pl.DataFrame, bins: NDArray[np.uint8]) -> Encoded:
    """The handbook's test week, without customers known to be defrauded by then."""
    frauds = transactions.filter(pl.col("label") == 1)
    first = frauds.filter(pl.col("day").is_between(*WEEK)).group_by("customer").agg(pl.lit(TEST[0]).alias("known"))
    later = frauds.filter(pl.col("day").is_between(WEEK[1], TEST[1] - 8))
    late = later.group_by("customer").agg((pl.col("day").min() + 8).cast(pl.Int32).alias("known"))
    known = pl.concat([first, late]).group_by("customer").agg(pl.col("known").min())
    joined = transactions.join(known, on="customer", how="left", maintain_order="left")
    open_ = joined["known"].is_null() | (joined["day"] < joined["known"]).fill_null(value=False)
    return between(transactions, bins, transactions["day"].is_between(*TEST) & open_)


def learn(contract: Contract, rows: Encoded, epsilon: Fraction | None) -> Course:
    """A whole additive run over one pool of customers, with central noise or none."""
    course = Course.start(Learner(), SHARES, contract, QualityPlan(), bytes(32))
    questions = [(stage.clip, stage.share) for stage in course.stages]
    noises = calibrate(epsilon or Fraction(1), Fraction(1, 10**5), questions, mode=Mode.LOCAL).noises
    while not course.learnt:
        weights = course.question[0]
        assert weights is not None
        sums = bounded_sum(course.stage, rows, course.basis, course.basis.margins(rows, weights))
        noise = noises[course.round]
        if epsilon is None:
            course = course.advance(sums.sums.tolist(), 0)
        else:
            course = course.advance(release(sums, noise, Mode.LOCAL).values.tolist(), noise.variance)
    return course


def average_precision(course: Course, rows: Encoded) -> float:
    """AP of the learnt model."""
    weights = course.question[0]
    assert weights is not None
    return float(average_precision_score(rows.labels, course.basis.margins(rows, weights)))


def test_rows_are_those_of_the_handbook(train: Encoded, test_week: Encoded) -> None:
    """862,577 training rows with 7,576 frauds; 58,264 test rows with 385."""
    assert (train.rows, int(train.labels.sum())) == (862_577, 7_576)
    assert (test_week.rows, int(test_week.labels.sum())) == (58_264, 385)


@pytest.mark.parametrize(("epsilon", "least"), [(None, 0.68), (Fraction(1), 0.65), (Fraction(4), 0.67)])
def test_average_precision(
    contract: Contract, train: Encoded, test_week: Encoded, epsilon: Fraction | None, least: float
) -> None:
    """AP without noise, at epsilon 1 and at epsilon 4, customer level, delta 1e-5, central noise."""
    assert average_precision(learn(contract, train, epsilon), test_week) > least
