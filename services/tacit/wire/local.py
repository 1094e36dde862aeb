"""The document of a bank's own model: its trainer writes it, its scorer reads it (`GET /v1/local`). Bank only.

Nothing of it, neither a tree nor an average precision nor a threshold, may leave the bank.
"""

import enum
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import ConfigDict, Field, FiniteFloat, TypeAdapter, ValidationError

API: Final = "tacit.local/v1"

VERIFIED = "ok"
"""Verdict of a run that the bank's trainer derived again and found right."""

MAX_DOCUMENT_BYTES = 64 * 2**20

_Label = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
_Run = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

# A newer trainer may tell more; what is told must have the right type.
_STRICT = ConfigDict(strict=True, extra="ignore")


class LocalDocumentError(Exception):
    """A document of the trainer that cannot be used; the message names the field and what is expected."""


class Choice(enum.StrEnum):
    """What a bank serves."""

    ALONE = "alone"
    GLOBAL = "global"
    GLOBAL_LOCAL = "global+local"

    def start(self, share: float) -> float:
        """The share of the global margin that the bank's trees start from: none unless both models serve."""
        return share if self is Choice.GLOBAL_LOCAL else 0.0


@dataclass(frozen=True)
class Thresholds:
    """Margins of the chosen model at and above which a row is reviewed or declined; both finite."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    review: FiniteFloat
    decline: FiniteFloat


@dataclass(frozen=True, kw_only=True)
class LocalDocument:
    """What a bank's trainer says of one global model.

    Attributes:
        api: `API`.
        run: Run id, hex.
        model: Digest of the global model file that the document is about.
        name: Name of the model.
        contract: Digest of its feature contract.
        verdict: `VERIFIED`, or why not.
        choice: What the bank serves.
        precision: Average precision of each candidate over the last weeks; empty where none could be scored.
        frauds: Frauds in those weeks.
        global_share: Share of the global margin that the booster starts from, 0 to 1.
        names: Features of the booster, in order: `features.encode.local_names`.
        thresholds: None if they are not known.
        booster: XGBoost JSON model file; None where there is none.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    api: Literal["tacit.local/v1"]
    run: _Run
    model: _Label
    name: str
    contract: _Label
    verdict: str
    choice: Choice
    precision: Mapping[Choice, FiniteFloat]
    frauds: Annotated[int, Field(ge=0)]
    global_share: Annotated[FiniteFloat, Field(ge=0, le=1)]
    names: tuple[str, ...]
    thresholds: Thresholds | None
    booster: str | None


_ADAPTER: TypeAdapter[LocalDocument] = TypeAdapter(LocalDocument)


def encode(document: LocalDocument) -> bytes:
    """JSON bytes: the same for an equal document; `parse(encode(x)) == x`.

    Raises:
        LocalDocumentError: If a figure is not finite.
    """
    try:
        return json.dumps(asdict(document), allow_nan=False, sort_keys=True, separators=(",", ":")).encode()
    except ValueError as error:
        raise LocalDocumentError(f"a figure of the document is not finite: {error}") from error


def parse(data: bytes) -> LocalDocument:
    """Reads a trainer's document.

    Raises:
        LocalDocumentError: If the bytes are something else, or more than 64 MiB.
    """
    if len(data) > MAX_DOCUMENT_BYTES:
        raise LocalDocumentError(f"{len(data)} bytes: expected at most {MAX_DOCUMENT_BYTES}")
    try:
        return _ADAPTER.validate_json(data)
    except ValidationError as error:
        lines = [_line(item) for item in error.errors(include_url=False, include_input=False, include_context=False)]
        raise LocalDocumentError("; ".join(lines[:5])) from None


def _line(item: Any) -> str:  # noqa: ANN401  pydantic's own dictionary
    return f"{'.'.join(str(part) for part in item['loc']) or 'document'}: {item['msg']}"
