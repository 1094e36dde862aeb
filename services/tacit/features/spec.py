"""The feature contract: which columns there are, how they are binned, and the public basis over them.

The contract is public and chosen without looking at rows. Its digest travels in plan, messages and model,
so that every bank, the model file and the scorer mean the same columns (formats 2, algorithm 4).
"""

import enum
import itertools
import math
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from tacit import canonical

API = "tacit.contract/v1"
MAX_BINS = 63
MAX_COARSE = 16
MAX_CELLS = 4096
MAX_COLUMNS = 256
MAX_KNOTS = 64
MAX_WINDOW_DAYS = 366
MAX_WEIGHT = 64
MAX_SCALE = 16

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


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

    @cached_property
    def cuts(self) -> tuple[float, ...]:
        """The edges as every comparison uses them: rounded to float32, held as Python floats."""
        return as_float32(self.edges)


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
    api: str = API

    def __post_init__(self) -> None:
        """Refuses a contract that `check` refuses."""
        check(self)

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
    def basis_size(self) -> int:
        """Number of basis functions, the intercept included."""
        hats = sum(len(hat.knots) for hat in self.hats)
        ratios = sum(len(ratio.knots) for ratio in self.ratios)
        return 1 + len(self.linear) + hats + ratios + sum(len(pair.knots) ** 2 for pair in self.pairs)

    @property
    def look_back_days(self) -> int:
        """Days before a row that its features may touch: the longest window plus its delay."""
        return max(((column.days or 0) + column.delay_days for column in self.columns), default=0)


class Aggregate(enum.StrEnum):
    """What a window column takes of the rows in its window."""

    COUNT = "count"
    MEAN = "mean(amount)"
    FRAUD_SHARE = "fraud_share"


class Key(enum.StrEnum):
    """Whose rows a window holds."""

    CUSTOMER = "customer"
    TERMINAL = "terminal"


_TYPE_OF = {
    Aggregate.COUNT: ColumnType.COUNT,
    Aggregate.MEAN: ColumnType.AMOUNT,
    Aggregate.FRAUD_SHARE: ColumnType.SHARE,
}
_LOGGED = (ColumnType.AMOUNT, ColumnType.COUNT)


def as_float32(values: Sequence[Fraction]) -> tuple[float, ...]:
    """Rounds exact numbers to float64 and then to float32: the one rounding of edges in the product.

    Args:
        values: Any rational numbers.

    Returns:
        The float32 values as Python floats; infinite where a value is beyond float32.

    Raises:
        ContractError: If a value is beyond float64.
    """
    try:
        return tuple(array("f", [float(value) for value in values]))
    except OverflowError as error:
        raise ContractError("a number is beyond float64; allowed: about -3.4e38 to 3.4e38") from error


def check(contract: Contract) -> None:
    """Refuses a contract that training, scoring or the model file could not use, or whose provenance is not honest.

    Args:
        contract: Any contract, however it was read.

    Raises:
        ContractError: On the first fault; the message holds the field's path, its value and what is allowed.
    """
    _require(contract.api == API, "api", contract.api, f"exactly {API!r}")
    _in_range("columns", len(contract.columns), 1, MAX_COLUMNS, "columns")
    _distinct("columns", [column.name for column in contract.columns])
    for position, column in enumerate(contract.columns):
        _check_column(f"columns[{position}]", column)
    _check_basis(contract)
    _require(0 < contract.scale <= MAX_SCALE, "scale", contract.scale, f"above 0, at most {MAX_SCALE}")
    _in_range("linear, hats, ratios, pairs", contract.basis_size, 2, MAX_CELLS, "basis functions with the intercept")


def _require(holds: bool, path: str, value: object, allowed: str) -> None:
    if not holds:
        shown = canonical.number(value) if isinstance(value, Fraction) else value
        raise ContractError(f"{path} is {shown!r}; allowed: {allowed}")


def _in_range(path: str, value: int, low: int, high: int, what: str) -> None:
    _require(low <= value <= high, path, value, f"{low} to {high} {what}")


