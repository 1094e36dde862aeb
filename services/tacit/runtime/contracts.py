"""The contracts that a process has at hand: a folder of documents, by digest."""

from pathlib import Path

from tacit import canonical
from tacit.features.spec import Contract
from tacit.runtime import documents
from tacit.runtime.settings import SettingsError


def load_contracts(folder: Path) -> dict[str, Contract]:
    """Reads every contract of a folder.

    Args:
        folder: Holds ``*.yaml`` or ``*.json`` contracts and nothing else of that suffix.

    Returns:
        Contracts by their ``sha256:`` digest.

    Raises:
        SettingsError: If there is none.
        DocumentError: If a file is no contract.
    """
    found = [documents.load(Contract, path) for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.json")])]
    if not found:
        raise SettingsError(f"{folder} holds no contract (*.yaml or *.json)")
    return {canonical.label(contract.digest): contract for contract in found}
