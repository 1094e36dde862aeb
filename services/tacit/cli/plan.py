"""`tacit plan`: write a plan, and say what it costs before anybody is asked."""

import json
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tacit.cli.text import examples
from tacit.runtime.exit_codes import ExitCode

if TYPE_CHECKING:
    from tacit.features.spec import Contract
    from tacit.federation import Manifest, Policy

app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode=None, help="Write a plan; say what it costs."
)


class TrustMode(StrEnum):
    """Trust modes by their names in documents."""

    LOCAL = "local"
    DISTRIBUTED = "distributed"


_Manifest = Annotated[
    Path | None, typer.Option("--manifest", help="The epoch; default federation.yaml or .json beside the plan.")
]
_Contract = Annotated[
    Path | None, typer.Option("--contract", help="The feature contract; default contract.yaml beside the plan.")
]


@app.callback()
def group() -> None:
    """Write a plan; say what it costs."""


@app.command(
    epilog=examples(
        "tacit plan new --manifest federation.yaml --contract contract.yaml --epsilon 1 --population 10000",
        "tacit plan new --manifest federation.yaml --contract contract.yaml --window-end 2018-08-01 --out august.yaml",
    )
)
def new(
    *,
    manifest: Annotated[Path, typer.Option("--manifest", help="The epoch that the plan names.")],
    contract: Annotated[Path, typer.Option("--contract", help="The feature contract.")],
    out: Annotated[Path, typer.Option("--out", help="File to write; must not exist.")] = Path("plan.yaml"),
    model: Annotated[str, typer.Option("--model", help="Name of the model: a-z, 0-9 and '-'.")] = "card-fraud",
    mode: Annotated[
        TrustMode | None, typer.Option("--mode", help="Trust mode; default the first that the epoch allows.")
    ] = None,
    epsilon: Annotated[str, typer.Option("--epsilon", help="Of the whole run, above 0 and at most 64.")] = "1",
    delta: Annotated[
        str | None, typer.Option("--delta", help="Of the whole run; default a power of ten <= 1/(10 population).")
    ] = None,
    population: Annotated[
        int, typer.Option("--population", min=1, help="Customers over all banks, rounded up, public.")
    ] = 10_000,
    fraud_units: Annotated[
        int, typer.Option("--fraud-units", min=0, help="Public guess of customers with a fraud.")
    ] = 2000,
    window_end: Annotated[
        datetime | None,
        typer.Option("--window-end", formats=["%Y-%m-%d"], help="First day after the training rows; default the last."),
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=3660, help="Days of training rows.")] = 90,
) -> None:
    """Write a commented plan with the product's defaults."""
    from tacit.cli import planning  # noqa: PLC0415  loads what it needs only when called
    from tacit.privacy.types import Mode  # noqa: PLC0415  same

    if out.exists():
        typer.echo(f"Error: {out} exists: a plan is not overwritten; choose another --out", err=True)
        raise typer.Exit(ExitCode.CANNOT_CREATE)
    end = window_end.date() if window_end is not None else None
    chosen = Mode(mode.value) if mode is not None else None
    wish = planning.Wish(model, chosen, epsilon, delta, population, fraud_units, end, days)
    out.write_text(planning.new(wish, _read_manifest(manifest), _read_contract(contract), _today()), encoding="utf-8")
    typer.echo(f"Written to {out}. `tacit plan check {out} --manifest {manifest} --contract {contract}` prices it.")


@app.command(
    epilog=examples(
        "tacit plan check plan.yaml --manifest federation.yaml --contract contract.yaml",
        "tacit plan check plan.yaml --policy banks/ash/policy.yaml --ledger http://127.0.0.1:8081 --json",
    )
)
def check(
    plan: Annotated[Path, typer.Argument(help="The plan; it may leave out nonce, manifest and contract.")],
    manifest: _Manifest = None,
    contract: _Contract = None,
    policy: Annotated[
        list[Path] | None, typer.Option("--policy", help="What would this bank say? May be repeated.")
    ] = None,
    ledger: Annotated[
        list[str] | None,
        typer.Option("--ledger", metavar="URL", help="Bank-only port of the trainer of a --policy; may be repeated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Print what a plan costs at worst, and what banks would say; exit code 1 if one would not take part."""
    from tacit.cli import places, planning  # noqa: PLC0415  loads what it needs only when called

    beside = plan.parent
    epoch = places.document(manifest, "--manifest", beside / "federation.yaml", beside / "federation.json")
    columns = places.document(
        contract, "--contract", beside / "contract.yaml", beside / "contract.json", beside / "contracts/contract.json"
    )
    loaded, features = _read_manifest(epoch), _read_contract(columns)
    policies = [_read_policy(path) for path in policy or []]
    draft = planning.load(plan, loaded, features)
    found = planning.assess(draft, features, loaded, policies, _ledgers(ledger or [], policies))
    if as_json:
        from dataclasses import asdict  # noqa: PLC0415  same

        typer.echo(json.dumps(asdict(found), indent=2))
    else:
        typer.echo(planning.render(found))
    if not all(bank.takes_part for bank in found.banks):
        raise typer.Exit(ExitCode.REFUSED)


def _ledgers(urls: list[str], policies: "list[Policy]") -> dict[str, Any]:
    from tacit.cli.client import ServiceClient  # noqa: PLC0415  loads what it needs only when called

    answers = [(url, ServiceClient(url, service="trainer").call("GET", "/v1/ledger")) for url in urls]
    accounts = {policy.account for policy in policies}
    for url, answer in answers:
        if answer.get("account") not in accounts:
            known = ", ".join(sorted(accounts)) or "none is given"
            raise typer.BadParameter(
                f"{url} keeps account {answer.get('account')!r}; accounts of the policies: {known}",
                param_hint="--ledger",
            )
    return {answer["account"]: answer for _, answer in answers}


def _read_manifest(path: Path) -> "Manifest":
    from tacit.federation import Manifest  # noqa: PLC0415  loads what it needs only when called
    from tacit.runtime import documents  # noqa: PLC0415  same

    return documents.load(Manifest, path)


def _read_contract(path: Path) -> "Contract":
    from tacit.features.spec import Contract  # noqa: PLC0415  loads what it needs only when called
    from tacit.runtime import documents  # noqa: PLC0415  same

    return documents.load(Contract, path)


def _read_policy(path: Path) -> "Policy":
    from tacit.federation import Policy  # noqa: PLC0415  loads what it needs only when called
    from tacit.runtime import documents  # noqa: PLC0415  same

    return documents.load(Policy, path)


def _today() -> date:
    return datetime.now(UTC).date()
