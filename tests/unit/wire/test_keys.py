"""Signing keys and key rings."""

import copy
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import wire_cases as cases
from tacit.federation import FederationError, MemberStatus, verify
from tacit.wire.errors import SigningKeyError, WireError
from tacit.wire.keys import KeyFileWarning, KeyRing, SigningKey


def test_signature_holds_under_the_public_key() -> None:
    """What a key signs, its public text form verifies; other data it does not."""
    key = SigningKey.generate()
    assert verify(key.public, key.sign(b"data"), b"data")
    assert not verify(key.public, key.sign(b"data"), b"other")
    assert not verify(SigningKey.generate().public, key.sign(b"data"), b"data")


def test_key_file_round_trip(tmp_path: Path) -> None:
    """A saved key is private to its owner and loads without a warning."""
    key = SigningKey.generate()
    key.save(tmp_path / "key.pem")
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600
    assert SigningKey.load(tmp_path / "key.pem").public == key.public


def test_key_file_is_never_overwritten(tmp_path: Path) -> None:
    """A second save would destroy an identity."""
    SigningKey.generate().save(tmp_path / "key.pem")
    with pytest.raises(SigningKeyError, match="File exists"):
        SigningKey.generate().save(tmp_path / "key.pem")


def test_readable_key_file_warns(tmp_path: Path) -> None:
    """The key still loads, because mounted secrets may have any mode, but somebody hears of it."""
    SigningKey.generate().save(tmp_path / "key.pem")
    (tmp_path / "key.pem").chmod(0o644)
    with pytest.warns(KeyFileWarning, match="mode 0644"):
        SigningKey.load(tmp_path / "key.pem")


def test_group_readable_key_file_does_not_warn(tmp_path: Path) -> None:
    """A secret mounted for the pod's group has mode 0440."""
    SigningKey.generate().save(tmp_path / "key.pem")
    (tmp_path / "key.pem").chmod(0o440)
    assert SigningKey.load(tmp_path / "key.pem").public.startswith("ed25519:")


@pytest.mark.parametrize("content", [b"", b"not a key", b"-----BEGIN KEY-----\nAAAA\n-----END KEY-----\n"])
def test_broken_key_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """The error names the file and holds none of its content."""
    (tmp_path / "key.pem").write_bytes(content)
    with pytest.raises(SigningKeyError, match=r"key\.pem") as caught:
        SigningKey.load(tmp_path / "key.pem")
    assert "AAAA" not in str(caught.value)


def test_missing_and_huge_key_files_are_refused(tmp_path: Path) -> None:
    """A path that is wrong ends in an error of the wire."""
    with pytest.raises(SigningKeyError, match="FileNotFoundError"):
        SigningKey.load(tmp_path / "absent.pem")
    (tmp_path / "huge.pem").write_bytes(bytes(20_000))
    with pytest.raises(SigningKeyError, match="at most 16384"):
        SigningKey.load(tmp_path / "huge.pem")


def test_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    """An RSA key is no Ed25519 key."""
    rsa = generate_private_key(65537, 2048)
    data = rsa.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "rsa.pem").write_bytes(data)
    with pytest.raises(SigningKeyError, match="expected an Ed25519 key"):
        SigningKey.load(tmp_path / "rsa.pem")


def test_key_is_not_printed_or_copied() -> None:
    """Nothing but the public half leaves by repr, format, pickle or copy."""
    seed = bytes(range(32))
    key = SigningKey.from_seed(seed)
    assert seed.hex() not in f"{key!r} {key}"
    assert repr(key) == f"SigningKey(public='{key.public}')"
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(SigningKeyError, match="not pickled or copied"):
            leak(key)


def test_seed_has_32_bytes() -> None:
    """Another length is refused; the same seed is the same key."""
    assert SigningKey.from_seed(bytes(32)).public == SigningKey.from_seed(bytes(32)).public
    with pytest.raises(SigningKeyError, match="31 bytes: expected 32"):
        SigningKey.from_seed(bytes(31))


def test_ring_finds_members_and_roles() -> None:
    """Members sign with their record key, roles with the role's key; operators sign no record."""
    found = {sender: cases.RING.key(cases.MANIFEST.digest, sender) for sender in ("ash", "aggregator", "registry")}
    for sender, key in found.items():
        assert key is not None
        assert "ed25519:" + key.public_bytes_raw().hex() == cases.record_key(sender).public
    assert cases.RING.key(cases.MANIFEST.digest, "ops") is None
    assert cases.RING.key(bytes(32), "ash") is None


def test_ring_is_not_changed_by_adding() -> None:
    """Another epoch makes another ring; the old epoch stays in it."""
    later = replace(cases.MANIFEST, epoch=2)
    ring = cases.RING.adding(later)
    assert cases.RING.manifest(later.digest) is None
    assert ring.manifest(later.digest) == later
    assert ring.manifest(cases.MANIFEST.digest) == cases.MANIFEST


def test_paused_members_have_keys_and_removed_ones_have_not() -> None:
    """A paused bank may still write LEFT; a removed one is gone."""
    ash, birch, cedar = cases.MANIFEST.members
    members = (replace(ash, status=MemberStatus.PAUSED), replace(birch, status=MemberStatus.REMOVED), cedar)
    later = replace(cases.MANIFEST, members=members)
    ring = KeyRing([later])
    assert ring.key(later.digest, "ash") is not None
    assert ring.key(later.digest, "birch") is None


def test_ring_is_of_one_federation() -> None:
    """Epochs of two federations do not mix."""
    assert KeyRing().federation == ""
    assert cases.RING.federation == "demo"
    with pytest.raises(WireError, match="2 federations"):
        cases.RING.adding(replace(cases.MANIFEST, federation="other"))


def test_malformed_key_does_not_enter_a_ring() -> None:
    """The error names the key as it was written."""
    with pytest.raises(FederationError, match="ed25519:xyz"):
        KeyRing([replace(cases.MANIFEST, aggregator="ed25519:xyz")])
