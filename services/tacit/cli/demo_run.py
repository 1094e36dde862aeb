"""The course of a demo: lay out, start, submit, watch, compare, score."""

import contextlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.live import Live

from tacit import canonical
from tacit.adapters.logs import open_log
from tacit.cli import demo_report, layout
from tacit.cli.client import AggregatorClient
from tacit.cli.demo_data import Source
from tacit.cli.demo_served import Served, cpu_seconds
from tacit.cli.demo_stage import Background, Comparison, Stage, Wish, compare, prepare
from tacit.cli.layout import LayoutError, Processes
from tacit.cli.supervise import Supervisor
from tacit.learning import ensemble
from tacit.privacy.types import Mode
from tacit.rounds.plan import PlanError
from tacit.runtime.log import Log
from tacit.runtime.settings import LogSettings
from tacit.sim import lines
from tacit.wire import topics
from tacit.wire.envelope import SigningKey
from tacit.wire.local import LocalDocument

MAX_EPSILON = 64


@dataclass
class Clockwork:
    """Wall seconds of the parts."""

    start: float = field(default_factory=time.monotonic)
    marks: dict[str, float] = field(default_factory=dict)

    def mark(self, name: str) -> None:
        """Notes that a part is over."""
        self.marks[name] = time.monotonic() - self.start

    def parts(self) -> dict[str, float]:
        """Seconds until set up, of training, and in all."""
        setup, trained = self.marks["setup"], self.marks["trained"]
        total = time.monotonic() - self.start
        return {"setup": round(setup, 2), "train": round(trained - setup, 2), "total": round(total, 2)}


def source(data: Path | None, mapping: Path | None, banks: str | None) -> Source | None:
    """The real input, None for the generator.

    Raises:
        LayoutError: If some of the three options are missing, or a file is.
    """
    if data is None and mapping is None and banks is None:
        return None
    if data is None or mapping is None or banks is None:
        raise LayoutError("--data, --mapping and --banks go together")
    for path in (data, mapping):
        if not path.exists():
            raise LayoutError(f"{path} does not exist")
    return Source(data, mapping, banks)


def epsilon(text: str) -> Fraction:
    """Reads epsilon exactly.

    Raises:
        PlanError: If it is no number in (0, 64].
    """
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError):
        value = Fraction(0)
    if not 0 < value <= MAX_EPSILON:
        raise PlanError(f"epsilon = {text}: expected a number above 0 and at most {MAX_EPSILON}")
    return value


def mode(text: str) -> Mode:
    """Reads the trust mode.

    Raises:
        PlanError: If it is unknown, or needs what is not there yet.
    """
    if text == Mode.DISTRIBUTED:
        raise PlanError("mode distributed needs secure aggregation; mode local runs: every bank adds the full noise")
    if text != Mode.LOCAL:
        raise PlanError(f"mode = {text!r}: expected local or distributed")
    return Mode.LOCAL


def run(wish: Wish, console: Console | None = None) -> dict[str, Any]:
    """Runs a demo to its end.

    Returns:
        The summary, also written to ``summary.json`` in the run's folder.

    Raises:
        LayoutError: If the folder is not empty, the input does not fit, or the run does not finish.
    """
    console = console or Console()
    clockwork = Clockwork()
    with console.status("laying out the federation"):
        stage = prepare(wish)
    with contextlib.ExitStack() as stack:
        children = layout.write_settings(stage.folder, stage.banks, _processes(wish, stage, stack))
        supervisor = stack.enter_context(Supervisor(children, stage.folder.logs))
        served = Served(stage, supervisor)
        client = AggregatorClient(served.url(topics.AGGREGATOR))
        clockwork.mark("setup")
        baselines = Background(lambda: compare(stage))
        view, cpu = _train(stage, supervisor, client, console)
        clockwork.mark("trained")
        summary = _outcome(stage, served, baselines, view, console)
    summary |= {"wall_seconds": clockwork.parts(), "cpu_seconds_per_round": cpu}
    (stage.folder.path / "summary.json").write_text(json.dumps(summary, indent=2), encoding="utf-8")
    demo_report.times(console, summary)
    console.print(f"everything is in {stage.folder.path}; keep it running with: tacit up --dir {stage.folder.path}")
    return summary


def _processes(wish: Wish, stage: Stage, stack: contextlib.ExitStack) -> Processes:
    log = None
    if wish.kafka:
        from tacit.cli import demo_kafka  # noqa: PLC0415  needs packages that the embedded log does not

        log = demo_kafka.start(stage.folder, stage.banks, stage.banks[:1], stack)
    return Processes(scoring=stage.banks[:1], log=log, feeds=stage.feeds)


