"""The layout that a kernel reads, against the basis it stands for, by a slow reading of it in Python."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import tacit
from tacit.features.spec import Contract
from tacit.features.types import Encoded
from tacit.learning import kernel as kernels
from tacit.learning.basis import Basis
from tacit.learning.kernel import Floats, Tables, Terms
from tacit.learning.types import Weights
from tacit.runtime.documents import load

CONTRACT = load(Contract, Path(tacit.__file__).parent / "features" / "contracts" / "card.yaml")


def bins(rows: int) -> NDArray[np.uint8]:
    """Random bins."""
    draw = np.random.default_rng(rows)
    return np.array([draw.integers(0, column.bins, rows) for column in CONTRACT.columns], dtype=np.uint8)


def cell(record: np.void, row: NDArray[np.uint8]) -> int:
    """The cell of a row in one table."""
    left, right = (int(column) for column in record["columns"])
    found = int(record["groups"][0, row[left]])
    return found if right < 0 else found + int(record["groups"][1, row[right]])


def functions_of(terms: Terms, row: NDArray[np.uint8]) -> NDArray[np.float64]:
    """All functions of one row, read from the layout."""
    values = np.zeros(terms.size)
    for table, function, first in terms.dense:
        values[function] += terms.values[first + cell(terms.tables[table], row)]
    for table, width, first in terms.sparse:
        for entry in range(width):
            at = first + width * cell(terms.tables[table], row) + entry
            values[terms.functions[at]] += terms.entries[at]
    values[-1] += terms.intercept
    return values


class Recorder:
    """A kernel that notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Tables, Floats, float]] = []

    def margins(self, bins: NDArray[np.uint8], tables: Tables, values: Floats, intercept: float) -> Floats:
        """Notes the tables."""
        self.asked.append((tables, values, intercept))
        return np.zeros(bins.shape[1])

    def sums(self, *_: object, **__: object) -> NDArray[np.int64]:
        """Is not asked here."""
        raise AssertionError


@pytest.mark.parametrize("power", [1, 2])
def test_terms_hold_every_function(power: int) -> None:
    """Reading the layout gives each block's table value to the power, in the order of the basis."""
    basis, drawn = Basis(CONTRACT), bins(50)
    terms = basis.terms(power)
    for number in range(drawn.shape[1]):
        row = drawn[:, number]
        expected = [block.table[:, basis.index(place, row[:, None])[0]] for place, block in enumerate(basis.blocks)]
        wanted = np.concatenate([*expected, [basis.scale]]) ** power
        np.testing.assert_array_equal(functions_of(terms, row), wanted)


def test_mostly_empty_blocks_are_laid_out_by_cell() -> None:
    """Hats, ratios and pairs have few entries a cell; linear terms are dense."""
    terms = Basis(CONTRACT).terms(1)
    assert len(terms.dense) == 15
    assert sorted(terms.sparse[:, 1].tolist()) == [2, 2, 4]


def test_margin_tables_add_up_to_the_margin() -> None:
    """The tables that a kernel is given, added in their order, are the margin bit for bit."""
    drawn, recorder = bins(40), Recorder()
    encoded = Encoded(drawn, np.array([0, 40]), np.zeros(40, dtype=np.uint8))
    weights = Weights(tuple(np.random.default_rng(1).normal(size=55).tolist()))
    Basis(CONTRACT, recorder).margins(encoded, weights)
    tables, values, intercept = recorder.asked[0]
    expected = Basis(CONTRACT).margins(encoded, weights)
    for number in range(40):
        total = intercept
        for record in tables:
            total += float(values[int(record["first"]) + cell(record, drawn[:, number])])
        assert total == expected[number]


def test_a_table_of_one_column_has_no_second() -> None:
    """The second column of a one-column table is -1, and its cell is the bin."""
    record = kernels.table((3,), [np.arange(7)], 11)[0]
    assert (record["columns"].tolist(), int(record["first"])) == ([3, -1], 11)
    assert record["groups"][0, :7].tolist() == list(range(7))


def test_layout_has_the_size_that_c_expects() -> None:
    """Three and 2 x 256 int32 numbers without padding."""
    assert kernels.TABLE.itemsize == 4 * (3 + 2 * kernels.BINS)


def test_full_and_empty_blocks() -> None:
    """A full block is dense; a block of zeros still has an entry a cell, worth 0."""
    tables = kernels.table((0,), [np.arange(2)], 0)
    full = kernels.terms(tables, [(0, 0, np.array([[1.0, 2.0]]))], 0.5)
    assert (full.dense.tolist(), full.values[1:].tolist(), len(full.sparse)) == ([[0, 0, 1]], [1.0, 2.0], 0)
    empty = kernels.terms(tables, [(0, 0, np.zeros((3, 2)))], 0.5)
    assert (empty.sparse.tolist(), empty.entries.tolist(), empty.size) == ([[0, 1, 1]], [0.0, 0.0, 0.0], 4)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """A kernel chosen for the process, taken back afterwards."""
    made = Recorder()
    kernels.use(made)
    yield made
    kernels.use(None)


def test_the_process_kernel_serves_bases_made_later(recorder: Recorder) -> None:
    """A basis takes the chosen kernel unless it is given one."""
    other = Recorder()
    assert Basis(CONTRACT).kernel is recorder
    assert Basis(CONTRACT, other).kernel is other


def test_without_a_choice_there_is_none() -> None:
    """NumPy alone is the default."""
    assert kernels.chosen() is None
    assert Basis(CONTRACT).kernel is None
