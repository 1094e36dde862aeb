"""`tacit ledger`: what a bank's account was charged, and the two exits after a loss (protocol 5). Bank only."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tacit.cli.text import examples
from tacit.runtime.exit_codes import ExitCode

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from tacit.cli.ledgers import Bench
    from tacit.trainer.recovery import Rebuild

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="What a bank's account was charged; recovery after a loss.",
)

_Url = Annotated[str | None, typer.Option("--url", help="Bank-only port of the running trainer.")]
_Dir = Annotated[Path | None, typer.Option("--dir", help="Folder of a federation on this machine, with --bank.")]
_Bank = Annotated[str | None, typer.Option("--bank", help="The bank, with --dir.")]
_Journal = Annotated[Path | None, typer.Option("--journal", help="The journal's file, for a stopped trainer.")]
_Policy = Annotated[Path | None, typer.Option("--policy", help="The bank's policy, with --journal.")]
_Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]
_Settings = Annotated[Path | None, typer.Option("--settings", help="The trainer's settings file.")]
_Secrets = Annotated[Path | None, typer.Option("--secrets", help="Folder of mounted secret files of the trainer.")]
_Governance = Annotated[
    Path | None, typer.Option("--governance-key", help="The bank's own governance key (.pem); bring it for this only.")
]


@app.callback()
def group() -> None:
    """What a bank's account was charged; recovery after a loss."""


@app.command(
    epilog=examples(
        "tacit ledger show --url http://127.0.0.1:8081",
        "tacit ledger show --dir demo --bank ash",
        "tacit ledger show --journal journal.sqlite --policy policy.yaml --json",
    )
)
def show(
    url: _Url = None,
    directory: _Dir = None,
    bank: _Bank = None,
    journal: _Journal = None,
    policy: _Policy = None,
    as_json: _Json = False,
) -> None:
    """Print what the account was charged, by month and run; asks the running trainer, else opens the file."""
    from tacit.cli import ledgers  # noqa: PLC0415  loads what it needs only when called

    found = ledgers.report(ledgers.source(url, directory, bank, journal, policy))
    typer.echo(json.dumps(found, indent=2) if as_json else ledgers.render(found))


@app.command(
    epilog=examples(
        "tacit ledger verify --dir demo --bank ash", "tacit ledger verify --journal journal.sqlite --policy policy.yaml"
    )
)
def verify(
    url: _Url = None,
    directory: _Dir = None,
    bank: _Bank = None,
    journal: _Journal = None,
    policy: _Policy = None,
    as_json: _Json = False,
) -> None:
    """Recompute every hash and sum of the journal; exit code 1 if anything was changed."""
    from tacit.cli import ledgers  # noqa: PLC0415  loads what it needs only when called

    found = ledgers.faults(ledgers.source(url, directory, bank, journal, policy))
    if as_json:
        typer.echo(json.dumps({"faults": found}, indent=2))
    else:
        typer.echo("\n".join(found) or "The journal is whole: every entry, record and sum is what was written.")
    if found:
        raise typer.Exit(ExitCode.REFUSED)


@app.command(
    epilog=examples(
        "tacit ledger backup --dir demo --bank ash",
        "tacit ledger backup --journal journal.sqlite --policy policy.yaml --out /mnt/backup/ash.sqlite",
    )
)
def backup(
    url: _Url = None,
    directory: _Dir = None,
    bank: _Bank = None,
    journal: _Journal = None,
    policy: _Policy = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The copy; must not exist. Default: beside the journal, in backups/.")
    ] = None,
) -> None:
    """Copy the journal without secrets and noised vectors. A bank that restores it sits out the runs open now."""
    from tacit.cli import ledgers  # noqa: PLC0415  loads what it needs only when called

    name = f"journal-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.sqlite"
    typer.echo(ledgers.backup(ledgers.source(url, directory, bank, journal, policy), name, out))


@app.command(
    epilog=examples(
        "tacit ledger resume --settings trainer.yaml --governance-key governance.pem",
        "tacit ledger resume --dir demo --bank ash",
    )
)
def resume(
    settings: _Settings = None,
    governance_key: _Governance = None,
    secrets: _Secrets = None,
    directory: _Dir = None,
    bank: _Bank = None,
) -> None:
    """Start the chain again after the bank's topic was moved, emptied or truncated; charges nothing.

    Needs the trainer stopped and its journal complete. The governance key signs.
    """
    with _bench(settings, governance_key, secrets, directory, bank) as bench:
        stored = bench.resume()
        typer.echo(
            f"RESUME is record {stored.seq} of {bench.identity.author.topic}; nothing was charged. Start the trainer."
        )


@app.command(
    epilog=examples(
        "tacit ledger rebuild --settings trainer.yaml --governance-key governance.pem",
        "tacit ledger rebuild --dir demo --bank ash --yes",
    )
)
def rebuild(
    settings: _Settings = None,
    governance_key: _Governance = None,
    secrets: _Secrets = None,
    directory: _Dir = None,
    bank: _Bank = None,
    charge_to_cap: Annotated[
        bool,
        typer.Option("--charge-to-cap", help="Book the whole account: for a topic or plans that are lost as well."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Fill a fresh journal after the old one was lost; charges every run that the log shows this bank in, in full.

    Needs the trainer, and every copy of it, stopped. Nothing charged by it is ever free again.
    """
    with _bench(settings, governance_key, secrets, directory, bank) as bench:
        prepared = bench.prepare(charge_to_cap=charge_to_cap)
        typer.echo(_charges(bench, prepared))
        if not yes and not typer.confirm("Charge this for good?"):
            typer.echo("Nothing was written.", err=True)
            raise typer.Exit(ExitCode.REFUSED)
        stored = bench.rebuild(prepared)
        typer.echo(f"RESUME is record {stored.seq} of {bench.identity.author.topic}. Start the trainer.")


def _charges(bench: "Bench", prepared: "Rebuild") -> str:
    policy, found = bench.identity.policy, prepared.findings
    lines = [f"account {policy.account}: {len(found.own)} records on {bench.identity.author.topic}"]
    lines += [
        f"run {item.run.hex()[:12]}: rho {item.rho_nano / 10**9:.9f} in {', '.join(item.buckets)}"
        for item in prepared.reservations
    ]
    if prepared.to_cap:
        lines.append("THE WHOLE ACCOUNT is charged to its cap besides: records of this bank are missing from the log")
    if found.invalid:
        lines.append(f"{found.invalid} entries could not be read under the accepted epochs (setting earlier_manifests)")
    return "\n".join(lines)


def _bench(
    settings: Path | None,
    key: Path | None,
    secrets: Path | None,
    directory: Path | None,
    bank: str | None,
) -> "AbstractContextManager[Bench]":
    from tacit.cli import ledgers, places  # noqa: PLC0415  loads what it needs only when called
    from tacit.cli.layout import Folder  # noqa: PLC0415  same

    if (directory is None) != (bank is None):
        raise typer.BadParameter("--dir and --bank go together")
    own = [(Folder(directory), bank)] if directory is not None and bank is not None else []
    file = places.document(settings, "--settings", *(folder.settings(f"trainer-{name}") for folder, name in own))
    governance = places.document(key, "--governance-key", *(folder.governance_key(name) for folder, name in own))
    return ledgers.bench(file, governance, secrets)
