"""What people and dashboards see of the scorer. Bank only, but for the count of invalid records."""

from collections import Counter
from typing import Any

from tacit.runtime.inbox import InvalidRecords
from tacit.runtime.observing import Metrics
from tacit.scorer import metrics
from tacit.scorer.bundle import Obstacle
from tacit.scorer.handlers import Scorer
from tacit.scorer.live import Live


def model_view(scorer: Scorer) -> dict[str, Any]:
    """The model that serves, the one before it, and what is waited for, as plain data."""
    return {
        "live": live_view(scorer.live),
        "loaded": scorer.loaded,
        "previous": live_view(scorer.previous),
        "wanted": scorer.wanted,
        "obstacle": scorer.obstacle or None,
    }


def live_view(live: Live | None) -> dict[str, Any] | None:
    """One model as plain data, None for none."""
    if live is None:
        return None
    own = live.identity
    return {
        "name": own.name,
        "version": own.version,
        "file": own.file,
        "choice": own.choice,
        "contract": own.contract,
        "sequence": own.sequence,
        "thresholds": {"review": live.thresholds.review, "decline": live.thresholds.decline},
    }


class Gauges:
    """Keeps the metrics equal to the machine.

    Args:
        scorer: The machine.
        measured: The process's metrics.
    """

    def __init__(self, scorer: Scorer, measured: Metrics) -> None:
        self._scorer = scorer
        self._measured = measured
        self._invalid = InvalidRecords(measured)
        self._refused: Counter[Obstacle] = Counter()

    def update(self) -> None:
        """Sets every gauge and adds what is new to the counters."""
        scorer, measured = self._scorer, self._measured
        self._invalid.update(scorer.invalid)
        measured.set(metrics.LOADED.name, scorer.loaded)
        live = scorer.live
        waiting = scorer.wanted is not None and (live is None or live.identity.version != scorer.wanted)
        measured.set(metrics.WAITING.name, float(waiting))
        if live is not None:
            own = live.identity
            measured.state(metrics.MODEL.name, model=own.name, version=own.version, choice=str(own.choice))
        for obstacle, count in (scorer.refused - self._refused).items():
            measured.increment(metrics.REFUSED.name, count, obstacle=str(obstacle))
        self._refused = Counter(scorer.refused)
