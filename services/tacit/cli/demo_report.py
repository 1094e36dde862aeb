"""What a demo prints and keeps: progress, the table, the plot."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tacit.sim.lines import BankRows, Line, Margins

LABELS = {
    "alone": "each bank alone",
    "federated": "federated",
    "federated_local": "federated + local, as chosen",
    "pooled": "pooled centre (no privacy)",
}


def progress(view: Mapping[str, Any], elapsed: float, restarts: int) -> RenderableType:
    """The live picture of a run.

    Args:
        view: The run as the aggregator shows it.
        elapsed: Seconds since it was submitted.
        restarts: How often a process was restarted.
    """
    done, rounds = int(view["round"]), max(int(view["rounds"]), 1)
    left = elapsed / done * (rounds - done) if done else None
    waiting = ", ".join(view["waiting_for"]) or "nobody"
    spent = float(view["epsilon_reserved"] or 0) * float(view["epsilon_spent_ratio"]) ** 0.5
    lines: list[RenderableType] = [
        Text(f"run {view['run'][:12]}  {view['phase'].lower()}  round {done} of {rounds}"),
        ProgressBar(total=rounds, completed=done, width=60),
        Text(f"answered: {', '.join(view['answered'] or view['joined']) or '-'}   waiting for: {waiting}"),
        Text(
            f"epsilon spent: about {spent:.3f} of {view['epsilon']}   time: {elapsed:.0f} s"
            + (f", about {left:.0f} s left" if left is not None else "")
            + (f"   restarts: {restarts}" if restarts else "")
        ),
    ]
    if view["refused"]:
        lines.insert(3, Text("refused: " + ", ".join(f"{bank} ({code})" for bank, code in view["refused"].items())))
    return Group(*lines)


def table(found: Mapping[str, Line], choices: Mapping[str, str]) -> Table:
    """The four lines: all customers, median bank, worst bank."""
    made = Table(title="Test week, same columns for every line: AP / AUC / recall in the top 0.5 %")
    made.add_column("line")
    for name in ("all customers", "median bank", "worst bank"):
        made.add_column(name, justify="right")
    for name, line in found.items():
        cells = [f"{item.ap:.3f} / {item.auc:.3f} / {item.recall:.3f}" for item in (line.all, line.median, line.worst)]
        made.add_row(LABELS[name], *cells)
    made.caption = "served: " + ", ".join(f"{bank} {choice}" for bank, choice in sorted(choices.items()))
    return made


def show(console: Console, summary: Mapping[str, Any], found: Mapping[str, Line]) -> None:
    """Prints the table, the privacy statement, bytes and the call that scores."""
    console.print(table(found, summary["choices"]))
    privacy, sizes, score = summary["privacy"], summary["bytes_per_bank"], summary["score"]
    console.print(
        f"privacy: epsilon {privacy['epsilon']}, delta {privacy['delta']}, unit: {privacy['unit']}, add/remove; "
        f"mode {privacy['mode']} (every bank adds the full noise; q {privacy['q']}, c {privacy['c']}), "
        f"{privacy['rounds']} rounds"
    )
    console.print(f"bytes a bank: {sizes['vectors']:,} of vectors, {sizes['all']:,} in all")
    body = json.dumps(score["request"])
    console.print("score a transaction yourself (while the federation is up):")
    console.print(f"curl -s {score['url']} -H 'content-type: application/json' -d '{body}'", soft_wrap=True)
    console.print(json.dumps(score["response"]), soft_wrap=True)


def times(console: Console, summary: Mapping[str, Any]) -> None:
    """Prints wall times and CPU."""
    wall, cpu = summary["wall_seconds"], summary["cpu_seconds_per_round"]
    text = "not known here" if cpu is None else f"{cpu:.2f} s"
    console.print(
        f"wall: set up {wall['setup']:.1f} s, train {wall['train']:.1f} s, total {wall['total']:.1f} s; "
        f"CPU a round over all processes: {text}"
    )


def plot(path: Path, banks: Mapping[str, BankRows], margins: Mapping[str, Mapping[str, Margins]]) -> None:
    """Draws precision over recall of every line, over all customers, into a PNG file."""
    import matplotlib as mpl  # noqa: PLC0415  slow to load, and only the demo draws

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  after the backend was chosen
    from sklearn.metrics import precision_recall_curve  # noqa: PLC0415  same

    figure, axes = plt.subplots(figsize=(7, 5), dpi=120)
    for name, scores in margins.items():
        labels: NDArray[np.uint8] = np.concatenate([banks[bank].test.labels for bank in scores])
        if not labels.any():
            continue
        precision, recall, _ = precision_recall_curve(labels, np.concatenate(list(scores.values())))
        axes.plot(recall, precision, label=LABELS[name], drawstyle="steps-post")
    axes.set(xlabel="recall", ylabel="precision", title="Test week, all customers", xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(loc="upper right")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
