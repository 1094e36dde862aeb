"""Public keys in text form: one form only, signatures over exact bytes, fingerprints of the raw key."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

import wire_cases as cases
from tacit import canonical
from tacit.federation import KEY_PREFIX, FederationError, fingerprint, public_key, verify

ASH, BIRCH = cases.key("ash"), cases.key("birch")
DATA = b"what was signed"
RAW = st.binary(min_size=32, max_size=32)


@given(raw=RAW)
def test_a_key_is_read_back_to_its_bytes(raw: bytes) -> None:
    """The text form loses nothing."""
    assert public_key(KEY_PREFIX + raw.hex()).public_bytes_raw() == raw


@given(raw=RAW)
def test_a_fingerprint_is_the_digest_of_the_raw_key(raw: bytes) -> None:
    """Not of the text: a peer can compute it from the key file of any tool."""
    assert fingerprint(KEY_PREFIX + raw.hex()) == canonical.label(hashlib.sha256(raw).digest())


@given(text=st.text(max_size=80))
def test_no_other_text_is_a_key(text: str) -> None:
    """The error repeats what was read."""
    with pytest.raises(FederationError) as caught:
        public_key(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        ASH.public + "\n",
        " " + ASH.public,
        ASH.public.removeprefix(KEY_PREFIX),
        ASH.public.upper(),
        ASH.public + "00",
        ASH.public[:-2],
        ASH.public.replace(":", ""),
        "ed25519:" + "\u0660" * 64,
    ],
    ids=["newline", "space", "bare", "upper", "long", "short", "colon", "digits of another script"],
)
def test_a_key_has_one_form(text: str) -> None:
    """Near misses are refused, so that two texts never name one key."""
    with pytest.raises(FederationError, match="64 hex digits"):
        public_key(text)
    with pytest.raises(FederationError, match="64 hex digits"):
        fingerprint(text)


def test_a_signature_holds_for_its_key_and_data() -> None:
    """The base case."""
    assert verify(ASH.public, ASH.sign(DATA), DATA)


@pytest.mark.parametrize("position", [0, 31, 32, 63])
def test_a_changed_signature_does_not_hold(position: int) -> None:
    """In either half."""
    changed = bytearray(ASH.sign(DATA))
    changed[position] ^= 1
    assert not verify(ASH.public, bytes(changed), DATA)


@pytest.mark.parametrize("signature", [b"", bytes(63), bytes(64), bytes(65)])
def test_what_is_no_signature_does_not_hold(signature: bytes) -> None:
    """False, never another error: what is on the log was written by anybody."""
    assert not verify(ASH.public, signature, DATA)


@given(data=st.binary(max_size=40))
def test_a_signature_is_of_these_bytes_alone(data: bytes) -> None:
    """Other data, the empty one included, is not covered."""
    assert verify(ASH.public, ASH.sign(DATA), data) is (data == DATA)


def test_another_key_does_not_hold() -> None:
    """A peer cannot sign for a bank."""
    assert not verify(BIRCH.public, ASH.sign(DATA), DATA)


def test_a_malformed_key_is_an_error_not_a_false() -> None:
    """A broken manifest must not read as an unsigned one."""
    with pytest.raises(FederationError, match="expected 'ed25519:"):
        verify("ash", ASH.sign(DATA), DATA)
