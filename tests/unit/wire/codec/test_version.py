"""The registry's bodies: refusals, and model files that unpack to too much."""

import hashlib

import pytest
import zstandard

import wire_cases as cases
from tacit.rounds import types as kinds
from tacit.rounds.types import Body, Kind
from tacit.wire import codec
from tacit.wire.codec import MAX_ARTEFACT_BYTES, InvalidRecord
from tacit.wire.v1 import version_pb2 as pb

D = cases.digest("any")


def artefact(content_zstd: bytes, digest: bytes = D) -> bytes:
    """An ARTEFACT body with these packed bytes."""
    return pb.Artefact(digest=digest, content_zstd=content_zstd).SerializeToString()


def test_model_file_is_compressed() -> None:
    """Text shrinks on the wire and comes back whole."""
    content = b"split_indices 12 13 14\n" * 20_000
    body = kinds.ArtefactBody(hashlib.sha256(content).digest(), content)
    data = codec.encode_body(body)
    assert len(data) < len(content) / 50
    assert codec.decode_body(Kind.ARTEFACT, data) == body


@pytest.mark.parametrize("with_size", [True, False])
def test_bomb_is_refused(with_size: bool) -> None:
    """A few kilobytes that unpack to 17 MiB are refused, whether or not the frame says its size."""
    plain = bytes(MAX_ARTEFACT_BYTES + 1024 * 1024)
    packed = zstandard.ZstdCompressor(write_content_size=with_size).compress(plain)
    assert len(packed) < 10_000
    with pytest.raises(InvalidRecord, match="length of content = 16777217: expected 1 to 16777216"):
        codec.decode_body(Kind.ARTEFACT, artefact(packed))


def test_large_window_is_refused() -> None:
    """A frame that asks its reader for 128 MiB of memory is refused."""
    parameters = zstandard.ZstdCompressionParameters(window_log=27, write_content_size=False)
    packed = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = packed.compress(b"x" * 100) + packed.flush()
    with pytest.raises(InvalidRecord, match="content_zstd"):
        codec.decode_body(Kind.ARTEFACT, artefact(data, hashlib.sha256(b"x" * 100).digest()))


@pytest.mark.parametrize("packed", [b"", b"not zstd", zstandard.compress(b"x" * 1000)[:-4]])
def test_broken_frame_is_refused(packed: bytes) -> None:
    """Empty, foreign and cut frames are refused."""
    with pytest.raises(InvalidRecord):
        codec.decode_body(Kind.ARTEFACT, artefact(packed, hashlib.sha256(b"x" * 1000).digest()))


def test_content_must_have_its_digest() -> None:
    """A file under another file's digest is refused at both ends."""
    with pytest.raises(InvalidRecord, match="digest that the record names"):
        codec.encode_body(kinds.ArtefactBody(D, b"model"))
    with pytest.raises(InvalidRecord, match="digest that the record names"):
        codec.decode_body(Kind.ARTEFACT, artefact(zstandard.compress(b"model")))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (kinds.VersionBody(b""), "length of statement = 0: expected 1 to 262144"),
        (kinds.VersionBody(b"x" * 262_145), "length of statement = 262145"),
        (kinds.ArtefactBody(D, b""), "length of content = 0"),
        (kinds.ArtefactBody(b"", b"x"), "digest has 0 bytes"),
        (kinds.AliasBody("Champion", D, 1), "alias = 'Champion'"),
        (kinds.AliasBody("champion", b"", 1), "version_digest has 0 bytes"),
        (kinds.AliasBody("champion", D, 0), "sequence = 0: expected 1"),
        (kinds.CheckpointBody(b"", 1), "head has 0 bytes"),
        (kinds.CheckpointBody(D, 2**63), "sequence = 9223372036854775808"),
    ],
)
def test_value_out_of_range_is_refused(body: Body, message: str) -> None:
    """The refusal names field, value and range."""
    with pytest.raises(InvalidRecord, match=message):
        codec.encode_body(body)