def _distinct(path: str, names: Sequence[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    _require(not repeated, path, repeated, "every name once")


def _check_rising(path: str, values: Sequence[Fraction]) -> None:
    rounded = as_float32(values)
    for position, value in enumerate(rounded):
        _require(math.isfinite(value), f"{path}[{position}]", values[position], "finite as float32")
    for position, (before, after) in enumerate(itertools.pairwise(rounded), start=1):
        allowed = f"above its left neighbour {canonical.number(values[position - 1])} after rounding to float32"
        _require(before < after, f"{path}[{position}]", values[position], allowed)


def _check_column(path: str, column: Column) -> None:
    path = f"{path} ({column.name})"
    _require(_NAME.fullmatch(column.name) is not None, f"{path}.name", column.name, "[a-z][a-z0-9_]*, at most 63 long")
    _in_range(f"{path}.edges", len(column.edges), 1, MAX_BINS - 1, "edges")
    _check_rising(f"{path}.edges", column.edges)
    _check_shape(path, column)
    _require(column.spread > 0, f"{path}.spread", column.spread, "above 0")
    _in_range(f"{path}.weight", column.weight, 1, MAX_WEIGHT, "as weight")
    _check_coarse(path, column)
    if column.of is None:
        _check_no_window(path, column)
    else:
        _check_window(path, column, column.of)


def _check_shape(path: str, column: Column) -> None:
    first, last = column.edges[0], column.edges[-1]
    if column.type is ColumnType.FLAG:
        flag = len(column.edges) == 1 and 0 < first <= 1
        _require(
            flag, f"{path}.edges", [canonical.number(edge) for edge in column.edges], "one edge in (0, 1] for a flag"
        )
    elif column.type is ColumnType.SHARE:
        _require(first > 0, f"{path}.edges[0]", first, "above 0 for a share")
        _require(last <= 1, f"{path}.edges[-1]", last, "at most 1 for a share")
    elif column.type is ColumnType.COUNT:
        _require(first > 0, f"{path}.edges[0]", first, "above 0 for a count")


def _check_coarse(path: str, column: Column) -> None:
    if column.coarse is None:
        return
    path = f"{path}.coarse"
    _in_range(path, len(column.coarse), 1, MAX_COARSE, "coarse cells")
    _check_rising(path, column.coarse)
    starts = as_float32(column.coarse)
    _require(
        starts[0] < column.cuts[0], f"{path}[0]", column.coarse[0], "below the first edge: the first cell is lowest"
    )
    for position, start in enumerate(starts[1:], start=1):
        _require(start in column.cuts, f"{path}[{position}]", column.coarse[position], "one of the column's edges")


def _check_no_window(path: str, column: Column) -> None:
    for field in ("key", "days", "feed"):
        value = getattr(column, field)
        _require(value is None, f"{path}.{field}", value, "none without `of`")
    _require(column.delay_days == 0, f"{path}.delay_days", column.delay_days, "0 without `of`")


def _check_window(path: str, column: Column, of: str) -> None:
    _require(of in tuple(Aggregate), f"{path}.of", of, ", ".join(Aggregate))
    _require(column.key in tuple(Key), f"{path}.key", column.key, ", ".join(Key))
    _require(column.days is not None, f"{path}.days", None, f"1 to {MAX_WINDOW_DAYS} with `of`")
    _in_range(f"{path}.days", column.days or 0, 1, MAX_WINDOW_DAYS, "days")
    # A window over labels that ends at the row itself would show the row its own label.
    least = int(of == Aggregate.FRAUD_SHARE)
    _in_range(f"{path}.delay_days", column.delay_days, least, MAX_WINDOW_DAYS, f"days for {of}")
    expected = _TYPE_OF[Aggregate(of)]
    _require(column.type is expected, f"{path}.type", str(column.type), f"{expected} for {of}")
    _check_provenance(path, column)


def _check_provenance(path: str, column: Column) -> None:
    path_feed, path_provenance = f"{path}.feed", f"{path}.provenance"
    if column.feed is not None:
        _require(_NAME.fullmatch(column.feed) is not None, path_feed, column.feed, "a name [a-z][a-z0-9_]*")
        _require(column.key == Key.TERMINAL, path_feed, column.feed, "none unless key is terminal")
        _require(column.of != Aggregate.MEAN, path_feed, column.feed, "none for mean(amount): a feed has no amounts")
    if column.key == Key.TERMINAL:
        mixing = column.provenance is Provenance.MIXING
        _require(mixing, path_provenance, str(column.provenance), "mixing: the window holds other customers' rows")
    public = column.provenance is Provenance.PUBLIC
    _require(not public, path_provenance, str(column.provenance), "customer or mixing for a customer's window")


def _check_basis(contract: Contract) -> None:
    _distinct("linear", contract.linear)
    for position, name in enumerate(contract.linear):
        _named(contract, f"linear[{position}]", name)
    for position, hat in enumerate(contract.hats):
        _check_hat(contract, f"hats[{position}]", hat)
    for position, ratio in enumerate(contract.ratios):
        _check_ratio(contract, f"ratios[{position}]", ratio)
    for position, pair in enumerate(contract.pairs):
        _check_pair(contract, f"pairs[{position}]", pair)


def _named(contract: Contract, path: str, name: str) -> Column:
    found = [column for column in contract.columns if column.name == name]
    _require(bool(found), path, name, f"a column: {', '.join(column.name for column in contract.columns)}")
    return found[0]


def _check_knots(path: str, knots: Sequence[Fraction], logged: bool) -> None:
    _in_range(path, len(knots), 2, MAX_KNOTS, "knots")
    _check_rising(path, knots)
    if logged:
        _require(knots[0] > 0, f"{path}[0]", knots[0], "above 0, for its logarithm is taken")


def _check_hat(contract: Contract, path: str, hat: Hat) -> None:
    column = _named(contract, f"{path}.column", hat.column)
    _require(column.type is not ColumnType.FLAG, f"{path}.column", hat.column, "a column that is not a flag")
    _check_knots(f"{path}.knots", hat.knots, logged=hat.transform is Transform.LOG)


def _check_ratio(contract: Contract, path: str, ratio: Ratio) -> None:
    _require(ratio.numerator != ratio.denominator, f"{path}.denominator", ratio.denominator, "not the numerator")
    for part, name in (("numerator", ratio.numerator), ("denominator", ratio.denominator)):
        column = _named(contract, f"{path}.{part}", name)
        _require(column.type in _LOGGED, f"{path}.{part}", name, f"a column of type {' or '.join(_LOGGED)}")
    coarse = _named(contract, path, ratio.denominator).coarse
    _require(coarse is not None, f"{path}.denominator", ratio.denominator, "a column with coarse cells")
    _check_knots(f"{path}.knots", ratio.knots, logged=True)


def _check_pair(contract: Contract, path: str, pair: Pair) -> None:
    first, second = pair.columns
    _require(first != second, f"{path}.columns", list(pair.columns), "two different columns")
    for position, name in enumerate(pair.columns):
        column = _named(contract, f"{path}.columns[{position}]", name)
        fits = column.coarse is not None and column.type is not ColumnType.FLAG
        _require(fits, f"{path}.columns[{position}]", name, "a column with coarse cells that is not a flag")
    _check_knots(f"{path}.knots", pair.knots, logged=False)
