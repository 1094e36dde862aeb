"""The compiled kernel: the bits of the NumPy path, and a process without one that works on."""

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tacit
from tacit.adapters import kernel as kernels
from tacit.adapters.kernel import CompiledKernel, KernelError
from tacit.features.spec import Contract
from tacit.features.types import Encoded
from tacit.learning.basis import Basis
from tacit.learning.statistics import bounded_sum
from tacit.learning.types import Stage, StageKind, Weights
from tacit.runtime.documents import load

CARD = Path(tacit.__file__).parent / "features" / "contracts" / "card.yaml"
CONTRACT = load(Contract, CARD)
KINDS = (StageKind.PRECONDITIONER, StageKind.GRADIENT)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> CompiledKernel:
    """A kernel built here; without a compiler the tests fail in CI and are skipped with the reason elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TACIT_CACHE", str(tmp_path_factory.mktemp("kernel")))
        try:
            return CompiledKernel(kernels.build())
        except KernelError as error:
            if os.environ.get("CI") == "true":
                raise
            pytest.skip(str(error))


def rows(seed: int, units: int, longest: int) -> Encoded:
    """Random bins and labels, some units empty."""
    draw = np.random.default_rng(seed)
    starts = np.concatenate([[0], np.cumsum(draw.integers(0, longest + 1, units))]).astype(np.int64)
    count = int(starts[-1])
    bins = np.array([draw.integers(0, column.bins, count) for column in CONTRACT.columns], dtype=np.uint8)
    return Encoded(bins, starts, draw.integers(0, 2, count).astype(np.uint8))


def weights(seed: int, size: int, spread: float) -> Weights:
    """Random weights."""
    return Weights(tuple(np.random.default_rng(seed).normal(0.0, spread, size).tolist()))


@given(
    seed=st.integers(0, 2**32),
    units=st.integers(0, 60),
    longest=st.integers(1, 400),
    spread=st.sampled_from([0.0, 0.1, 3.0, 300.0]),
)
@settings(max_examples=25)
def test_margins_have_the_bits_of_numpy(
    compiled: CompiledKernel, seed: int, units: int, longest: int, spread: float
) -> None:
    """Every margin is the same float64, also far out and for no rows at all."""
    encoded = rows(seed, units, longest)
    basis, fast = Basis(CONTRACT), Basis(CONTRACT, compiled)
    asked = weights(seed, basis.size, spread)
    assert basis.margins(encoded, asked).tobytes() == fast.margins(encoded, asked).tobytes()


@given(
    seed=st.integers(0, 2**32),
    units=st.integers(0, 60),
    spread=st.sampled_from([0.1, 3.0, 300.0]),
    asked=st.tuples(st.sampled_from(KINDS), st.sampled_from([Fraction(1), Fraction(8, 3), Fraction(1024)])),
)
@settings(max_examples=25)
def test_sums_have_the_bits_of_numpy(
    compiled: CompiledKernel, seed: int, units: int, spread: float, asked: tuple[StageKind, Fraction]
) -> None:
    """The bounded sums are the same integers over units across chunks, clipped or not, with weights."""
    encoded, (kind, weight) = rows(seed, units, 200), asked
    basis, fast = Basis(CONTRACT), Basis(CONTRACT, compiled)
    margins = basis.margins(encoded, weights(seed, basis.size, spread))
    stage = Stage(kind, basis.size, Fraction(16), Fraction(1))
    expected = bounded_sum(stage, encoded, basis, margins, weight=weight)
    assert bounded_sum(stage, encoded, fast, margins, weight=weight).sums.tolist() == expected.sums.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_a_unit_longer_than_a_batch(compiled: CompiledKernel, kind: StageKind) -> None:
    """A unit that goes over batches is carried over alike."""
    drawn = rows(11, 1, 2**15)
    encoded = Encoded(np.tile(drawn.bins, 8), drawn.starts * 8, np.tile(drawn.labels, 8))
    assert encoded.rows > 2**14
    margins = Basis(CONTRACT).margins(encoded, weights(11, 55, 0.3))
    stage = Stage(kind, 55, Fraction(16), Fraction(1))
    expected = bounded_sum(stage, encoded, Basis(CONTRACT), margins).sums.tolist()
    assert bounded_sum(stage, encoded, Basis(CONTRACT, compiled), margins).sums.tolist() == expected


def test_margins_of_every_size_are_covered(compiled: CompiledKernel) -> None:
    """Margins around 0, ties and the limits of exp give the same sums."""
    special = [0.0, -0.0, 1e-300, -1e-300, 36.7, -36.7, 699.99, -699.99, 700.0, -700.0, 1e6, -1e6]
    drawn = rows(5, 1, 200).bins[:, : len(special)]
    labels = (np.arange(len(special)) % 2).astype(np.uint8)
    one = Encoded(drawn, np.arange(len(special) + 1, dtype=np.int64), labels)
    margins = np.array(special)
    for kind in KINDS:
        stage = Stage(kind, Basis(CONTRACT).size, Fraction(2), Fraction(1))
        expected = bounded_sum(stage, one, Basis(CONTRACT), margins).sums
        assert bounded_sum(stage, one, Basis(CONTRACT, compiled), margins).sums.tolist() == expected.tolist()


def test_a_slice_of_rows_is_read_in_place_and_other_layouts_are_copied(compiled: CompiledKernel) -> None:
    """Bins in Fortran order give the same margins as bins in C order."""
    encoded = rows(7, 20, 50)
    basis = Basis(CONTRACT, compiled)
    turned = Encoded(np.asfortranarray(encoded.bins), encoded.starts, encoded.labels)
    asked = weights(7, basis.size, 1.0)
    assert basis.margins(turned, asked).tobytes() == basis.margins(encoded, asked).tobytes()


def test_a_build_is_done_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, compiled: CompiledKernel) -> None:
    """A library of this version is not compiled again, so no compiler is needed then."""
    assert compiled is not None
    monkeypatch.setenv("TACIT_CACHE", str(tmp_path / "cache"))
    path = kernels.build()
    monkeypatch.setenv("CC", "no-such-compiler")
    assert kernels.build() == path
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The message says which compiler was looked for."""
    monkeypatch.setenv("TACIT_CACHE", str(tmp_path))
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(KernelError, match="no-such-compiler"):
        kernels.build()
    assert kernels.main(["build"]) == 1


