"""An HTTP server in a background thread, with the port known before `start` returns."""

import contextlib
import errno
import socket
import threading
import time
from typing import Self

import uvicorn
from starlette.types import ASGIApp

from tacit.runtime.settings import HttpSettings

_LARGEST_PORT = 65_535
_POLL_SECONDS = 0.005


class ServerError(Exception):
    """A server that could not start; the message names the address."""


class PortTakenError(ServerError):
    """Another process listens on the address."""


class HttpServer:
    """Uvicorn in a background thread.

    Args:
        app: ASGI application.
        host: Address to listen on.
        port: TCP port, 0 to 65535; 0 takes a free one.
        drain_seconds: How long `stop` lets running requests finish, whole seconds, 1 to 60.

    Raises:
        ValueError: If the port or the drain time is outside its range.
    """

    def __init__(self, app: ASGIApp, host: str = "127.0.0.1", port: int = 0, drain_seconds: int = 5) -> None:
        if not 0 <= port <= _LARGEST_PORT:
            raise ValueError(f"port {port}: must be 0 (any) to {_LARGEST_PORT}")
        if not 1 <= drain_seconds <= 60:  # noqa: PLR2004  a pod's own grace period
            raise ValueError(f"drain time {drain_seconds} s: must be 1 to 60")
        self._app, self._host, self._port, self._drain = app, host, port, drain_seconds
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._bound = 0

    @classmethod
    def of(cls, app: ASGIApp, settings: HttpSettings) -> Self:
        """A server as its settings say, drain time included."""
        return cls(app, settings.host, settings.port, settings.drain_seconds)

    @property
    def port(self) -> int:
        """The port that is listened on; 0 before `start`."""
        return self._bound

    @property
    def running(self) -> bool:
        """Whether requests are answered."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, timeout: float = 30.0) -> int:
        """Listens and serves; returns the port.

        Raises:
            PortTakenError: If the address is in use.
            ServerError: If it may not be listened on, the app does not start, or the server is running already.
        """
        if self._thread is not None:
            raise ServerError(f"the server on {self._host}:{self._bound} was started before")
        listener = _listen(self._host, self._port)
        self._bound = int(listener.getsockname()[1])
        self._server = uvicorn.Server(self._config())
        self._thread = threading.Thread(
            target=_serve, args=(self._server, listener), name=f"http-{self._bound}", daemon=True
        )
        self._thread.start()
        self._await_start(self._server, self._thread, time.monotonic() + timeout)
        return self._bound

    def stop(self) -> None:
        """Stops listening, lets running requests finish, and returns when the thread has ended; may be called twice."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = True
        self._thread.join(self._drain + 2.0)
        if self._thread.is_alive():
            self._server.force_exit = True
            self._thread.join(2.0)

    def _config(self) -> uvicorn.Config:
        # No log settings of uvicorn's own: its loggers propagate to the root handler.
        return uvicorn.Config(
            self._app,
            log_config=None,
            access_log=False,
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=self._drain,
        )

    def _await_start(self, server: uvicorn.Server, thread: threading.Thread, deadline: float) -> None:
        while not server.started:
            if not thread.is_alive():
                raise ServerError(f"the application on {self._host}:{self._bound} failed to start")
            if time.monotonic() > deadline:
                server.should_exit = True
                raise ServerError(f"the application on {self._host}:{self._bound} did not start in time")
            time.sleep(_POLL_SECONDS)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=256)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTakenError(f"cannot listen on {host}:{port}: another process has this port") from error
        raise ServerError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error


def _serve(server: uvicorn.Server, listener: socket.socket) -> None:
    # Uvicorn ends a failed start by SystemExit, which a thread must not let through.
    with listener, contextlib.suppress(SystemExit):
        server.run(sockets=[listener])
