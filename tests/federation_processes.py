"""A small federation of real processes: one folder, one process a service, killed and started again at will.

Each process runs `tacit serve` as a pod does. A server that has imported everything forks them, so that a restart costs
no import; memory, files, locks and signals are each process's own.
"""

import datetime as dt
import hashlib
import json
import multiprocessing
import os
import secrets
import signal
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field, replace
from fractions import Fraction
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

import httpx
import yaml

from federation_cases import CONTRACT, LABEL
from tacit import canonical
from tacit.adapters.journal import Journal
from tacit.adapters.logs import open_log
from tacit.cli import layout
from tacit.cli.client import AggregatorClient, NoAnswerError
from tacit.cli.layout import Folder, Processes
from tacit.cli.ledgers import open_journal
from tacit.cli.main import run
from tacit.federation import Cap, Manifest, Policy
from tacit.learning.types import Clip, Learner, QualityPlan, Shares
from tacit.privacy.types import Mode, Unit
from tacit.rounds import verify
from tacit.rounds.plan import Deadlines, Plan, Promote, Window, run_id
from tacit.rounds.state import Run, State
from tacit.rounds.types import Checked, EndBody, Kind, Outcome
from tacit.runtime import documents, faults
from tacit.runtime.bound_ports import read_ports
from tacit.runtime.exit_codes import ExitCode
from tacit.runtime.inbox import Inbox
from tacit.runtime.log import Log
from tacit.runtime.settings import LogSettings
from tacit.sim.transactions import BankPlan, World, write
from tacit.wire import envelope, topics
from tacit.wire.envelope import KeyRing, SigningKey

BANKS = ("ash", "birch", "cedar")
DAYS = 60
WINDOW = Window(dt.date(2018, 2, 15), 21, 7, 7)
PATIENCE = 90.0
"""Longest wait for other processes, in seconds."""

PAUSE = 0.03
DELTA = Fraction(1, 10**5)
GENEROUS = Cap(Fraction(64), DELTA)
SERVICES = ("aggregator", "registry", "scorer", "trainer")

T = TypeVar("T")


def lay_out(path: Path, cap: Cap = GENEROUS) -> Folder:
    """Three banks of 60 customers over 60 days, with keys, epoch and policies; no process has run."""
    folder = Folder(path)
    banks = tuple(BankPlan(name, 60, daily_rate=0.5) for name in BANKS)
    write(World(5, banks, days=DAYS, terminals=50), path / "banks")
    layout.found(folder, BANKS, CONTRACT, layout.Terms("small", cap, mixing=False))
    return folder


def plan_for(folder: Folder, **changes: Any) -> Plan:  # noqa: ANN401  fields of a plan
    """A plan of four rounds that waits long for every bank; each call is a new run."""
    manifest = documents.load(Manifest, folder.manifest)
    plan = Plan(
        federation=manifest.federation,
        manifest=canonical.label(manifest.digest),
        not_after=dt.datetime.now(dt.UTC).date() + dt.timedelta(days=7),
        model="card",
        contract=LABEL,
        unit=Unit.CUSTOMER,
        mode=Mode.LOCAL,
        epsilon=Fraction(2),
        delta=DELTA,
        population=200,
        window=WINDOW,
        learner=Learner(rounds=2, average=1, clip=Clip(Fraction(1), Fraction(2))),
        shares=Shares(Fraction(1, 20), Fraction(9, 10), Fraction(0), Fraction(1, 20)),
        quality=QualityPlan(edges=(Fraction(-2), Fraction(0))),
        nonce=secrets.token_hex(32),
        deadlines=Deadlines(attempt="120s", join="120s"),
        tick="10ms",
        promote=Promote.AUTO,
    )
    return replace(plan, **changes)


def rounds(count: int) -> Learner:
    """A learner of some gradient rounds; two more rounds come on top."""
    return Learner(rounds=count, average=1, clip=Clip(Fraction(1), Fraction(2)))


