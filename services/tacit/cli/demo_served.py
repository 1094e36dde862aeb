"""What a demo asks of the running services: the model, each bank's choice, one real score."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import numpy as np

from tacit.cli.demo_stage import Stage
from tacit.cli.layout import LayoutError
from tacit.cli.supervise import Supervisor
from tacit.runtime.bound_ports import PortsFileError, read_ports
from tacit.sim.lines import BankRows
from tacit.wire import topics
from tacit.wire.local import LocalDocument, parse

PATIENCE_SECONDS = 180.0
"""Longest wait for a process of the demo to answer."""

PAUSE_SECONDS = 0.1

T = TypeVar("T")


@dataclass(frozen=True)
class Served:
    """The running services of a stage."""

    stage: Stage
    supervisor: Supervisor

    def url(self, name: str) -> str:
        """Base URL of a process's server, waited for."""
        return self.wait(f"the port of {name}", lambda: self._url(name))

    def local(self, bank: str, model: str) -> LocalDocument:
        """A bank's own choice for a model, waited for."""

        def ask() -> LocalDocument | None:
            found = self._get(f"{bank}.bank", "/v1/local")
            document = parse(found.content) if found is not None else None
            return document if document is not None and document.model == model else None

        return self.wait(f"the choice of {bank}", ask)

    def model(self, run: str) -> bytes:
        """The model file that the registry published for a run, waited for."""

        def ask() -> bytes | None:
            found = self._get(topics.REGISTRY, "/v1/versions")
            version = next((item for item in _items(found) if item["statement"]["run"] == f"sha256:{run}"), None)
            model = self._get(topics.REGISTRY, f"/v1/versions/{version['digest']}/model") if version else None
            return model.content if model is not None else None

        return self.wait("the registry's version", ask)

    def score(self, bank: str, model: str, rows: BankRows) -> dict[str, Any]:
        """Scores the bank's first test row once it serves the model; request, URL and answer."""
        names = [column.name for column in self.stage.terms.contract.columns]
        values = rows.test.values[0, : len(names)] if rows.test.labels.size else np.zeros(len(names))
        request = {name: None if np.isnan(value) else float(value) for name, value in zip(names, values, strict=True)}

        def ask() -> dict[str, Any] | None:
            url = self._url(f"{bank}.scorer")
            try:
                answer = httpx.post(f"{url}/v1/score", json=request, timeout=5.0) if url else None
            except httpx.HTTPError:
                return None
            if answer is None or answer.status_code != httpx.codes.OK or answer.json()["model"]["file"] != model:
                return None
            return {"url": f"{url}/v1/score", "request": request, "response": answer.json()}

        return self.wait(f"a score of {bank}", ask)

    def wait(self, what: str, ask: Callable[[], T | None]) -> T:
        """Asks until there is an answer.

        Raises:
            LayoutError: If there is none for too long; names the logs.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (found := ask()) is None:
            if time.monotonic() > deadline:
                raise LayoutError(f"no answer for {what} within {PATIENCE_SECONDS:.0f} s: see {self.stage.folder.logs}")
            self.supervisor.poll()
            time.sleep(PAUSE_SECONDS)
        return found

    def _url(self, name: str) -> str | None:
        try:
            port = read_ports(self.stage.folder.ports).get(name)
        except PortsFileError:
            return None
        return f"http://127.0.0.1:{port}" if port is not None else None

    def _get(self, name: str, path: str) -> httpx.Response | None:
        url = self._url(name)
        try:
            found = httpx.get(url + path, timeout=5.0) if url else None
        except httpx.HTTPError:
            return None
        return found if found is not None and found.status_code == httpx.codes.OK else None


def _items(found: httpx.Response | None) -> list[Mapping[str, Any]]:
    items: list[Mapping[str, Any]] = found.json()["versions"] if found is not None else []
    return items


def cpu_seconds(supervisor: Supervisor) -> float:
    """CPU seconds that the children have used in their present lives; NaN where the machine does not tell."""
    ticks = 0
    for child in supervisor.poll():
        try:
            fields = Path(f"/proc/{child.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        except OSError:
            return float("nan")
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
