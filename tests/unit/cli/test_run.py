"""`tacit run`: what is signed and sent, which run is meant, and how its end becomes an exit code."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.responses import JSONResponse

from cli_cases import Federation3, answers, make, serving, view
from tacit import federation
from tacit.cli import client, planning
from tacit.cli.layout import OPERATOR
from tacit.cli.main import run
from tacit.rounds.plan import Plan, run_id
from tacit.rounds.types import OrderAction
from tacit.runtime.bound_ports import remove_ports
from tacit.runtime.exit_codes import ExitCode
from tacit.wire import documents, inner
from tacit.wire.envelope import SigningKey

FIRST, SECOND = "ab" * 32, "cd" * 32


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Federation3:
    """A founded folder."""
    return make(tmp_path_factory.mktemp("run"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits between two looks."""
    monkeypatch.setattr(client, "POLL_SECONDS", 0.0)


class Aggregator:
    """Keeps what it is sent, and shows one view after another."""

    def __init__(self, *views: dict[str, Any]) -> None:
        self.views = list(views)
        self.sent: list[dict[str, Any]] = []
        self.orders: list[dict[str, Any]] = []
        self.app = FastAPI()
        self.app.post("/v1/runs", status_code=202)(self.submit)
        self.app.get("/v1/runs")(self.runs)
        self.app.get("/v1/runs/{run}")(self.run)
        self.app.post("/v1/runs/{run}:cancel", status_code=202)(self.cancel)

    def submit(self, body: dict[str, Any]) -> dict[str, str]:
        """Takes a plan."""
        self.sent.append(body)
        found = run_id(body["plan_json"].encode()).hex()
        self.views = [view(found)]
        return {"run": found}

    def runs(self) -> dict[str, Any]:
        """Every run."""
        return {"runs": list({item["run"]: item for item in self.views}.values())}

    def run(self, run: str) -> JSONResponse:
        """The next view of a run, the last one for ever."""
        found = [item for item in self.views if item["run"] == run]
        if not found:
            return JSONResponse({"detail": f"no run {run}"}, 404)
        if len(found) > 1:
            self.views.remove(found[0])
        return JSONResponse(found[0])

    def cancel(self, run: str, body: dict[str, Any]) -> dict[str, str]:
        """Takes an order."""
        self.orders.append({"run": run, **body})
        return {"run": run}


@pytest.fixture
def plan(place: Federation3, tmp_path: Path) -> Path:
    """A new plan's file."""
    path = tmp_path / "plan.yaml"
    path.write_text(planning.TEMPLATE.read_text("utf-8").format_map(wish(place)))
    return path


def wish(place: Federation3) -> dict[str, Any]:
    """What the template needs."""
    return {
        "federation": "demo",
        "manifest": f"sha256:{place.manifest.digest.hex()}",
        "contract": place.manifest.contracts[0],
        "not_after": "2018-10-01",
        "model": "card-fraud",
        "mode": "local",
        "epsilon": "1",
        "delta": "0.00001",
        "population": 10_000,
        "fraud_units": 2000,
        "end": "2018-08-01",
        "days": 90,
        "kappa": 1,
        "paid_retries": 0,
    }


