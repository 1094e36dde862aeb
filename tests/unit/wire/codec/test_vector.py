"""The privacy border of the wire."""

import ast
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tacit
import wire_cases as cases
from tacit.privacy.types import Mode, Release
from tacit.rounds.types import Kind, VectorBody
from tacit.wire import codec
from tacit.wire.codec import InvalidRecord, WireError
from tacit.wire.v1 import bank_pb2

PACKAGE = Path(tacit.__file__).parent


def calls(name: str) -> set[str]:
    """Modules of the product that call a name, relative to the package."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            target = node.func if isinstance(node, ast.Call) else None
            if getattr(target, "id", getattr(target, "attr", None)) == name:
                found.add(path.relative_to(PACKAGE).as_posix())
    return found


def test_nobody_makes_a_bare_vector() -> None:
    """The product never calls VectorBody itself: every vector comes from a release or from a log."""
    assert calls("VectorBody") == set()


def test_sealed_vectors_are_made_in_one_module() -> None:
    """The class that may be encoded is called in the codec's vector module alone."""
    assert calls("_SealedVector") == {"wire/codec/_vector.py"}


def test_checked_is_made_in_one_module() -> None:
    """A record counts as checked only if the envelope says so."""
    assert calls("Checked") == {"wire/envelope.py"}


def test_generated_code_is_imported_by_the_codec_alone() -> None:
    """No other module names tacit.wire.v1."""
    users = {path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if "tacit.wire.v1" in path.read_text()}
    outside = {path for path in users if not path.is_relative_to("wire/codec") and not path.is_relative_to("wire/v1")}
    assert outside == set()


@given(values=st.lists(cases.int64s, min_size=1, max_size=50))
def test_cells_are_twos_complement(values: list[int]) -> None:
    """Each cell is the value modulo 2^64."""
    body = codec.vector_body(cases.release(tuple(values)))
    assert body.cells == tuple(value % 2**64 for value in values)


def test_cells_travel_as_eight_bytes() -> None:
    """4,096 cells take 32 KiB and a few bytes, whatever their values."""
    small = codec.encode_body(codec.vector_body(cases.release((0,) * 4096)))
    large = codec.encode_body(codec.vector_body(cases.release((-1,) * 4096)))
    assert len(small) == len(large) == 8 * 4096 + 4


def test_release_of_mode_distributed_needs_masks() -> None:
    """Its noise is a share only, so it may not stand on the log."""
    with pytest.raises(WireError, match="secure aggregation"):
        codec.vector_body(cases.release((1, 2), Mode.DISTRIBUTED))


@pytest.mark.parametrize("shape", [(), (2, 2), (0,), (4097,)])
def test_shape_of_a_release_is_checked(shape: tuple[int, ...]) -> None:
    """One dimension, 1 to 4,096 cells."""
    source = Release(np.zeros(shape, dtype=np.int64), cases.release((1,)).event)
    with pytest.raises(InvalidRecord, match=r"dimensions|number of cells"):
        codec.vector_body(source)


def test_floats_are_no_release() -> None:
    """A float array cannot be cast without loss and is refused."""
    source = Release(np.array([0.5]), cases.release((1,)).event)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="safe"):
        codec.vector_body(source)


def test_bare_vector_is_not_encoded() -> None:
    """A vector built by hand is refused, as is one whose class looks alike."""
    for body in (VectorBody((1,)), type("Other", (VectorBody,), {})((1,))):
        with pytest.raises(WireError, match="only from a release"):
            codec.encode_body(body)


@pytest.mark.parametrize("kind", [Kind.RELEASE, Kind.MASKED])
def test_decoded_vector_keeps_its_kind(kind: Kind) -> None:
    """A masked vector never passes for a release, or the other way round."""
    body = cases.BODIES[kind]
    assert codec.kind_of(body) is kind
    other = Kind.MASKED if kind is Kind.RELEASE else Kind.RELEASE
    assert codec.decode_body(other, codec.encode_body(body)) != body


@pytest.mark.parametrize("cells", [0, 4097])
def test_number_of_cells_is_checked_when_read(cells: int) -> None:
    """A reader takes 1 to 4,096 cells."""
    data = bank_pb2.Vector(cells=[7] * cells).SerializeToString()
    with pytest.raises(InvalidRecord, match="expected 1 to 4096"):
        codec.decode_body(Kind.RELEASE, data)


def test_sealed_vector_differs_from_a_bare_one() -> None:
    """Equality looks at the class: a forged vector does not equal a real one."""
    body = cases.BODIES[Kind.RELEASE]
    assert isinstance(body, VectorBody)
    assert body != VectorBody(body.cells)
