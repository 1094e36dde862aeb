"""HTTP errors as RFC 9457 problem documents; no answer ever carries a stack trace or echoes what was sent."""

import functools
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import cast

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MEDIA_TYPE = "application/problem+json"
"""RFC 9457's media type."""

MAX_BODY_BYTES = 128 * 1024
"""Largest body of a request: twice the longest plan. One that declares more is not read, one that has more is cut."""

_TOO_LARGE = f"a body has at most {MAX_BODY_BYTES} bytes"
_log = structlog.stdlib.get_logger(__name__)


def problem(status: int, title: str = "", detail: str = "", **members: object) -> JSONResponse:
    """An answer that says what went wrong.

    Args:
        status: HTTP status, 400 to 599.
        title: Short summary, the same for every occurrence; the status's own phrase if empty.
        detail: What is wrong this time, with the allowed range; left out if empty.
        members: Extension members of RFC 9457, section 3.2.

    Raises:
        ValueError: If the status is outside 400 to 599.
    """
    if not HTTPStatus.BAD_REQUEST <= status <= 599:  # noqa: PLR2004  the last status that HTTP has
        raise ValueError(f"status {status}: a problem has 400 to 599")
    body: dict[str, object] = {"type": "about:blank", "title": title or _phrase(status), "status": status}
    if detail:
        body["detail"] = detail
    return JSONResponse({**body, **members}, status, media_type=MEDIA_TYPE)


def install_problems(app: FastAPI, statuses: Mapping[type[Exception], int] | None = None) -> None:
    """Makes every error of an app a problem document, and a body above `MAX_BODY_BYTES` one of them.

    Args:
        app: The app.
        statuses: Known errors whose message is meant for the caller, and their HTTP status. Any other error is a 500
            without detail, logged as `request_failed` with its trace.
    """
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    for error, status in (statuses or {}).items():
        app.add_exception_handler(error, functools.partial(_known_error, status))
    app.add_middleware(_LastResort)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


async def _http_error(_request: Request, error: Exception) -> Response:
    known = cast("HTTPException", error)
    detail = str(known.detail)
    answer = problem(known.status_code, "", "" if detail == _phrase(known.status_code) else detail)
    answer.headers.update(known.headers or {})
    return answer


async def _invalid_request(_request: Request, error: Exception) -> Response:
    # Pydantic's `input` and `ctx` are left out: a request may hold what must not travel back into logs of clients.
    found = cast("RequestValidationError", error).errors()
    errors = [{"at": ".".join(str(part) for part in item["loc"]), "problem": item["msg"]} for item in found]
    detail = "; ".join(f"{item['at']}: {item['problem']}" for item in errors[:5])
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "Invalid request", detail, errors=errors)


async def _known_error(status: int, _request: Request, error: Exception) -> Response:
    return problem(status, "", str(error))


class _LastResort:
    """Answers 500 where nothing else handled the error; a started answer can only be cut."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _declared(scope) > MAX_BODY_BYTES:
            await problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "", _TOO_LARGE)(scope, receive, send)
            return
        started, watched = _watch(send)
        try:
            await self._app(scope, _limited(receive), watched)
        except Exception as error:
            _log.exception("request_failed", method=scope["method"], route=_route(scope), error=type(error).__name__)
            if started():
                raise
            await problem(HTTPStatus.INTERNAL_SERVER_ERROR)(scope, receive, send)


def _declared(scope: Scope) -> int:
    """The declared length of the body; 0 for none and for what is no number, which is counted while it is read."""
    length = dict(scope["headers"]).get(b"content-length", b"0")
    return int(length[:20]) if length.isdigit() else 0


def _limited(receive: Receive) -> Receive:
    taken = 0

    async def counted() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > MAX_BODY_BYTES:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _TOO_LARGE)
        return message

    return counted


def _watch(send: Send) -> tuple[Callable[[], bool], Callable[[Message], Awaitable[None]]]:
    started = False

    async def watched(message: Message) -> None:
        nonlocal started
        started = started or message["type"] == "http.response.start"
        await send(message)

    return lambda: started, watched


def _route(scope: Scope) -> str:
    # The template, never the path as sent: a path may hold a customer's id.
    return str(getattr(scope.get("route"), "path", "-"))
