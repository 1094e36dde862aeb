"""A federation's folder without processes, and one run on its log: for tests of the command line."""

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse

import tacit.features
from tacit import canonical
from tacit.adapters.logs import open_log
from tacit.aggregator import handlers as aggregator
from tacit.cli import ledgers
from tacit.cli.layout import OPERATOR, Folder, Processes, Terms, found, write_settings
from tacit.features.spec import Contract
from tacit.federation import Cap, Manifest, Policy, sign_manifest
from tacit.rounds.ledger import Reservation
from tacit.rounds.plan import Plan, run_id
from tacit.rounds.terms import work_out
from tacit.rounds.types import JoinBody, Kind, Place, header_at
from tacit.runtime import documents
from tacit.runtime.bound_ports import add_ports
from tacit.runtime.clock import SystemClock
from tacit.runtime.http_server import HttpServer
from tacit.runtime.log import Log
from tacit.runtime.settings import LogSettings
from tacit.trainer.outbox import Author, Outbox
from tacit.trainer.policy import buckets
from tacit.wire import envelope, inner, topics
from tacit.wire.envelope import SigningKey

CONTRACT = Path(tacit.features.__file__).parent / "contracts" / "card.yaml"
BANKS = ("ash", "elm", "oak")


@dataclass(frozen=True)
class Federation3:
    """A founded folder of three banks."""

    folder: Folder
    manifest: Manifest
    contract: Contract

    @property
    def path(self) -> Path:
        """The folder's path."""
        return self.folder.path

    def policy(self, bank: str = "ash") -> Path:
        """A bank's policy file."""
        return self.folder.bank(bank) / "policy.json"

    def journal(self, bank: str = "ash") -> Path:
        """A bank's journal file."""
        return self.folder.bank(bank) / ledgers.JOURNAL

    @contextlib.contextmanager
    def log(self) -> Iterator[Log]:
        """The embedded log."""
        log = open_log(LogSettings(path=self.folder.log))
        log.create([topic.name for topic in topics.federation(topics.DEFAULT_PREFIX, BANKS)])
        try:
            yield log
        finally:
            log.close()

    def move_on(self, *services: str) -> Manifest:
        """Puts epoch 2 in force, and names epoch 1 as an earlier one in the settings of the services."""
        earlier = self.folder.manifest.with_name("epoch-1.json")
        earlier.write_bytes(canonical.encode(self.manifest))
        after = replace(self.manifest, epoch=2, previous_digest=canonical.label(self.manifest.digest), signatures=())
        for bank in BANKS:
            after = sign_manifest(after, bank, SigningKey.load(self.folder.governance_key(bank)))
        after = sign_manifest(after, OPERATOR, SigningKey.load(self.folder.key(OPERATOR)))
        self.folder.manifest.write_bytes(canonical.encode(after))
        for service in services:
            file = self.folder.settings(service)
            settings = {**yaml.safe_load(file.read_text()), "earlier_manifests": [str(earlier)]}
            file.write_text(yaml.safe_dump(settings))
        return after

    def run(self, plan: Plan) -> bytes:
        """Puts a plan on the log, and the JOIN of bank ash with its journal; returns the run id."""
        body = inner.sign_plan(plan, OPERATOR, SigningKey.load(self.folder.key(OPERATOR)))
        clock = SystemClock()
        order = aggregator.plan_order(self.manifest, body)
        header = header_at(order.kind, topics.AGGREGATOR, order.place, clock.now())
        sealed = envelope.seal(header, body, SigningKey.load(self.folder.key(topics.AGGREGATOR)))
        policy = documents.load(Policy, self.policy())
        run, topic = run_id(body.plan_json), topics.bank(topics.DEFAULT_PREFIX, "ash").name
        terms = work_out(plan, self.contract, self.manifest)
        wanted = Reservation(run, policy.account, buckets(terms), terms.budget.reserved_rho_nano)
        with self.log() as log, ledgers.open_journal(self.journal(), policy) as journal:
            log.append(topics.control().name, topics.AGGREGATOR.encode(), sealed.value)
            outbox = Outbox(Author("ash", SigningKey.load(self.folder.key("ash")), topic), journal, log, clock)
            place = Place(self.manifest.federation, self.manifest.digest, run)
            stored = journal.reserve(wanted, outbox.compose(Kind.JOIN, JoinBody(b"", b""), place))
            log.append(topic, b"ash", stored.value)
            journal.mark_seen(stored.seq)
        return run


def make(path: Path) -> Federation3:
    """Founds a federation of three banks in a folder."""
    folder = Folder(path)
    for bank in BANKS:
        folder.bank(bank).mkdir(parents=True)
    contract = documents.load(Contract, CONTRACT)
    manifest = found(folder, BANKS, contract, Terms("demo", Cap(Fraction(16), Fraction(1, 10**5)), mixing=True))
    write_settings(folder, BANKS, Processes(scoring=()))
    return Federation3(folder, manifest, contract)


@contextlib.contextmanager
def serving(app: FastAPI, folder: Folder | None = None, name: str = "") -> Iterator[str]:
    """Serves an app on loopback, entered in the folder's ports under a name; gives its URL."""
    server = HttpServer(app)
    port = server.start()
    if folder is not None:
        add_ports(folder.ports, {name: port})
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop()


def view(run: str = "ab" * 32, **changes: object) -> dict[str, Any]:
    """A run as the aggregator shows it."""
    found: dict[str, Any] = {
        "run": run,
        "model": "card-fraud",
        "phase": "ROUND",
        "round": 2,
        "rounds": 6,
        "refused": {},
        "waiting_for": ["elm"],
        "epsilon": 1,
        "fault": None,
        "outcome": None,
        "reason": None,
    }
    return {**found, **changes}


def answers(table: dict[str, Any]) -> FastAPI:
    """An app that answers GET by path."""
    app = FastAPI()
    for path, answer in table.items():
        app.add_route(path, functools.partial(_answer, answer))
    return app


async def _answer(answer: object, _: Request) -> JSONResponse:
    return JSONResponse(answer)