@pytest.mark.parametrize("arguments", [[], ["clean"], ["build", "twice"]])
def test_the_command_takes_one_word(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Anything but `build` is refused and says so."""
    assert kernels.main(arguments) == 2
    assert "expected one argument, build" in capsys.readouterr().err


def test_the_command_prints_the_library(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, compiled: CompiledKernel, capsys: pytest.CaptureFixture[str]
) -> None:
    """The printed path is the one that a process loads."""
    assert compiled is not None
    monkeypatch.setenv("TACIT_CACHE", str(tmp_path))
    assert kernels.main(["build"]) == 0
    assert capsys.readouterr().out.strip() == str(kernels.library_path())


def test_a_failing_compiler_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A compiler that refuses is reported, and no half library stays."""
    monkeypatch.setenv("TACIT_CACHE", str(tmp_path))
    monkeypatch.setenv("CC", "false")
    with pytest.raises(KernelError, match="false failed"):
        kernels.build()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def fresh_find() -> None:
    """Forgets what an earlier `find` found."""
    kernels.find.cache_clear()


def test_nothing_built_means_numpy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fresh_find: None) -> None:
    """No library, no kernel, no error."""
    monkeypatch.setenv("TACIT_CACHE", str(tmp_path))
    assert kernels.find() is None
    kernels.find.cache_clear()


def test_a_broken_library_means_numpy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fresh_find: None) -> None:
    """A library that cannot be loaded is not used."""
    monkeypatch.setenv("TACIT_CACHE", str(tmp_path))
    kernels.library_path().write_bytes(b"not a library")
    assert kernels.find() is None
    kernels.find.cache_clear()


@pytest.mark.parametrize("switch", ["off", "on"])
def test_the_switch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, compiled: CompiledKernel, fresh_find: None, switch: str
) -> None:
    """TACIT_KERNEL=off forces NumPy; anything else uses what is built."""
    assert compiled is not None
    monkeypatch.setenv("TACIT_CACHE", str(tmp_path))
    kernels.build()
    monkeypatch.setenv("TACIT_KERNEL", switch)
    assert (kernels.find() is None) == (switch == "off")
    kernels.find.cache_clear()