@dataclass(frozen=True)
class Audit:
    """What somebody with nothing but the log can say.

    Attributes:
        state: The fold.
        records: Every valid record, in the order read.
        invalid: Entries that are none, by reason.
    """

    state: State
    records: Sequence[Checked]
    invalid: Mapping[str, int]

    def of(self, bank: str, kind: Kind) -> dict[bytes, Checked]:
        """A bank's records of a kind, by digest."""
        found = [record for record in self.records if (record.header.sender, record.header.kind) == (bank, kind)]
        return {record.digest: record for record in found}

    def deviation(self, run: Run) -> str:
        """What is wrong with a run: sums, model file, epsilon, contradictions; empty if nothing is."""
        body = run.end.body if run.end is not None else None
        if not isinstance(body, EndBody) or body.outcome is not Outcome.FINISHED:
            return f"END is {body}"
        if hashlib.sha256(verify.model_bytes(run)).digest() != body.model:
            return "another model"
        contradictions = self.state.equivocations
        return verify.check_run(self.state, run).text or (f"contradictions {contradictions}" if contradictions else "")


def open_settings_log(folder: Folder) -> Log:
    """The log that the aggregator's settings name."""
    settings = yaml.safe_load(folder.settings(topics.AGGREGATOR).read_text(encoding="utf-8"))
    return open_log(LogSettings(**settings["log"]))


def read_all(log: Log, topic: str) -> list[bytes]:
    """Every value of a topic."""
    values, position = [], 0
    while entries := log.read({topic: position}):
        values += [entry.value for entry in entries]
        position = entries[-1].offset + 1
    return values


def audit(folder: Folder) -> Audit:
    """Reads and folds the whole log of a folder."""
    manifest = documents.load(Manifest, folder.manifest)
    ring = KeyRing([manifest])
    state = State(manifest, {LABEL: CONTRACT})
    own = [topics.bank(topics.DEFAULT_PREFIX, bank).name for bank in BANKS]
    records: list[Checked] = []
    with closing(open_settings_log(folder)) as log:
        names = [topics.control(topics.DEFAULT_PREFIX).name, *own]
        inbox = Inbox(log, names, lambda topic, value: envelope.open_record(topic, value, ring))
        while found := inbox.poll(0.0):
            records += found
            for record in found:
                state.apply(record)
    return Audit(state, records, dict(inbox.invalid))


