"""The trainer's bank-only port: the local model for the bank's scorer, the ledger, and leaving a run."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tacit.rounds.types import RoundError
from tacit.runtime import etags
from tacit.runtime.health import Check, add_health
from tacit.runtime.problems import install_problems, problem
from tacit.trainer.choice import held
from tacit.trainer.handlers import Trainer
from tacit.trainer.ports import Journal
from tacit.wire.local import LocalDocument, encode

ModelName = Annotated[str | None, Query(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$", description="Model's name.")]


class Doorway:
    """What the HTTP threads may ask of the trainer, under its lock.

    Args:
        trainer: The machine.
        journal: The bank's journal.
        folder: Where the local model lies.
    """

    def __init__(self, trainer: Trainer, journal: Journal, folder: Path) -> None:
        self._trainer = trainer
        self._journal = journal
        self._folder = folder

    def local(self, model: str | None = None) -> LocalDocument | None:
        """The local document of a model, by default the first one's."""
        return held(self._folder, model)

    def ledger(self) -> dict[str, Any]:
        """The account as plain data."""
        with self._trainer.lock:
            return asdict(self._journal.ledger())

    def runs(self) -> list[dict[str, Any]]:
        """This bank's view of the runs."""
        with self._trainer.lock:
            return [
                {
                    "run": run.id.hex(),
                    "state": self._journal.state(run.id),
                    "rounds_done": len(run.results),
                    "objection": self._trainer.objections.get(run.id),
                }
                for run in self._trainer.state.runs.values()
            ]

    def leave(self, run: bytes) -> bool:
        """Leaves a run for ever; False for an unknown one.

        Raises:
            RoundError: If it cannot be left now.
        """
        with self._trainer.lock:
            return self._trainer.leave(run)


def app(doorway: Doorway, live: Check, ready: Check, metrics: Callable[[], bytes]) -> FastAPI:
    """The bank-only app; it must never be reachable from outside the bank.

    Args:
        doorway: The trainer behind it.
        live: Liveness.
        ready: Readiness.
        metrics: Exposition of all metrics, bank-only ones too.
    """
    made = FastAPI(title="Tacit trainer (bank only)", docs_url=None, redoc_url=None)
    install_problems(made, {RoundError: HTTPStatus.CONFLICT})
    add_health(made, live, ready, metrics)

    @made.get("/v1/local")
    def get_local(request: Request, model: ModelName = None) -> Response:
        """The bank's choice, its local model, thresholds and verdict, of one model; ETag by content."""
        document = doorway.local(model)
        if document is None:
            return problem(HTTPStatus.NOT_FOUND, "No model yet", "no run has finished and been verified here")
        response = Response(encode(document), media_type="application/json")
        digest = hashlib.sha256(response.body).hexdigest()
        headers = {"ETag": f'"{digest}"'}
        if etags.held(request.headers.getlist("if-none-match"), digest):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        response.headers.update(headers)
        return response

    @made.get("/v1/ledger")
    def get_ledger() -> Response:
        """What the account was charged; bank only."""
        return JSONResponse(plain(doorway.ledger()))

    @made.get("/v1/runs")
    def get_runs() -> Response:
        """Runs as this bank sees them, with the reason of a refusal."""
        return JSONResponse(doorway.runs())

    @made.post("/v1/runs/{run}:leave")
    def leave(run: str) -> Response:
        """Leaves a run for ever."""
        try:
            known = doorway.leave(bytes.fromhex(run))
        except ValueError:
            return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "Bad run id", f"{run!r}: expected 64 hex digits")
        if not known:
            return problem(HTTPStatus.NOT_FOUND, "Unknown run", run)
        return JSONResponse({"run": run, "state": "left"})

    return made


def plain(value: Any) -> Any:  # noqa: ANN401  JSON has no narrower type
    """Turns bytes into hex and other leaves into what JSON can hold."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
