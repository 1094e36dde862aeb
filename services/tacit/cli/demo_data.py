"""The data of a demo: the product's own generator, or a file that is split over banks."""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from tacit.adapters import rows
from tacit.adapters.rows import RowMapping
from tacit.cli.layout import OPERATOR, Folder, LayoutError
from tacit.rounds.plan import Window
from tacit.runtime import documents
from tacit.sim import transactions
from tacit.wire import topics

QUALITY_DAYS = 7
LABEL_DELAY_DAYS = 7
TEST_DAYS = 7
LONGEST_WINDOW = 90
LEAST_WINDOW = 21


@dataclass(frozen=True)
class Source:
    """Real input: a table of transactions, what its columns mean, and which customer is whose.

    Attributes:
        data: Parquet file or folder.
        mapping: Mapping file.
        banks: ``FILE:COLUMN``: a Parquet file with the customer column of the mapping, and the column of the bank.
    """

    data: Path
    mapping: Path
    banks: str


@dataclass(frozen=True)
class Dates:
    """What is learnt from and what is tested on.

    Attributes:
        window: Of the plan.
        test: First and last (exclusive) day of the test rows.
    """

    window: Window
    test: tuple[dt.date, dt.date]

    def test_seconds(self, zone: str) -> tuple[int, int]:
        """The test days as seconds since 1970 UTC, at midnights of a zone."""
        first, last = (dt.datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)) for day in self.test)
        return int(first.timestamp()), int(last.timestamp())


def generate(folder: Folder, seed: int) -> list[str]:
    """Simulates the default world into the banks' folders; returns the banks."""
    return list(transactions.write(transactions.default_demo_world(seed), folder.path / "banks"))


def split(folder: Folder, source: Source) -> list[str]:
    """Writes each bank's transactions into its folder; returns the banks.

    Raises:
        LayoutError: If the arguments do not fit; the message names what is expected.
        RowsError: If the file of customers cannot be used.
    """
    mapping = documents.load(RowMapping, source.mapping)
    path, _, column = source.banks.rpartition(":")
    if not path:
        raise LayoutError(f"--banks {source.banks!r}: expected FILE:COLUMN, such as customers.parquet:BANK")
    named = rows.banks_of(path, column, mapping.customer)
    ids = {value: bank_id(value) for value in set(named.values())}
    _refuse_same_ids(ids)
    owners = {customer: ids[value] for customer, value in named.items()}
    table = pl.scan_parquet(source.data)
    keys = table.select(pl.col(mapping.customer).unique()).collect()[mapping.customer]
    orphans = [key for key in keys if key not in owners]
    if orphans:
        raise LayoutError(f"{len(orphans)} customers of {source.data} have no bank in {path}, such as {orphans[0]}")
    for bank in sorted(set(owners.values())):
        own = [key for key, value in owners.items() if value == bank]
        target = folder.bank(bank) / "data" / "transactions.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        wanted = pl.Series(own, dtype=keys.dtype).implode()
        table.filter(pl.col(mapping.customer).is_in(wanted)).collect().write_parquet(target)
        (folder.bank(bank) / "mapping.yaml").write_text(source.mapping.read_text(encoding="utf-8"), encoding="utf-8")
    return sorted(set(owners.values()))


def _refuse_same_ids(ids: Mapping[int | str, str]) -> None:
    by_id: dict[str, list[int | str]] = {}
    for value, name in ids.items():
        by_id.setdefault(name, []).append(value)
    for name, values in by_id.items():
        if len(values) > 1:
            raise LayoutError(f"banks {sorted(map(str, values))} would all be {name!r}: rename them")
        if name in {topics.AGGREGATOR, topics.REGISTRY, OPERATOR}:
            raise LayoutError(f"bank {values[0]!r}: {name!r} is the name of a role; rename it")


def bank_id(value: object) -> str:
    """A member id from a bank's name or number in a table.

    Raises:
        LayoutError: If nothing of it can be used.
    """
    name = re.sub(r"[^a-z0-9]+", "-", str(value).lower()).strip("-")[:34].strip("-")
    if not name:
        raise LayoutError(f"bank {value!r}: expected letters or digits")
    return f"bank-{name}" if name[0].isdigit() else name


def load(folder: Folder, banks: list[str]) -> tuple[dict[str, pl.DataFrame], RowMapping]:
    """Every bank's normalised rows, and the mapping that they share."""
    mapping = documents.load(RowMapping, folder.bank(banks[0]) / "mapping.yaml")
    return {bank: rows.load_usable(str(folder.bank(bank) / "data"), mapping)[0] for bank in banks}, mapping


def dates(frames: Mapping[str, pl.DataFrame], look_back_days: int, zone: str) -> Dates:
    """The latest window whose labels are final, and the last days of the data as test.

    Raises:
        LayoutError: If there are too few days.
    """
    times = [frame["time"].to_numpy() for frame in frames.values() if frame.height]
    if not times:
        raise LayoutError("no bank has a usable row: `tacit data check` says what is wrong with each source")
    first, last = min(int(part.min()) for part in times), max(int(part.max()) for part in times)
    days = [dt.datetime.fromtimestamp(second, ZoneInfo(zone)).date() for second in (first, last)]
    after = days[1] + dt.timedelta(days=1)
    end = after - dt.timedelta(days=TEST_DAYS + LABEL_DELAY_DAYS)
    length = min(LONGEST_WINDOW, (end - days[0]).days - look_back_days)
    if length < LEAST_WINDOW:
        needed = LEAST_WINDOW + look_back_days + TEST_DAYS + LABEL_DELAY_DAYS
        raise LayoutError(f"the data cover {(after - days[0]).days} days: a demo needs at least {needed}")
    return Dates(Window(end, length, LABEL_DELAY_DAYS, QUALITY_DAYS), (after - dt.timedelta(days=TEST_DAYS), after))


def population(frames: Mapping[str, pl.DataFrame]) -> int:
    """Customers over all banks, rounded up to one significant digit: the public figure of a plan."""
    count = sum(frame["customer"].n_unique() for frame in frames.values())
    unit = 10 ** (len(str(count)) - 1)
    return int(-(-count // unit) * unit)
