"""Errors as problem documents that leak nothing."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse
from starlette.types import Message

from asgi_client import AsgiClient
from tacit.runtime.problems import MAX_BODY_BYTES, MEDIA_TYPE, install_problems, problem


class RowError(Exception):
    """An error whose message is for the caller."""


class DeepRowError(RowError):
    """A kind of it."""


class Body(BaseModel):
    """A body with a range."""

    amount: int = Field(ge=1, le=10)


def make_app() -> FastAPI:
    """An app that fails in every way."""
    app = FastAPI()
    install_problems(app, {RowError: 409})

    @app.post("/body")
    def body(given: Body) -> int:
        return given.amount

    @app.get("/known")
    def known() -> None:
        raise DeepRowError("row 7 is closed")

    @app.get("/unknown/{customer}")
    def unknown(customer: str) -> None:
        raise RuntimeError(f"secret of {customer}")

    @app.get("/teapot")
    def teapot() -> None:
        raise HTTPException(429, "slow down", headers={"Retry-After": "7"})

    @app.get("/cut")
    def cut() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"begun"
            raise RuntimeError("secret")

        return StreamingResponse(parts())

    return app


@pytest.fixture
def client() -> AsgiClient:
    """A client that hands no server error through."""
    return AsgiClient(make_app())


def test_problem_carries_its_members() -> None:
    """RFC 9457 names and extensions."""
    answer = problem(409, "Busy", "run 3 is open", run="3")
    assert answer.media_type == MEDIA_TYPE
    assert json.loads(bytes(answer.body)) == {
        "type": "about:blank",
        "title": "Busy",
        "status": 409,
        "detail": "run 3 is open",
        "run": "3",
    }


@pytest.mark.parametrize("status", [200, 399, 600])
def test_only_errors_are_problems(status: int) -> None:
    """A success is not a problem."""
    with pytest.raises(ValueError, match="400 to 599"):
        problem(status)


def test_odd_statuses_have_a_title() -> None:
    """A status without a phrase of its own still answers."""
    assert json.loads(bytes(problem(599).body))["title"] == "Error"


def test_unknown_paths_and_methods_are_problems(client: AsgiClient) -> None:
    """404 and 405 too."""
    assert client.get("/nowhere").json() == {"type": "about:blank", "title": "Not Found", "status": 404}
    answer = client.get("/body")
    assert (answer.status_code, answer.headers["content-type"]) == (405, MEDIA_TYPE)


def test_http_errors_keep_detail_and_headers(client: AsgiClient) -> None:
    """What a handler raises on purpose reaches the caller."""
    answer = client.get("/teapot")
    assert answer.json()["detail"] == "slow down"
    assert answer.headers["retry-after"] == "7"


@pytest.mark.parametrize(("size", "status"), [(MAX_BODY_BYTES, 200), (MAX_BODY_BYTES + 1, 413)])
def test_a_body_has_a_largest_size(client: AsgiClient, size: int, status: int) -> None:
    """One byte more is a problem that names the limit."""
    content = b'{"amount": 1}'.ljust(size)
    answer = client.request("POST", "/body", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert (str(MAX_BODY_BYTES) in answer.text) is (status == 413)


def test_a_body_in_pieces_is_read_no_further_than_the_limit() -> None:
    """Whatever length was declared: after the first byte too many nothing more is asked for."""
    assert posted_in_pieces([]) == (413, 3)


@pytest.mark.parametrize("length", [b"131073", b"9" * 30])
def test_a_body_that_declares_too_much_is_not_read(length: bytes) -> None:
    """Nothing of it is asked for."""
    assert posted_in_pieces([(b"content-length", length)]) == (413, 0)


@pytest.mark.parametrize("length", [b"-1", b"many", b"", b"1"])
def test_a_length_that_is_wrong_helps_nobody(length: bytes) -> None:
    """What comes is counted all the same."""
    assert posted_in_pieces([(b"content-length", length)]) == (413, 3)


def posted_in_pieces(headers: list[tuple[bytes, bytes]]) -> tuple[int, int]:
    """The status for a body that comes in nine pieces of half the limit, and how many of them were read."""
    pieces = iter([{"type": "http.request", "body": b" " * (MAX_BODY_BYTES // 2), "more_body": True}] * 9)
    sent: list[Message] = []

    async def receive() -> Message:
        return next(pieces)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/body",
        "query_string": b"",
        "headers": headers,
        "http_version": "1.1",
    }
    asyncio.run(make_app()(scope, receive, send))
    return sent[0]["status"], 9 - len(list(pieces))


def test_invalid_bodies_name_field_and_range_but_not_the_value(client: AsgiClient) -> None:
    """The sent value does not come back."""
    answer = client.post("/body", json={"amount": 987654})
    assert answer.status_code == 422
    assert answer.json()["detail"] == "body.amount: Input should be less than or equal to 10"
    assert answer.json()["errors"][0]["at"] == "body.amount"
    assert "987654" not in answer.text


def test_known_errors_give_their_message(client: AsgiClient) -> None:
    """A registered base class covers its kinds."""
    answer = client.get("/known")
    assert (answer.status_code, answer.json()["detail"]) == (409, "row 7 is closed")


def test_unknown_errors_say_nothing_and_are_logged(
    client: AsgiClient, lines: Callable[[], list[dict[str, object]]]
) -> None:
    """500 without trace or message; the log names the route's template, not the path."""
    answer = client.get("/unknown/c-17")
    assert answer.json() == {"type": "about:blank", "title": "Internal Server Error", "status": 500}
    (line,) = [line for line in lines() if line["event"] == "request_failed"]
    assert (line["route"], line["error"]) == ("/unknown/{customer}", "RuntimeError")


def test_a_started_answer_is_cut(client: AsgiClient) -> None:
    """Nothing is glued to half an answer."""
    answer = client.get("/cut")
    assert "secret" not in answer.text
    assert "Internal Server Error" not in answer.text


def test_many_errors_are_all_listed_but_summed_up_short() -> None:
    """The detail names five, the member holds all."""

    class Wide(BaseModel):
        """Seven needed fields."""

        a: int
        b: int
        c: int
        d: int
        e: int
        f: int
        g: int

    app = FastAPI()
    install_problems(app)

    @app.post("/wide")
    def wide(given: Wide) -> int:
        return given.a

    body = AsgiClient(app).post("/wide", json={}).json()
    assert len(body["errors"]) == 7
    assert body["detail"].count("Field required") == 5


def test_broken_json_is_a_problem(client: AsgiClient) -> None:
    """A body that is no JSON at all, without its text coming back."""
    answer = client.request("POST", "/body", content=b"{hunter2", headers={"content-type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (422, MEDIA_TYPE)
    assert "hunter2" not in answer.text


def test_good_answers_pass_untouched(client: AsgiClient) -> None:
    """The handlers look at errors alone."""
    answer = client.post("/body", json={"amount": 7})
    assert (answer.status_code, answer.json()) == (200, 7)


def test_no_second_answer_follows_a_started_one() -> None:
    """The server cuts the connection; one start goes out and the error goes on to the server."""
    sent: list[str] = []

    async def receive() -> Message:
        await asyncio.sleep(3_600)
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message["type"])

    scope = {"type": "http", "method": "GET", "path": "/cut", "headers": [], "query_string": b"", "scheme": "http"}
    with pytest.raises(Exception, match=r"secret|unhandled"):
        asyncio.run(make_app()(scope, receive, send))
    assert sent.count("http.response.start") == 1
