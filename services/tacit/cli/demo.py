"""`tacit demo`: a whole federation on one machine, from data to a scored transaction."""

import datetime as dt
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tacit.cli.text import examples


class LogChoice(StrEnum):
    """Which log the demo runs on."""

    EMBEDDED = "embedded"
    KAFKA = "kafka"


app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(
    epilog=examples(
        "tacit demo",
        "tacit demo --epsilon 4 --seed 7 --out runs/seven",
        "tacit demo --data cards.parquet --mapping mapping.yaml --banks customers.parquet:BANK",
        "tacit demo --log kafka",
    )
)
def demo(
    data: Annotated[Path | None, typer.Option("--data", help="Parquet file or folder with all transactions.")] = None,
    mapping: Annotated[Path | None, typer.Option("--mapping", help="Which column is which; with --data.")] = None,
    banks: Annotated[str | None, typer.Option("--banks", help="FILE:COLUMN, the bank of each customer.")] = None,
    feed: Annotated[Path | None, typer.Option("--feed", help="Network feed: entity, start, count, frauds.")] = None,
    log: Annotated[LogChoice, typer.Option("--log", help="Embedded file, or a real Kafka broker started here.")] = (
        LogChoice.EMBEDDED
    ),
    epsilon: Annotated[str, typer.Option("--epsilon", help="Epsilon of the run, above 0 and at most 64.")] = "1",
    mode: Annotated[str, typer.Option("--mode", help="Trust mode; `distributed` needs secure aggregation.")] = "local",
    seed: Annotated[int, typer.Option("--seed", help="Fixes data and structures; never the noise.", min=0)] = 0,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the run; made, must be empty.")] = None,
) -> None:
    """Train a federation of banks under differential privacy, compare, and score one transaction.

    Every bank's trainer, the aggregator, the registry and one bank's scorer run as processes of their own and are
    restarted if they die. Everything that happened lies in the folder of the run.
    """
    from tacit.cli import demo_run  # noqa: PLC0415  loads what a demo needs, not what --help needs
    from tacit.cli.demo_stage import Wish  # noqa: PLC0415  same

    wish = Wish(
        source=demo_run.source(data, mapping, banks),
        feed=feed,
        kafka=log is LogChoice.KAFKA,
        epsilon=demo_run.epsilon(epsilon),
        mode=demo_run.mode(mode),
        seed=seed,
        folder=out or Path("runs") / dt.datetime.now(dt.UTC).strftime("demo-%Y%m%d-%H%M%S"),
    )
    demo_run.run(wish)
