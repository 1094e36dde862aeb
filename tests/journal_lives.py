"""A bank's process that is killed again and again: what it does in one life, and what must hold between lives."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from journal_cases import TOPIC, Signed, open_journal, reservation
from tacit.adapters.journal import DONE, Journal, Position, RunState, Verdict
from tacit.privacy.types import Mode, Release, ReleaseEvent
from tacit.rounds.types import Checked, Header, Kind, StartBody
from tacit.runtime import faults

RUN = bytes([5]) * 32
SLOTS = 20
COST = ReleaseEvent(Mode.LOCAL, 1_000_000, 20, 20)
REFUSED = 3
"""Exit status of a life that found its own topic in disagreement."""

POINTS = ("before-draw", "after-draw", "before-commit", "after-commit", "before-append", "after-append", "before-seen")


def journal_in(folder: Path) -> Journal:
    """The bank's journal."""
    return open_journal(folder / "journal.sqlite")


def append(path: Path, line: bytes) -> None:
    """Adds a line, durable when it returns."""
    with path.open("ab") as file:
        file.write(line + b"\n")
        file.flush()
        os.fsync(file.fileno())


def lines(path: Path) -> list[bytes]:
    """The lines so far."""
    return path.read_bytes().splitlines() if path.exists() else []


def record(value: bytes) -> Checked:
    """A line of the topic as a checked record."""
    said = json.loads(value)
    previous, run = bytes.fromhex(said["previous"]), bytes.fromhex(said["run"])
    header = Header(
        "demo", b"", run, 0, said["slot"], Kind[said["kind"]], "bank-1", b"", b"", seq=said["seq"], previous=previous
    )
    return Checked(header, StartBody(b""), hashlib.sha256(value).digest(), TOPIC)


def compose(kind: Kind, run: bytes, slot: int = 0) -> Callable[..., Signed]:
    """Signs a record; the nonce makes sure that no two signatures are the same bytes."""

    def sign(at: Position, release: Release | None = None) -> Signed:
        said = {
            "kind": kind.name,
            "run": run.hex(),
            "slot": slot,
            "seq": at.seq,
            "previous": at.previous.hex(),
            "vector": release.values.tobytes().hex() if release is not None else "",
            "nonce": os.urandom(8).hex(),
        }
        value = json.dumps(said).encode()
        return Signed(value, hashlib.sha256(value).digest())

    return sign


def send(journal: Journal, folder: Path) -> None:
    """Append, then mark."""
    for stored in journal.unsent():
        faults.hit("before-append")
        append(folder / "topic", stored.value)
        faults.hit("after-append")
        journal.mark_seen(stored.seq)


def draw(folder: Path, slot: int) -> Callable[[], Release]:
    """Fresh noise from the system, noted in a file beside the journal."""

    def noise() -> Release:
        values = np.frombuffer(os.urandom(64), dtype=np.int64)
        append(folder / "draws", f"{slot} {values.tobytes().hex()}".encode())
        return Release(values, COST)

    return noise


def live(place: str, environ: Mapping[str, str]) -> None:
    """One life: check the topic, send what is stored, START, JOIN, answer every slot, end the run."""
    faults.install(environ)
    folder = Path(place)
    journal = journal_in(folder)
    if journal.check_topic([record(value) for value in lines(folder / "topic")]) is not Verdict.OK:
        raise SystemExit(REFUSED)
    send(journal, folder)
    if journal.state(RUN) is RunState.DONE:
        return
    journal.record(Kind.START, b"", None, compose(Kind.START, b""))
    send(journal, folder)
    journal.reserve(reservation(RUN, SLOTS * COST.rho_nano), compose(Kind.JOIN, RUN))
    for slot in range(SLOTS):
        request = hashlib.sha256(bytes([slot])).digest()
        signed = compose(Kind.RELEASE, RUN, slot)
        journal.spend(RUN, slot, request=request, rho=COST, draw=draw(folder, slot), compose=signed)
        send(journal, folder)
    journal.finish(RUN, DONE)
    journal.close()
