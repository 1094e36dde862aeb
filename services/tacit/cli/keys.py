"""`tacit keys`: Ed25519 keys of the roles."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tacit.cli.text import examples
from tacit.runtime.exit_codes import ExitCode

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, help="Make and show Ed25519 keys.")


class Role(StrEnum):
    """Who signs with a key (protocol 1)."""

    GOVERNANCE = "governance"
    OPERATOR = "operator"
    AGGREGATOR = "aggregator"
    REGISTRY = "registry"
    BANK = "bank"


@app.callback()
def group() -> None:
    """Make and show Ed25519 keys."""


@app.command(epilog=examples("tacit keys new bank --out keys/bank", "tacit keys new governance --out /media/offline"))
def new(
    role: Annotated[Role, typer.Argument(help="Who will sign with it. Keep a governance key offline.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for ROLE.pem (secret, mode 0600) and ROLE.pub.")],
) -> None:
    """Make a key pair; files that exist are never overwritten."""
    from tacit.wire.keys import SigningKey  # noqa: PLC0415  loads the cryptography only when a key is made

    private, public = out / f"{role}.pem", out / f"{role}.pub"
    existing = [path for path in (private, public) if path.exists()]
    if existing:
        typer.echo(f"Error: {existing[0]} exists: keys are not overwritten; choose another folder", err=True)
        raise typer.Exit(ExitCode.CANNOT_CREATE)
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = SigningKey.generate()
    key.save(private)
    with public.open("x", encoding="utf-8") as file:
        file.write(f"{key.public}\n")
    _print(str(private), key.public)


@app.command(epilog=examples("tacit keys show keys/bank/bank.pub", "tacit keys show keys/bank/bank.pem"))
def show(
    file: Annotated[Path, typer.Argument(help="A private .pem or a public .pub file; the secret is never printed.")],
) -> None:
    """Print a key's public half and its fingerprint, to compare by telephone."""
    from tacit.cli.epochs import read_key  # noqa: PLC0415  loads the cryptography only when a key is read

    _print(str(file), read_key(str(file)))


def _print(name: str, key: str) -> None:
    from tacit.federation import fingerprint  # noqa: PLC0415  loads the cryptography only when a key is shown

    typer.echo(f"{name}\n  public      {key}\n  fingerprint {fingerprint(key)}")
