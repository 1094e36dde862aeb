"""`tacit data`: whether a bank's table fits, and made-up ones. BANK ONLY: what is printed stays in the bank."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tacit.cli.text import examples
from tacit.runtime.exit_codes import ExitCode

if TYPE_CHECKING:
    import polars as pl

    from tacit.sim.transactions import World

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Check a bank's rows; generate made-up ones.",
)


@app.callback()
def group() -> None:
    """Check a bank's rows; generate made-up ones."""


@app.command(
    epilog=examples(
        "tacit data check --mapping mapping.yaml --data rows/ --contract contract.yaml",
        "tacit data check --mapping m.yaml --data postgresql://reader@db/cards#payments --contract c.yaml --json",
    )
)
def check(
    mapping: Annotated[Path, typer.Option("--mapping", help="Which column is which (YAML or JSON).")],
    data: Annotated[str, typer.Option("--data", help="Parquet file or folder, or SQL URL#table.")],
    contract: Annotated[Path, typer.Option("--contract", help="The feature contract.")],
    feed: Annotated[
        list[str] | None, typer.Option("--feed", metavar="NAME=FILE", help="A feed of the contract; may be repeated.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Say whether a table fits a mapping and a contract; exit code 1 if it does not. Nothing is sent or changed."""
    from tacit.adapters import rows  # noqa: PLC0415  loads what it needs only when called
    from tacit.features.spec import Contract  # noqa: PLC0415  same
    from tacit.runtime import documents  # noqa: PLC0415  same

    feeds = _feeds(feed or [])
    report = rows.check(data, documents.load(rows.RowMapping, mapping), documents.load(Contract, contract), feeds)
    if as_json:
        from dataclasses import asdict  # noqa: PLC0415  same

        typer.echo(json.dumps({"ok": report.ok, **asdict(report)}, indent=2))
    else:
        typer.echo(report.render(), nl=False)
    if not report.ok:
        raise typer.Exit(ExitCode.REFUSED)


@app.command(
    epilog=examples(
        "tacit data generate --out data", "tacit data generate --out data --seed 7 --bank ash=300 --bank elm=200"
    )
)
def generate(
    out: Annotated[Path, typer.Option("--out", help="Folder; each bank's rows and mapping go into OUT/BANK.")],
    seed: Annotated[int, typer.Option("--seed", help="Equal seeds give equal rows; 0 to 2^63 - 1.")] = 0,
    bank: Annotated[
        list[str] | None,
        typer.Option("--bank", metavar="NAME=CUSTOMERS", help="Banks instead of the demo's five; may be repeated."),
    ] = None,
    days: Annotated[int | None, typer.Option("--days", help="Days instead of the demo's 141.")] = None,
) -> None:
    """Write simulated card transactions, with mappings, for trying things out. No real customer is behind them."""
    from tacit.sim import transactions  # noqa: PLC0415  loads what it needs only when called

    world = _world(seed, bank or [], days)
    taken = [str(out / plan.name) for plan in world.banks if (out / plan.name).exists()]
    if taken:
        typer.echo(f"Error: {taken[0]} exists: choose another folder", err=True)
        raise typer.Exit(ExitCode.CANNOT_CREATE)
    for name, folder in transactions.write(world, out).items():
        typer.echo(f"{name}: {folder / transactions.FILE}, {folder / transactions.MAPPING_FILE}")


def _feeds(given: list[str]) -> "dict[str, pl.DataFrame]":
    from tacit.adapters import rows  # noqa: PLC0415  loads what it needs only when called

    pairs = [_pair(text, "--feed", "NAME=FILE") for text in given]
    return {name: rows.load_feed(path) for name, path in pairs}


def _world(seed: int, banks: list[str], days: int | None) -> "World":
    from dataclasses import replace  # noqa: PLC0415  loads what it needs only when called

    from tacit.sim import transactions  # noqa: PLC0415  same

    changes: dict[str, Any] = {} if days is None else {"days": days}
    if banks:
        pairs = [_pair(text, "--bank", "NAME=CUSTOMERS") for text in banks]
        changes["banks"] = tuple(transactions.BankPlan(name, _count(name, count)) for name, count in pairs)
    return replace(transactions.default_demo_world(seed), **changes)


def _count(name: str, text: str) -> int:
    if not text.isdecimal():
        raise typer.BadParameter(f"{name}={text}: expected a whole number of customers", param_hint="--bank")
    return int(text)


def _pair(text: str, option: str, form: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not (name and separator and value):
        raise typer.BadParameter(f"{text!r}: expected {form}", param_hint=option)
    return name, value
