"""Records of the versions topic into the catalogue of versions: the registry and every scorer read it this way."""

from tacit import canonical
from tacit.rounds.types import AliasBody, ArtefactBody, Checked, VersionBody
from tacit.versions import Catalogue, ModelVersion, VersionError
from tacit.wire import documents
from tacit.wire.errors import DocumentError

UNREADABLE = "statement"
"""Reason of `fold` for a statement that cannot be read."""


def read_statement(statement: bytes) -> ModelVersion:
    """The version that a statement describes.

    Raises:
        DocumentError: If the bytes are not the RFC 8785 form of a version.
        VersionError: If a value is outside its range.
    """
    return documents.parse_canonical(ModelVersion, statement)


def fold(catalogue: Catalogue, record: Checked) -> str:
    """Takes one record of the versions topic in.

    Args:
        catalogue: Changed in place.
        record: A record whose signature held.

    Returns:
        Nothing if it stands, else the reason; it is counted in `catalogue.void`.
    """
    body = record.body
    if isinstance(body, VersionBody):
        return _register(catalogue, body)
    if isinstance(body, AliasBody):
        return catalogue.point(body.alias, canonical.label(body.version), body.sequence)
    if isinstance(body, ArtefactBody):
        catalogue.hold(canonical.label(body.digest))
    return ""


def _register(catalogue: Catalogue, body: VersionBody) -> str:
    try:
        version = read_statement(body.statement)
    except (DocumentError, VersionError):
        catalogue.void[UNREADABLE] += 1
        return UNREADABLE
    return catalogue.register(version)