@dataclass
class Running:
    """The processes of a folder.

    Attributes:
        folder: The federation's folder; settings of all processes are in it.
        context: Starts the processes.
        processes: Every process that was started and not yet replaced, by name.
        supervised: Whether `wait` starts again what ended because its log is away, as a supervisor does.
    """

    folder: Folder
    context: multiprocessing.context.ForkServerContext
    processes: dict[str, BaseProcess] = field(default_factory=dict)
    supervised: bool = False

    def start(self, *names: str, fault: str = "") -> None:
        """Starts processes; the fault is armed in each of them."""
        self.folder.logs.mkdir(exist_ok=True)
        environ = {faults.FAULT: fault, faults.ALLOW: "1"} if fault else {}
        for name in names:
            argv = layout.child(name, self.folder.settings(name)).argv[3:]
            output = self.folder.logs / f"{name}.log"
            process = self.context.Process(target=_live, args=(argv, environ, str(output)), daemon=True, name=name)
            process.start()
            self.processes[name] = process

    def give_lock(self, name: str) -> None:
        """Gives the next aggregator a lock file of its own, as on another machine."""
        path = self.folder.settings(topics.AGGREGATOR)
        changed = yaml.safe_load(path.read_text(encoding="utf-8")) | {
            "lock_file": str(self.folder.path / f"{name}.lock")
        }
        path.write_text(yaml.safe_dump(changed), encoding="utf-8")

    def everything(self) -> list[str]:
        """Aggregator and trainers."""
        return [topics.AGGREGATOR, *(f"trainer-{bank}" for bank in BANKS)]

    def kill(self, *names: str) -> None:
        """SIGKILL, as a power cut would."""
        for name in names:
            self.processes[name].kill()
            self.processes[name].join()

    def stop(self, *names: str) -> None:
        """SIGTERM, and an orderly end."""
        for name in names:
            self.processes[name].terminate()
        for name in names:
            assert self.exit_code(name) == 0, f"{name} did not end in order: {self.events(name)[-3:]}"

    def signal(self, name: str, number: signal.Signals) -> None:
        """Sends a signal to one process."""
        pid = self.processes[name].pid
        assert pid is not None
        os.kill(pid, number)

    def exit_code(self, name: str) -> int:
        """Waits for a process's end."""
        process = self.processes[name]
        process.join(PATIENCE)
        assert process.exitcode is not None, f"{name} still runs: {self.events(name)[-3:]}"
        return process.exitcode

    def close(self) -> None:
        """Kills what still runs."""
        for process in self.processes.values():
            process.kill()
            process.join()

    # What they show

    def url(self, name: str) -> str:
        """Base URL of a server that is ready."""
        return self.wait(f"{name} ready", lambda: self._ready(name))

    def listening(self, name: str) -> str | None:
        """Base URL under which a server was last heard of."""
        port = read_ports(self.folder.ports).get(name)
        return f"http://127.0.0.1:{port}" if port is not None else None

    def _ready(self, name: str) -> str | None:
        url = self.listening(name)
        try:
            return url if url is not None and httpx.get(f"{url}/readyz", timeout=2.0).is_success else None
        except httpx.HTTPError:
            return None

    def get(self, name: str, path: str) -> Any:  # noqa: ANN401  JSON
        """The JSON of one question; None while there is no good answer."""
        url = self.listening(name)
        try:
            answer = httpx.get(url + path, timeout=2.0) if url is not None else None
        except httpx.HTTPError:
            return None
        return answer.json() if answer is not None and answer.is_success else None

    def wait(self, what: str, ask: Callable[[], T | None]) -> T:
        """Asks until the answer is neither None nor False."""
        until = time.monotonic() + PATIENCE
        while True:
            found = ask()
            if found is not None and found is not False:
                return found
            assert time.monotonic() < until, f"waited {PATIENCE:.0f} s for {what}: {self.last_words()}"
            self._tend()
            time.sleep(PAUSE)

    def _tend(self) -> None:
        ended = [name for name, process in self.processes.items() if process.exitcode == ExitCode.TEMPORARY]
        if self.supervised:
            self.start(*ended)

    def last_words(self) -> dict[str, list[str]]:
        """The newest events of every process."""
        return {name: [event["event"] for event in self.events(name)[-3:]] for name in self.processes}

    def events(self, name: str) -> list[dict[str, Any]]:
        """The JSON lines of a process over all its lives; a line that was cut by a kill is left out."""
        path = self.folder.logs / f"{name}.log"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def said(self, name: str, event: str) -> list[dict[str, Any]]:
        """The lines of one event."""
        return [line for line in self.events(name) if line["event"] == event]

    # Runs

    @property
    def operator(self) -> SigningKey:
        """The operator's key."""
        return SigningKey.load(self.folder.key(layout.OPERATOR))

    def submit(self, plan: Plan) -> str:
        """Submits a plan; the run id as hex. A service that is away is asked again: the same bytes are the same run."""

        def ask() -> str | None:
            try:
                return AggregatorClient(self.url(topics.AGGREGATOR)).submit(plan, layout.OPERATOR, self.operator)
            except NoAnswerError:
                return None

        return self.wait("the submission", ask)

    def view(self, run: str) -> dict[str, Any]:
        """The aggregator's view of a run; empty while it is away."""
        return self.get(topics.AGGREGATOR, f"/v1/runs/{run}") or {}

    def at_round(self, run: str, number: int) -> None:
        """Waits until a run has so many results."""
        self.wait(f"round {number}", lambda: self.view(run).get("round", 0) >= number)

    def ended(self, run: str) -> dict[str, Any]:
        """Waits for a run's END."""
        self.wait("END", lambda: self.view(run).get("phase") == "ENDED")
        return self.view(run)

    def settled(self, run: str, banks: Iterable[str] = BANKS) -> None:
        """Waits until the banks have verified a run and erased its rows."""
        for bank in banks:
            self.wait(f"{bank} done", lambda bank=bank: self._state(bank, run) in {"done", "left"})  # type: ignore[misc]

    def _state(self, bank: str, run: str) -> str | None:
        runs = self.get(f"{bank}.bank", "/v1/runs") or []
        return next((item["state"] for item in runs if item["run"] == run), None)

    # The log and the journals

    def log(self) -> Log:
        """The federation's log, opened here as the aggregator does."""
        return open_settings_log(self.folder)

    def entries(self, topic: str) -> list[bytes]:
        """Everything on a topic."""
        with closing(self.log()) as log:
            return read_all(log, topic)

    def fold(self) -> Audit:
        """The log, read and folded by nobody's process."""
        return audit(self.folder)

    def journal(self, bank: str) -> AbstractContextManager[Journal]:
        """A stopped bank's journal."""
        policy = documents.load(Policy, self.folder.bank(bank) / "policy.json")
        return open_journal(self.folder.bank(bank) / "journal.sqlite", policy)


