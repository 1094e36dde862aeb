"""`tacit federation`: found a federation, sign, show and accept its epochs."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tacit.cli.text import examples
from tacit.runtime.exit_codes import ExitCode

if TYPE_CHECKING:
    from tacit.federation import Manifest

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Found a federation, sign and accept its epochs.",
)


class TrustMode(StrEnum):
    """Trust modes by their names in documents."""

    LOCAL = "local"
    DISTRIBUTED = "distributed"


_File = Annotated[Path, typer.Argument(help="The epoch, such as federation.yaml.")]
_Previous = Annotated[Path | None, typer.Option("--previous", help="The epoch before it; none for epoch 1.")]
_Sign = Annotated[
    list[Path] | None, typer.Option("--sign", metavar="PEM", help="Sign with this private key; may be repeated.")
]


@app.callback()
def group() -> None:
    """Found a federation, sign and accept its epochs."""


@app.command(
    epilog=examples(
        "tacit federation init --federation demo --out federation.yaml --contract contract.yaml \\",
        "  --aggregator keys/aggregator/aggregator.pub --registry keys/registry/registry.pub \\",
        "  --operator ops=keys/operator/operator.pub --sign keys/operator/operator.pem \\",
        "  --member id=ash,signing=ash/bank.pub,governance=ash/governance.pub",
    )
)
def init(
    *,
    federation: Annotated[str, typer.Option("--federation", help="Id of the federation: a-z, 0-9 and '-'.")],
    member: Annotated[
        list[str],
        typer.Option("--member", help="id=ID,signing=KEY,governance=KEY[,principal=User:NAME]; repeat, order counts."),
    ],
    operator: Annotated[list[str], typer.Option("--operator", help="ID=KEY of who signs plans; may be repeated.")],
    aggregator: Annotated[str, typer.Option("--aggregator", help="KEY of the aggregator.")],
    registry: Annotated[str, typer.Option("--registry", help="KEY of the registry.")],
    contract: Annotated[
        list[str], typer.Option("--contract", help="Feature contract file or its sha256: digest; may be repeated.")
    ],
    mode: Annotated[list[TrustMode] | None, typer.Option("--mode", help="Trust mode; default all possible.")] = None,
    t: Annotated[int | None, typer.Option("-t", help="Shares that open a secret; default max(3, 2n/3 + 1).")] = None,
    q: Annotated[int | None, typer.Option("-q", help="Least survivors of a round; default t.")] = None,
    c: Annotated[int | None, typer.Option("-c", help="Banks that may collude; default max(1, n/5).")] = None,
    max_banks_per_person: Annotated[
        int, typer.Option("--max-banks-per-person", help="Banks that one person may be a customer of.")
    ] = 1,
    sign: _Sign = None,
    out: Annotated[Path, typer.Option("--out", help="File to write; must not exist.")] = Path("federation.yaml"),
) -> None:
    """Write epoch 1 of a new federation.

    A KEY is ed25519:HEX or a .pub or .pem file. The operator and every member sign it, here or later with
    `federation sign`.
    """
    from tacit.cli import epochs  # noqa: PLC0415  loads what it needs only when called
    from tacit.privacy.types import Mode  # noqa: PLC0415  same

    if out.exists():
        typer.echo(f"Error: {out} exists: an epoch is not overwritten", err=True)
        raise typer.Exit(ExitCode.CANNOT_CREATE)
    modes = [Mode(item.value) for item in mode or ()]
    terms = epochs.Terms(
        federation, member, operator, aggregator, registry, contract, modes, t, q, c, max_banks_per_person
    )
    _save(out, epochs.sign(epochs.found(terms), sign or []), None)


@app.command(epilog=examples("tacit federation sign federation.yaml --sign keys/governance/governance.pem"))
def sign(file: _File, keys: _Sign = None, previous: _Previous = None) -> None:
    """Add signatures to an epoch; read what it says with `federation show` first."""
    from tacit.cli import epochs  # noqa: PLC0415  loads what it needs only when called

    if not keys:
        raise typer.BadParameter("give at least one private key", param_hint="--sign")
    before = _load(previous)
    _save(file, epochs.sign(_read(file), keys, before), before)


@app.command(epilog=examples("tacit federation show federation.yaml", "tacit federation show 2.yaml --previous 1.yaml"))
def show(file: _File, previous: _Previous = None) -> None:
    """Print what an epoch says, its digest, fingerprints, warnings and missing signatures."""
    _print(_read(file), _load(previous))


@app.command(
    epilog=examples(
        "tacit federation accept federation.yaml --policy banks/ash/policy.yaml",
        "tacit federation accept 2.yaml --previous 1.yaml --policy policy.yaml --pin new-bank",
    )
)
def accept(
    file: _File,
    policy: Annotated[Path, typer.Option("--policy", help="The bank's policy.yaml; root and peers are written to it.")],
    previous: _Previous = None,
    pin: Annotated[
        list[str] | None, typer.Option("--pin", help="Pin this member's present key too; may be repeated.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Move a bank to an epoch: pin its root and the other members' keys in the bank's policy."""
    from tacit.cli import epochs  # noqa: PLC0415  loads what it needs only when called

    manifest, before = _read(file), _load(previous)
    _print(manifest, before)
    moved = epochs.prepare_policy(policy, manifest, before, pin or [])
    typer.echo(f"{moved.bank} pins the root {moved.root} and the keys of {', '.join(moved.peers) or 'nobody'}.")
    if not yes and not typer.confirm("Did you compare the fingerprints, and do you accept?"):
        typer.echo("Not accepted; nothing was written.", err=True)
        raise typer.Exit(ExitCode.REFUSED)
    epochs.write_policy(policy, moved)
    typer.echo(f"Accepted; written to {policy}.")


def _read(file: Path) -> "Manifest":
    from tacit.federation import Manifest  # noqa: PLC0415  loads what it needs only when called
    from tacit.runtime import documents  # noqa: PLC0415  same

    return documents.load(Manifest, file)


def _load(file: Path | None) -> "Manifest | None":
    return _read(file) if file is not None else None


def _save(file: Path, manifest: "Manifest", previous: "Manifest | None") -> None:
    from tacit.cli import epochs  # noqa: PLC0415  loads what it needs only when called

    lines: Sequence[str] = epochs.describe(manifest, previous)
    epochs.replace_file(file, epochs.dump(manifest))
    typer.echo("\n".join([*lines, f"Written to {file}."]))


def _print(manifest: "Manifest", previous: "Manifest | None") -> None:
    from tacit.cli import epochs  # noqa: PLC0415  loads what it needs only when called

    typer.echo("\n".join(epochs.describe(manifest, previous)))
