"""`tacit serve`: one service, as a pod runs it."""

import importlib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from tacit.cli.text import examples


class ServiceName(StrEnum):
    """The services."""

    TRAINER = "trainer"
    AGGREGATOR = "aggregator"
    REGISTRY = "registry"
    SCORER = "scorer"


app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(
    epilog=examples(
        "tacit serve trainer --settings /etc/tacit/trainer.yaml",
        "TACIT_LOG__KIND=kafka tacit serve aggregator --settings aggregator.yaml --secrets /run/secrets/tacit",
    )
)
def serve(
    service: Annotated[ServiceName, typer.Argument(help="Which service.")],
    settings: Annotated[Path | None, typer.Option("--settings", help="YAML file of settings.")] = None,
    secrets: Annotated[
        Path | None, typer.Option("--secrets", help="Folder of mounted secret files, one value a file.")
    ] = None,
) -> None:
    """Run one service until SIGTERM or Ctrl-C.

    Settings come from the file, the secrets folder and TACIT_ environment variables, the later ones stronger.
    """
    from tacit.runtime import lifecycle  # noqa: PLC0415  a pod loads only its own service
    from tacit.runtime.settings import load  # noqa: PLC0415  same

    main = importlib.import_module(f"tacit.{service}.main")
    module = importlib.import_module(f"tacit.{service}.settings")
    kind: Any = getattr(module, f"{service.title()}Settings")
    loaded = load(kind, settings, secrets_dir=secrets)
    raise typer.Exit(lifecycle.run_process(lambda: main.serve(loaded)))
