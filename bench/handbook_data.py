"""The Handbook's transactions through the product's own reading, windows and encoding (evaluation 2, 3a)."""

from dataclasses import dataclass
from functools import cached_property
from importlib import resources

import numpy as np
import polars as pl
import yaml
from common import ROOT, need_data
from numpy.typing import NDArray

from tacit.adapters.rows import RowMapping, load
from tacit.features.encode import encode, group_by_unit, unit_order
from tacit.features.spec import Contract
from tacit.features.types import Encoded
from tacit.features.windows import compute
from tacit.wire import documents

DAY = 86_400
FIRST_DAY = 1_522_540_800 // DAY
"""2018-04-01 in days since 1970: day 0 of the Handbook."""

FIRST_FOLD = 115
"""2018-07-25, the first day of the Handbook's training week."""

DELAY_DAYS = 7
WEEK_DAYS = 7


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows in the order of their units.

    Attributes:
        encoded: Binned rows.
        values: float32, shape (rows, columns): raw columns in contract order.
        customers: int64, shape (rows,).
        days: int64, shape (rows,): days since 2018-04-01.
    """

    encoded: Encoded
    values: NDArray[np.float32]
    customers: NDArray[np.int64]
    days: NDArray[np.int64]


class Handbook:
    """All transactions; columns of a contract without a feed are computed over all of them."""

    def __init__(self, contract_name: str = "card.yaml") -> None:
        """Reads.

        Raises:
            SystemExit: If the data is not there.
        """
        path = need_data()
        text = resources.files("tacit.features").joinpath("contracts", contract_name).read_text("utf-8")
        self.contract = documents.parse(Contract, yaml.safe_load(text))
        mapping = yaml.safe_load((ROOT / "docs/examples/handbook.yaml").read_text("utf-8"))
        self.transactions = load(str(path), documents.parse(RowMapping, mapping))
        self.days = self.transactions["time"].to_numpy() // DAY - FIRST_DAY

    @cached_property
    def columns(self) -> pl.DataFrame:
        """The contract's columns over all banks' transactions."""
        return compute(self.transactions, self.contract)

    @cached_property
    def _bins(self) -> NDArray[np.uint8]:
        return encode(self.columns, self.contract)

    def training(self, first_day: int, unit: str, days: int = WEEK_DAYS) -> Rows:
        """The `days` days that end with the training week that starts on `first_day`."""
        last = first_day + WEEK_DAYS
        return self._cut((self.days >= last - days) & (self.days < last), unit)

    def test(self, first_day: int) -> Rows:
        """The week after training week and delay, without cards that are known to be compromised on its days."""
        start = first_day + WEEK_DAYS + DELAY_DAYS
        inside = (self.days >= start) & (self.days < start + WEEK_DAYS)
        return self._cut(inside & ~self._compromised(first_day), "record")

    def _compromised(self, first_day: int) -> NDArray[np.bool_]:
        """Rows of cards with a fraud since the first training day whose label was known before the row's day."""
        since = (FIRST_DAY + first_day) * DAY
        frauds = self.transactions.filter((pl.col("label") == 1) & (pl.col("time") >= since))
        known = frauds.group_by("customer").agg(pl.col("label_time").min().alias("known"))
        joined = self.transactions.select("customer", "time").join(
            known, on="customer", how="left", maintain_order="left"
        )
        return (joined["known"] <= joined["time"] // DAY * DAY).fill_null(value=False).to_numpy()

    def _cut(self, keep: NDArray[np.bool_], unit: str) -> Rows:
        chosen = self.transactions.filter(pl.Series(keep))
        order = unit_order(chosen)
        encoded = group_by_unit(self._bins[:, keep], chosen, unit)
        values = self.columns.filter(pl.Series(keep)).to_numpy().astype(np.float32)[order]
        customers = chosen["customer"].to_numpy().astype(np.int64)[order]
        return Rows(encoded, values, customers, self.days[keep][order])
