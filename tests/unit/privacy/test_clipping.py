"""Clipping in exact integers, and the bounded sum."""

import ast
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

import tacit
from tacit.privacy import clipping
from tacit.privacy.clipping import BoundedSum, clipped
from tacit.privacy.types import CONTRIBUTION_SCALE, GRID, PrivacyError

SERVICES = Path(tacit.__file__).parent
MOST = np.iinfo(np.int64).max
CLIPS = st.one_of(
    st.fractions(Fraction(1, 997), 16, max_denominator=997),
    st.integers(1, 16 * GRID).map(lambda units: Fraction(units, GRID)),
)
CELLS = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.integers(-(2**35), 2**35), st.just(0), st.just(-(2**63)), st.just(2**33)
)
MATRICES = hnp.arrays(np.int64, st.tuples(st.integers(1, 6), st.integers(1, 5)), elements=CELLS)


def total(contributions: NDArray[np.int64], clip: Fraction) -> NDArray[np.int64]:
    """The sum over all rows at once."""
    accumulator = BoundedSum(contributions.shape[1], clip)
    accumulator.add(contributions)
    return accumulator.bounded().sums


def norm_squared(vector: NDArray[np.int64]) -> int:
    """Exact squared norm."""
    return sum(int(cell) ** 2 for cell in vector)


def reference(vector: NDArray[np.int64], bound: int) -> list[int] | None:
    """The truncated vector where its exact norm is within the bound, None where it has to be scaled."""
    if norm_squared(vector) > (bound << 16) ** 2:
        return None
    return [math.trunc(Fraction(int(cell), 2**16)) for cell in vector]


@given(MATRICES, CLIPS)
def test_norm_never_above_the_bound(matrix: NDArray[np.int64], clip: Fraction) -> None:
    """Whatever a unit contributes, its clipped integer norm is at most floor(GRID clip)."""
    bound = math.floor(GRID * clip)
    for row in clipped(matrix, bound):
        assert norm_squared(row) <= bound**2


@given(MATRICES, CLIPS)
def test_vectors_within_the_bound_are_only_truncated(matrix: NDArray[np.int64], clip: Fraction) -> None:
    """A vector at or below the bound, decided in Python integers, loses nothing but its fraction of a grid unit."""
    bound = math.floor(GRID * clip)
    for row, result in zip(matrix, clipped(matrix, bound), strict=True):
        expected = reference(row, bound)
        assert expected is None or result.tolist() == expected


@given(MATRICES, CLIPS)
def test_clipping_keeps_direction_and_length(matrix: NDArray[np.int64], clip: Fraction) -> None:
    """A vector above the bound is scaled to the bound, up to one grid unit a cell: not shrunk further."""
    bound = math.floor(GRID * clip)
    for row, result in zip(matrix, clipped(matrix, bound), strict=True):
        if reference(row, bound) is None:
            norm = math.isqrt(norm_squared(row))
            ideal = [Fraction(int(cell) * bound, norm) for cell in row]
            assert all(abs(int(got) - want) < Fraction(2001, 1000) for got, want in zip(result, ideal, strict=True))
            assert all(int(got) * int(cell) >= 0 for got, cell in zip(result, row, strict=True))


@given(MATRICES, CLIPS, st.data())
def test_removing_one_unit_removes_exactly_its_vector(
    matrix: NDArray[np.int64], clip: Fraction, data: st.DataObject
) -> None:
    """The neighbouring sums differ by the removed unit's clipped vector, and by nothing else."""
    unit = data.draw(st.integers(0, len(matrix) - 1))
    change = total(matrix, clip) - total(np.delete(matrix, unit, axis=0), clip)
    assert change.tolist() == clipped(matrix[unit : unit + 1], math.floor(GRID * clip))[0].tolist()


@given(MATRICES, CLIPS, st.data())
def test_batches_and_order_do_not_matter(matrix: NDArray[np.int64], clip: Fraction, data: st.DataObject) -> None:
    """Any order of units in any batches gives the same integers."""
    order = data.draw(st.permutations(range(len(matrix))))
    cut = data.draw(st.integers(0, len(matrix)))
    accumulator = BoundedSum(matrix.shape[1], clip)
    accumulator.add(matrix[order[:cut]])
    accumulator.add(matrix[order[cut:]])
    assert accumulator.bounded().sums.tolist() == total(matrix, clip).tolist()


@given(hnp.arrays(np.int64, (4, 3), elements=st.integers(-(2**40), 2**40)))
def test_truncation_is_toward_zero(matrix: NDArray[np.int64]) -> None:
    """Negative and positive contributions are truncated alike, so truncation never raises a norm."""
    assert clipped(-matrix, 2**20).tolist() == (-clipped(matrix, 2**20)).tolist()


