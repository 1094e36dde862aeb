"""Ed25519 public keys as documents write them."""

import hashlib
import re
from typing import Protocol as Port

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tacit import canonical
from tacit.federation.faults import FederationError

KEY_PREFIX = "ed25519:"


class Signer(Port):
    """A private key that signs."""

    def sign(self, data: bytes) -> bytes:
        """The Ed25519 signature over `data`, 64 bytes."""


def public_key(text: str) -> Ed25519PublicKey:
    """Reads a public key, ``ed25519:<64 hex>``.

    Raises:
        FederationError: If the text has another form.
    """
    match = re.fullmatch(f"{KEY_PREFIX}([0-9a-f]{{64}})", text)
    if match is None:
        raise FederationError(f"key {text!r}: expected '{KEY_PREFIX}<64 hex digits>'")
    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(match[1]))


def verify(key: str, signature: bytes, data: bytes) -> bool:
    """Whether an Ed25519 signature of `data` holds under a public key in text form."""
    try:
        public_key(key).verify(signature, data)
    except InvalidSignature:
        return False
    return True


def fingerprint(key: str) -> str:
    """What a bank pins of a peer's governance key: ``sha256:<hex>`` over the 32 bytes of the public key."""
    return canonical.label(hashlib.sha256(public_key(key).public_bytes_raw()).digest())
