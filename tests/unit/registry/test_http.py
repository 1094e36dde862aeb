"""The registry's HTTP port."""

import hashlib
from dataclasses import replace

import pytest

from asgi_client import AsgiClient
from registry_cases import LONG_AGO, VERSIONS, Case, Desk
from tacit import canonical
from tacit.registry import metrics as table
from tacit.registry.handlers import Ports, Registry
from tacit.registry.http import registry_app
from tacit.runtime.health import Status
from tacit.versions import StoreError

TOKEN = "a token of sixteen or more"  # noqa: S105  the tests' own
AUTH = {"Authorization": f"Bearer {TOKEN}"}
NAMES = ("first", "rival", "second", "auto", "auto-next")
MOVE = "/v1/models/card/aliases/serving"


@pytest.fixture
def ports(desk: Desk) -> Ports:
    """The ports that machine and app share."""
    return desk.ports()


@pytest.fixture
def registry(desk: Desk, ports: Ports) -> Registry:
    """A registry that published everything."""
    made = desk.registry(ports)
    made.step(0.0)
    return made


@pytest.fixture
def client(registry: Registry, ports: Ports) -> AsgiClient:
    """A client of its app."""
    status = Status(ports.clock, registry.ready)
    status.started()
    return AsgiClient(registry_app(registry, ports, status, TOKEN))


def test_versions_are_listed_oldest_first(case: Case, client: AsgiClient) -> None:
    """All of them on one page, no next one."""
    answer = client.get("/v1/versions").json()
    assert [item["digest"] for item in answer["versions"]] == [case.label(name) for name in NAMES]
    assert answer["next"] is None


def test_pages_follow_each_other(case: Case, client: AsgiClient) -> None:
    """`next` is what `after` takes; the last page has none, also when it is full."""
    seen, after = [], ""
    while True:
        answer = client.get(f"/v1/versions?model=card&limit=1{after}").json()
        seen += [item["digest"] for item in answer["versions"]]
        if answer["next"] is None:
            break
        after = f"&after={answer['next']}"
    assert seen == [case.label(name) for name in NAMES[:3]]


def test_a_version_shows_what_was_signed(case: Case, client: AsgiClient) -> None:
    """Its digest is that of the statement shown."""
    answer = client.get(f"/v1/versions/{case.label('first')}").json()
    assert canonical.label(canonical.digest(answer["statement"])) == answer["digest"]
    assert (answer["model"], answer["number"], answer["stage"], answer["conflict"]) == ("card", 1, "candidate", None)
    assert answer["statement"]["guarantee"]["unit"] == "customer, given the feature table"


def test_a_conflict_is_shown(case: Case, client: AsgiClient) -> None:
    """With its reason."""
    answer = client.get(f"/v1/versions/{case.label('rival')}").json()
    assert answer["conflict"] == f"parent is None, the newest version was {case.label('first')}"


def test_the_model_file_has_its_digest(case: Case, client: AsgiClient) -> None:
    """Bytes, ETag, and a cache that may keep them."""
    answer = client.get(f"/v1/versions/{case.label('first')}/model")
    assert answer.content == case.file("first")
    assert answer.headers["etag"] == f'"sha256:{hashlib.sha256(answer.content).hexdigest()}"'
    assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize("form", ['"{}"', 'W/"{}"', '"other", "{}"', "*"])
def test_a_caller_that_has_the_file_is_told_so(case: Case, client: AsgiClient, form: str) -> None:
    """304 without a body, the ETag again."""
    file = case.version("first").file
    answer = client.get(f"/v1/versions/{case.label('first')}/model", {"If-None-Match": form.format(file)})
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == f'"{file}"'


@pytest.mark.parametrize("tag", [f'"{LONG_AGO}"', LONG_AGO, "nothing"])
def test_another_tag_gets_the_file(case: Case, client: AsgiClient, tag: str) -> None:
    """A file that the caller has not."""
    assert client.get(f"/v1/versions/{case.label('first')}/model", {"If-None-Match": tag}).status_code == 200


def test_a_damaged_file_is_never_given_out(case: Case, client: AsgiClient, desk: Desk, ports: Ports) -> None:
    """503, and the counter that alerts."""
    digest = canonical.parse_label(case.version("first").file).hex()
    path = desk.folder / "artefacts" / "sha256" / digest[:2] / digest[2:]
    path.write_bytes(path.read_bytes()[:-1])
    answer = client.get(f"/v1/versions/{case.label('first')}/model")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert ports.metrics.shareable.get_sample_value(table.DAMAGED.name) == 1


def test_models_show_their_aliases(case: Case, client: AsgiClient) -> None:
    """By name, with how many versions each has."""
    answer = client.get("/v1/models").json()
    alias = {"alias": "serving", "version": case.label("auto-next"), "sequence": 2}
    assert answer == {
        "models": [
            {"name": "auto", "versions": 2, "aliases": [alias]},
            {"name": "card", "versions": 3, "aliases": []},
        ]
    }


