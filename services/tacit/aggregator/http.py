"""The aggregator's API: submit, watch and cancel runs; evidence (formats 4)."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from tacit.aggregator import views
from tacit.aggregator.handlers import Aggregator, SubmissionError
from tacit.learning.types import LearningError
from tacit.rounds.plan import Plan, PlanError
from tacit.rounds.types import OrderAction, OrderBody, PlanBody
from tacit.runtime.health import Check, add_health
from tacit.runtime.inbox import Inbox
from tacit.runtime.log import LogUnavailableError
from tacit.runtime.observing import Metrics
from tacit.runtime.problems import install_problems, problem
from tacit.wire import documents
from tacit.wire.errors import WireError

Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Signature = Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]
OperatorId = Annotated[str, Field(min_length=1, max_length=40)]


class Submission(BaseModel):
    """A signed plan: its exact RFC 8785 text, the operator's id, and an Ed25519 signature as hex."""

    model_config = ConfigDict(extra="forbid")

    plan_json: Annotated[str, Field(min_length=2, max_length=65_536)]
    operator: OperatorId
    signature: Signature


class Cancellation(BaseModel):
    """A signed order to end a run: the operator's id, and an Ed25519 signature as hex."""

    model_config = ConfigDict(extra="forbid")

    operator: OperatorId
    signature: Signature


def app(aggregator: Aggregator, inbox: Inbox, live: Check, ready: Check, measured: Metrics) -> FastAPI:
    """The aggregator's app.

    Args:
        aggregator: The machine behind it.
        inbox: Its inbox, for evidence.
        live: Liveness.
        ready: Readiness.
        measured: Metrics; all of them are shown, the process's CPU and memory too: no bank's rows come here.
    """
    made = FastAPI(title="Tacit aggregator", version="1", docs_url=None, redoc_url=None)
    refusals = {SubmissionError: HTTPStatus.UNPROCESSABLE_ENTITY, LogUnavailableError: HTTPStatus.SERVICE_UNAVAILABLE}
    install_problems(made, refusals)
    add_health(made, live, ready, lambda: measured.expose(bank_only=True))
    _add_runs(made, aggregator)

    @made.get("/v1/evidence")
    def get_evidence() -> dict[str, Any]:
        """Invalid entries, void records, signed contradictions."""
        with aggregator.lock:
            return views.evidence(aggregator, inbox)

    return made


def _add_runs(made: FastAPI, aggregator: Aggregator) -> None:
    @made.post("/v1/runs", status_code=HTTPStatus.ACCEPTED)
    def submit(submission: Submission) -> Response:
        """Takes a signed plan: 202 once it is durably on the log, 200 for the same bytes again."""
        data = submission.plan_json.encode()
        try:
            plan = documents.parse_canonical(Plan, data)
        except (WireError, PlanError, LearningError) as error:
            raise SubmissionError(str(error)) from error
        body = PlanBody(data, submission.operator, bytes.fromhex(submission.signature), plan)
        run, new = aggregator.submit(body)
        status = HTTPStatus.ACCEPTED if new else HTTPStatus.OK
        return JSONResponse({"run": run.hex()}, status, {"Location": f"/v1/runs/{run.hex()}"})

    @made.get("/v1/runs")
    def list_runs() -> dict[str, Any]:
        """All runs, newest last."""
        with aggregator.lock:
            return {"runs": [views.run_view(aggregator, run) for run in aggregator.runs()]}

    @made.get("/v1/runs/{run}")
    def get_run(run: str) -> Response:
        """One run."""
        with aggregator.lock:
            found = next((item for item in aggregator.runs() if item.id.hex() == run), None)
            if found is None:
                return problem(HTTPStatus.NOT_FOUND, "Unknown run", f"no run {run!r}; `GET /v1/runs` lists them")
            return JSONResponse(views.run_view(aggregator, found))

    @made.post("/v1/runs/{run}:cancel", status_code=HTTPStatus.ACCEPTED)
    def cancel(run: Hex64, cancellation: Cancellation) -> dict[str, str]:
        """Takes an operator's signed order to end a run."""
        signed = ((cancellation.operator, bytes.fromhex(cancellation.signature)),)
        aggregator.cancel(OrderBody(OrderAction.CANCEL, bytes.fromhex(run), "", signed))
        return {"run": run, "state": "cancelling"}
