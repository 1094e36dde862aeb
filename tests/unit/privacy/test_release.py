"""The release: noise, refusals and the lint of the release path."""

import ast
import inspect
import math
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tacit
from tacit.privacy import clipping
from tacit.privacy import release as module
from tacit.privacy.calibration import Noise
from tacit.privacy.clipping import BoundedSum
from tacit.privacy.release import release, restore, scale
from tacit.privacy.types import CONTRIBUTION_SCALE, GRID, Bounded, Mode, PrivacyError, ReleaseEvent

NOISE = Noise(variance=10**8, sensitivity=GRID, rho_nano=21_474_836_480)


def bounded(cells: int = 3, clip: Fraction = Fraction(1)) -> Bounded:
    """A sum of two units."""
    accumulator = BoundedSum(cells, clip)
    accumulator.add(np.full((2, cells), CONTRIBUTION_SCALE // 128, dtype=np.int64))
    return accumulator.bounded()


def test_values_are_sums_plus_noise_of_the_right_size() -> None:
    """The spread of 4,000 cells is sqrt(V) within six standard errors."""
    sums = bounded(4000)
    noise = (release(sums, NOISE, Mode.LOCAL).values - sums.sums).tolist()
    assert math.fsum(value**2 for value in noise) / 4000 == pytest.approx(10**8, rel=6 * math.sqrt(2 / 4000))


def test_values_are_frozen_integers() -> None:
    """Nobody can change a release, and it holds no float."""
    values = release(bounded(), NOISE, Mode.LOCAL).values
    assert values.dtype == np.int64
    with pytest.raises(ValueError, match="read-only"):
        values[0] = 0


def test_no_two_draws_are_alike() -> None:
    """There is no seed: the same question drawn again differs."""
    first, second = (release(bounded(50), NOISE, Mode.LOCAL).values for _ in range(2))
    assert (first != second).sum() > 40


@pytest.mark.parametrize(("mode", "rho"), [(Mode.LOCAL, 21_474_836_480 * 10), (Mode.DISTRIBUTED, 5)])
def test_the_event_says_what_it_costs(mode: Mode, rho: int) -> None:
    """Mode, variance, the calibrated rho, and the rho of this bank's noise alone."""
    noise = Noise(10**8, GRID, rho)
    alone = -(-(10**9) * GRID**2 // (2 * 10**8))
    assert release(bounded(), noise, mode).event == ReleaseEvent(mode, 10**8, rho, alone)


def test_a_release_has_no_seed() -> None:
    """Neither a seed nor a sampler can be passed in."""
    assert list(inspect.signature(release).parameters) == ["bounded", "noise", "mode"]


def test_refuses_sums_that_are_more_sensitive() -> None:
    """Noise calibrated for clip 1 does not cover clip 2."""
    with pytest.raises(PrivacyError, match="one unit may change these sums by 131072"):
        release(bounded(clip=Fraction(2)), NOISE, Mode.LOCAL)


def test_refuses_noise_meant_for_several_banks_a_person() -> None:
    """With k banks a person, Delta covers k times one bank's sensitivity."""
    with pytest.raises(PrivacyError, match="over 2 banks"):
        release(bounded(), Noise(10**8, GRID, 10**12, banks_per_person=2), Mode.LOCAL)


@pytest.mark.parametrize("variance", [9_999, 0, -1])
def test_refuses_little_noise(variance: int) -> None:
    """Below 100 grid units the sum of shares is not accounted for."""
    with pytest.raises(PrivacyError, match="noise variance must be at least 10000"):
        release(bounded(), Noise(variance, GRID, 10**15), Mode.LOCAL)


@pytest.mark.parametrize(("mode", "rho"), [(Mode.LOCAL, 100), (Mode.DISTRIBUTED, 0)])
def test_refuses_an_understated_cost(mode: Mode, rho: int) -> None:
    """The ledger is never told less than the release costs."""
    with pytest.raises(PrivacyError, match=f"booked as {rho}"):
        release(bounded(), Noise(10**8, GRID, rho), mode)


@pytest.mark.parametrize("cell", [2**62, -(2**62)])
def test_refuses_sums_that_could_saturate(cell: int) -> None:
    """OpenDP saturates at the ends of int64, which would be seen: such sums are refused."""
    with pytest.raises(PrivacyError, match=r"within \+-2\^62"):
        release(Bounded(np.array([cell]), GRID), NOISE, Mode.LOCAL)


@pytest.mark.parametrize("sums", [np.zeros(3), np.zeros((1, 3), dtype=np.int64), np.zeros(0, dtype=np.int64)])
def test_refuses_sums_that_are_not_integer_vectors(sums: np.ndarray) -> None:
    """A float never reaches the mechanism."""
    with pytest.raises(PrivacyError, match="int64 sums"):
        release(Bounded(sums, GRID), NOISE, Mode.LOCAL)


def test_restore_gives_back_the_same_release() -> None:
    """A stored release is what was drawn: nothing is drawn again."""
    drawn = release(bounded(), NOISE, Mode.LOCAL)
    again = restore(drawn.values.tolist(), drawn.event)
    assert (again.values == drawn.values).all()
    assert again.event == drawn.event


@pytest.mark.parametrize("values", [[1.5], [], [[1]], [2**63], [True]])
def test_restore_refuses_what_is_no_release(values: list[int]) -> None:
    """Damaged bytes are not taken for a release."""
    with pytest.raises(PrivacyError, match="int64 values"):
        restore(values, ReleaseEvent(Mode.LOCAL, 10**8, 1, 1))


@given(st.integers(1, 2**120))
def test_the_scale_is_rounded_up(variance: int) -> None:
    """Its exact square is not below V, and it is the float next to the root."""
    found = scale(variance)
    assert Fraction(found) ** 2 >= variance
    assert found <= math.sqrt(variance) * (1 + 2**-51)


@pytest.mark.parametrize("path", [clipping.__file__, module.__file__])
def test_no_float_and_no_numpy_randomness_in_the_release_path(path: str) -> None:
    """The path from integers to release names no float dtype and no generator but OpenDP's."""
    banned = {"float16", "float32", "float64", "floating", "double", "random", "secrets", "astype"}
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    names |= {node.name for node in ast.walk(tree) if isinstance(node, ast.alias)}
    assert not names & banned


def test_only_the_journal_restores() -> None:
    """No other service module may make a release without drawing."""
    root = Path(tacit.__file__).parent
    call = re.compile(r"release\.restore\(|import .*\brestore\b")
    users = {path.relative_to(root).as_posix() for path in root.rglob("*.py") if call.search(path.read_text("utf-8"))}
    assert all(user.startswith("adapters/journal") for user in users)
