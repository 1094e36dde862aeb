"""`ports.json`: which process listens where, one JSON object of name to port that several processes write."""

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_LARGEST_PORT = 65_535


class PortsFileError(Exception):
    """The file is not an object of names and ports."""


def read_ports(path: Path) -> dict[str, int]:
    """The ports by name; empty if the file does not exist.

    Raises:
        PortsFileError: If the file holds anything else.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    try:
        ports = json.loads(text)
    except ValueError as error:
        raise PortsFileError(f"{path} is not JSON: {error}") from error
    if not isinstance(ports, dict):
        raise PortsFileError(f"{path} must hold an object, not {type(ports).__name__}")
    for name, port in ports.items():
        _check(path, name, port)
    return ports


def add_ports(path: Path, ports: Mapping[str, int]) -> None:
    """Writes ports under their names and leaves other names alone; a reader sees the old or the new file, never half.

    Raises:
        PortsFileError: If a port is outside 1 to 65535, or the file is damaged.
    """
    for name, port in ports.items():
        _check(path, name, port)
    with _locked(path):
        _replace(path, {**read_ports(path), **ports})


def remove_ports(path: Path, ports: Mapping[str, int]) -> None:
    """Takes names out if they still stand for these ports: a successor's entry stays.

    Raises:
        PortsFileError: If the file is damaged.
    """
    with _locked(path):
        kept = {name: port for name, port in read_ports(path).items() if ports.get(name) != port}
        _replace(path, kept)


def _check(path: Path, name: str, port: object) -> None:
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= _LARGEST_PORT:
        raise PortsFileError(f"{path}: port {port!r} of {name!r} must be 1 to {_LARGEST_PORT}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    # The lock is a file of its own, because the ports file is replaced and a lock would stay with the old one.
    with path.with_name(path.name + ".lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _replace(path: Path, ports: Mapping[str, int]) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            json.dump(dict(sorted(ports.items())), handle, indent=2)
            handle.write("\n")
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
