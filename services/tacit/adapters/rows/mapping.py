"""Which columns of a bank's own tables mean what, and what is told when they do not fit."""

import enum
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from functools import cached_property
from zoneinfo import ZoneInfo

API = "tacit.rows/v1"
MAX_DIGITS = 4
MAX_DELAY_DAYS = 366
RESERVED = frozenset(
    {"transaction", "customer", "entity", "time", "amount", "label", "label_time", "weekend", "night", "position"}
)

_CURRENCY = re.compile(r"[A-Z]{3}")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


class SourceKind(enum.StrEnum):
    """Where rows are read from: a Parquet file or folder, or a table behind an SQLAlchemy URL."""

    PARQUET = "parquet"
    SQL = "sql"


class AmountUnit(enum.StrEnum):
    """What the amount column counts: units of the currency (12.34) or its minor units (1234)."""

    MAJOR = "major"
    MINOR = "minor"


@dataclass(frozen=True)
class Difference:
    """One way in which a source does not have the shape that the mapping says.

    Attributes:
        field: Field of the mapping.
        column: Column of the source that the field names.
        expected: What the column has to be.
        found: What was found.
        suggestion: Nearest name among the source's columns; None if nothing is near, or the column is there.
    """

    field: str
    column: str
    expected: str
    found: str
    suggestion: str | None = None

    def render(self) -> str:
        """One line of plain text."""
        hint = f"; did you mean {self.suggestion!r}?" if self.suggestion else ""
        return f"{self.field}: column {self.column!r}: expected {self.expected}, found {self.found}{hint}"


@dataclass(frozen=True)
class Finding:
    """Rows with one fault.

    Attributes:
        field: Field of the mapping whose values are at fault.
        column: Column of the source.
        fault: What is wrong, and what is allowed.
        rows: How many rows.
        dropped: Whether such rows are left out; else they are kept as `fault` says.
        examples: Up to three transaction ids; for the bank's operator only.
    """

    field: str
    column: str
    fault: str
    rows: int
    dropped: bool
    examples: tuple[str, ...] = ()

    @property
    def refused(self) -> bool:
        """Whether the strict reading refuses the source for it: all but labels that are not known yet."""
        return self.dropped or self.field != "label"

    def render(self) -> str:
        """One line of plain text."""
        fate = "left out" if self.dropped else "kept"
        named = f" (transactions {', '.join(self.examples)})" if self.examples else ""
        return f"{self.field}: column {self.column!r}: {self.rows} rows {fate}: {self.fault}{named}"


class RowsError(Exception):
    """A source that cannot be read as the mapping says.

    Attributes:
        differences: How the source's shape differs from the mapping's.
        findings: Which rows are at fault.
    """

    def __init__(self, message: str, differences: Sequence[Difference] = (), findings: Sequence[Finding] = ()) -> None:
        self.differences = tuple(differences)
        self.findings = tuple(findings)
        lines = [item.render() for item in self.differences] + [item.render() for item in self.findings]
        super().__init__("\n  ".join([message, *lines]))


class MappingError(RowsError):
    """A mapping that cannot be used; the message names the field, its value and the allowed range."""


@dataclass(frozen=True)
class RowMapping:
    """The mapping file: which column of the bank's table is which.

    Attributes:
        transaction: Column of the unique transaction id, integer or text.
        customer: Column of the customer id, integer or text; the unit of privacy.
        time: Column of the time: timestamp, date, ISO 8601 text or integer seconds since 1970 UTC.
        amount: Column of the amount, 0 or more: integer, decimal or floating point.
        entity: Column of the terminal or merchant, integer or text.
        label: Column of the fraud label, 0 or 1 or boolean; null where not known yet.
        label_time: Column of the time when the label was known; None: time + `label_delay_days`.
        currency: ISO 4217 code, three capital letters; one mapping reads one currency.
        zone: IANA time zone of timestamps without one, and of weekend, night and midnight.
        digits: Digits of the currency's minor unit, 0 to 4; used where `amount_unit` is minor.
        amount_unit: What the amount column counts.
        label_delay_days: Days until a label is known where `label_time` says nothing, 0 to 366.
        features: Further numeric columns: name in the contract to column of the source.
        kind: Where rows are read from.
        api: Format of the document.
    """

    transaction: str
    customer: str
    time: str
    amount: str
    entity: str
    label: str
    label_time: str | None = None
    currency: str = "EUR"
    zone: str = "UTC"
    digits: int = 2
    amount_unit: AmountUnit = AmountUnit.MAJOR
    label_delay_days: int = 7
    features: Mapping[str, str] = field(default_factory=dict)
    kind: SourceKind = SourceKind.PARQUET
    api: str = API

    def __post_init__(self) -> None:
        """Refuses values outside their ranges."""
        _require(self.api == API, "api", self.api, f"exactly {API!r}")
        _require(_CURRENCY.fullmatch(self.currency) is not None, "currency", self.currency, "three capital letters")
        _require(0 <= self.digits <= MAX_DIGITS, "digits", self.digits, f"0 to {MAX_DIGITS}")
        _require(self.kind in tuple(SourceKind), "kind", self.kind, ", ".join(SourceKind))
        _require(self.amount_unit in tuple(AmountUnit), "amount_unit", self.amount_unit, ", ".join(AmountUnit))
        delay = self.label_delay_days
        _require(0 <= delay <= MAX_DELAY_DAYS, "label_delay_days", delay, f"0 to {MAX_DELAY_DAYS}")
        for name, column in self.fields.items():
            _require(bool(column), name, column, "the name of a column")
        for name in self.features:
            free = _NAME.fullmatch(name) is not None and name not in RESERVED
            _require(free, "features", name, f"names [a-z][a-z0-9_]*, none of {', '.join(sorted(RESERVED))}")
        self.tz  # noqa: B018  an unknown zone is refused here, not at the first row

    @cached_property
    def tz(self) -> ZoneInfo:
        """The bank's time zone.

        Raises:
            MappingError: If the zone is unknown.
        """
        try:
            return ZoneInfo(self.zone)
        except (KeyError, ValueError, OSError) as error:
            raise MappingError(f"zone is {self.zone!r}; allowed: an IANA time zone such as 'Europe/Paris'") from error

    @property
    def fields(self) -> dict[str, str]:
        """Field of the mapping to column of the source; features as ``features.<name>``."""
        names = ("transaction", "customer", "time", "amount", "entity", "label")
        fields = {name: str(getattr(self, name)) for name in names}
        if self.label_time is not None:
            fields["label_time"] = self.label_time
        return fields | {f"features.{name}": column for name, column in self.features.items()}

    def midnight(self, day: date) -> int:
        """The start of a day by the bank's clock, in seconds since 1970 UTC."""
        return int(datetime.combine(day, time(), self.tz).timestamp())


def _require(holds: bool, name: str, value: object, allowed: str) -> None:
    if not holds:
        raise MappingError(f"mapping: {name} is {value!r}; allowed: {allowed}")
