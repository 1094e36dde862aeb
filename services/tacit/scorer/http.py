"""The bank's scoring API. `POST /v1/score` is answered before FastAPI: its own work costs more than a score does."""

import re
import secrets
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from pydantic_core import to_json
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tacit.runtime.health import Check, add_health
from tacit.runtime.observing import Metrics, get_logger
from tacit.runtime.problems import install_problems, problem
from tacit.scorer import metrics, views
from tacit.scorer.handlers import Scorer
from tacit.scorer.live import Live, Score
from tacit.scorer.rows import RowError

PATH = "/v1/score"
MAX_BODY_BYTES = 64 * 1024

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_TRACE_PARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_JSON = (b"content-type", b"application/json")
_log = get_logger(__name__)

_Headers = Mapping[bytes, bytes]


class TooLargeError(Exception):
    """A body beyond `MAX_BODY_BYTES`."""


class DisconnectedError(Exception):
    """The caller went away before its body was whole."""


class ScoreEndpoint:
    """Answers `POST /v1/score` as an ASGI app of its own.

    Args:
        live: The model that serves now; asked once a request, so that one answer never mixes two models.
        measured: The process's metrics.
        clock: Seconds for the duration.
    """

    def __init__(
        self, live: Callable[[], Live | None], measured: Metrics, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._live = live
        self._measured = measured
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reads the body, answers, and counts the outcome."""
        headers: _Headers = dict(scope["headers"])
        answer: bytes | Response
        try:
            body = await _read_body(headers, receive)
        except DisconnectedError:
            return
        except TooLargeError:
            outcome, answer = "too_large", _too_large()
        else:
            outcome, answer = self._answer(body, headers)
        self._measured.increment(metrics.REQUESTS.name, outcome=outcome)
        if isinstance(answer, bytes):
            await _send_json(answer, headers, send)
            return
        trace = headers.get(b"traceparent", b"")
        if _TRACE_PARENT.fullmatch(trace):
            answer.headers["traceparent"] = trace.decode()
        await answer(scope, receive, send)

    def _answer(self, body: bytes, headers: _Headers) -> tuple[str, bytes | Response]:
        """Outcome and answer; nothing is raised for any body."""
        began = self._clock()
        live = self._live()
        if live is None:
            return "no_model", no_model()
        try:
            score = live.score(live.rows.read(body))
            encoded = to_json(_answer_of(score, live, _request_id(headers)))
        except RowError as error:
            return "invalid", _invalid(error)
        except Exception as error:  # noqa: BLE001  the last handler of the request
            _log.error("score_failed", error=type(error).__name__, version=live.identity.version)
            return "failed", problem(HTTPStatus.INTERNAL_SERVER_ERROR)
        self._measured.observe(metrics.DURATION.name, self._clock() - began)
        return str(score.decision), encoded


def app(scorer: Scorer, live: Check, ready: Check, measured: Metrics) -> ASGIApp:
    """The bank-only app; it must never be reachable from outside the bank.

    Args:
        scorer: The machine behind it.
        live: Liveness.
        ready: Readiness.
        measured: Metrics; bank-only ones are exposed here.
    """
    made = FastAPI(title="Tacit scorer (bank only)", version="1", docs_url=None, redoc_url=None)
    install_problems(made)
    add_health(made, live, ready, lambda: measured.expose(bank_only=True))
    endpoint = ScoreEndpoint(lambda: scorer.live, measured)
    # Here only so that other methods are answered 405: the short way below takes every POST.
    made.router.routes.append(Route(PATH, endpoint, methods=["POST"]))
    _add_model(made, scorer)

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == PATH and scope["method"] == "POST":
            await endpoint(scope, receive, send)
        else:
            await made(scope, receive, send)

    return dispatch


def _add_model(made: FastAPI, scorer: Scorer) -> None:
    @made.get("/v1/model")
    def get_model() -> Response:
        """The model that serves, the one before it, and what is waited for."""
        if scorer.live is None:
            return no_model(scorer.obstacle)
        return JSONResponse(views.model_view(scorer))

    @made.get("/v1/schema")
    def get_schema() -> Response:
        """JSON Schema of the body of `POST /v1/score`."""
        live = scorer.live
        if live is None:
            return no_model(scorer.obstacle)
        return JSONResponse(live.rows.json_schema(), media_type="application/schema+json")


def no_model(obstacle: str = "") -> Response:
    """The answer before the first model."""
    detail = "no verified model yet" + (f"; the next one waits for {obstacle}" if obstacle else "")
    answer = problem(HTTPStatus.SERVICE_UNAVAILABLE, "No model yet", detail)
    answer.headers["Retry-After"] = "5"
    return answer


def _answer_of(score: Score, live: Live, request_id: str) -> dict[str, Any]:
    own = live.identity
    return {
        "request_id": request_id,
        "score": score.probability,
        "margin": score.margin,
        "decision": score.decision,
        "model": {"name": own.name, "version": own.version, "file": own.file, "choice": own.choice},
        "contract": own.contract,
    }


def _invalid(error: RowError) -> Response:
    errors = [{"at": at, "problem": what} for at, what in error.faults]
    detail = "; ".join(f"{at}: {what}" for at, what in error.faults[:5])
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "Invalid row", detail, errors=errors)


def _too_large() -> Response:
    detail = f"a body has at most {MAX_BODY_BYTES} bytes"
    return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Body too large", detail)


def _request_id(headers: _Headers) -> str:
    given = headers.get(b"x-request-id", b"")
    return given.decode() if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)


async def _read_body(headers: _Headers, receive: Receive) -> bytes:
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or len(length) > 18 or int(length) > MAX_BODY_BYTES:  # noqa: PLR2004  below 2^63
        raise TooLargeError
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise DisconnectedError
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY_BYTES:
            raise TooLargeError
    return body


async def _send_json(content: bytes, headers: _Headers, send: Send) -> None:
    told = [_JSON, (b"content-length", str(len(content)).encode())]
    trace = headers.get(b"traceparent", b"")
    if _TRACE_PARENT.fullmatch(trace):
        told.append((b"traceparent", trace))
    await send({"type": "http.response.start", "status": 200, "headers": told})
    await send({"type": "http.response.body", "body": content})
