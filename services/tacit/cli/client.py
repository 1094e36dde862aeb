"""Talking to running services over HTTP."""

import time
from collections.abc import Iterator
from typing import Any

import httpx

from tacit.rounds.plan import Plan
from tacit.rounds.types import PlanBody
from tacit.wire import inner
from tacit.wire.envelope import SigningKey

POLL_SECONDS = 0.2

REPLAY_SECONDS = 30.0
"""How long a watched run may be refused: an aggregator that restarts knows none until it has read the log."""


class ClientError(Exception):
    """A service that cannot be reached, or that refused; the message says why and what helps."""


class NoAnswerError(ClientError):
    """A service that cannot be reached."""


class ServiceClient:
    """A service's API.

    Args:
        url: Base URL, such as ``http://127.0.0.1:8080``.
        timeout: Seconds until a call is given up.
        service: What is asked, for messages.

    Raises:
        ClientError: If the URL is not one.
    """

    def __init__(self, url: str, timeout: float = 30.0, service: str = "service") -> None:
        if not url.startswith(("http://", "https://")):
            raise ClientError(f"URL {url!r}: expected http://HOST:PORT or https://HOST:PORT")
        self.url = url.rstrip("/")
        self._service = service
        # No connection outlives its answer, so that nothing has to be closed.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._http = httpx.Client(base_url=self.url, timeout=timeout, limits=limits)

    def call(self, method: str, path: str, **options: Any) -> Any:  # noqa: ANN401  JSON and httpx's options
        """Makes one call and gives the JSON of its answer.

        Raises:
            NoAnswerError: If there is no answer.
            ClientError: If there is a refusal, or an answer that is not JSON.
        """
        try:
            response = self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise NoAnswerError(
                f"no answer from {self.url} ({type(error).__name__}): is the {self._service} running?"
            ) from error
        if response.is_error:
            raise ClientError(f"{self.url} refused ({response.status_code}): {_detail(response)}")
        try:
            return response.json()
        except ValueError:
            raise ClientError(f"{self.url}{path}: the answer is not JSON; is this the {self._service}?") from None


class AggregatorClient(ServiceClient):
    """The aggregator's API.

    Args:
        url: Base URL, such as ``http://127.0.0.1:8080``.
        timeout: Seconds until a call is given up.
    """

    def __init__(self, url: str, timeout: float = 30.0) -> None:
        super().__init__(url, timeout, "aggregator")

    def submit(self, plan: Plan, operator: str, key: SigningKey) -> str:
        """Signs and submits a plan; returns the run id as hex.

        Raises:
            ClientError: If the aggregator refuses or cannot be reached.
        """
        body: PlanBody = inner.sign_plan(plan, operator, key)
        signed = {"plan_json": body.plan_json.decode(), "operator": operator, "signature": body.signature.hex()}
        run: str = self.call("POST", "/v1/runs", json=signed)["run"]
        return run

    def cancel(self, federation: str, run: str, operator: str, key: SigningKey) -> None:
        """Signs and submits an order to end a run.

        Raises:
            ClientError: As `submit`.
        """
        order = inner.sign_cancel(federation, bytes.fromhex(run), operator, key)
        signed = {"operator": operator, "signature": order.signatures[0][1].hex()}
        self.call("POST", f"/v1/runs/{run}:cancel", json=signed)

    def run(self, run: str) -> dict[str, Any]:
        """One run as the aggregator sees it."""
        found: dict[str, Any] = self.call("GET", f"/v1/runs/{run}")
        return found

    def runs(self) -> list[dict[str, Any]]:
        """All runs."""
        found: list[dict[str, Any]] = self.call("GET", "/v1/runs")["runs"]
        return found

    def watch(self, run: str) -> Iterator[dict[str, Any]]:
        """The run again and again until it has ended; an aggregator that is away is waited for.

        Raises:
            ClientError: If the aggregator answers and refuses for `REPLAY_SECONDS`.
        """
        heard = time.monotonic()
        while True:
            try:
                found = self.run(run)
            except NoAnswerError:
                heard = time.monotonic()
            except ClientError:
                if time.monotonic() - heard > REPLAY_SECONDS:
                    raise
            else:
                yield found
                if found["phase"] == "ENDED":
                    return
                heard = time.monotonic()
            time.sleep(POLL_SECONDS)


def _detail(response: httpx.Response) -> str:
    try:
        document = response.json()
    except ValueError:
        return response.text[:200]
    if not isinstance(document, dict):
        return str(document)[:200]
    return str(document.get("detail") or document.get("title") or document)
