"""The feature contract: which columns there are, how they are binned, and the public basis over them.

The contract is public and chosen without looking at rows. Its digest travels in plan, messages and model,
so that every bank, the model file and the scorer mean the same columns (formats 2, algorithm 4).
"""

import enum
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from tacit import canonical

MAX_BINS = 63
MAX_COARSE = 16
MAX_CELLS = 4096


class ContractError(Exception):
    """A contract that cannot be used; the message names the field, the value and the allowed range."""


class ColumnType(enum.StrEnum):
    """What a column measures; it decides bin representatives and default shapes."""

    AMOUNT = "amount"
    SHARE = "share"
    COUNT = "count"
    FLAG = "flag"


class Provenance(enum.StrEnum):
    """Whose rows a column is made of (protocol 6).

    CUSTOMER: that customer's rows only. PUBLIC: could be computed had no member bank any customer.
    MIXING: anything else; a customer-level claim then holds only given the feature table.
    """

    CUSTOMER = "customer"
    PUBLIC = "public"
    MIXING = "mixing"


class Side(enum.StrEnum):
    """Where a missing value goes at every split."""

    LEFT = "left"
    RIGHT = "right"


class Transform(enum.StrEnum):
    """What is applied to a value before its hat basis."""

    LOG = "log"
    NONE = "none"


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: Unique name, ``[a-z][a-z0-9_]*``.
        type: What it measures.
        provenance: Whose rows it is made of.
        edges: Inner bin edges, strictly rising as float32, 1 to 62 of them; bin b holds edge[b-1] <= x < edge[b].
        centre: Public centre of the linear term.
        spread: Public spread of the linear term, above 0.
        missing: Side of a missing value: LEFT is bin 0, RIGHT the last bin.
        of: Window aggregate: ``count``, ``mean(amount)`` or ``fraud_share``; None for a column of the row itself.
        key: Entity of the window: ``customer`` or ``terminal``; None without a window.
        days: Window length in days, 1 to 366; None without a window.
        delay_days: Days between the window's end and the row (label delay), 0 to 366.
        coarse: First values of at most 16 coarse cells, rising, for ratio and pair terms; None if unused.
        feed: Name of the feed that supplies the entity's counts; None for the bank's own rows.
        weight: Integer weight in the draw of random tree structures, 1 to 64; a public guess.
    """

    name: str
    type: ColumnType
    provenance: Provenance
    edges: tuple[Fraction, ...]
    centre: Fraction
    spread: Fraction
    missing: Side = Side.LEFT
    of: str | None = None
    key: str | None = None
    days: int | None = None
    delay_days: int = 0
    coarse: tuple[Fraction, ...] | None = None
    feed: str | None = None
    weight: int = 1

    @property
    def bins(self) -> int:
        """Number of bins."""
        return len(self.edges) + 1


@dataclass(frozen=True)
class Hat:
    """A hat basis over one column: one number per knot."""

    column: str
    transform: Transform
    knots: tuple[Fraction, ...]


@dataclass(frozen=True)
class Ratio:
    """A hat basis over log(numerator / denominator): one number per knot; the denominator has coarse cells."""

    numerator: str
    denominator: str
    knots: tuple[Fraction, ...]


@dataclass(frozen=True)
class Pair:
    """The product of two hat bases over two columns with coarse cells: knots x knots numbers."""

    columns: tuple[str, str]
    knots: tuple[Fraction, ...]


@dataclass(frozen=True)
class Contract:
    """The feature contract of one model.

    Attributes:
        columns: In the order of the model file's features.
        linear: Names of the columns with a linear term.
        hats: Hat bases over single columns.
        ratios: Hat bases over log ratios.
        pairs: Tensor bases over two columns.
        scale: Public constant that multiplies every basis function, in (0, 16].
        api: Format of the document.
    """

    columns: tuple[Column, ...]
    linear: tuple[str, ...]
    scale: Fraction
    hats: tuple[Hat, ...] = ()
    ratios: tuple[Ratio, ...] = ()
    pairs: tuple[Pair, ...] = ()
    api: str = "tacit.contract/v1"

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the contract's RFC 8785 JSON, 32 bytes."""
        return canonical.digest(self)

    @cached_property
    def index(self) -> dict[str, int]:
        """Column name to position."""
        return {column.name: position for position, column in enumerate(self.columns)}

    def column(self, name: str) -> Column:
        """The column of that name.

        Raises:
            ContractError: If there is none.
        """
        if name not in self.index:
            raise ContractError(f"no column {name!r}; columns are {', '.join(self.index)}")
        return self.columns[self.index[name]]

    @property
    def mixing(self) -> bool:
        """Whether any column mixes customers, so that the unit reads "given the feature table"."""
        return any(column.provenance is Provenance.MIXING for column in self.columns)

    @property
    def look_back_days(self) -> int:
        """Days before a row that its features may touch: the longest window plus its delay."""
        return max(((column.days or 0) + column.delay_days for column in self.columns), default=0)


