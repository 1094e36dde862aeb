"""What the bank's operator asks of the running trainer's journal: is it whole, and a copy of it. Bank only."""

from contextlib import AbstractContextManager
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Protocol

from fastapi import FastAPI
from fastapi import Path as InPath
from starlette.responses import JSONResponse, Response

from tacit.rounds.ledger import JournalError
from tacit.runtime.problems import problem

BACKUPS = "backups"
"""Folder of copies within the trainer's folder."""

Name = Annotated[str, InPath(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="File name of the copy.")]


class Journal(Protocol):
    """What these questions need of the bank's journal."""

    def verify(self) -> list[str]:
        """What is wrong with the file, in words."""

    def backup(self, path: Path) -> None:
        """Writes a copy without secrets and noised vectors."""


def add_ledger(app: FastAPI, journal: Journal, lock: AbstractContextManager[object], folder: Path) -> None:
    """Adds the two questions to the bank-only app.

    Args:
        app: The bank-only app; never the shareable one.
        journal: The bank's journal.
        lock: The trainer's lock.
        folder: The trainer's folder; copies go to `BACKUPS` within it.
    """

    @app.get("/v1/ledger/faults")
    def get_faults() -> dict[str, list[str]]:
        """What is wrong with the journal's file; empty if nothing is."""
        with lock:
            return {"faults": journal.verify()}

    @app.post("/v1/ledger/backups/{name}", status_code=HTTPStatus.CREATED)
    def backup(name: Name) -> Response:
        """Writes a copy beside the journal; a bank that restores it sits out the runs that are open now."""
        path = folder / BACKUPS / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            with lock:
                journal.backup(path)
        except JournalError as error:
            return problem(HTTPStatus.CONFLICT, "No copy was written", str(error))
        return JSONResponse({"path": str(path)}, HTTPStatus.CREATED)
