"""The registry's HTTP port: versions, model files, and moves of the serving alias by hand."""

import hashlib
import hmac
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Path, Query
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from tacit import canonical
from tacit.registry import metrics as table
from tacit.registry.handlers import Ports, Registry
from tacit.registry.ports import Artefacts, VersionStore
from tacit.runtime import etags
from tacit.runtime.health import Status, add_health
from tacit.runtime.log import LogUnavailableError
from tacit.runtime.observing import Metrics
from tacit.runtime.problems import MEDIA_TYPE, install_problems
from tacit.versions import (
    SERVING_ALIAS,
    AliasState,
    ArtefactCorruptError,
    ArtefactError,
    Published,
    StoreError,
    VersionError,
)

MAX_LIMIT = 500
"""Most versions of one page."""

_LABEL = r"^sha256:[0-9a-f]{64}$"
_NAME = r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"

Digest = Annotated[str, Path(pattern=_LABEL, description="Digest of the version's statement, sha256:<64 hex digits>.")]
Model = Annotated[str, Path(pattern=_NAME, description="Name of the model.")]

_PROBLEM: dict[str, Any] = {"content": {MEDIA_TYPE: {"schema": {"type": "object"}}}}
_Responses = dict[int | str, dict[str, Any]]

_AWAY: _Responses = {503: {**_PROBLEM, "description": "Log or storage does not answer; try again."}}
_UNKNOWN: _Responses = {404: {**_PROBLEM, "description": "No such version or model is published."}}


class VersionOut(BaseModel):
    """A published version."""

    digest: str = Field(description="Identity: SHA-256 of the statement's RFC 8785 JSON.")
    model: str
    number: int = Field(description="Place among the versions of its model, from 1.")
    stage: str = Field(description="candidate, evaluated, approved, serving, retired or revoked.")
    conflict: str | None = Field(description="Why it can never serve; null if nothing bars it.")
    statement: dict[str, Any] = Field(description="What the registry signed on the versions topic.")


class VersionsOut(BaseModel):
    """A page of versions."""

    versions: list[VersionOut]
    next: str | None = Field(description="Give this as `after` for the next page; null on the last one.")


class AliasOut(BaseModel):
    """Where an alias points."""

    alias: str
    version: str
    sequence: int = Field(description="Number of the move, from 1; name it to move the alias on.")


class ModelOut(BaseModel):
    """A model."""

    name: str
    versions: int
    aliases: list[AliasOut]


class ModelsOut(BaseModel):
    """All models, by name."""

    models: list[ModelOut]


class MoveIn(BaseModel):
    """A move of an alias by compare-and-set."""

    model_config = ConfigDict(extra="forbid")

    version: str = Field(pattern=_LABEL, description="Digest of the version to serve.")
    expected_sequence: int = Field(ge=0, lt=2**63, description="Sequence last seen, 0 if the alias points nowhere.")


def registry_app(registry: Registry, ports: Ports, status: Status, token: str | None = None) -> FastAPI:
    """The app.

    Args:
        registry: Moves aliases.
        ports: Its store answers reads, which may lag a moment behind the versions topic.
        status: What the probes look at.
        token: Bearer token of whoever may move an alias; None lets nobody.
    """
    app = FastAPI(title="Tacit registry", version="1", docs_url=None, redoc_url=None)
    statuses = {LogUnavailableError: 503, StoreError: 503, ArtefactError: 503, VersionError: 409}
    install_problems(app, statuses)
    add_health(app, status.live, status.ready, lambda: ports.metrics.expose(bank_only=True))
    _add_versions(app, ports.store)
    _add_files(app, ports.store, ports.artefacts, ports.metrics)
    _add_models(app, ports.store)
    _add_moves(app, registry, ports, token)
    return app


def _add_versions(app: FastAPI, store: VersionStore) -> None:
    @app.get("/v1/versions", operation_id="listVersions", responses=_AWAY)
    def versions(
        model: Annotated[str | None, Query(pattern=_NAME)] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 50,
        after: Annotated[str | None, Query(pattern=_LABEL, description="Digest that the last page ended with.")] = None,
    ) -> VersionsOut:
        """Published versions, oldest first."""
        begin = _known(store, after).position if after is not None else 0
        found = store.page(model, begin, limit + 1)
        shown = found[:limit]
        return VersionsOut(versions=list(map(_shown, shown)), next=shown[-1].label if len(found) > limit else None)

    @app.get("/v1/versions/{digest}", operation_id="getVersion", responses={**_UNKNOWN, **_AWAY})
    def version(digest: Digest) -> VersionOut:
        """One version."""
        return _shown(_known(store, digest))


