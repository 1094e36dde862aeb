"""The way to the bank's trainer: tags, absence, and every wrong answer as an `OSError`."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from scorer_cases import document_of
from tacit.adapters import local_models as subject
from tacit.adapters.local_models import FileLocalModels, HttpLocalModels, address_in
from tacit.runtime.bound_ports import add_ports
from tacit.runtime.health import Status
from tacit.trainer import http as trainers
from tacit.wire.local import LocalDocument, parse

Answer = Callable[[httpx.Request], httpx.Response]


def models_of(answer: Answer, address: Callable[[], str] = lambda: "http://trainer:80/") -> HttpLocalModels:
    """A client whose network is a function."""
    return HttpLocalModels(address, httpx.MockTransport(answer))


def tagged(request: httpx.Request) -> httpx.Response:
    """A trainer with one document."""
    assert request.url.path == "/v1/local"
    if request.headers.get("If-None-Match") == '"t1"':
        return httpx.Response(304)
    return httpx.Response(200, content=b"{}", headers={"ETag": '"t1"'})


def test_a_document_comes_with_its_tag() -> None:
    """The first question gets the document, the second with its tag nothing."""
    models = models_of(tagged)
    assert models.fetch(None) == (b"{}", '"t1"')
    assert models.fetch('"t1"') is None
    assert models.fetch('"t0"') == (b"{}", '"t1"')
    models.close()


def test_no_document_yet() -> None:
    """404 is a trainer that has none."""
    assert models_of(lambda _: httpx.Response(404)).fetch(None) is None


@pytest.mark.parametrize("status", [204, 302, 401, 500, 503])
def test_other_answers_are_errors(status: int) -> None:
    """Any other status is a trainer that does not answer; it is named."""
    with pytest.raises(OSError, match=str(status)):
        models_of(lambda _: httpx.Response(status)).fetch(None)


@pytest.mark.parametrize("error", [httpx.ConnectError("x"), httpx.ReadTimeout("x"), httpx.RemoteProtocolError("x")])
def test_a_broken_line_is_an_os_error(error: httpx.HTTPError) -> None:
    """What the client library raises stays in the adapter."""

    def broken(_request: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(OSError, match=type(error).__name__):
        models_of(broken).fetch(None)


def test_a_wrong_address_is_an_os_error() -> None:
    """An address that is none does not end the process."""
    with pytest.raises(OSError, match="does not answer"):
        HttpLocalModels(lambda: "nowhere").fetch(None)


def test_too_much_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A document without end is not read to its end."""
    monkeypatch.setattr(subject, "MAX_BYTES", 10)
    with pytest.raises(OSError, match="more than 10"):
        models_of(lambda _: httpx.Response(200, content=b"x" * 11)).fetch(None)


def test_the_address_is_asked_for_every_time(tmp_path: Path) -> None:
    """A trainer that comes back on another port is found."""
    ports, seen = tmp_path / "ports.json", []

    def noting(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return httpx.Response(404)

    models = models_of(noting, address_in(ports, "ash.bank"))
    with pytest.raises(OSError, match=r"does not name 'ash\.bank'"):
        models.fetch(None)
    for port in (5001, 5002):
        add_ports(ports, {"ash.bank": port, "birch.bank": 9})
        models.fetch(None)
    assert seen == ["http://127.0.0.1:5001/v1/local", "http://127.0.0.1:5002/v1/local"]


def test_a_damaged_ports_file_is_an_os_error(tmp_path: Path) -> None:
    """Half a file is a trainer that is away."""
    (tmp_path / "ports.json").write_text("{")
    with pytest.raises(OSError, match="JSON"):
        address_in(tmp_path / "ports.json", "ash.bank")()


def test_a_file_is_read_when_it_changes(tmp_path: Path) -> None:
    """The digest is the tag; an absent file is no document."""
    path = tmp_path / "current.json"
    models = FileLocalModels(path)
    assert models.fetch(None) is None
    path.write_bytes(b"one")
    found = models.fetch(None)
    assert found is not None
    assert (found[0], models.fetch(found[1])) == (b"one", None)
    path.write_bytes(b"two")
    changed = models.fetch(found[1])
    assert changed is not None
    assert changed[0] == b"two"
    models.close()


def test_a_file_is_limited_and_must_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too much, or a folder in its place, is an `OSError`."""
    monkeypatch.setattr(subject, "MAX_BYTES", 2)
    (tmp_path / "current.json").write_bytes(b"long")
    with pytest.raises(OSError, match="more than 2"):
        FileLocalModels(tmp_path / "current.json").fetch(None)
    with pytest.raises(IsADirectoryError):
        FileLocalModels(tmp_path).fetch(None)


class Doorway:
    """A trainer's doorway with one document."""

    def local(self, model: str | None = None) -> LocalDocument:
        """The document."""
        return parse(document_of(b"model"))


@pytest.mark.integration
def test_it_speaks_with_the_real_trainers_port(clock_status: Status) -> None:
    """Document, tag and 304 of the trainer's own app over loopback."""
    from tacit.runtime.http_server import HttpServer  # noqa: PLC0415  one test needs a server

    app = trainers.app(Doorway(), clock_status.live, clock_status.ready, bytes)  # type: ignore[arg-type]
    server = HttpServer(app)
    port = server.start()
    models = HttpLocalModels(lambda: f"http://127.0.0.1:{port}")
    found = models.fetch(None)
    assert found is not None
    assert (b"tacit.local/v1" in found[0], models.fetch(found[1])) == (True, None)
    models.close()
    server.stop()


@pytest.fixture
def clock_status() -> Status:
    """A status that is content."""
    from fake_clock import FakeClock  # noqa: PLC0415  one fixture needs it

    return Status(FakeClock())
