"""What a process accepted before it started: the chain of epochs, the contracts, and its own key. Read from files."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tacit.features.spec import Contract
from tacit.federation import Manifest, check_manifest
from tacit.runtime import documents
from tacit.runtime.contracts import load_contracts
from tacit.runtime.observing import get_logger
from tacit.wire.envelope import KeyFileWarning, KeyRing, SigningKey, SigningKeyError
from tacit.wire.errors import DocumentError

_log = get_logger(__name__)


@dataclass(frozen=True)
class Accepted:
    """Documents that hold together.

    Attributes:
        epochs: From epoch 1, or the oldest at hand, to the one in force.
        contracts: Contracts by their ``sha256:`` digest; those that the epoch in force names are among them,
            unless that was not asked for.
    """

    epochs: tuple[Manifest, ...]
    contracts: Mapping[str, Contract]

    @property
    def manifest(self) -> Manifest:
        """The epoch in force."""
        return self.epochs[-1]

    @cached_property
    def ring(self) -> KeyRing:
        """The keys of every epoch."""
        return KeyRing(self.epochs)


def load_accepted(manifest: Path, earlier: Sequence[Path], contracts: Path, *, all_contracts: bool = True) -> Accepted:
    """Reads and checks the epochs, signatures included, and the contracts.

    Args:
        manifest: The epoch in force.
        earlier: The epochs before it, oldest first, from epoch 1; none if the epoch in force is epoch 1.
        contracts: Folder of contracts.
        all_contracts: Whether every contract that the epoch names must be there; a scorer needs its model's alone.

    Raises:
        DocumentError: If a file is not what it must be, or a contract that the epoch names is not in the folder.
        FederationError: If an epoch breaks a rule, or a signature that it needs is missing.
        SettingsError: If the folder holds no contract.
    """
    epochs: list[Manifest] = []
    for path in (*earlier, manifest):
        epoch = documents.load(Manifest, path)
        for warning in check_manifest(epoch, epochs[-1] if epochs else None):
            _log.warning("manifest_warning", path=str(path), warning=warning)
        epochs.append(epoch)
    held = load_contracts(contracts)
    missing = sorted(set(epochs[-1].contracts) - set(held))
    if missing and all_contracts:
        raise DocumentError(f"{contracts}: lacks the manifest's contracts {', '.join(missing)}")
    return Accepted(tuple(epochs), held)


def load_key(path: Path, public: str) -> SigningKey:
    """Reads a role's signing key; a file that others may read is told in the log.

    Args:
        path: PEM file.
        public: The public key that the epoch in force gives this role.

    Raises:
        SigningKeyError: If the file is no Ed25519 key, or another one than the epoch names.
    """
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", KeyFileWarning)
        key = SigningKey.load(path)
    for warning in said:
        _log.warning("key_file_open", warning=str(warning.message))
    if key.public != public:
        raise SigningKeyError(f"{path}: its public key is {key.public}, the manifest names {public}")
    return key
