"""Model files by digest: what is given out is what was stored, or an error."""

import hashlib
import os
import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tacit.adapters.artefacts import FileArtefacts
from tacit.registry.ports import Artefacts
from tacit.versions import ArtefactCorruptError, ArtefactError, ArtefactMissingError

CONTENT = b"a model file"
DIGEST = hashlib.sha256(CONTENT).digest()


@pytest.fixture(params=["local", "memory"])
def artefacts(request: pytest.FixtureRequest, tmp_path: Path) -> FileArtefacts:
    """An empty store, on disk or in an object store."""
    return FileArtefacts(str(tmp_path / "files") if request.param == "local" else f"memory://{uuid.uuid4().hex}")


@pytest.fixture
def local(tmp_path: Path) -> FileArtefacts:
    """An empty store on disk."""
    return FileArtefacts(str(tmp_path / "files"))


def path_of(tmp_path: Path, digest: bytes = DIGEST) -> Path:
    """Where a file lies on disk."""
    return tmp_path / "files" / "sha256" / digest.hex()[:2] / digest.hex()[2:]


def test_it_is_the_port(artefacts: FileArtefacts) -> None:
    """Every method of the port is there."""
    assert isinstance(artefacts, Artefacts)


@given(content=st.binary(max_size=300))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_put_comes_back(artefacts: FileArtefacts, content: bytes) -> None:
    """By its SHA-256, as often as it is put."""
    digest = artefacts.put(content)
    assert digest == hashlib.sha256(content).digest()
    assert artefacts.put(content) == digest
    assert artefacts.get(digest) == content


def test_a_file_lies_under_its_digest(local: FileArtefacts, tmp_path: Path) -> None:
    """Two levels, and nothing else in the folder."""
    local.put(CONTENT)
    assert path_of(tmp_path).read_bytes() == CONTENT
    assert [path.name for path in path_of(tmp_path).parent.iterdir()] == [DIGEST.hex()[2:]]


def test_an_unknown_digest_is_missing(artefacts: FileArtefacts) -> None:
    """An error of its own names it."""
    with pytest.raises(ArtefactMissingError, match=DIGEST.hex()):
        artefacts.get(DIGEST)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_only_digests_name_files(artefacts: FileArtefacts, length: int) -> None:
    """A shorter or longer name is a mistake of the caller."""
    with pytest.raises(ValueError, match=f"a digest of {length} bytes: expected 32"):
        artefacts.get(bytes(length))


@pytest.mark.parametrize("place", [0, 5, len(CONTENT) - 1])
def test_a_flipped_byte_is_noticed(local: FileArtefacts, tmp_path: Path, place: int) -> None:
    """The file is not given out; putting it again repairs it."""
    local.put(CONTENT)
    damaged = bytearray(CONTENT)
    damaged[place] ^= 1
    path_of(tmp_path).write_bytes(damaged)
    with pytest.raises(ArtefactCorruptError, match="another digest"):
        local.get(DIGEST)
    local.put(CONTENT)
    assert local.get(DIGEST) == CONTENT


@pytest.mark.parametrize("rest", [b"", CONTENT[:-1], CONTENT + b"x"])
def test_a_file_of_another_length_is_noticed(local: FileArtefacts, tmp_path: Path, rest: bytes) -> None:
    """Cut, emptied or grown."""
    local.put(CONTENT)
    path_of(tmp_path).write_bytes(rest)
    with pytest.raises(ArtefactCorruptError):
        local.get(DIGEST)


def test_a_whole_file_is_left_alone(local: FileArtefacts, tmp_path: Path) -> None:
    """A repeat writes nothing."""
    local.put(CONTENT)
    before = path_of(tmp_path).stat().st_ino
    local.put(CONTENT)
    assert path_of(tmp_path).stat().st_ino == before


def test_a_write_that_fails_leaves_nothing(
    local: FileArtefacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is an error of the store; no half of a file and no leftover stays."""

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArtefactError, match="No space left on device"):
        local.put(CONTENT)
    assert not list(path_of(tmp_path).parent.iterdir())


def test_the_file_is_durable_before_it_has_its_name(
    local: FileArtefacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Content is synchronised first, then the folders that got new entries."""
    named: list[bool] = []
    real = os.fsync

    def watched(descriptor: int) -> None:
        named.append(path_of(tmp_path).exists())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    local.put(CONTENT)
    assert named[0] is False
    assert len(named) >= 4
    assert all(named[1:])


def test_an_unreadable_place_is_an_error_of_the_store(local: FileArtefacts, tmp_path: Path) -> None:
    """A folder where the file should be."""
    path_of(tmp_path).mkdir(parents=True)
    with pytest.raises(ArtefactError, match="cannot be read"):
        local.get(DIGEST)


def test_a_url_that_nothing_serves_is_refused() -> None:
    """The message names it."""
    with pytest.raises(ArtefactError, match="artefacts nosuch://bucket: no file system"):
        FileArtefacts("nosuch://bucket")
