"""Where a command finds a service or a document: an option, or the folder of a federation on this machine."""

from pathlib import Path

import typer

from tacit.cli.client import ClientError, ServiceClient
from tacit.cli.layout import Folder
from tacit.runtime.bound_ports import read_ports


def url(given: str | None, folder: Path | None, process: str, option: str = "--url") -> str:
    """The base URL of a service.

    Args:
        given: What the option for the URL says.
        folder: What `--dir` says.
        process: Name of the process in the folder's `ports.json`.
        option: That option's name.

    Raises:
        BadParameter: Unless exactly one of both is given.
        ClientError: If the process has no port in the folder: it does not run.
    """
    if (given is None) == (folder is None):
        raise typer.BadParameter(f"give one of {option} URL and --dir DIR")
    if given is not None:
        return given
    assert folder is not None  # noqa: S101  one of both is given
    ports = read_ports(Folder(folder).ports)
    if process not in ports:
        running = ", ".join(sorted(ports)) or "nothing"
        raise ClientError(
            f"{process} has no port in {Folder(folder).ports} (running: {running}): start it with `tacit up --dir "
            f"{folder}`"
        )
    return f"http://127.0.0.1:{ports[process]}"


def service(given: str | None, folder: Path | None, process: str, option: str = "--url") -> ServiceClient:
    """A client of a service, found as `url` does."""
    return ServiceClient(url(given, folder, process, option), service=process)


def document(given: Path | None, option: str, *guesses: Path) -> Path:
    """A document's file: the one given, else the first of the guesses that exists.

    Raises:
        BadParameter: If there is none.
    """
    if given is not None:
        return given
    found = next((path for path in guesses if path.exists()), None)
    if found is None:
        looked = ", ".join(map(str, guesses))
        raise typer.BadParameter(f"not given, and none of {looked} exists", param_hint=option)
    return found