def _add_files(app: FastAPI, store: VersionStore, artefacts: Artefacts, metrics: Metrics) -> None:
    answers: _Responses = {
        200: {"content": {"application/octet-stream": {}}, "description": "The XGBoost model file."},
        304: {"description": "The caller has this file."},
    }

    @app.get(
        "/v1/versions/{digest}/model",
        operation_id="getModelFile",
        response_class=Response,
        responses={**answers, **_UNKNOWN, **_AWAY},
    )
    def model_file(digest: Digest, request: Request) -> Response:
        """The version's model file; its ETag is the file's digest, and its bytes always have it."""
        file = _known(store, digest).version.file
        headers = {"ETag": f'"{file}"', "Cache-Control": "private, max-age=31536000, immutable"}
        if etags.held(request.headers.getlist("if-none-match"), file):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        try:
            content = artefacts.get(canonical.parse_label(file))
        except ArtefactCorruptError:
            metrics.increment(table.DAMAGED.name)
            raise
        return Response(content, media_type="application/octet-stream", headers=headers)


def _add_models(app: FastAPI, store: VersionStore) -> None:
    @app.get("/v1/models", operation_id="listModels", responses=_AWAY)
    def models() -> ModelsOut:
        """Models and where their aliases point."""
        aliases = store.aliases()
        found = [
            ModelOut(
                name=name, versions=count, aliases=[_alias(state) for key, state in aliases.items() if key[0] == name]
            )
            for name, count in sorted(store.models().items())
        ]
        return ModelsOut(models=found)


def _add_moves(app: FastAPI, registry: Registry, ports: Ports, token: str | None) -> None:
    store, metrics = ports.store, ports.metrics
    refusals: _Responses = {
        401: {**_PROBLEM, "description": "No bearer token."},
        403: {**_PROBLEM, "description": "Another token than the registry's, or moves by hand are off."},
        409: {**_PROBLEM, "description": "The alias moved in between, or the version may not serve."},
    }

    @app.post(
        f"/v1/models/{{model}}/aliases/{SERVING_ALIAS}",
        operation_id="moveServingAlias",
        dependencies=[Depends(_guard(metrics, token))],
        responses={**refusals, **_UNKNOWN, **_AWAY},
    )
    def move(model: Model, wanted: MoveIn) -> AliasOut:
        """Points the serving alias to a version, forward or back; returns once the move stands on the log."""
        if _known(store, wanted.version).version.model != model:
            raise HTTPException(HTTPStatus.NOT_FOUND, f"version {wanted.version} is none of model {model}")
        try:
            return _alias(registry.move(model, wanted.version, wanted.expected_sequence))
        except VersionError:
            metrics.increment(table.REFUSED_MOVES.name, reason="conflict")
            raise


def _guard(metrics: Metrics, token: str | None) -> Callable[..., None]:
    scheme = HTTPBearer(auto_error=False, description="The registry's alias token.")
    # Digests have one length, so that the comparison tells nothing of the token's.
    wanted = hashlib.sha256(token.encode()).digest() if token is not None else None

    def guard(given: Annotated[HTTPAuthorizationCredentials | None, Depends(scheme)]) -> None:
        if wanted is None:
            _deny(metrics, HTTPStatus.FORBIDDEN, "moves by hand are off: give the registry an alias_token")
        if given is None:
            _deny(metrics, HTTPStatus.UNAUTHORIZED, "expected a bearer token")
        elif wanted is not None and not hmac.compare_digest(
            hashlib.sha256(given.credentials.encode()).digest(), wanted
        ):
            _deny(metrics, HTTPStatus.FORBIDDEN, "the bearer token is not the registry's")

    return guard


def _deny(metrics: Metrics, status: HTTPStatus, detail: str) -> None:
    metrics.increment(table.REFUSED_MOVES.name, reason="denied")
    headers = {"WWW-Authenticate": "Bearer"} if status is HTTPStatus.UNAUTHORIZED else None
    raise HTTPException(status, detail, headers)


def _known(store: VersionStore, digest: str) -> Published:
    entry = store.get(digest)
    if entry is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"version {digest} is not published here")
    return entry


def _shown(entry: Published) -> VersionOut:
    return VersionOut(
        digest=entry.label,
        model=entry.version.model,
        number=entry.number,
        stage=entry.stage,
        conflict=entry.conflict or None,
        statement=canonical.plain(entry.version),
    )


def _alias(state: AliasState) -> AliasOut:
    return AliasOut(alias=state.alias, version=state.version, sequence=state.sequence)
