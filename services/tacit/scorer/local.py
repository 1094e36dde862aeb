"""The document of the bank's own trainer: verdict, choice, local model, thresholds (`GET /v1/local`). Bank only."""

import enum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from tacit.features.encode import ratio_names
from tacit.features.spec import Contract

VERIFIED = "ok"
"""Verdict of a run that the bank's trainer derived again and found right."""

MAX_DOCUMENT_BYTES = 64 * 2**20

_Label = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class LocalDocumentError(Exception):
    """A document of the trainer that cannot be used; the message names the field and what is expected."""


class Choice(enum.StrEnum):
    """What a bank serves."""

    ALONE = "alone"
    GLOBAL = "global"
    GLOBAL_LOCAL = "global+local"


class _Part(BaseModel):
    # A newer trainer may tell more; what is told must have the right type.
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class LocalThresholds(_Part):
    """Margins of the chosen model."""

    review: FiniteFloat
    decline: FiniteFloat


class LocalDocument(_Part):
    """What the bank's trainer says of one global model.

    Attributes:
        api: Format of the document.
        model: Digest of the global model file that the document is about.
        contract: Digest of its feature contract.
        verdict: `VERIFIED`, or why not.
        choice: What the bank serves.
        names: Features of the local booster, in order.
        thresholds: Margins at and above which a row is reviewed or declined; None if they are not known.
        booster: XGBoost JSON model file; None where there is none.
        global_share: Share of the global margin that the booster starts from, for `Choice.GLOBAL_LOCAL`.
    """

    api: Literal["tacit.local/v1"]
    model: _Label
    contract: _Label
    verdict: str
    choice: Annotated[Choice, Field(strict=False)]
    names: tuple[str, ...] = ()
    thresholds: LocalThresholds | None = None
    booster: str | None = None
    global_share: Annotated[FiniteFloat, Field(ge=0, le=1)] = 1.0


def parse(data: bytes) -> LocalDocument:
    """Reads the trainer's document.

    Raises:
        LocalDocumentError: If the bytes are something else, or more than 64 MiB.
    """
    if len(data) > MAX_DOCUMENT_BYTES:
        raise LocalDocumentError(f"{len(data)} bytes: expected at most {MAX_DOCUMENT_BYTES}")
    try:
        return LocalDocument.model_validate_json(data)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        lines = [f"{'.'.join(str(part) for part in item['loc']) or 'document'}: {item['msg']}" for item in found]
        raise LocalDocumentError("; ".join(lines[:5])) from None


def local_names(contract: Contract) -> tuple[str, ...]:
    """Features of a local booster: the contract's columns, then the logarithms of its ratios."""
    return (*(column.name for column in contract.columns), *ratio_names(contract))
