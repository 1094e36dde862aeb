"""The privacy border of the wire: which vectors may be encoded.

A `VectorBody` is made here and nowhere else (a test looks): from a `Release` of mode `local`, whose noise is complete,
or by decoding a record that already stands on a log. Encoding refuses any other one.
"""

from dataclasses import dataclass

import numpy as np

from tacit.privacy.types import Mode, Release
from tacit.rounds.types import Kind, VectorBody
from tacit.wire.codec import _checks as check
from tacit.wire.errors import WireError
from tacit.wire.v1 import bank_pb2 as pb


@dataclass(frozen=True, slots=True)
class _SealedVector(VectorBody):
    """A vector that may stand on the log, and the kind of record that it may stand in."""

    kind: Kind


def vector_body(source: Release) -> VectorBody:
    """The body of a RELEASE record.

    Guarantee: the cells are the release's noised integers; with mode `local` their zCDP is `source.event.rho_nano`
    for one unit added or removed, without trust in anyone.

    Args:
        source: A release of mode `local`, values of shape (cells,), 1 to 4,096 cells.

    Raises:
        WireError: For mode `distributed`, whose noise is only a share and needs secure aggregation.
        InvalidRecord: For a shape or length out of range.
    """
    if source.event.mode is not Mode.LOCAL:
        raise WireError(f"a release of mode {source.event.mode} needs secure aggregation: mask it first")
    if source.values.ndim != 1:
        check.refuse(f"values have {source.values.ndim} dimensions: expected 1")
    check.count("cells", source.values, 1, check.MAX_CELLS)
    cells = source.values.astype(np.int64, casting="safe").view(np.uint64)
    return _SealedVector(tuple(cells.tolist()), Kind.RELEASE)


def vector_kind(body: VectorBody) -> Kind:
    """The kind of record that a vector may stand in.

    Raises:
        WireError: For a vector that was made elsewhere.
    """
    if not isinstance(body, _SealedVector):
        raise WireError("a vector is encoded only from a release of mode local or from a masked release")
    return body.kind


def write_vector(body: VectorBody) -> pb.Vector:
    """RELEASE or MASKED to its message."""
    vector_kind(body)
    return pb.Vector(cells=body.cells)


def read_release(message: pb.Vector) -> VectorBody:
    """RELEASE from its message."""
    return _read(message, Kind.RELEASE)


def read_masked(message: pb.Vector) -> VectorBody:
    """MASKED from its message."""
    return _read(message, Kind.MASKED)


def _read(message: pb.Vector, kind: Kind) -> VectorBody:
    check.count("cells", message.cells, 1, check.MAX_CELLS)
    return _SealedVector(tuple(message.cells), kind)
