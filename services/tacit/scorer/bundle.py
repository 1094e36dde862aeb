"""What a loaded model is made of, as one piece: from the log or from the cache, checked by the same rules."""

import base64
import binascii
import enum
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from tacit import canonical
from tacit.features.encode import local_names
from tacit.features.spec import Contract
from tacit.scorer.engine import Engine, ModelError
from tacit.scorer.live import Identity, Live, Thresholds
from tacit.versions import ModelVersion, VersionError
from tacit.wire.errors import DocumentError
from tacit.wire.local import VERIFIED, Choice, LocalDocument, LocalDocumentError, parse
from tacit.wire.statements import read_statement

API = "tacit.bundle/v1"


class Obstacle(enum.StrEnum):
    """Why a version is not loaded."""

    STATEMENT = "statement"
    ARTEFACT = "artefact"
    DIGEST = "digest"
    CONTRACT = "contract"
    VERDICT = "verdict"
    MODEL = "model"
    SEQUENCE = "sequence"


class LoadError(Exception):
    """A version that is not loaded.

    Attributes:
        obstacle: Why, from the closed set.
    """

    def __init__(self, obstacle: Obstacle, detail: str) -> None:
        self.obstacle = obstacle
        super().__init__(detail)


class BundleError(Exception):
    """Cached bytes that are no bundle, or were changed."""


@dataclass(frozen=True)
class Rules:
    """By what a bundle is judged.

    Attributes:
        contracts: Contracts at hand, by digest.
        defaults: Thresholds where neither the trainer nor the registry gives any.
        pinned: Digest of a model file that a person vouches for in place of the trainer's verdict; None for none.
    """

    contracts: Mapping[str, Contract]
    defaults: Thresholds
    pinned: str | None = None


@dataclass(frozen=True)
class Bundle:
    """A model with everything that speaks for it.

    Attributes:
        statement: The registry's statement, RFC 8785 JSON.
        model: The global model file.
        sequence: Number of the alias's move that named the version.
        document: The trainer's document about this model; None if it has given none.
    """

    statement: bytes
    model: bytes
    sequence: int
    document: bytes | None

    def encode(self) -> bytes:
        """One line with the digest of the rest, and the rest as JSON."""
        parts = {
            "api": API,
            "sequence": self.sequence,
            "statement": base64.b64encode(self.statement).decode(),
            "model": base64.b64encode(self.model).decode(),
            "document": base64.b64encode(self.document).decode() if self.document is not None else None,
        }
        rest = json.dumps(parts, sort_keys=True).encode()
        return name(rest).encode() + b"\n" + rest

    @classmethod
    def decode(cls, data: bytes) -> "Bundle":
        """Reads what `encode` wrote.

        Raises:
            BundleError: If the bytes are not exactly that. A change is noticed by the digest; who can write the
                cache can also write a digest, so the folder must belong to the scorer alone.
        """
        named, _, rest = data.partition(b"\n")
        if named != name(rest).encode():
            raise BundleError("the bundle does not have the digest that it names")
        try:
            parts = json.loads(rest)
            if parts["api"] != API:
                raise BundleError(f"format {str(parts['api'])[:40]!r}: expected {API!r}")
            document = parts["document"]
            return cls(
                statement=base64.b64decode(parts["statement"], validate=True),
                model=base64.b64decode(parts["model"], validate=True),
                sequence=int(parts["sequence"]),
                document=base64.b64decode(document, validate=True) if document is not None else None,
            )
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            raise BundleError(f"not a bundle: {type(error).__name__}") from error


def assemble(bundle: Bundle, rules: Rules) -> Live:
    """Checks a bundle and makes the model that serves, warm.

    The statement names the file's digest and the contract; the bank's own trainer must have verified this very file,
    or a person pinned its digest. A local model that is absent gives `Choice.GLOBAL`.

    Raises:
        LoadError: Naming the first obstacle.
    """
    version = _version(bundle.statement)
    if name(bundle.model) != version.file:
        raise LoadError(Obstacle.DIGEST, f"the file's digest is {name(bundle.model)}, the statement's {version.file}")
    contract = rules.contracts.get(version.contract)
    if contract is None:
        raise LoadError(Obstacle.CONTRACT, f"contract {version.contract} is not at hand")
    document = _verified(bundle.document, version, rules.pinned)
    try:
        live = _live(bundle, version, contract, document, rules.defaults)
        live.warm()
    except ModelError as error:
        raise LoadError(Obstacle.MODEL, str(error)) from error
    return live


def _version(statement: bytes) -> ModelVersion:
    try:
        return read_statement(statement)
    except (DocumentError, VersionError) as error:
        raise LoadError(Obstacle.STATEMENT, str(error)) from error


def _verified(data: bytes | None, version: ModelVersion, pinned: str | None) -> LocalDocument | None:
    """The trainer's document if it verified this file; None if a person vouches in its place."""
    try:
        document = parse(data) if data is not None else None
    except LocalDocumentError as error:
        raise LoadError(Obstacle.VERDICT, f"the trainer's document: {error}") from error
    about = document is not None and (document.model, document.contract) == (version.file, version.contract)
    if document is not None and about and document.verdict == VERIFIED:
        return document
    if pinned == version.file:
        return None
    said = document.verdict if document is not None and about else "nothing"
    raise LoadError(Obstacle.VERDICT, f"the bank's trainer says {said[:80]!r} of {version.file}: expected {VERIFIED!r}")


def _live(
    bundle: Bundle, version: ModelVersion, contract: Contract, document: LocalDocument | None, defaults: Thresholds
) -> Live:
    engine, local = Engine.load(bundle.model, contract), None
    choice = document.choice if document is not None else Choice.GLOBAL
    if document is None or document.booster is None:
        choice = Choice.GLOBAL
    elif choice is not Choice.GLOBAL:
        local = Engine.of(document.booster.encode(), local_names(contract))
    identity = Identity(
        name=version.model,
        version=canonical.label(version.digest),
        file=version.file,
        choice=choice,
        contract=version.contract,
        sequence=bundle.sequence,
    )
    share = document.global_share if document is not None else 1.0
    return Live(identity, contract, _thresholds(version, document, choice, defaults), engine, local, share=share)


def _thresholds(
    version: ModelVersion, document: LocalDocument | None, choice: Choice, defaults: Thresholds
) -> Thresholds:
    """The trainer's for its choice, else the registry's for margins of the global model, else the defaults."""
    if document is not None and document.thresholds is not None and document.choice is choice:
        return Thresholds(document.thresholds.review, document.thresholds.decline)
    named = version.thresholds
    if choice is not Choice.ALONE and "review" in named and "decline" in named:
        return Thresholds(float(named["review"]), float(named["decline"]))
    return defaults


def name(data: bytes) -> str:
    """The digest that names a statement or a model file, `sha256:<hex>`."""
    return canonical.label(hashlib.sha256(data).digest())
