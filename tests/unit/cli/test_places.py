"""Where a command finds a service or a document: what is given wins, else the folder, else a clear message."""

from pathlib import Path

import pytest
import typer

from tacit.cli import places as subject
from tacit.cli.client import ClientError
from tacit.runtime.bound_ports import PortsFileError

URL = "https://bank.example:8443"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in which two processes run."""
    (tmp_path / "ports.json").write_text('{"registry": 8081, "ash.bank": 8082}')
    return tmp_path


def test_a_url_is_taken_as_given() -> None:
    """Nothing is looked up."""
    assert subject.url(URL, None, "registry") == URL


@pytest.mark.parametrize(("process", "port"), [("registry", 8081), ("ash.bank", 8082)])
def test_a_folder_gives_the_port(folder: Path, process: str, port: int) -> None:
    """On this machine."""
    assert subject.url(None, folder, process) == f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("both", [True, False])
def test_one_of_both_is_given(folder: Path, *, both: bool) -> None:
    """The option's own name is in the message."""
    with pytest.raises(typer.BadParameter, match="give one of --registry URL and --dir DIR"):
        subject.url(URL if both else None, folder if both else None, "registry", "--registry")


def test_a_process_that_does_not_run_names_those_that_do(folder: Path) -> None:
    """And the command that starts it."""
    with pytest.raises(ClientError) as told:
        subject.url(None, folder, "aggregator")
    assert "running: ash.bank, registry" in str(told.value)
    assert f"`tacit up --dir {folder}`" in str(told.value)


def test_a_folder_in_which_nothing_runs(tmp_path: Path) -> None:
    """No file of ports is no port."""
    with pytest.raises(ClientError, match="running: nothing"):
        subject.url(None, tmp_path, "registry")


def test_a_damaged_file_of_ports_is_told(tmp_path: Path) -> None:
    """Not taken for an empty one."""
    (tmp_path / "ports.json").write_text("[1]")
    with pytest.raises(PortsFileError, match="must hold an object"):
        subject.url(None, tmp_path, "registry")


def test_a_client_knows_whom_it_asks(folder: Path) -> None:
    """So that its messages name the process."""
    found = subject.service(None, folder, "ash.bank")
    assert found.url == "http://127.0.0.1:8082"
    assert found._service == "ash.bank"


def test_a_document_that_is_given_is_taken(tmp_path: Path) -> None:
    """Whether it exists or not: who reads it says so."""
    (tmp_path / "guess.json").touch()
    given = tmp_path / "given.json"
    assert subject.document(given, "--manifest", tmp_path / "guess.json") == given


@pytest.mark.parametrize(("existing", "expected"), [(("a", "b"), "a"), (("b",), "b"), (("b", "c"), "b")])
def test_the_first_guess_that_exists(tmp_path: Path, existing: tuple[str, ...], expected: str) -> None:
    """In the order of the guesses."""
    for name in existing:
        (tmp_path / name).touch()
    guesses = [tmp_path / name for name in ("a", "b", "c")]
    assert subject.document(None, "--manifest", *guesses) == tmp_path / expected


def test_no_guess_exists(tmp_path: Path) -> None:
    """All places are named, and the option."""
    with pytest.raises(typer.BadParameter) as told:
        subject.document(None, "--manifest", tmp_path / "a", tmp_path / "b")
    assert f"none of {tmp_path / 'a'}, {tmp_path / 'b'} exists" in told.value.message
    assert told.value.param_hint == "--manifest"
