"""The bank's own trainer as the scorer reads it: over its bank-only port, or from its file."""

import hashlib
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import httpx

from tacit.runtime.bound_ports import PortsFileError, read_ports

PATH = "/v1/local"
MAX_BYTES = 64 * 2**20
TIMEOUT = httpx.Timeout(5.0, connect=2.0)


class HttpLocalModels:
    """Asks the trainer's bank-only port.

    Args:
        address: Base URL, asked for before every request: a trainer that restarts may listen elsewhere.
        transport: Of the HTTP client; None for the network.
    """

    def __init__(self, address: Callable[[], str], transport: httpx.BaseTransport | None = None) -> None:
        self._address = address
        # The environment's proxies are for the way out of the bank, where this must never go.
        self._client = httpx.Client(timeout=TIMEOUT, trust_env=False, transport=transport)

    def fetch(self, etag: str | None) -> tuple[bytes, str] | None:
        """The document and its tag; None if it still has this tag, or there is none yet.

        Raises:
            OSError: If the trainer does not answer, answers another status, or more than 64 MiB.
        """
        headers = {"If-None-Match": etag} if etag is not None else {}
        try:
            with self._client.stream("GET", self._address().rstrip("/") + PATH, headers=headers) as response:
                if response.status_code in {HTTPStatus.NOT_MODIFIED, HTTPStatus.NOT_FOUND}:
                    return None
                if response.status_code != HTTPStatus.OK:
                    raise ConnectionError(f"the trainer answered {response.status_code}: expected 200, 304 or 404")
                return _read(response), response.headers.get("ETag", "")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ConnectionError(f"the trainer does not answer: {type(error).__name__}") from error

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()


class FileLocalModels:
    """Reads the trainer's own file, where both run on one machine.

    Args:
        path: The trainer's `local/current.json`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def fetch(self, etag: str | None) -> tuple[bytes, str] | None:
        """The document and its digest; None if it still has this digest, or there is none yet.

        Raises:
            OSError: If the file cannot be read, or has more than 64 MiB.
        """
        try:
            with self._path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        if len(data) > MAX_BYTES:
            raise OSError(f"{self._path} has more than {MAX_BYTES} bytes")
        tag = hashlib.sha256(data).hexdigest()
        return None if tag == etag else (data, tag)

    def close(self) -> None:
        """Nothing is held."""


def address_in(ports_file: Path, name: str) -> Callable[[], str]:
    """The address of a process of this machine, looked up by its name in `ports.json` at every call.

    The function that is returned raises `ConnectionError` while the file does not name the process.
    """

    def address() -> str:
        try:
            port = read_ports(ports_file).get(name)
        except PortsFileError as error:
            raise ConnectionError(str(error)) from error
        if port is None:
            raise ConnectionError(f"{ports_file} does not name {name!r} yet")
        return f"http://127.0.0.1:{port}"

    return address


def _read(response: httpx.Response) -> bytes:
    parts, size = [], 0
    for part in response.iter_bytes():
        size += len(part)
        if size > MAX_BYTES:
            raise ConnectionError(f"the trainer's document has more than {MAX_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)
