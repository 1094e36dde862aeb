"""A server in a thread: bound before it returns, stopped when it says so."""

import socket
import threading
import time

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from tacit.runtime.http_server import HttpServer, PortTakenError, ServerError
from tacit.runtime.settings import HttpSettings

pytestmark = pytest.mark.integration


def make_app() -> FastAPI:
    """An app with one path."""
    app = FastAPI()

    @app.get("/hello")
    def hello() -> str:
        return "hello"

    return app


async def failing_start(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that refuses to start."""
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no model"})


def await_refusal(port: int) -> None:
    """Waits until nobody listens, at most ten seconds."""
    until = time.monotonic() + 10.0
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.01)


def test_serves_on_a_free_port_until_stopped() -> None:
    """Port 0 binds; the port is known at once; after `stop` nobody listens."""
    server = HttpServer(make_app())
    assert (server.port, server.running) == (0, False)
    port = server.start()
    assert (server.port, server.running) == (port, True)
    assert httpx.get(f"http://127.0.0.1:{port}/hello").json() == "hello"
    server.stop()
    assert not server.running
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/hello")


def test_a_server_is_as_its_settings_say() -> None:
    """Host, port and drain time: none of them falls back to a default."""
    taken = HttpServer(make_app())
    port = taken.start()
    with pytest.raises(PortTakenError, match=f"127.0.0.1:{port}"):
        HttpServer.of(make_app(), HttpSettings(port=port)).start()
    taken.stop()
    assert HttpServer.of(make_app(), HttpSettings(host="::1", drain_seconds=7))._config().timeout_graceful_shutdown == 7


def test_stop_may_come_twice_or_before_start() -> None:
    """Closing code need not know how far the start came."""
    server = HttpServer(make_app())
    server.stop()
    server.start()
    server.stop()
    server.stop()
    assert not server.running


def test_a_second_start_is_refused() -> None:
    """One object, one life."""
    server = HttpServer(make_app())
    server.start()
    try:
        with pytest.raises(ServerError, match="started before"):
            server.start()
    finally:
        server.stop()


def test_a_taken_port_is_named() -> None:
    """The message says which address; nothing is left behind."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        server = HttpServer(make_app(), port=port)
        with pytest.raises(PortTakenError, match=f"{port}: another process"):
            server.start()
        assert not server.running


def test_an_address_of_another_machine_is_refused() -> None:
    """What cannot be bound is an error of the caller's thread."""
    with pytest.raises(ServerError, match=r"cannot listen on 192\.0\.2\.1"):
        HttpServer(make_app(), host="192.0.2.1").start()


def test_an_app_that_does_not_start_is_an_error() -> None:
    """A failed lifespan start is not a silent thread."""
    server = HttpServer(failing_start)
    with pytest.raises(ServerError, match="failed to start"):
        server.start()
    assert not server.running


def test_running_requests_finish_within_the_drain_time() -> None:
    """A request that runs when `stop` comes gets its answer."""
    entered, release = threading.Event(), threading.Event()
    app = FastAPI()

    @app.get("/slow")
    def slow() -> str:
        entered.set()
        assert release.wait(10)
        return "done"

    server = HttpServer(app)
    port = server.start()
    answers: list[str] = []
    asking = threading.Thread(target=lambda: answers.append(httpx.get(f"http://127.0.0.1:{port}/slow").json()))
    asking.start()
    assert entered.wait(10)
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    await_refusal(port)
    time.sleep(0.3)
    release.set()
    asking.join(10)
    stopping.join(10)
    assert answers == ["done"]


def test_a_start_that_hangs_is_given_up() -> None:
    """An app that never finishes its start ends in an error."""

    async def hanging(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, send
        while (await receive())["type"] != "lifespan.shutdown":
            pass

    app: ASGIApp = hanging
    server = HttpServer(app)
    before = time.monotonic()
    with pytest.raises(ServerError, match="did not start in time"):
        server.start(timeout=0.05)
    assert time.monotonic() > before


@pytest.mark.parametrize("port", [-1, 65_536])
def test_ports_are_in_range(port: int) -> None:
    """TCP's own range."""
    with pytest.raises(ValueError, match="0 \\(any\\) to 65535"):
        HttpServer(make_app(), port=port)


@pytest.mark.parametrize("seconds", [0, 61])
def test_drain_times_are_in_range(seconds: int) -> None:
    """At least a second, at most a pod's grace."""
    with pytest.raises(ValueError, match="1 to 60"):
        HttpServer(make_app(), drain_seconds=seconds)


def test_it_listens_on_the_sixth_protocol_too() -> None:
    """An address with colons."""
    server = HttpServer(make_app(), host="::1")
    try:
        port = server.start()
    except ServerError as error:
        pytest.skip(f"no IPv6 here: {error}")
    try:
        assert httpx.get(f"http://[::1]:{port}/hello").json() == "hello"
    finally:
        server.stop()


def test_answers_do_not_name_the_server() -> None:
    """Nothing about the software for a stranger."""
    server = HttpServer(make_app())
    port = server.start()
    try:
        assert "server" not in httpx.get(f"http://127.0.0.1:{port}/hello").headers
    finally:
        server.stop()
