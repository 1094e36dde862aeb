"""What a demo shows: progress of a run, the table of lines, privacy and sizes, and a plot that is a picture."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import cli_cases
from tacit.cli import demo_report as subject
from tacit.sim.lines import BankRows, Figures, Line, Scored

NAN = float("nan")
GOOD, FAIR, POOR = (Figures(value, value + 0.1, value + 0.2) for value in (0.5, 0.4, 0.3))
SUMMARY: dict[str, Any] = {
    "choices": {"oak": "alone", "ash": "global+local"},
    "privacy": {
        "epsilon": "0.999876",
        "delta": "0.00001",
        "unit": "all rows of one customer",
        "mode": "local",
        "q": 3,
        "c": 1,
        "rounds": 34,
    },
    "bytes_per_bank": {"vectors": 12_345_678, "all": 23_456_789},
    "score": {
        "url": "http://127.0.0.1:5/v1/score",
        "request": {"amount": 1.5, "gap": None},
        "response": {"decision": "review", "margin": -0.5},
    },
}


def shown(value: object, width: int = 120) -> str:
    """What a person sees."""
    console = Console(width=width, record=True, file=Path("/dev/null").open("w", encoding="utf-8"))  # noqa: SIM115
    with console.file:
        console.print(value)
        return console.export_text()


def printed(work: Any) -> str:  # noqa: ANN401  a function of a console
    """What a function prints."""
    console = Console(width=160)
    with console.capture() as caught:
        work(console)
    return caught.get()


def view(**changes: object) -> dict[str, Any]:
    """A run on its way."""
    more: dict[str, Any] = {
        "answered": [],
        "joined": ["ash"],
        "epsilon_reserved": "1.0",
        "epsilon_spent_ratio": 0.25,
    }
    return cli_cases.view(**{**more, **changes})


def progress(*, restarts: int = 0, **changes: Any) -> str:  # noqa: ANN401
    """The picture of a run."""
    return shown(subject.progress(view(**changes), 10.0, restarts))


def test_progress_names_run_phase_and_round() -> None:
    """Twelve digits of the run, the round and how many there are."""
    assert f"run {'ab' * 6}  round  round 2 of 6" in progress()


@pytest.mark.parametrize(("done", "left"), [(1, "50"), (2, "20"), (6, "0")])
def test_time_left_follows_the_rounds_done(done: int, left: str) -> None:
    """The rounds that are left take as long as those before."""
    assert f"time: 10 s, about {left} s left" in progress(round=done)


def test_no_time_is_guessed_before_the_first_round() -> None:
    """A run without rounds has no end yet."""
    text = progress(round=0, rounds=0)
    assert "round 0 of 1" in text
    assert "left" not in text


@pytest.mark.parametrize(("ratio", "spent"), [(0.0, "0.000"), (0.25, "0.500"), (1.0, "1.000")])
def test_epsilon_spent_follows_the_square_root(ratio: float, spent: str) -> None:
    """ZCDP adds up; epsilon is about its root."""
    assert f"epsilon spent: about {spent} of 1" in progress(epsilon_spent_ratio=ratio)


def test_nothing_is_spent_before_the_plan_is_worked_out() -> None:
    """No reservation yet."""
    assert "about 0.000 of 1" in progress(epsilon_reserved=None, epsilon_spent_ratio=0)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"answered": ["elm", "oak"]}, "answered: elm, oak   waiting for: elm"),
        ({"answered": [], "joined": ["ash"]}, "answered: ash"),
        ({"answered": [], "joined": []}, "answered: -"),
        ({"waiting_for": []}, "waiting for: nobody"),
    ],
)
def test_who_answered_and_who_did_not(changes: dict[str, Any], text: str) -> None:
    """Answers of the round, before them who joined."""
    assert text in progress(**changes)


@pytest.mark.parametrize(("restarts", "said"), [(0, False), (2, True)])
def test_restarts_are_said_if_there_were_any(restarts: int, *, said: bool) -> None:
    """Silence is good news."""
    assert ("restarts: 2" in progress(restarts=restarts)) is said


def test_refusals_are_named_with_their_code() -> None:
    """Who takes no part and why; the line is there only then."""
    assert "refused: fir (CAP), yew (PAUSED)" in progress(refused={"fir": "CAP", "yew": "PAUSED"})
    assert "refused" not in progress()


def lines() -> dict[str, Line]:
    """All lines of a table."""
    return {name: Line(GOOD, FAIR, POOR, {}) for name in subject.LABELS}


def test_the_table_has_every_line_in_order() -> None:
    """All customers, median and worst bank, three figures each."""
    text = shown(subject.table(lines(), {"oak": "alone", "ash": "global"}), width=160)
    places = [text.index(label) for label in subject.LABELS.values()]
    assert places == sorted(places)
    assert text.count("0.500 / 0.600 / 0.700") == text.count("0.300 / 0.400 / 0.500") == 4
    assert "served: ash global, oak alone" in text


def test_columns_are_not_mixed_up() -> None:
    """The best figures stand under all customers, the worst at the end."""
    text = shown(subject.table({"alone": Line(GOOD, FAIR, POOR, {})}, {}), width=160)
    row = next(line for line in text.splitlines() if "each bank alone" in line)
    assert row.index("0.500 / 0.600") < row.index("0.400 / 0.500") < row.index("0.300 / 0.400")
    head = next(line for line in text.splitlines() if "worst bank" in line)
    assert head.index("all customers") < head.index("median bank") < head.index("worst bank")


def test_a_figure_that_is_not_there_is_no_error() -> None:
    """A week without fraud still has a table."""
    empty = Figures(NAN, NAN, NAN)
    assert "nan / nan / nan" in shown(subject.table({"pooled": Line(empty, empty, empty, {})}, {}), width=160)


def test_the_privacy_statement_says_it_all() -> None:
    """Epsilon, delta, unit, relation, mode, quorum, collusion and rounds."""
    text = printed(lambda console: subject.show(console, SUMMARY, lines()))
    assert "privacy: epsilon 0.999876, delta 0.00001, unit: all rows of one customer, add/remove" in text
    assert "q 3, c 1" in text
    assert "34 rounds" in text


def test_sizes_and_the_call_that_scores() -> None:
    """Bytes in groups of three; the call can be copied: its body is the request."""
    text = printed(lambda console: subject.show(console, SUMMARY, lines()))
    assert "12,345,678 of vectors, 23,456,789 in all" in text
    call = next(line for line in text.splitlines() if line.startswith("curl"))
    assert SUMMARY["score"]["url"] in call
    assert json.loads(call.split("-d '")[1].rstrip().rstrip("'")) == SUMMARY["score"]["request"]
    assert json.loads(text.splitlines()[-1]) == SUMMARY["score"]["response"]


@pytest.mark.parametrize(("cpu", "text"), [(1.234, "1.23 s"), (None, "not known here")])
def test_times_are_printed(cpu: float | None, text: str) -> None:
    """Set up, training, total, and CPU where the machine tells it."""
    wall = {"setup": 1.0, "train": 22.25, "total": 30.0}
    found = printed(lambda console: subject.times(console, {"wall_seconds": wall, "cpu_seconds_per_round": cpu}))
    assert "set up 1.0 s, train 22.2 s, total 30.0 s" in found
    assert f"processes: {text}" in found


def bank(labels: list[int]) -> BankRows:
    """Test rows of one bank."""
    truth = np.array(labels, np.uint8)
    rows = Scored(np.zeros((truth.size, 1), np.float32), truth, np.arange(truth.size), np.zeros(truth.size, np.int64))
    return BankRows(rows, rows)


@pytest.mark.parametrize("labels", [[0, 1, 0, 1], [0, 0, 0, 0]])
def test_the_plot_is_a_picture(tmp_path: Path, labels: list[int]) -> None:
    """A PNG file, also where no bank had a fraud; nothing of matplotlib stays open."""
    from matplotlib import pyplot as plt  # noqa: PLC0415  slow to load, as in the code

    path = tmp_path / "plot.png"
    scores = {"ash": np.array([1.0, 2.0, 3.0, 4.0])}
    subject.plot(path, {"ash": bank(labels)}, dict.fromkeys(subject.LABELS, scores))
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert plt.get_fignums() == []
