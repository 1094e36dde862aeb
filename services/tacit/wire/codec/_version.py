"""Bodies that the registry writes: VERSION, ARTEFACT, ALIAS, CHECKPOINT."""

import hashlib

import zstandard

from tacit.rounds.types import AliasBody, ArtefactBody, CheckpointBody, VersionBody
from tacit.wire.codec import _checks as check
from tacit.wire.v1 import version_pb2 as pb

MAX_STATEMENT_BYTES = 256 * 1024
MAX_ARTEFACT_BYTES = 16 * 1024 * 1024
MAX_SEQUENCE = 2**63 - 1
ZSTD_LEVEL = 10


def write_version(body: VersionBody) -> pb.Version:
    """VERSION to its message."""
    return pb.Version(statement=body.statement)


def read_version(message: pb.Version) -> VersionBody:
    """VERSION from its message."""
    return VersionBody(check.sized("statement", message.statement, MAX_STATEMENT_BYTES))


def write_artefact(body: ArtefactBody) -> pb.Artefact:
    """ARTEFACT to its message: the content becomes one zstd frame."""
    check.sized("content", body.content, MAX_ARTEFACT_BYTES)
    content = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(body.content)
    return pb.Artefact(digest=body.digest, content_zstd=content)


def read_artefact(message: pb.Artefact) -> ArtefactBody:
    """ARTEFACT from its message: unpacked to at most 16 MiB, and equal to its digest."""
    digest = check.exact("digest", message.digest)
    reader = zstandard.ZstdDecompressor(max_window_size=MAX_ARTEFACT_BYTES).stream_reader(message.content_zstd)
    try:
        content = reader.read(MAX_ARTEFACT_BYTES + 1)
    except zstandard.ZstdError as error:
        check.refuse(f"content_zstd: {error}")
    check.sized("content", content, MAX_ARTEFACT_BYTES)
    if hashlib.sha256(content).digest() != digest:
        check.refuse("content does not have the digest that the record names")
    return ArtefactBody(digest, content)


def write_alias(body: AliasBody) -> pb.Alias:
    """ALIAS to its message."""
    return pb.Alias(alias=body.alias, version_digest=body.version, sequence=body.sequence)


def read_alias(message: pb.Alias) -> AliasBody:
    """ALIAS from its message."""
    alias, version = check.identifier("alias", message.alias), check.exact("version_digest", message.version_digest)
    return AliasBody(alias, version, check.within("sequence", message.sequence, 1, MAX_SEQUENCE))


def write_checkpoint(body: CheckpointBody) -> pb.Checkpoint:
    """CHECKPOINT to its message."""
    return pb.Checkpoint(head=body.head, sequence=body.sequence)


def read_checkpoint(message: pb.Checkpoint) -> CheckpointBody:
    """CHECKPOINT from its message."""
    return CheckpointBody(
        check.exact("head", message.head), check.within("sequence", message.sequence, 1, MAX_SEQUENCE)
    )
