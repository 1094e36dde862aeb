"""Records of the versions topic into the catalogue."""

import pytest

from registry_cases import label, version
from tacit import canonical
from tacit.rounds.types import AliasBody, ArtefactBody, Body, Checked, CheckpointBody, Header, Kind, VersionBody
from tacit.versions import Catalogue, VersionError
from tacit.wire.errors import DocumentError
from tacit.wire.statements import fold, read_statement

STATEMENT = canonical.encode(version(1))


def record(kind: Kind, body: Body) -> Checked:
    """A record whose signature held."""
    header = Header("sim", bytes(32), b"", 0, 0, kind, "registry", bytes(32), bytes(32))
    return Checked(header, body, bytes(32), "tacit.versions.v1")


def test_a_statement_reads_back() -> None:
    """Canonical bytes to the version and no other."""
    assert read_statement(STATEMENT) == version(1)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", DocumentError),
        (b"{}", DocumentError),
        (STATEMENT + b" ", DocumentError),
        (STATEMENT.replace(b'"rounds":3', b'"rounds":3.0'), DocumentError),
        (STATEMENT.replace(b'"rounds":3', b'"more":1,"rounds":3'), DocumentError),
        (STATEMENT.replace(b'"rounds":3', b'"rounds":0'), VersionError),
    ],
)
def test_other_bytes_are_no_statement(data: bytes, error: type[Exception]) -> None:
    """Not JSON, not canonical, an unknown key, a value outside its range."""
    with pytest.raises(error):
        read_statement(data)


def test_records_are_folded_by_kind() -> None:
    """File, version, alias; a checkpoint says nothing here."""
    catalogue = Catalogue()
    digest = canonical.parse_label(version(1).file)
    assert fold(catalogue, record(Kind.ARTEFACT, ArtefactBody(digest, b"x"))) == ""
    assert fold(catalogue, record(Kind.VERSION, VersionBody(STATEMENT))) == ""
    assert fold(catalogue, record(Kind.ALIAS, AliasBody("serving", version(1).digest, 1))) == ""
    assert fold(catalogue, record(Kind.CHECKPOINT, CheckpointBody(bytes(32), 1))) == ""
    assert catalogue.files == {version(1).file}
    assert list(catalogue.entries) == [label(version(1))]
    alias = catalogue.alias("card")
    assert alias is not None
    assert alias.version == label(version(1))


def test_a_statement_that_cannot_be_read_is_void() -> None:
    """It is counted and changes nothing, whatever is wrong with it."""
    catalogue = Catalogue()
    assert fold(catalogue, record(Kind.VERSION, VersionBody(b"{}"))) == "statement"
    assert (
        fold(
            catalogue,
            record(Kind.VERSION, VersionBody(STATEMENT.replace(b"card", b"C"))),
        )
        == "statement"
    )
    assert catalogue.void == {"statement": 2}
    assert not catalogue.entries


def test_an_alias_before_its_version_is_void() -> None:
    """Order on the topic counts."""
    catalogue = Catalogue()
    assert fold(catalogue, record(Kind.ALIAS, AliasBody("serving", version(1).digest, 1))) == "version"
