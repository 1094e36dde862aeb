"""The shipped card contracts are the ones that the formats page states, number by number."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from feature_cases import amount_edges, card, card_document, count_edges, risk_edges
from tacit.features.spec import Column, ColumnType, Contract, Provenance, Side, Transform
from tacit.wire import documents

BOTH = pytest.mark.parametrize("name", ["card.yaml", "card-feed.yaml"])

SHAPES: list[tuple[str, int | str, int | str]] = [
    ("amount", 50, 50),
    ("weekend", ".3", ".5"),
    ("night", ".2", ".4"),
    ("c_nb1", 3, 2),
    ("c_nb7", 20, 10),
    ("c_nb30", 80, 40),
    ("c_avg1", 50, 40),
    ("c_avg7", 50, 40),
    ("c_avg30", 50, 40),
    ("t_nb1", 1, 1),
    ("t_nb7", 6, 4),
    ("t_nb30", 25, 15),
    ("t_risk1", 0, ".2"),
    ("t_risk7", 0, ".2"),
    ("t_risk30", 0, ".2"),
]
MEAN_CELLS = [0, 5, 10, 15, 20, 25, 30, 35, 40, 50, 60, 70, 80, 100, 132.7, 201.1]
RISK_CELLS = [0, 0.001, 0.028, 0.066, 0.1, 0.142, 0.187, 0.209, 0.254, 0.321, 0.388, 0.455, 0.544, 0.633, 0.767, 0.901]


def exact(values: NDArray[np.float64] | Sequence[float]) -> tuple[Fraction, ...]:
    """The decimals that people would write for these floats."""
    return tuple(Fraction(str(round(float(value), 6))) for value in values)


@BOTH
def test_columns_in_order_with_centre_and_spread(name: str) -> None:
    """The 15 columns stand in the stated order with the stated centres and spreads."""
    shapes = [(column.name, column.centre, column.spread) for column in card(name).columns]
    assert shapes == [(column, Fraction(centre), Fraction(spread)) for column, centre, spread in SHAPES]


@BOTH
@pytest.mark.parametrize("column", ["amount", "c_avg1", "c_avg7", "c_avg30"])
def test_edges_of_amounts(name: str, column: str) -> None:
    """Amounts and means: 60 edges, 61 bins."""
    assert card(name).column(column).edges == exact(amount_edges())
    assert card(name).column(column).bins == 61


@BOTH
@pytest.mark.parametrize(
    ("column", "most"), [("c_nb1", 15), ("c_nb7", 60), ("c_nb30", 200), ("t_nb1", 10), ("t_nb7", 30), ("t_nb30", 80)]
)
def test_edges_of_counts(name: str, column: str, most: int) -> None:
    """Counts: whole numbers, geometric, less a half."""
    assert card(name).column(column).edges == exact(count_edges(most))


@BOTH
@pytest.mark.parametrize("column", ["t_risk1", "t_risk7", "t_risk30"])
def test_edges_of_risks(name: str, column: str) -> None:
    """Risks: .001, then 12 geometric and 40 even points."""
    assert card(name).column(column).edges == exact(risk_edges())


@BOTH
def test_edges_of_flags(name: str) -> None:
    """Flags have the one edge .5."""
    flags = [column for column in card(name).columns if column.type is ColumnType.FLAG]
    assert [(flag.name, flag.edges) for flag in flags] == [("weekend", exact([0.5])), ("night", exact([0.5]))]


@BOTH
def test_coarse_cells(name: str) -> None:
    """The denominator and the two paired risks have coarse cells, each moved to the nearest edge."""
    held = {column.name: column.coarse for column in card(name).columns if column.coarse is not None}
    edges = risk_edges()
    nearest = [0.0, *(float(edges[np.argmin(np.abs(edges - start))]) for start in RISK_CELLS[1:])]
    assert held == {"c_avg30": exact(MEAN_CELLS), "t_risk7": exact(nearest), "t_risk30": exact(nearest)}


def windows(columns: Sequence[Column]) -> dict[str, tuple[str | None, str | None, int | None, int]]:
    """Aggregate, key, days and delay of each column."""
    return {column.name: (column.of, column.key, column.days, column.delay_days) for column in columns}


@BOTH
@pytest.mark.parametrize("days", [1, 7, 30])
def test_windows(name: str, days: int) -> None:
    """Customer windows end at the row; terminal windows end 7 days before it."""
    found = windows(card(name).columns)
    assert found[f"c_nb{days}"] == ("count", "customer", days, 0)
    assert found[f"c_avg{days}"] == ("mean(amount)", "customer", days, 0)
    assert found[f"t_nb{days}"] == ("count", "terminal", days, 7)
    assert found[f"t_risk{days}"] == ("fraud_share", "terminal", days, 7)
    assert found["amount"] == (None, None, None, 0)


@BOTH
def test_basis(name: str) -> None:
    """55 numbers: 15 linear, 6 of the ratio, 8 hats, 25 of the pair, the intercept."""
    contract = card(name)
    assert contract.basis_size == 55
    assert contract.linear == tuple(contract.index)
    assert contract.hats[0].column == "amount"
    assert contract.hats[0].transform is Transform.LOG
    assert contract.hats[0].knots == exact([5, 10, 20, 50, 100, 200, 500, 1000])
    assert contract.scale == Fraction("0.404")


@BOTH
def test_ratio_and_pair(name: str) -> None:
    """The amount against its 30-day mean, and two risks together."""
    (ratio,), (pair,) = card(name).ratios, card(name).pairs
    assert (ratio.numerator, ratio.denominator) == ("amount", "c_avg30")
    assert ratio.knots == exact([0.25, 0.5, 1, 2, 4, 8])
    assert pair.columns == ("t_risk7", "t_risk30")
    assert pair.knots == exact([0, 0.05, 0.2, 0.5, 1])


@BOTH
def test_provenance_and_missing_side(name: str) -> None:
    """Terminal columns mix customers, all else is the customer's; missing goes left."""
    for column in card(name).columns:
        expected = Provenance.MIXING if column.key == "terminal" else Provenance.CUSTOMER
        assert column.provenance is expected
        assert column.missing is Side.LEFT


def test_feed_contract_differs_in_the_feed_alone() -> None:
    """The feed contract is the default one with terminal columns from `network`."""
    plain, fed = card_document("card.yaml"), card_document("card-feed.yaml")
    feeds = {column["name"]: column.pop("feed", None) for column in fed["columns"]}
    assert plain == fed
    assert {name for name, feed in feeds.items() if feed == "network"} == {
        column["name"] for column in plain["columns"] if column.get("key") == "terminal"
    }


def test_no_number_is_a_float() -> None:
    """Numbers that are not whole are strings, for a float has no canonical form."""

    def kinds(value: object) -> set[type]:
        if isinstance(value, dict):
            return set().union(*(kinds(item) for item in value.values()))
        if isinstance(value, list):
            return set().union(*(kinds(item) for item in value))
        return {type(value)}

    assert kinds(card_document("card.yaml")) | kinds(card_document("card-feed.yaml")) == {int, str}


@BOTH
def test_the_product_reads_the_same_contract(name: str) -> None:
    """The strict reader of documents gives the contract that these tests look at."""
    read = documents.parse(Contract, card_document(name))
    assert read == card(name)
    assert read.digest == card(name).digest
