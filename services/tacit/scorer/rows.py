"""Rows as callers send them: one JSON object of named numbers, checked against the contract."""

import json
import math
import re
from typing import Any

import numpy as np
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import ErrorDetails, SchemaValidator, ValidationError, core_schema

from tacit.features.spec import Contract

LARGEST = float(np.finfo(np.float32).max)
"""Largest magnitude of a value: what float32 can hold."""

MAX_FAULTS = 32
"""Faults that are told of one row."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_BODY = "body"


class RowError(Exception):
    """A row that does not follow the contract.

    Attributes:
        faults: Field and what is wrong with it, at most `MAX_FAULTS`; values are never repeated.
    """

    def __init__(self, faults: list[tuple[str, str]]) -> None:
        self.faults = faults
        super().__init__("; ".join(f"{at}: {what}" for at, what in faults))


class RowReader:
    """Reads rows of one contract.

    Every column must be named; null says that the value is missing. A column that is absent is refused, so that a
    renamed feature is an error and not a score on defaults.

    Args:
        contract: The contract.
    """

    def __init__(self, contract: Contract) -> None:
        self._names = tuple(column.name for column in contract.columns)
        number = core_schema.float_schema(strict=True, allow_inf_nan=False, ge=-LARGEST, le=LARGEST)
        self._schema = core_schema.typed_dict_schema(
            {name: core_schema.typed_dict_field(core_schema.nullable_schema(number)) for name in self._names},
            extra_behavior="forbid",
        )
        self._validator = SchemaValidator(self._schema)

    def read(self, body: bytes) -> list[float]:
        """Values in contract order, NaN for missing, from the bytes of a JSON object.

        Raises:
            RowError: Naming every field at fault.
        """
        try:
            found: dict[str, float | None] = self._validator.validate_json(body)
        except ValidationError as error:
            raise RowError(self._faults(error)) from None
        return [math.nan if (value := found[name]) is None else value for name in self._names]

    def json_schema(self) -> dict[str, Any]:
        """JSON Schema of a row."""
        schema = GenerateJsonSchema().generate(self._schema, mode="validation")
        return {"$schema": GenerateJsonSchema.schema_dialect, "title": "Row", **schema}

    def _faults(self, error: ValidationError) -> list[tuple[str, str]]:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        return [(self._place(item), _told(item)) for item in found[:MAX_FAULTS]]

    def _place(self, item: ErrorDetails) -> str:
        if not item["loc"]:
            return _BODY
        name = str(item["loc"][0])
        # An unknown name comes from the caller: it travels back only if it looks like one of ours.
        return name if name in self._names or _NAME.fullmatch(name) else "a name that no contract can have"


_TOLD = {
    "missing": "missing: send a number, or null where the value is not known",
    "extra_forbidden": "not a column of the contract",
    "float_type": "must be a number or null",
    "finite_number": f"must be finite: from {-LARGEST:.6e} to {LARGEST:.6e}, or null",
    "greater_than_equal": f"must be from {-LARGEST:.6e} to {LARGEST:.6e}, or null",
    "less_than_equal": f"must be from {-LARGEST:.6e} to {LARGEST:.6e}, or null",
    "dict_type": "must be one JSON object of column names and numbers",
}


def _told(item: ErrorDetails) -> str:
    return _TOLD.get(item["type"]) or json.dumps(item["msg"]).strip('"')[:120]