def test_a_plan_is_signed_by_the_operator(place: Federation3, plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The signature holds under the epoch, over the bytes that are the run id."""
    fake = Aggregator()
    with serving(fake.app, place.folder, "aggregator"):
        assert run(["run", "submit", str(plan), "--dir", str(place.path), "--json"]) == 0
    (sent,) = fake.sent
    data = sent["plan_json"].encode()
    signature = bytes.fromhex(sent["signature"])
    assert federation.verify(place.manifest.operators[0].key, signature, inner.plan_input(data))
    assert sent["operator"] == OPERATOR
    assert json.loads(capsys.readouterr().out) == {"run": run_id(data).hex(), "new": True}
    assert documents.parse_canonical(Plan, data) == planning.load(plan)


def test_sending_again_is_the_same_run_unless_told(
    place: Federation3, plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A lost answer never becomes a second spend."""
    fake = Aggregator()
    command = ["run", "submit", str(plan), "--dir", str(place.path)]
    with serving(fake.app, place.folder, "aggregator"):
        assert [run(command), run(command), run([*command, "--again"])] == [0, 0, 0]
    first, second, third = (sent["plan_json"] for sent in fake.sent)
    assert first == second != third
    assert capsys.readouterr().out.count("Submitted before") == 1


def test_a_key_of_nobody_is_refused(place: Federation3, plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And so is another operator's name; nothing is written or sent."""
    before = plan.read_text()
    stranger = place.folder.key("ash")
    command = ["run", "submit", str(plan), "--url", "http://127.0.0.1:1", "--manifest", str(place.folder.manifest)]
    assert run([*command, "--key", str(stranger)]) == ExitCode.USAGE
    assert "belongs to no operator" in capsys.readouterr().err
    own = ["--key", str(place.folder.key(OPERATOR)), "--operator", "somebody"]
    assert run([*command, *own]) == ExitCode.USAGE
    assert plan.read_text() == before


@pytest.mark.parametrize("options", [[], ["--url", "http://x", "--dir", "y"]])
def test_one_place_is_named(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Neither none nor two."""
    assert run(["run", "list", *options]) == ExitCode.USAGE
    assert "--url" in capsys.readouterr().err


def test_a_stopped_aggregator_is_named(place: Federation3, capsys: pytest.CaptureFixture[str]) -> None:
    """With the command that starts it; and a URL without an answer is told as that."""
    assert run(["run", "list", "--dir", str(place.path)]) == ExitCode.UNAVAILABLE
    assert "tacit up --dir" in capsys.readouterr().err
    assert run(["run", "list", "--url", "http://127.0.0.1:1"]) == ExitCode.UNAVAILABLE
    assert "is the aggregator running?" in capsys.readouterr().err
    assert run(["run", "list", "--url", "127.0.0.1:1"]) == ExitCode.UNAVAILABLE
    assert "expected http://" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ({"outcome": "FINISHED", "reason": "NONE"}, ExitCode.OK),
        ({"outcome": "ABORTED", "reason": "QUORUM"}, ExitCode.REFUSED),
        ({"outcome": "CANCELLED", "reason": "ORDER"}, ExitCode.REFUSED),
    ],
)
def test_watch_follows_the_newest_run_to_its_end(
    end: dict[str, str], code: ExitCode, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line at every change, and the end in the exit code."""
    views = [view(FIRST), view(FIRST), view(FIRST, round=3, refused={"oak": "BUDGET"})]
    fake = Aggregator(*views, view(FIRST, phase="ENDED", waiting_for=[], **end))
    with serving(fake.app) as url:
        assert run(["run", "watch", "--url", url]) == code
    shown = capsys.readouterr().out
    assert "waiting for elm; refused: oak (BUDGET)" in shown
    assert end["outcome"].lower() in shown
    assert len(shown.splitlines()) == 3


def test_watch_gives_machines_every_change(capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON object a line."""
    fake = Aggregator(view(FIRST), view(FIRST, phase="ENDED", outcome="FINISHED", reason="NONE"))
    with serving(fake.app) as url:
        assert run(["run", "watch", FIRST[:4].upper(), "--url", url, "--json"]) == 0
    phases = [json.loads(line)["phase"] for line in capsys.readouterr().out.splitlines()]
    assert phases == ["ROUND", "ENDED"]


@pytest.mark.parametrize("wanted", ["ff", "not-hex"])
def test_an_unknown_run_lists_the_known_ones(wanted: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The message shows what could be meant."""
    with serving(Aggregator(view(FIRST), view(SECOND)).app) as url:
        assert run(["run", "watch", wanted, "--url", url]) == ExitCode.USAGE
    shown = capsys.readouterr().err
    assert "fits 0 runs" in shown
    assert FIRST[:12] in shown


def test_a_beginning_that_two_runs_share_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is guessed."""
    with serving(Aggregator(view("ab" * 32), view("ac" * 32)).app) as url:
        assert run(["run", "watch", "a", "--url", url]) == ExitCode.USAGE
    assert "fits 2 runs" in capsys.readouterr().err


def test_no_run_at_all_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Watching the newest of none."""
    with serving(Aggregator().app) as url:
        assert run(["run", "watch", "--url", url]) == ExitCode.USAGE
    assert "none was submitted yet" in capsys.readouterr().err


def test_list_shows_every_run(capsys: pytest.CaptureFixture[str]) -> None:
    """For people a table, for machines what the aggregator said."""
    ended = view(FIRST, phase="ENDED", outcome="ABORTED", reason="DEADLINE")
    with serving(Aggregator(ended, view(SECOND)).app) as url:
        assert run(["run", "list", "--url", url]) == 0
        shown = capsys.readouterr().out.splitlines()
        assert run(["run", "list", "--url", url, "--json"]) == 0
    assert "aborted (DEADLINE)" in shown[1]
    assert shown[2].split()[:4] == [SECOND[:12], "card-fraud", "ROUND", "2/6"]
    assert json.loads(capsys.readouterr().out)[0]["run"] == FIRST


def test_cancel_is_an_operators_signed_order(place: Federation3) -> None:
    """Valid for this federation and this run only."""
    fake = Aggregator(view(FIRST))
    with serving(fake.app, place.folder, "aggregator"):
        assert run(["run", "cancel", FIRST[:6], "--dir", str(place.path)]) == 0
    (order,) = fake.orders
    data = inner.order_input("demo", OrderAction.CANCEL, bytes.fromhex(FIRST), "")
    assert order["run"] == FIRST
    assert federation.verify(place.manifest.operators[0].key, bytes.fromhex(order["signature"]), data)


def trainer(left: list[str]) -> FastAPI:
    """A trainer with one run."""
    app = answers({"/v1/runs": [{"run": FIRST, "state": "open"}]})

    @app.post("/v1/runs/{run}:leave")
    def leave(run: str) -> dict[str, str]:
        left.append(run)
        return {"run": run, "state": "left"}

    return app


def test_leave_asks_the_banks_own_trainer(place: Federation3) -> None:
    """By folder and bank, or by its URL."""
    left: list[str] = []
    with serving(trainer(left), place.folder, "ash.bank") as url:
        assert run(["run", "leave", "ab", "--dir", str(place.path), "--bank", "ash", "--yes"]) == 0
        assert run(["run", "leave", FIRST, "--trainer", url, "--yes"]) == 0
    assert left == [FIRST, FIRST]


def test_leave_is_for_ever_so_it_asks(place: Federation3, monkeypatch: pytest.MonkeyPatch) -> None:
    """No leaves everything as it is; a folder without a bank is a wrong call."""
    left: list[str] = []
    monkeypatch.setattr("typer.confirm", lambda _: False)
    with serving(trainer(left)) as url:
        assert run(["run", "leave", "ab", "--trainer", url]) == ExitCode.REFUSED
    assert run(["run", "leave", "ab", "--dir", str(place.path)]) == ExitCode.USAGE
    assert left == []


def test_an_answer_that_is_not_json_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """A proxy's page is not an aggregator."""
    app = FastAPI()
    with serving(app) as url:
        assert run(["run", "list", "--url", url + "/docs"]) == ExitCode.UNAVAILABLE
    assert "404" in capsys.readouterr().err


@pytest.fixture(autouse=True)
def clean(place: Federation3) -> Iterator[None]:
    """Takes ports of a test out of the folder."""
    yield
    remove_ports(place.folder.ports, client_ports(place))


def client_ports(place: Federation3) -> dict[str, int]:
    """What stands in the folder's ports."""
    return json.loads(place.folder.ports.read_text()) if place.folder.ports.exists() else {}


def test_keys_are_read_from_the_folder(place: Federation3) -> None:
    """The operator's key there is the epoch's."""
    assert SigningKey.load(place.folder.key(OPERATOR)).public == place.manifest.operators[0].key
