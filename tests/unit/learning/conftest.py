"""The default card contract (formats 2), and synthetic rows for it."""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from tacit.features.spec import Column, ColumnType, Contract, Hat, Pair, Provenance, Ratio, Transform
from tacit.features.types import Encoded

RISKS = ("t_risk1", "t_risk7", "t_risk30")
PLACES = {
    "amount": (50, 50),
    "weekend": (".3", ".5"),
    "night": (".2", ".4"),
    "c_nb1": (3, 2),
    "c_nb7": (20, 10),
    "c_nb30": (80, 40),
    "c_avg1": (50, 40),
    "c_avg7": (50, 40),
    "c_avg30": (50, 40),
    "t_nb1": (1, 1),
    "t_nb7": (6, 4),
    "t_nb30": (25, 15),
    "t_risk1": (0, ".2"),
    "t_risk7": (0, ".2"),
    "t_risk30": (0, ".2"),
}
MOST = {"c_nb1": 15, "c_nb7": 60, "c_nb30": 200, "t_nb1": 10, "t_nb7": 30, "t_nb30": 80}


def _edges(name: str) -> list[Fraction]:
    if name in MOST:
        return [Fraction(count) - Fraction(1, 2) for count in sorted(set(np.geomspace(1, MOST[name], 60).round()))]
    if name in RISKS:
        points = {0.001, *np.geomspace(0.01, 0.1, 12).round(3), *np.linspace(0.12, 0.99, 40).round(3)}
        return [Fraction(f"{point:.3f}") for point in sorted(points)]
    if name in ("weekend", "night"):
        return [Fraction(1, 2)]
    points = [*range(5, 125, 5), *np.geomspace(125, 1000, 36).round(1)]
    return [Fraction(f"{point:.1f}") for point in points]


def _coarse(name: str, edges: list[Fraction]) -> tuple[Fraction, ...] | None:
    if name == "c_avg30":
        wanted = [5, 10, 15, 20, 25, 30, 35, 40, 50, 60, 70, 80, 100, 132.7, 201.1]
    elif name in RISKS[1:]:
        wanted = [0.001, 0.028, 0.066, 0.1, 0.142, 0.187, 0.209, 0.254, 0.321, 0.388, 0.455, 0.544, 0.633, 0.767, 0.901]
    else:
        return None
    return (Fraction(0), *(min(edges, key=lambda edge: abs(edge - Fraction(str(goal)))) for goal in wanted))


def _column(name: str) -> Column:
    kind = ColumnType.AMOUNT
    if name in MOST:
        kind = ColumnType.COUNT
    elif name in RISKS:
        kind = ColumnType.SHARE
    elif name in ("weekend", "night"):
        kind = ColumnType.FLAG
    edges = _edges(name)
    centre, spread = (Fraction(value) for value in PLACES[name])
    return Column(name, kind, Provenance.CUSTOMER, tuple(edges), centre, spread, coarse=_coarse(name, edges))


@pytest.fixture(scope="session")
def contract() -> Contract:
    """The default card contract: 15 linear terms, 8 hats, 6 ratio hats, a 5 x 5 pair and the intercept."""
    return Contract(
        columns=tuple(_column(name) for name in PLACES),
        linear=tuple(PLACES),
        scale=Fraction("0.404"),
        hats=(Hat("amount", Transform.LOG, tuple(map(Fraction, (5, 10, 20, 50, 100, 200, 500, 1000)))),),
        ratios=(Ratio("amount", "c_avg30", tuple(map(Fraction, ("1/4", "1/2", 1, 2, 4, 8)))),),
        pairs=(Pair(("t_risk7", "t_risk30"), tuple(map(Fraction, (0, "0.05", "0.2", "0.5", 1)))),),
    )


@pytest.fixture(scope="session")
def draw_rows(contract: Contract) -> Callable[..., Encoded]:
    """A maker of random binned rows: sizes of the units, seed -> rows."""

    def draw(sizes: list[int], seed: int = 0, fraud: float = 0.2) -> Encoded:
        generator = np.random.default_rng(seed)
        rows = sum(sizes)
        bins = np.stack([generator.integers(0, column.bins, rows) for column in contract.columns]).astype(np.uint8)
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        return Encoded(bins, starts, (generator.random(rows) < fraud).astype(np.uint8))

    return draw
