"""What a process accepts from its files before it starts."""

from dataclasses import replace
from pathlib import Path

import pytest

import wire_cases
from feature_cases import card
from tacit import canonical
from tacit.federation import FederationError, Manifest
from tacit.runtime.accepted import load_accepted, load_key
from tacit.runtime.settings import SettingsError
from tacit.wire.envelope import SigningKey, SigningKeyError
from tacit.wire.errors import DocumentError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Contracts and a signed epoch that names them."""
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts" / "card.json").write_bytes(canonical.encode(card()))
    return tmp_path


def written(folder: Path, manifest: Manifest, name: str = "manifest.json") -> Path:
    """The epoch as a file."""
    path = folder / name
    path.write_bytes(canonical.encode(manifest))
    return path


def with_card(manifest: Manifest) -> Manifest:
    """The epoch of the wire's cases over the card contract."""
    return replace(manifest, contracts=(canonical.label(card().digest),))


def test_an_epoch_without_its_signatures_is_refused(folder: Path) -> None:
    """A file that nobody signed never becomes anybody's manifest."""
    path = written(folder, replace(with_card(wire_cases.MANIFEST), signatures=()))
    with pytest.raises(FederationError, match="sign"):
        load_accepted(path, (), folder / "contracts")


def test_a_changed_epoch_is_refused(folder: Path) -> None:
    """Signatures of another epoch do not hold."""
    changed = with_card(wire_cases.MANIFEST)
    with pytest.raises(FederationError):
        load_accepted(written(folder, changed), (), folder / "contracts")


def test_a_missing_contract_is_named(folder: Path) -> None:
    """A process without the manifest's contract would judge no run: it says which one is missing."""
    path = written(folder, wire_cases.MANIFEST)
    with pytest.raises(DocumentError, match="lacks the manifest's contracts"):
        load_accepted(path, (), folder / "contracts")


def test_an_empty_contracts_folder_is_an_error(tmp_path: Path) -> None:
    """The folder is named."""
    (tmp_path / "contracts").mkdir()
    with pytest.raises(SettingsError, match="holds no contract"):
        load_accepted(written(tmp_path, wire_cases.MANIFEST), (), tmp_path / "contracts")


def test_the_key_must_be_the_one_that_the_epoch_names(tmp_path: Path) -> None:
    """Another role's key file is refused before anything is signed with it."""
    key = SigningKey.generate()
    key.save(tmp_path / "key.pem")
    assert load_key(tmp_path / "key.pem", key.public).public == key.public
    with pytest.raises(SigningKeyError, match="the manifest names"):
        load_key(tmp_path / "key.pem", SigningKey.generate().public)
