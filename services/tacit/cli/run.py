"""`tacit run`: submit a signed plan, watch it, list, cancel; and take one bank out of a run."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tacit.cli.text import examples
from tacit.runtime.exit_codes import ExitCode

if TYPE_CHECKING:
    from rich.progress import Progress

    from tacit.cli.client import AggregatorClient
    from tacit.federation import Manifest
    from tacit.wire.envelope import SigningKey

app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode=None, help="Submit, watch, list and cancel runs."
)

_RUN_DIGITS = 64
_Url = Annotated[str | None, typer.Option("--url", help="The aggregator's base URL.")]
_Dir = Annotated[Path | None, typer.Option("--dir", help="Folder of a federation on this machine, instead of --url.")]
_Run = Annotated[str, typer.Argument(help="Run id, or its first digits.")]
_Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]
_Key = Annotated[
    Path | None, typer.Option("--key", help="The operator's private key (.pem); default the one in --dir.")
]
_Operator = Annotated[str | None, typer.Option("--operator", help="The operator's id; default the key's in the epoch.")]
_Manifest = Annotated[Path | None, typer.Option("--manifest", help="The epoch; default the one in --dir.")]


@app.callback()
def group() -> None:
    """Submit, watch, list and cancel runs."""


@app.command(
    epilog=examples(
        "tacit run submit plan.yaml --dir demo",
        "tacit run submit plan.yaml --key operator.pem --manifest federation.yaml --url https://aggregator:8080",
    )
)
def submit(
    *,
    plan: Annotated[Path, typer.Argument(help="The plan; a nonce is written into it if it has none.")],
    key: _Key = None,
    operator: _Operator = None,
    manifest: _Manifest = None,
    url: _Url = None,
    directory: _Dir = None,
    again: Annotated[bool, typer.Option("--again", help="Give the plan a new nonce: a new run, a new spend.")] = False,
    as_json: _Json = False,
) -> None:
    """Sign a plan and submit it; prints the run id. Sending the same file again is the same run, never a second one."""
    from tacit import canonical  # noqa: PLC0415  loads what it needs only when called
    from tacit.cli import planning  # noqa: PLC0415  same
    from tacit.rounds.plan import run_id  # noqa: PLC0415  same

    epoch, signer = _epoch(manifest, directory), _key(key, directory)
    name, client = _operator(operator, signer, epoch), _aggregator(url, directory)
    planning.load(plan, epoch)
    planning.keep_nonce(plan, fresh=again)
    ready = planning.load(plan, epoch)
    known = run_id(canonical.encode(ready)).hex() in {item["run"] for item in client.runs()}
    run = client.submit(ready, name, signer)
    if as_json:
        typer.echo(json.dumps({"run": run, "new": not known}))
    else:
        typer.echo(f"{run}\n{'Submitted before; --again makes another run of it.' if known else 'Submitted.'}")


@app.command(epilog=examples("tacit run watch --dir demo", "tacit run watch 3fa9 --url https://aggregator:8080 --json"))
def watch(
    run: Annotated[str | None, typer.Argument(help="Run id, or its first digits; default the newest run.")] = None,
    url: _Url = None,
    directory: _Dir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON at every change.")] = False,
) -> None:
    """Show a run's progress until it ends; exit code 1 if it ends without a model."""
    client = _aggregator(url, directory)
    views = _changes(client, _resolve(run, client.runs()))
    last = _print_changes(views) if as_json else _draw(views)
    if last.get("outcome") != "FINISHED":
        raise typer.Exit(ExitCode.REFUSED)


@app.command(
    "list", epilog=examples("tacit run list --dir demo", "tacit run list --url https://aggregator:8080 --json")
)
def list_runs(url: _Url = None, directory: _Dir = None, as_json: _Json = False) -> None:
    """List all runs, newest last."""
    runs = _aggregator(url, directory).runs()
    if as_json:
        typer.echo(json.dumps(runs, indent=2))
        return
    typer.echo(f"{'run':<14}{'model':<18}{'phase':<10}{'round':>9}  {'epsilon':>8}  outcome")
    for item in runs:
        rounds, outcome = f"{item['round']}/{item['rounds']}", _outcome(item)
        typer.echo(
            f"{item['run'][:12]:<14}{item['model']:<18}{item['phase']:<10}{rounds:>9}  {item['epsilon']:>8}  {outcome}"
        )


@app.command(
    epilog=examples(
        "tacit run cancel 3fa9 --dir demo",
        "tacit run cancel 3fa9 --key operator.pem --manifest federation.yaml --url https://aggregator:8080",
    )
)
def cancel(
    run: _Run,
    key: _Key = None,
    operator: _Operator = None,
    manifest: _Manifest = None,
    url: _Url = None,
    directory: _Dir = None,
) -> None:
    """Order the end of a run. What banks have answered stays spent; what they have not is free again."""
    epoch, signer = _epoch(manifest, directory), _key(key, directory)
    client = _aggregator(url, directory)
    found = _resolve(run, client.runs())
    client.cancel(epoch.federation, found, _operator(operator, signer, epoch), signer)
    typer.echo(f"{found}\nCancelling; `tacit run watch {found[:12]}` shows its end.")


