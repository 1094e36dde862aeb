"""What a demo prepares before anything starts, and the baselines that it compares with."""

import datetime as dt
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import Generic, TypeVar

import polars as pl

from tacit import canonical
from tacit.adapters import rows
from tacit.cli import demo_data, layout
from tacit.cli.demo_data import Dates, Source
from tacit.cli.layout import Folder, LayoutError
from tacit.features.spec import Contract
from tacit.federation import Cap, Manifest
from tacit.learning.course import LOCAL_LEARNER
from tacit.learning.types import QualityPlan, Shares
from tacit.privacy.types import Mode, Unit
from tacit.rounds.plan import Plan, Promote
from tacit.rounds.terms import Terms, work_out
from tacit.runtime import documents
from tacit.sim import lines
from tacit.sim.lines import BankRows, Margins
from tacit.trainer import snapshot
from tacit.wire import documents as wire_documents

DELTA = Fraction(1, 10**5)
MODEL = "card-fraud"
FEED = "network"
SHARES = Shares(preconditioner=Fraction(5, 100), gradients=Fraction(90, 100), quality=Fraction(5, 100))
GOOD_FOR_DAYS = 7

T = TypeVar("T")


@dataclass(frozen=True)
class Wish:
    """What was asked for on the command line."""

    source: Source | None
    feed: Path | None
    kafka: bool
    epsilon: Fraction
    mode: Mode
    seed: int
    folder: Path


@dataclass(frozen=True, eq=False)
class Stage:
    """A federation that is laid out and not yet started.

    Attributes:
        folder: Where everything lies.
        banks: Member ids.
        frames: Normalised rows per bank.
        zone: Zone of midnights.
        dates: Window and test days.
        terms: The plan, worked out.
        manifest: The signed epoch.
        feeds: Feed files by name.
    """

    folder: Folder
    banks: list[str]
    frames: Mapping[str, pl.DataFrame]
    zone: str
    dates: Dates
    terms: Terms
    manifest: Manifest
    feeds: Mapping[str, Path]


def prepare(wish: Wish) -> Stage:
    """Writes data, keys, epoch, policies and plan into the run's folder.

    Raises:
        LayoutError: If the folder is not empty, or the input does not fit.
    """
    folder = Folder(wish.folder.resolve())
    if folder.path.exists() and any(folder.path.iterdir()):
        raise LayoutError(f"{folder.path} is not empty: choose another folder with --out, or remove it")
    folder.path.mkdir(parents=True, exist_ok=True)
    banks = demo_data.generate(folder, wish.seed) if wish.source is None else demo_data.split(folder, wish.source)
    frames, mapping = demo_data.load(folder, banks)
    contract = card_contract(feed=wish.feed is not None)
    dates = demo_data.dates(frames, contract.look_back_days, mapping.zone)
    name = "demo"
    agreed = layout.Terms(name, Cap(Fraction(64), DELTA), mixing=contract.mixing)
    manifest = layout.found(folder, banks, contract, agreed)
    plan = make_plan(wish, manifest, contract, dates, demo_data.population(frames))
    folder.plan.write_bytes(canonical.encode(plan))
    feeds = {FEED: wish.feed.resolve()} if wish.feed is not None else {}
    return Stage(folder, banks, frames, mapping.zone, dates, work_out(plan, contract, manifest), manifest, feeds)


def card_contract(*, feed: bool = False) -> Contract:
    """The default card contract, or the one whose terminal columns come from a network feed."""
    name = "card-feed.yaml" if feed else "card.yaml"
    text = resources.files("tacit.features").joinpath("contracts", name).read_bytes()
    return wire_documents.parse(Contract, documents.read_yaml(text))


def make_plan(wish: Wish, manifest: Manifest, contract: Contract, dates: Dates, population: int) -> Plan:
    """The default plan (formats 1) for a demo's data."""
    today = dt.datetime.now(dt.UTC).date()
    return Plan(
        federation=manifest.federation,
        manifest=canonical.label(manifest.digest),
        not_after=today + dt.timedelta(days=GOOD_FOR_DAYS),
        model=MODEL,
        contract=canonical.label(contract.digest),
        unit=Unit.CUSTOMER,
        mode=wish.mode,
        epsilon=wish.epsilon,
        delta=min(DELTA, Fraction(1, population)),
        population=population,
        window=dates.window,
        learner=LOCAL_LEARNER,
        shares=SHARES,
        nonce=secrets.token_hex(32),
        quality=QualityPlan(),
        promote=Promote.AUTO,
    )


@dataclass(frozen=True, eq=False)
class Comparison:
    """Every bank's rows, and the test margins of the baselines by line and bank."""

    rows: Mapping[str, BankRows]
    margins: Mapping[str, Mapping[str, Margins]]


def compare(stage: Stage) -> Comparison:
    """Fits the baselines: each bank alone, and the pooled centre that may not exist."""
    plan, contract = stage.terms.plan, stage.terms.contract
    reach = snapshot.span(plan.window, contract.look_back_days, stage.zone)
    feeds = {name: rows.load_feed(str(path)) for name, path in stage.feeds.items()}
    test = stage.dates.test_seconds(stage.zone)
    found = {}
    for bank, frame in stage.frames.items():
        inside = frame.filter(pl.col("time") >= reach.first)
        found[bank] = lines.prepare(inside, contract, reach, test, feeds)
    alone = {
        bank: lines.margins_of(lines.fit_alone([part.training], threads=1), part.test) for bank, part in found.items()
    }
    pooled = lines.fit_alone([part.training for part in found.values()], threads=1)
    return Comparison(
        found, {"alone": alone, "pooled": {bank: lines.margins_of(pooled, part.test) for bank, part in found.items()}}
    )


class Background(Generic[T]):
    """Work in a thread of its own; an error is raised where the result is asked for."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._result: list[T] = []
        self._error: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, daemon=True, name="baselines")
        self._thread.start()

    def result(self) -> T:
        """The result, waited for.

        Raises:
            BaseException: What the work raised.
        """
        self._thread.join()
        if self._error:
            raise self._error[0]
        return self._result[0]

    def _run(self) -> None:
        try:
            self._result.append(self._work())
        except BaseException as error:  # noqa: BLE001  raised again where the result is asked for
            self._error.append(error)
