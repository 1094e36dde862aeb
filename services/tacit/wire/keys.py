"""Ed25519 keys of the wire: private keys from mounted files, public keys from accepted manifests."""

import os
import stat
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tacit.federation import KEY_PREFIX, Manifest, MemberStatus, public_key
from tacit.wire.errors import SigningKeyError, WireError
from tacit.wire.topics import AGGREGATOR, REGISTRY

MAX_KEY_FILE_BYTES = 16 * 1024


class KeyFileWarning(UserWarning):
    """A key file that others on the machine may read."""


class SigningKey:
    """An Ed25519 private key. It is never printed, copied into a message or pickled.

    Attributes:
        public: The public key, ``ed25519:<64 hex>``.
    """

    __slots__ = ("_key", "public")

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = KEY_PREFIX + key.public_key().public_bytes_raw().hex()

    @classmethod
    def generate(cls) -> Self:
        """A fresh key from the operating system's randomness."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """The key of a 32-byte seed: for a seeded simulation, never for a deployment.

        Raises:
            SigningKeyError: If the seed is not 32 bytes.
        """
        if len(seed) != 32:  # noqa: PLR2004  the length in the message
            raise SigningKeyError(f"a seed of {len(seed)} bytes: expected 32")
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads an unencrypted PKCS#8 PEM file; warns with `KeyFileWarning` if everyone may read it.

        Raises:
            SigningKeyError: If the file cannot be read or is not an Ed25519 key.
        """
        try:
            if path.stat().st_size > MAX_KEY_FILE_BYTES:
                raise SigningKeyError(f"{path}: expected a PEM file of at most {MAX_KEY_FILE_BYTES} bytes")
            key = load_pem_private_key(path.read_bytes(), password=None)
            mode = path.stat().st_mode
        except (OSError, ValueError, TypeError) as error:
            raise SigningKeyError(f"{path}: not a readable PEM private key ({type(error).__name__})") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise SigningKeyError(f"{path}: {type(key).__name__}: expected an Ed25519 key")
        if mode & stat.S_IROTH:
            message = f"{path}: mode {stat.S_IMODE(mode):04o} lets everyone on this machine read the key: expected 0600"
            warnings.warn(message, KeyFileWarning, stacklevel=2)
        return cls(key)

    def save(self, path: Path) -> None:
        """Writes a new PKCS#8 PEM file of mode 0600.

        Raises:
            SigningKeyError: If the file exists already or cannot be written.
        """
        data = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
        except OSError as error:
            raise SigningKeyError(f"{path}: cannot write a new key file ({error.strerror})") from None

    def sign(self, data: bytes) -> bytes:
        """The Ed25519 signature over `data`, 64 bytes."""
        return self._key.sign(data)

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public!r})"

    def __reduce__(self) -> NoReturn:
        raise SigningKeyError("a signing key is not pickled or copied")


class KeyRing:
    """Public keys of every accepted epoch, by manifest digest and sender. Immutable.

    Attributes:
        federation: Federation id of the epochs; empty for a ring without any.
    """

    __slots__ = ("_keys", "_manifests", "federation")

    def __init__(self, manifests: Iterable[Manifest] = ()) -> None:
        """Takes epochs of one federation that the caller has checked and accepted.

        Raises:
            WireError: If the epochs belong to more than one federation.
            FederationError: If a key is malformed.
        """
        self._manifests = {manifest.digest: manifest for manifest in manifests}
        self._keys = {
            (digest, sender): public_key(key)
            for digest, manifest in self._manifests.items()
            for sender, key in _senders(manifest)
        }
        federations = {manifest.federation for manifest in self._manifests.values()}
        if len(federations) > 1:
            raise WireError(f"a key ring over {len(federations)} federations: expected one")
        self.federation = next(iter(federations), "")

    def manifest(self, digest: bytes) -> Manifest | None:
        """The accepted epoch of that digest, or None."""
        return self._manifests.get(digest)

    def key(self, digest: bytes, sender: str) -> Ed25519PublicKey | None:
        """The record key that a sender has in an epoch; None if it has none or the epoch is not accepted."""
        return self._keys.get((digest, sender))

    def adding(self, manifest: Manifest) -> "KeyRing":
        """A ring with one more accepted epoch."""
        return KeyRing([*self._manifests.values(), manifest])


def _senders(manifest: Manifest) -> Iterable[tuple[str, str]]:
    yield AGGREGATOR, manifest.aggregator
    yield REGISTRY, manifest.registry
    for member in manifest.members:
        if member.status is not MemberStatus.REMOVED:
            yield member.id, member.signing_key
