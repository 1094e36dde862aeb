"""What a policy's caps and months mean; refusals themselves are tested with the machine."""

import datetime as dt
from dataclasses import replace

import pytest

import federation_cases as cases
from tacit.rounds.plan import Window
from tacit.trainer.policy import buckets


@pytest.mark.parametrize(
    ("end", "days", "expected"),
    [
        (dt.date(2018, 2, 1), 10, ("2018-01", "2018-02")),
        (dt.date(2018, 1, 9), 1, ("2018-01",)),
        (dt.date(2018, 3, 1), 28, ("2018-01", "2018-02", "2018-03")),
        (dt.date(2019, 1, 1), 20, ("2018-12", "2019-01")),
    ],
)
def test_months_with_label_delay_and_quality_rows(end: dt.date, days: int, expected: tuple[str, ...]) -> None:
    """Seven days of label delay before the window, quality rows and their delay after it, in full months."""
    assert buckets(cases.terms(window=Window(end, days, 7, 7))) == expected


def test_months_reach_back_as_far_as_the_features_look() -> None:
    """A contract that looks back a month charges that month."""
    worked = cases.terms(window=Window(dt.date(2018, 3, 1), 10, 0, 1))
    longer = replace(worked.contract, columns=(cases.month_column(), *worked.contract.columns[1:]))
    assert buckets(worked) == ("2018-02", "2018-03")
    assert buckets(replace(worked, contract=longer)) == ("2018-01", "2018-02", "2018-03")