def _train(
    stage: Stage, supervisor: Supervisor, client: AggregatorClient, console: Console
) -> tuple[Mapping[str, Any], float | None]:
    """Submits the plan and follows the run to its end; CPU seconds a round over all processes."""
    before = cpu_seconds(supervisor)
    run_id = client.submit(stage.terms.plan, layout.OPERATOR, SigningKey.load(stage.folder.key(layout.OPERATOR)))
    begun = time.monotonic()
    view: Mapping[str, Any] = {}
    with Live(console=console, refresh_per_second=4) as live:
        for view in client.watch(run_id):
            restarts = sum(child.restarts for child in supervisor.poll())
            live.update(demo_report.progress(view, time.monotonic() - begun, restarts))
    if view["outcome"] != "FINISHED":
        raise LayoutError(f"the run ended {view['outcome']} ({view['reason']}): see {stage.folder.logs}")
    used = (cpu_seconds(supervisor) - before) / int(view["rounds"])
    return view, None if math.isnan(used) else round(used, 3)


def _outcome(
    stage: Stage, served: Served, baselines: Background[Comparison], view: Mapping[str, Any], console: Console
) -> dict[str, Any]:
    """Compares the lines, prints and draws them, and scores one transaction for real."""
    digest = view["model_digest"]
    with console.status("waiting for the registry, each bank's own choice and the baselines"):
        model = served.model(view["run"])
        choices = {bank: served.local(bank, digest) for bank in stage.banks}
        found = baselines.result()
        scored = served.score(stage.banks[0], digest, found.rows[stage.banks[0]])
    if canonical.label(ensemble.digest(model)) != digest:
        raise LayoutError(f"the registry's model file is not {digest}")
    margins = _margins(stage, found, model, choices)
    table = {name: lines.line(found.rows, margins[name]) for name in demo_report.LABELS}
    demo_report.plot(stage.folder.path / "precision_recall.png", found.rows, margins)
    summary = {
        "model_digest": digest,
        "run_id": view["run"],
        "lines": {name: line.plain() for name, line in table.items()},
        "choices": {bank: document.choice for bank, document in choices.items()},
        "privacy": _privacy(stage, view),
        "bytes_per_bank": _sizes(stage),
        "test_days": [day.isoformat() for day in stage.dates.test],
        "score": scored,
    }
    demo_report.show(console, summary, table)
    return summary


def _margins(
    stage: Stage, found: Comparison, model: bytes, choices: Mapping[str, LocalDocument]
) -> dict[str, dict[str, lines.Margins]]:
    contract = stage.terms.contract
    shared = {bank: lines.global_margins(model, contract, rows.test) for bank, rows in found.rows.items()}
    chosen = {bank: lines.chosen_margins(choices[bank], found.rows[bank].test, shared[bank]) for bank in stage.banks}
    return {
        **{name: dict(item) for name, item in found.margins.items()},
        "federated": shared,
        "federated_local": chosen,
    }


def _privacy(stage: Stage, view: Mapping[str, Any]) -> dict[str, Any]:
    terms = stage.terms
    return {
        "epsilon": view["epsilon_reserved"],
        "epsilon_promised": str(view["epsilon"]),
        "delta": str(canonical.number(terms.plan.delta)),
        "unit": terms.unit_text,
        "mode": str(terms.plan.mode),
        "q": terms.q,
        "c": terms.c,
        "rounds": len(terms.stages),
    }


def _sizes(stage: Stage) -> dict[str, int]:
    """Bytes of one bank: its vectors by the plan, and the largest bank's whole topic as it is on the log."""
    settings = yaml.safe_load(stage.folder.settings(topics.AGGREGATOR).read_text(encoding="utf-8"))
    log = open_log(LogSettings(**settings["log"]))
    try:
        totals = [_bytes_of(log, topics.bank(topics.DEFAULT_PREFIX, bank).name) for bank in stage.banks]
    finally:
        log.close()
    return {"vectors": 8 * sum(item.cells for item in stage.terms.stages), "all": max(totals)}


def _bytes_of(log: Log, topic: str) -> int:
    total, positions = 0, {topic: 0}
    while entries := log.read(positions):
        total += sum(len(entry.value) for entry in entries)
        positions = {topic: entries[-1].offset + 1}
    return total
