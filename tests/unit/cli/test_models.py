"""`tacit models`: pages are read to their end, the card says what was promised, beginnings must be unique."""

import json
from typing import Any

import pytest
from fastapi import FastAPI

from cli_cases import answers, serving
from tacit.cli.main import run
from tacit.cli.models import card
from tacit.runtime.exit_codes import ExitCode

OLD, NEW = ("sha256:" + digit * 64 for digit in "12")


def version(digest: str, number: int, parent: str | None = None, **changes: object) -> dict[str, Any]:
    """A version as the registry gives it."""
    statement = {
        "model": "card-fraud",
        "run": "sha256:" + "a" * 64,
        "contract": "sha256:" + "c" * 64,
        "file": "sha256:" + "f" * 64,
        "size_bytes": 149_079,
        "participants": ["ash", "elm"],
        "rounds": 34,
        "created": "2018-08-15T00:00:00Z",
        "guarantee": {"epsilon": "0.999", "delta": "0.00001", "unit": "customer", "mode": "local", "q": 1, "c": 0},
        "quality": {"auc": {"value": "0.9", "half_width": "1/40"}},
        "thresholds": {"review": "3/2"},
        **({"parent": parent} if parent else {}),
    }
    base = {"digest": digest, "model": "card-fraud", "number": number, "stage": "candidate", "conflict": None}
    return {**base, "statement": statement, **changes}


VERSIONS = [version(OLD, 1, stage="serving"), version(NEW, 2, OLD)]


@pytest.fixture
def registry() -> FastAPI:
    """A registry whose pages hold one version each."""
    aliases = [{"alias": "serving", "version": OLD, "sequence": 1}]
    app = answers({"/v1/models": {"models": [{"name": "card-fraud", "versions": 2, "aliases": aliases}]}})

    @app.get("/v1/versions")
    def page(limit: int, after: str | None = None) -> dict[str, Any]:
        del limit
        return {"versions": [VERSIONS[1 if after else 0]], "next": None if after else OLD}

    return app


def test_list_reads_every_page_and_marks_what_serves(registry: FastAPI, capsys: pytest.CaptureFixture[str]) -> None:
    """Oldest first, the serving one with a star."""
    with serving(registry) as url:
        assert run(["models", "list", "--url", url]) == 0
    _, first, second, _ = capsys.readouterr().out.splitlines()
    assert first.startswith("sha256:111111111111 *")
    assert second.startswith("sha256:222222222222  ")
    assert "0.999" in first


def test_list_for_machines(registry: FastAPI, capsys: pytest.CaptureFixture[str]) -> None:
    """Versions as they are, and what serves."""
    with serving(registry) as url:
        assert run(["models", "list", "--url", url, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["versions"] == VERSIONS
    assert found["serving"] == {"card-fraud": OLD}


@pytest.mark.parametrize("wanted", [[], ["2222"], [NEW[:12]], [NEW]])
def test_show_finds_a_version(registry: FastAPI, wanted: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The newest, or by its beginning with or without the prefix."""
    with serving(registry) as url:
        assert run(["models", "show", *wanted, "--url", url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == VERSIONS[1]


def test_show_prints_the_card(registry: FastAPI, capsys: pytest.CaptureFixture[str]) -> None:
    """Lineage down to the first version."""
    with serving(registry) as url:
        assert run(["models", "show", "--url", url]) == 0
    assert f"lineage      {NEW[:19]} <- {OLD[:19]}" in capsys.readouterr().out


def test_the_card_says_what_was_promised_and_measured() -> None:
    """Privacy statement, figures with their intervals, thresholds, participants."""
    shown = "\n".join(card(VERSIONS[0], VERSIONS, serves=True))
    assert "number 1: serving, serves" in shown
    assert "epsilon 0.999, delta 0.00001, for adding or removing one unit: customer; mode local: every bank" in shown
    assert "quality      auc 0.9 +- 0.025 (90 %, noised)" in shown
    assert "threshold    review at margin 1.5" in shown
    assert "banks        ash, elm" in shown
    assert "CONFLICT" not in shown


def test_the_card_warns_of_masks_conflicts_and_missing_figures() -> None:
    """Mode distributed says its trust and that nobody outside has audited it."""
    bare = version(NEW, 2, conflict="parent is None, the newest version was another")
    promise = {**bare["statement"]["guarantee"], "mode": "distributed", "q": 4, "c": 1}
    bare["statement"] |= {"guarantee": promise, "quality": {}, "thresholds": {}}
    shown = "\n".join(card(bare, [bare], serves=False))
    assert "CONFLICT     can never serve: parent is None" in shown
    assert "at most 1 banks deviate and 4 survive each round; no outside audit" in shown
    assert "no quality round" in shown


def test_a_lineage_in_a_circle_ends() -> None:
    """Whatever a registry says."""
    circle = [version(OLD, 1, NEW), version(NEW, 2, OLD)]
    assert f"lineage      {OLD[:19]} <- {NEW[:19]}" in card(circle[0], circle, serves=False)


@pytest.mark.parametrize(("wanted", "count"), [("sha256:", 2), ("9", 0)])
def test_a_version_that_is_not_one_is_refused(
    registry: FastAPI, wanted: str, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message lists what there is."""
    with serving(registry) as url:
        assert run(["models", "show", wanted, "--url", url]) == ExitCode.USAGE
    shown = " ".join(capsys.readouterr().err.split())
    assert f"fits {count} versions" in shown
    assert OLD[:19] in shown


def test_an_empty_registry_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing published is no error to list, and one to show."""
    empty = answers({"/v1/models": {"models": []}, "/v1/versions": {"versions": [], "next": None}})
    with serving(empty) as url:
        assert run(["models", "list", "--url", url]) == 0
        assert "No version is published yet" in capsys.readouterr().out
        assert run(["models", "show", "--url", url]) == ExitCode.USAGE