def check_outcome(running: Running, run: str, banks: Iterable[str] = BANKS) -> Audit:
    """What must hold of every finished run, by log and journals alone; the banks' trainers are stopped for it.

    The model in END is the one that the records make, no key has signed two things for one place, every bank stored
    one spend per slot, and what its topic holds for a slot is that spend's one vector.
    """
    found = running.fold()
    done = found.state.runs[bytes.fromhex(run)]
    assert found.deviation(done) == ""
    assert found.invalid == {}
    running.stop(*(f"trainer-{bank}" for bank in banks))
    for bank in banks:
        check_bank(running, found, done, bank)
    return found


def check_bank(running: Running, found: Audit, run: Run, bank: str) -> None:
    """One spend a slot, one vector a slot, one set of bytes a number."""
    assert run.terms is not None
    released = [record for record in found.of(bank, Kind.RELEASE).values() if record.header.run == run.id]
    slots = [record.header.slot for record in released]
    assert sorted(slots) == sorted(set(slots)), f"{bank} signed two vectors for a slot"
    with running.journal(bank) as journal:
        spent = {slot for slot in range(len(run.attempts)) if journal.spent(run.id, slot) is not None}
        (charge,) = [item for item in journal.ledger().runs if item.run == run.id]
        assert journal.verify() == []
    assert spent == set(slots)
    noises = run.terms.budget.noises
    assert charge.spent_nano == sum(noises[run.attempts[slot].round].rho_nano for slot in spent) <= charge.reserved_nano
    by_number: dict[int, set[bytes]] = defaultdict(set)
    for record in found.records:
        if record.header.sender == bank:
            by_number[record.header.seq].add(record.digest)
    assert all(len(digests) == 1 for digests in by_number.values()), f"{bank} signed two records for a number"


def empty_topic(folder: Folder, topic: str, *, made_again: bool) -> None:
    """Takes a topic's entries out of the embedded log; one that was made again counts its offsets from 0."""
    with closing(sqlite3.connect(folder.log, timeout=10.0)) as database, database:
        database.execute("DELETE FROM entries WHERE topic = (SELECT id FROM topics WHERE name = ?)", (topic,))
        if made_again:
            database.execute("UPDATE topics SET next = 0 WHERE name = ?", (topic,))


def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Runs `tacit` as a person does."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(  # noqa: S603  this interpreter
        [sys.executable, "-m", "tacit.cli", *arguments], env=environ, capture_output=True, text=True, check=False
    )


def known_run(plan: Plan) -> str:
    """The run id that a plan will have."""
    return run_id(canonical.encode(plan)).hex()


def settings_of(folder: Folder, **options: Any) -> None:  # noqa: ANN401  fields of Processes
    """Writes every process's settings for the folder as it lies now."""
    layout.write_settings(folder, BANKS, Processes(**{"scoring": BANKS[:1], **options}))


def _live(argv: Sequence[str], environ: Mapping[str, str], output: str) -> None:
    """The life of one process: `tacit` with these arguments."""
    with Path(output).open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.update({"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", **environ})
    sys.exit(int(run(argv)))
