"""Terminals: place, category, popularity, and the weeks in which some are compromised."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tacit.sim.transactions.world import SIDE, YEAR_DAYS, World

# Share of terminals, and typical purchase as a multiple of a customer's mean purchase.
CATEGORIES: tuple[tuple[str, float, float], ...] = (
    ("grocery", 0.34, 0.80),
    ("fuel", 0.10, 1.00),
    ("restaurant", 0.22, 0.70),
    ("retail", 0.18, 1.25),
    ("electronics", 0.04, 2.50),
    ("travel", 0.03, 3.00),
    ("online", 0.09, 0.95),
)
FACTORS = np.array([factor for _, _, factor in CATEGORIES])
RESALE = (4, 5, 6)
ONLINE = (6,)
_PER_CELL = 12
_MAX_CELLS_A_SIDE = 100


@dataclass(frozen=True, eq=False)
class Terminals:
    """All terminals of a world, in the order of their cell on a square grid.

    Attributes:
        ids: int64, shape (terminals,): public identifiers, 1 to the number of terminals.
        category: uint8, shape (terminals,): index into `CATEGORIES`.
        cumulative: float64, shape (terminals + 1,): running sum of popularity, from 0.
        starts: int64, shape (cells + 1,): terminals starts[c] to starts[c + 1] stand in cell c.
        cells_a_side: Cells along one side of the square.
        compromised: bool, shape (terminals, days): whether the terminal is compromised on a day.
    """

    ids: NDArray[np.int64]
    category: NDArray[np.uint8]
    cumulative: NDArray[np.float64]
    starts: NDArray[np.int64]
    cells_a_side: int
    compromised: NDArray[np.bool_]

    def anywhere(self, draws: NDArray[np.float64]) -> NDArray[np.int64]:
        """Picks by popularity over the whole world, one terminal for each uniform draw in [0, 1)."""
        return self._pick(draws, np.zeros(draws.shape, np.int64), np.full(draws.shape, self.ids.size, np.int64))

    def near(self, x: NDArray[np.float64], y: NDArray[np.float64], draws: NDArray[np.float64]) -> NDArray[np.int64]:
        """Picks by popularity in the cell of each point; over the whole world where the cell is empty."""
        cell = _cell(x, y, self.cells_a_side)
        first, last = self.starts[cell], self.starts[cell + 1]
        empty = first == last
        return self._pick(draws, np.where(empty, 0, first), np.where(empty, self.ids.size, last))

    def among(self, categories: tuple[int, ...], draws: NDArray[np.float64]) -> NDArray[np.int64]:
        """Picks by popularity among the terminals of some categories; among all where there are none."""
        chosen = np.flatnonzero(np.isin(self.category, categories))
        if chosen.size == 0:
            return self.anywhere(draws)
        running = np.cumsum(np.diff(self.cumulative)[chosen])
        found = np.minimum(np.searchsorted(running, draws * running[-1], side="right"), chosen.size - 1)
        return np.asarray(chosen[found], np.int64)

    def _pick(self, draws: NDArray[np.float64], first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
        low, high = self.cumulative[first], self.cumulative[last]
        found = np.searchsorted(self.cumulative, low + draws * (high - low), side="right") - 1
        return np.clip(found, first, last - 1)


def _cell(x: NDArray[np.float64], y: NDArray[np.float64], cells_a_side: int) -> NDArray[np.int64]:
    column = np.clip((x * (cells_a_side / SIDE)).astype(np.int64), 0, cells_a_side - 1)
    row = np.clip((y * (cells_a_side / SIDE)).astype(np.int64), 0, cells_a_side - 1)
    return row * cells_a_side + column


def growth(yearly: float, days: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.float64]:
    """The factor reached after some days by compound growth of ``1 + yearly`` a year."""
    return np.asarray((1.0 + yearly) ** (np.asarray(days, np.float64) / YEAR_DAYS), np.float64)


def draw_terminals(world: World) -> Terminals:
    """The terminals of a world; they depend on its seed, days and terminal settings, not on its banks."""
    rng = world.stream("terminals")
    x, y = rng.uniform(0.0, SIDE, (2, world.terminals))
    cells_a_side = int(np.clip(np.sqrt(world.terminals / _PER_CELL), 1, _MAX_CELLS_A_SIDE))
    cell = _cell(x, y, cells_a_side)
    order = np.argsort(cell, kind="stable")
    category = rng.choice(len(CATEGORIES), world.terminals, p=[share for _, share, _ in CATEGORIES])
    popularity = rng.lognormal(0.0, world.habits.popularity_spread, world.terminals)
    return Terminals(
        ids=order.astype(np.int64) + 1,
        category=category[order].astype(np.uint8),
        cumulative=np.concatenate([[0.0], np.cumsum(popularity[order])]),
        starts=np.searchsorted(cell[order], np.arange(cells_a_side**2 + 1)).astype(np.int64),
        cells_a_side=cells_a_side,
        compromised=_compromised(world),
    )


def _compromised(world: World) -> NDArray[np.bool_]:
    rng, fraud = world.stream("compromised"), world.fraud
    shortest, longest = fraud.terminal_days
    # Incidents may begin before the first day: else the world would start free of them.
    days = np.arange(-longest, world.days)
    counts = rng.poisson(fraud.terminal * world.terminals * growth(world.drift.terminal, days))
    begin = np.repeat(days, counts)
    end = begin + rng.integers(shortest, longest, begin.size, endpoint=True)
    terminal = rng.integers(0, world.terminals, begin.size)
    steps = np.zeros((world.terminals, world.days + 1), np.int32)
    np.add.at(steps, (terminal, np.clip(begin, 0, world.days)), 1)
    np.add.at(steps, (terminal, np.clip(end, 0, world.days)), -1)
    return np.asarray(np.cumsum(steps[:, :-1], axis=1) > 0)