@app.command(
    epilog=examples(
        "tacit run leave 3fa9 --trainer http://127.0.0.1:8081", "tacit run leave 3fa9 --dir demo --bank ash --yes"
    )
)
def leave(
    run: _Run,
    trainer: Annotated[str | None, typer.Option("--trainer", help="URL of the trainer's bank-only port.")] = None,
    directory: _Dir = None,
    bank: Annotated[str | None, typer.Option("--bank", help="The bank, with --dir.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Take this bank out of a run for ever: it answers no more, erases its secrets, and frees what it did not spend."""
    from tacit.cli import places  # noqa: PLC0415  loads what it needs only when called

    if directory is not None and bank is None:
        raise typer.BadParameter("needed with --dir", param_hint="--bank")
    client = places.service(trainer, directory, f"{bank}.bank", "--trainer")
    found = _resolve(run, client.call("GET", "/v1/runs"))
    if not yes and not typer.confirm(f"Leave run {found[:12]} for ever?"):
        typer.echo("Not left.", err=True)
        raise typer.Exit(ExitCode.REFUSED)
    client.call("POST", f"/v1/runs/{found}:leave")
    typer.echo(f"{found}\nLeft.")


def _aggregator(url: str | None, directory: Path | None) -> "AggregatorClient":
    from tacit.cli import places  # noqa: PLC0415  loads what it needs only when called
    from tacit.cli.client import AggregatorClient  # noqa: PLC0415  same

    return AggregatorClient(places.url(url, directory, "aggregator"))


def _key(given: Path | None, directory: Path | None) -> "SigningKey":
    from tacit.cli import places  # noqa: PLC0415  loads what it needs only when called
    from tacit.cli.layout import OPERATOR, Folder  # noqa: PLC0415  same
    from tacit.wire.envelope import SigningKey  # noqa: PLC0415  same

    guesses = [Folder(directory).key(OPERATOR)] if directory is not None else []
    return SigningKey.load(places.document(given, "--key", *guesses))


def _epoch(given: Path | None, directory: Path | None) -> "Manifest":
    from tacit.cli import places  # noqa: PLC0415  loads what it needs only when called
    from tacit.cli.layout import Folder  # noqa: PLC0415  same
    from tacit.federation import Manifest  # noqa: PLC0415  same
    from tacit.runtime import documents  # noqa: PLC0415  same

    guesses = [Folder(directory).manifest] if directory is not None else []
    return documents.load(Manifest, places.document(given, "--manifest", *guesses))


def _operator(given: str | None, key: "SigningKey", epoch: "Manifest") -> str:
    """Who signs: the operator of the epoch whose key it is."""
    names = [item.id for item in epoch.operators if item.key == key.public]
    known = ", ".join(item.id for item in epoch.operators)
    if not names:
        raise typer.BadParameter(f"{key.public} belongs to no operator of the epoch ({known})", param_hint="--key")
    if given is not None and given != names[0]:
        raise typer.BadParameter(
            f"{given!r}: the key is {names[0]!r}'s; operators are {known}", param_hint="--operator"
        )
    return names[0]


def _resolve(wanted: str | None, runs: list[dict[str, Any]]) -> str:
    """The full id of the one run that begins so; the newest for None."""
    ids = [str(item["run"]) for item in runs]
    if wanted is None and ids:
        return ids[-1]
    found = [run for run in ids if wanted is not None and run.startswith(wanted.lower())]
    if len(found) == 1:
        return found[0]
    shown = ", ".join(run[:12] for run in found or ids[-5:]) or "none"
    problem = f"fits {len(found)} runs" if wanted is not None else "none was submitted yet"
    raise typer.BadParameter(
        f"{wanted or 'newest run'}: {problem}; expected {_RUN_DIGITS} hex digits or the first ones of a run ({shown})",
        param_hint="RUN",
    )


def _changes(client: "AggregatorClient", run: str) -> Iterator[dict[str, Any]]:
    before: dict[str, Any] | None = None
    for view in client.watch(run):
        if view != before:
            yield view
        before = view


def _print_changes(views: Iterator[dict[str, Any]]) -> dict[str, Any]:
    last: dict[str, Any] = {}
    for last in views:
        typer.echo(json.dumps(last))
    return last


def _draw(views: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """A progress bar on a terminal, a line at every change elsewhere."""
    from rich.console import Console  # noqa: PLC0415  loads what it needs only when called

    console, last = Console(), {}
    if not console.is_terminal:
        for last in views:
            typer.echo(f"{last['run'][:12]}  {_standing(last)}")
        return last
    with _bar(console) as progress:
        task = progress.add_task("", total=None)
        for last in views:
            progress.update(task, completed=last["round"], total=max(last["rounds"], 1), description=_standing(last))
    return last


def _bar(console: Any) -> "Progress":  # noqa: ANN401  rich is loaded by the caller
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415
    from rich.progress import TimeRemainingColumn as Left  # noqa: PLC0415  the line above says which library

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"), Left())
    return Progress(*columns, TextColumn("{task.description}"), console=console)


def _standing(view: dict[str, Any]) -> str:
    refused = ", ".join(f"{bank} ({code})" for bank, code in view["refused"].items())
    parts = [
        f"{view['phase'].lower()} {view['round']}/{view['rounds']}",
        f"waiting for {', '.join(view['waiting_for'])}" if view["waiting_for"] else "",
        f"refused: {refused}" if refused else "",
        _outcome(view) if view["phase"] == "ENDED" else "",
        view["fault"] or "",
    ]
    return "; ".join(part for part in parts if part)


def _outcome(view: dict[str, Any]) -> str:
    if view["outcome"] is None:
        return "-"
    reason = f" ({view['reason']})" if view["reason"] not in (None, "NONE") else ""
    return f"{view['outcome'].lower()}{reason}"
