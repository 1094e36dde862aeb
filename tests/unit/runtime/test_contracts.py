"""Contracts at hand: every document of a folder, by digest."""

import json
from importlib import resources
from pathlib import Path

import pytest

from feature_cases import card, card_document
from tacit import canonical
from tacit.runtime.contracts import load_contracts
from tacit.runtime.documents import DocumentError
from tacit.runtime.settings import SettingsError

CARD = resources.files("tacit.features").joinpath("contracts", "card.yaml").read_text("utf-8")


def test_contracts_by_digest(tmp_path: Path) -> None:
    """YAML and JSON of one contract are one; other files are left alone."""
    (tmp_path / "a.yaml").write_text(CARD)
    (tmp_path / "b.json").write_text(json.dumps(card_document()))
    (tmp_path / "notes.txt").write_text("no contract")
    assert load_contracts(tmp_path) == {canonical.label(card().digest): card()}


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    """A process without any contract cannot work; the folder is named."""
    with pytest.raises(SettingsError, match="holds no contract"):
        load_contracts(tmp_path)


def test_a_file_that_is_no_contract_is_an_error(tmp_path: Path) -> None:
    """The wrong file is named."""
    (tmp_path / "a.yaml").write_text(CARD)
    (tmp_path / "bad.yaml").write_text("columns: 3")
    with pytest.raises(DocumentError, match=r"bad\.yaml"):
        load_contracts(tmp_path)
