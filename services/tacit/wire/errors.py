"""Errors of the wire: what a record or a document can be refused for."""

import enum


class WireError(Exception):
    """Something cannot be written to or read from the wire."""


class SigningKeyError(WireError):
    """A signing key cannot be read or is not an Ed25519 key; the message never holds key material."""


class DocumentError(WireError):
    """A document that is not what its class describes; one line per value, with path, value and what is allowed."""


class InvalidReason(enum.StrEnum):
    """Why a record is invalid: a closed set, used as the label of `tacit_invalid_records_total`."""

    TOO_LARGE = "too_large"
    MALFORMED = "malformed"
    UNKNOWN_KIND = "unknown_kind"
    BAD_FIELD = "bad_field"
    BAD_DOCUMENT = "bad_document"
    WRONG_TOPIC = "wrong_topic"
    WRONG_SENDER = "wrong_sender"
    WRONG_FEDERATION = "wrong_federation"
    UNKNOWN_MANIFEST = "unknown_manifest"
    UNKNOWN_SENDER = "unknown_sender"
    BODY_DIGEST = "body_digest"
    BAD_SIGNATURE = "bad_signature"
    BAD_FENCE = "bad_fence"
    BAD_CHAIN = "bad_chain"
    BAD_PLACE = "bad_place"
    INNER_SIGNATURE = "inner_signature"


class InvalidRecord(WireError):  # noqa: N818  a fact about a record on the log, counted and listed, not a failure of this process
    """A record that changes nothing: it is counted by `reason` and listed.

    Attributes:
        reason: Code from the closed set.
        detail: What was found and what is allowed; holds no data of any bank.
    """

    def __init__(self, reason: InvalidReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
