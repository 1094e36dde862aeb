"""Asks an ASGI app without a socket; an error of the app becomes its answer, as over HTTP."""

import asyncio

import httpx
from starlette.types import ASGIApp


class AsgiClient:
    """A synchronous client of one app.

    Args:
        app: The app under test.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def get(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        """One GET."""
        return self.request("GET", path, headers=headers)

    def post(self, path: str, json: object = None, headers: dict[str, str] | None = None) -> httpx.Response:
        """One POST of a JSON body."""
        return self.request("POST", path, json=json, headers=headers)

    def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """One request of any kind."""
        return asyncio.run(self._send(method, path, json, content, headers))

    async def _send(
        self, method: str, path: str, json: object, content: bytes | None, headers: dict[str, str] | None
    ) -> httpx.Response:
        transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            return await client.request(method, path, json=json, content=content, headers=headers)