@pytest.mark.parametrize("path", ["/v1/versions/{}", "/v1/versions/{}/model", "/v1/versions?after={}"])
def test_an_unknown_version_is_a_problem(client: AsgiClient, path: str) -> None:
    """404 as RFC 9457 says it."""
    answer = client.get(path.format(LONG_AGO))
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["detail"] == f"version {LONG_AGO} is not published here"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/versions?limit=0",
        "/v1/versions?limit=501",
        "/v1/versions?limit=x",
        "/v1/versions?model=No%20Name",
        "/v1/versions?after=5",
        "/v1/versions/latest",
        "/v1/versions/sha256:AB/model",
    ],
)
def test_values_outside_their_range_are_refused(client: AsgiClient, path: str) -> None:
    """422, naming the parameter and the range, not the value."""
    answer = client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["errors"][0]["at"].split(".")[0] in {"query", "path"}


def test_the_serving_alias_moves_by_hand(case: Case, client: AsgiClient) -> None:
    """The answer comes once the move stands, and reads show it."""
    wanted = {"version": case.label("second"), "expected_sequence": 0}
    answer = client.post(MOVE, wanted, AUTH)
    assert answer.json() == {"alias": "serving", "version": case.label("second"), "sequence": 1}
    assert client.get(f"/v1/versions/{case.label('second')}").json()["stage"] == "serving"
    assert client.post(MOVE, wanted, AUTH).status_code == 409


def test_a_conflicting_version_does_not_serve(case: Case, client: AsgiClient, ports: Ports) -> None:
    """409 with the reason, counted."""
    answer = client.post(MOVE, {"version": case.label("rival"), "expected_sequence": 0}, AUTH)
    assert answer.status_code == 409
    assert "may not serve: parent is None" in answer.json()["detail"]
    refused = ports.metrics.shareable.get_sample_value(table.REFUSED_MOVES.name, {"reason": "conflict"})
    assert refused == 1


@pytest.mark.parametrize("name", ["auto", None])
def test_a_version_of_no_such_model_is_not_found(case: Case, client: AsgiClient, name: str | None) -> None:
    """Another model's version, or nobody's."""
    version = case.label(name) if name else LONG_AGO
    assert client.post(MOVE, {"version": version, "expected_sequence": 0}, AUTH).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"version": LONG_AGO},
        {"version": "x", "expected_sequence": 0},
        {"version": LONG_AGO, "expected_sequence": -1},
        {"version": LONG_AGO, "expected_sequence": 0, "force": True},
    ],
)
def test_a_malformed_move_is_refused(client: AsgiClient, body: dict[str, object]) -> None:
    """Missing, malformed and unknown fields."""
    assert client.post(MOVE, body, AUTH).status_code == 422


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 401), ({"Authorization": "Bearer another"}, 403), ({"Authorization": "Basic eA=="}, 401)],
)
def test_only_the_token_s_holder_moves(
    case: Case, client: AsgiClient, desk: Desk, headers: dict[str, str], status: int
) -> None:
    """Nothing is appended for anybody else."""
    before = desk.log.end(VERSIONS)
    answer = client.post(MOVE, {"version": case.label("first"), "expected_sequence": 0}, headers)
    assert answer.status_code == status
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert desk.log.end(VERSIONS) == before


def test_without_a_token_nobody_moves(case: Case, registry: Registry, ports: Ports) -> None:
    """Moves by hand are off unless a token is set."""
    client = AsgiClient(registry_app(registry, ports, Status(ports.clock)))
    answer = client.post(MOVE, {"version": case.label("first"), "expected_sequence": 0}, AUTH)
    assert (answer.status_code, answer.json()["detail"]) == (
        403,
        "moves by hand are off: give the registry an alias_token",
    )


def test_a_log_that_is_away_is_a_problem(case: Case, client: AsgiClient, desk: Desk) -> None:
    """503: try again."""
    desk.log.make_unavailable()
    answer = client.post(MOVE, {"version": case.label("first"), "expected_sequence": 0}, AUTH)
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")


def test_a_database_that_is_away_is_a_problem(
    registry: Registry, ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503, without the driver's words."""

    def away() -> None:
        raise StoreError("the registry's database does not answer (OperationalError)")

    monkeypatch.setattr(ports.store, "models", away)
    answer = AsgiClient(registry_app(registry, replace(ports), Status(ports.clock))).get("/v1/models")
    assert answer.status_code == 503
    assert "OperationalError" in answer.json()["detail"]


def test_probes_and_metrics_answer(client: AsgiClient) -> None:
    """Live, ready, and the registry's table."""
    assert client.get("/livez").text == client.get("/readyz").text == "ok\n"
    text = client.get("/metrics").text
    assert 'tacit_registry_versions{stage="candidate"} 3.0' in text
    assert "process_cpu_seconds_total" in text


def test_the_description_names_every_operation(client: AsgiClient) -> None:
    """OpenAPI with stable operation ids; problems are described."""
    paths = client.get("/openapi.json").json()["paths"]
    found = {operation["operationId"] for path in paths.values() for operation in path.values()}
    assert found == {"listVersions", "getVersion", "getModelFile", "listModels", "moveServingAlias"}
    move = paths["/v1/models/{model}/aliases/serving"]["post"]["responses"]
    assert {"200", "401", "403", "404", "409", "422", "503"} <= set(move)
    assert "application/problem+json" in move["409"]["content"]
