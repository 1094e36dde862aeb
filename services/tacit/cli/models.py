"""`tacit models`: the versions that the registry has published."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tacit.cli.text import examples

if TYPE_CHECKING:
    from tacit.cli.client import ServiceClient

app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode=None, help="List and show published models."
)

REGISTRY = "registry"
PAGE = 500
LABEL = "sha256:"

_Url = Annotated[str | None, typer.Option("--url", help="The registry's base URL.")]
_Dir = Annotated[Path | None, typer.Option("--dir", help="Folder of a federation on this machine, instead of --url.")]
_Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


@app.callback()
def group() -> None:
    """List and show published models."""


@app.command("list", epilog=examples("tacit models list --dir demo", "tacit models list --url https://registry:8080"))
def list_models(url: _Url = None, directory: _Dir = None, as_json: _Json = False) -> None:
    """List every version with its stage, oldest first."""
    client = _registry(url, directory)
    versions, serving = list(_versions(client)), _serving(client)
    if as_json:
        typer.echo(json.dumps({"versions": versions, "serving": serving}, indent=2))
        return
    if not versions:
        typer.echo("No version is published yet.")
        return
    typer.echo(f"{'version':<22}{'model':<18}{'number':>7}  {'stage':<11}{'epsilon':>8}  {'banks':>5}  created")
    for item in versions:
        statement = item["statement"]
        mark = " *" if serving.get(item["model"]) == item["digest"] else ""
        typer.echo(
            f"{item['digest'][:19] + mark:<22}{item['model']:<18}{item['number']:>7}  {item['stage']:<11}"
            f"{statement['guarantee']['epsilon']!s:>8}  {len(statement['participants']):>5}  {statement['created']}"
        )
    typer.echo("(* serves)")


@app.command(
    epilog=examples("tacit models show --dir demo", "tacit models show sha256:5be1 --url https://registry:8080 --json")
)
def show(
    version: Annotated[
        str | None, typer.Argument(help="Digest of a version, or its beginning; default the newest version.")
    ] = None,
    url: _Url = None,
    directory: _Dir = None,
    as_json: _Json = False,
) -> None:
    """Print a version's card: lineage, privacy statement, quality figures, participants."""
    client = _registry(url, directory)
    versions = list(_versions(client))
    found = _one(version, versions)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    serves = _serving(client).get(found["model"]) == found["digest"]
    typer.echo("\n".join(card(found, versions, serves=serves)))


def card(version: dict[str, Any], versions: list[dict[str, Any]], *, serves: bool) -> Iterator[str]:
    """A version for people.

    Args:
        version: As the registry gives it.
        versions: All versions, for the lineage.
        serves: Whether the serving alias points to it.

    Yields:
        Lines.
    """
    statement = version["statement"]
    yield f"{version['model']} number {version['number']}: {version['stage']}{', serves' if serves else ''}"
    yield f"version      {version['digest']}"
    if version["conflict"]:
        yield f"CONFLICT     can never serve: {version['conflict']}"
    yield f"lineage      {' <- '.join(_lineage(version, versions))}"
    for name in ("run", "contract", "file"):
        yield f"{name:<13}{statement[name]}"
    yield f"created      {statement['created']}, {statement['rounds']} rounds, {statement['size_bytes']:,} bytes"
    yield f"banks        {', '.join(statement['participants'])}"
    yield f"privacy      {_privacy(statement['guarantee'])}"
    for name, figure in sorted(statement.get("quality", {}).items()):
        yield f"quality      {name} {_decimal(figure['value'])} +- {_decimal(figure['half_width'])} (90 %, noised)"
    for name, margin in sorted(statement.get("thresholds", {}).items()):
        yield f"threshold    {name} at margin {_decimal(margin)}"
    if not statement.get("quality"):
        yield "quality      the plan asked for no quality round"


def _privacy(promise: dict[str, Any]) -> str:
    trust = (
        "every bank adds the full noise"
        if promise["mode"] == "local"
        else f"holds while at most {promise['c']} banks deviate and {promise['q']} survive each round; no outside audit"
    )
    return (
        f"epsilon {promise['epsilon']}, delta {promise['delta']}, for adding or removing one unit: {promise['unit']}; "
        f"mode {promise['mode']}: {trust}"
    )


def _lineage(version: dict[str, Any], versions: list[dict[str, Any]]) -> list[str]:
    """Digests from a version to its oldest ancestor that is published here."""
    parents = {item["digest"]: item["statement"].get("parent") for item in versions}
    chain: list[str] = []
    current: str | None = version["digest"]
    while current is not None and current not in chain:
        chain.append(current)
        current = parents.get(current)
    return [digest[:19] for digest in chain]


def _decimal(value: int | str) -> str:
    from fractions import Fraction  # noqa: PLC0415  beside its only use

    return f"{float(Fraction(value)):.4g}"


def _registry(url: str | None, directory: Path | None) -> "ServiceClient":
    from tacit.cli import places  # noqa: PLC0415  loads what it needs only when called

    return places.service(url, directory, REGISTRY)


def _versions(client: "ServiceClient") -> Iterator[dict[str, Any]]:
    after: str | None = None
    while True:
        options = {"limit": PAGE} | ({"after": after} if after is not None else {})
        page = client.call("GET", "/v1/versions", params=options)
        yield from page["versions"]
        after = page["next"]
        if after is None:
            return


def _serving(client: "ServiceClient") -> dict[str, str]:
    """Model to the version that its serving alias points to."""
    models = client.call("GET", "/v1/models")["models"]
    return {
        model["name"]: alias["version"] for model in models for alias in model["aliases"] if alias["alias"] == "serving"
    }


def _one(wanted: str | None, versions: list[dict[str, Any]]) -> dict[str, Any]:
    if wanted is None and versions:
        return versions[-1]
    start = LABEL + (wanted or "").removeprefix(LABEL)
    found = [item for item in versions if wanted is not None and item["digest"].startswith(start)]
    if len(found) == 1:
        return found[0]
    shown = ", ".join(item["digest"][:19] for item in found or versions[-5:]) or "none"
    raise typer.BadParameter(
        f"{wanted or 'newest version'} fits {len(found)} versions; expected sha256:<64 hex digits> or its beginning "
        f"({shown})",
        param_hint="VERSION",
    )