@pytest.mark.parametrize(
    ("vector", "expected"),
    [
        ([0, 0, 0], [0, 0, 0]),
        ([CONTRIBUTION_SCALE, 0, 0], [GRID, 0, 0]),
        ([CONTRIBUTION_SCALE + 1, 0, 0], [GRID, 0, 0]),
        ([-MOST - 1, 0, 0], [-GRID, 0, 0]),
        ([MOST, MOST, 0], [46340, 46340, 0]),
        ([2**16 - 1, -(2**16) + 1, 1 - 2**17], [0, 0, -1]),
        ([3 * CONTRIBUTION_SCALE, -4 * CONTRIBUTION_SCALE, 0], [39321, -52428, 0]),
    ],
)
def test_known_vectors(vector: list[int], expected: list[int]) -> None:
    """Zero, exactly at the bound, one unit of 2^-32 above it, the ends of int64, and a 3-4-5 triangle."""
    assert clipped(np.array([vector], dtype=np.int64), GRID)[0].tolist() == expected


def test_exact_test_decides_at_the_bound() -> None:
    """One unit of 2^-32 on either side of the bound is told apart even where a float could not."""
    inside = np.zeros((1, 4096), dtype=np.int64)
    inside[0, :] = CONTRIBUTION_SCALE // 64
    above = inside.copy()
    above[0, 0] += 1
    assert (clipped(inside, GRID) == GRID // 64).all()
    assert clipped(above, GRID)[0, 1] == GRID // 64 - 1


def test_greatest_vectors_of_the_greatest_size() -> None:
    """4,096 cells at the ends of int64 and the largest clip: no overflow, no warning, norm at the bound."""
    matrix = np.full((3, 4096), MOST, dtype=np.int64)
    matrix[1] = -MOST - 1
    result = clipped(matrix, 16 * GRID)
    assert result.tolist() == [[16384] * 4096, [-16384] * 4096, [16384] * 4096]


def test_chunks_of_a_large_batch_agree() -> None:
    """A batch longer than the internal chunk sums like single rows."""
    matrix = np.random.default_rng(3).integers(-(2**34), 2**34, (600, 4096))
    rows = sum(clipped(matrix[number : number + 1], GRID)[0] for number in range(len(matrix)))
    assert (total(matrix, Fraction(1)) == rows).all()


def test_a_customer_with_ten_thousand_rows_counts_once() -> None:
    """A unit that sums to 10,000 changes the result by its bound, not by its size."""
    matrix = np.array([[CONTRIBUTION_SCALE // 2], [10_000 * CONTRIBUTION_SCALE]], dtype=np.int64)
    assert total(matrix, Fraction(2)).tolist() == [GRID // 2 + 2 * GRID]


def test_sensitivity_is_the_floor_of_the_scaled_clip() -> None:
    """The value that the sums carry is floor(S C)."""
    assert BoundedSum(3, Fraction(1, 3)).bounded().sensitivity == 21845


def test_an_empty_sum_is_zero() -> None:
    """A bank without units answers zeros with the same sensitivity."""
    accumulator = BoundedSum(3, Fraction(1))
    accumulator.add(np.empty((0, 3), dtype=np.int64))
    assert accumulator.bounded().sums.tolist() == [0, 0, 0]
    assert accumulator.bounded().sums.dtype == np.int64


def test_later_units_do_not_change_an_earlier_result() -> None:
    """`bounded` hands out a copy."""
    accumulator = BoundedSum(1, Fraction(1))
    before = accumulator.bounded()
    accumulator.add(np.array([[CONTRIBUTION_SCALE]]))
    assert before.sums.tolist() == [0]


@pytest.mark.parametrize("cells", [0, -1, 4097])
def test_refuses_cells_outside_the_range(cells: int) -> None:
    """1 to 4,096 cells."""
    with pytest.raises(PrivacyError, match=f"1 to 4096, got {cells}"):
        BoundedSum(cells, Fraction(1))


@pytest.mark.parametrize("clip", [Fraction(0), Fraction(-1), Fraction(1, 2**17), Fraction(17)])
def test_refuses_clips_outside_the_range(clip: Fraction) -> None:
    """A clip below one grid unit or above 16 is refused."""
    with pytest.raises(PrivacyError, match="clip must be"):
        BoundedSum(1, clip)


@pytest.mark.parametrize("wrong", [np.zeros((2, 3)), np.zeros((2, 2), dtype=np.int64), np.zeros(3, dtype=np.int64)])
def test_refuses_other_types_and_shapes(wrong: NDArray[np.int64]) -> None:
    """Floats and wrong shapes never enter the sum."""
    with pytest.raises(PrivacyError, match="expected int64"):
        BoundedSum(3, Fraction(1)).add(wrong)


def test_refuses_too_many_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit the int64 sum could wrap, so it is refused."""
    monkeypatch.setattr(clipping, "MAX_UNITS", 2)
    with pytest.raises(PrivacyError, match="at most 2 units"):
        BoundedSum(1, Fraction(1)).add(np.zeros((3, 1), dtype=np.int64))


def makers(name: str) -> set[str]:
    """Modules that call a class of that name."""
    found = set()
    for path in SERVICES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            if getattr(called, "id", getattr(called, "attr", None)) == name:
                found.add(path.relative_to(SERVICES).as_posix())
    return found


@pytest.mark.parametrize(("name", "module"), [("Bounded", "privacy/clipping.py"), ("Release", "privacy/release.py")])
def test_one_module_makes_each_border_type(name: str, module: str) -> None:
    """The privacy border is a type with one maker."""
    assert makers(name) == {module}
