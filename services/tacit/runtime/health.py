"""Probes of a process: `/livez`, `/readyz` and `/metrics`.

Liveness asks only whether the loop turned; it never looks at a dependency, because a restart repairs none.
"""

import threading
from collections.abc import Callable
from http import HTTPStatus

from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import PlainTextResponse, Response

from tacit.runtime.clock import Clock
from tacit.runtime.problems import install_problems, problem

STALL_SECONDS = 60.0
"""A loop that did not turn for longer is dead."""

Check = Callable[[], tuple[bool, str]]
"""Answers whether all is well, and if not why."""


def _always() -> tuple[bool, str]:
    return True, ""


class Status:
    """What the probes know about a loop; its methods may be called from any thread.

    Args:
        clock: Time; only the monotonic one is used.
        check: The service's own readiness: model loaded, log replayed.
        stall_seconds: Longest time between two turns, above 0.

    Attributes:
        stopping: Set once the process was asked to stop; it is then not ready.
        outage: Why the log is away, empty while it answers.

    Raises:
        ValueError: If `stall_seconds` is not above 0.
    """

    def __init__(self, clock: Clock, check: Check = _always, stall_seconds: float = STALL_SECONDS) -> None:
        if not stall_seconds > 0.0:
            raise ValueError(f"stall limit {stall_seconds} s: must be above 0")
        self._clock, self._check, self._limit = clock, check, stall_seconds
        self._turned = clock.monotonic()
        self._started = threading.Event()
        self.stopping = False
        self.outage = ""

    def turned(self) -> None:
        """Notes that the loop goes round."""
        self._turned = self._clock.monotonic()

    def started(self) -> None:
        """Notes that the first step is done: until then the process is not ready."""
        self._started.set()

    def live(self) -> tuple[bool, str]:
        """Whether the loop turned within the limit, and if not for how long it did not."""
        age = self._clock.monotonic() - self._turned
        return (True, "") if age <= self._limit else (False, f"the loop has not turned for {age:.0f} s")

    def ready(self) -> tuple[bool, str]:
        """Whether work may be sent here, and if not why."""
        if self.stopping:
            return False, "stopping"
        if self.outage:
            return False, self.outage
        if not self._started.is_set():
            return False, "starting"
        return self._check()


def add_health(app: FastAPI, live: Check, ready: Check, metrics: Callable[[], bytes]) -> None:
    """Adds `/livez`, `/readyz` and `/metrics` to an app.

    Args:
        app: The app; its errors should be problems already (`install_problems`).
        live: Whether to keep the process.
        ready: Whether to send it work.
        metrics: The text exposition; which registry is the caller's choice.
    """

    @app.get("/livez", include_in_schema=False)
    def livez() -> Response:
        return _probe(live)

    @app.get("/readyz", include_in_schema=False)
    def readyz() -> Response:
        return _probe(ready)

    @app.get("/metrics", include_in_schema=False)
    def exposition() -> Response:
        return Response(metrics(), media_type=CONTENT_TYPE_LATEST)


def health_app(live: Check, ready: Check, metrics: Callable[[], bytes]) -> FastAPI:
    """An app with the probes and nothing else, for a process without an API of its own."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    install_problems(app)
    add_health(app, live, ready, metrics)
    return app


def _probe(check: Check) -> Response:
    well, reason = check()
    if well:
        return PlainTextResponse("ok\n")
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, "Not now", reason)
