"""The bank's computation of one round: margins, statistic, one draw (algorithm 4 "Bank, every round", protocol 7)."""

import hashlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tacit import canonical
from tacit.learning import leaves, statistics
from tacit.learning.basis import Basis
from tacit.learning.course import Course
from tacit.learning.types import Stage, StageKind, Weights
from tacit.privacy.types import Bounded
from tacit.rounds.state import Attempt, Run
from tacit.rounds.terms import Terms
from tacit.trainer.snapshot import Part, Snapshot

Margins = NDArray[np.float64]


@dataclass
class _Cached:
    """Margins of one part: of the weights alone, and of the leaves of the first `forests` tree rounds."""

    weights: Weights | None = None
    additive: Margins | None = None
    trees: Margins | None = None
    forests: int = 0


@dataclass
class Answerer:
    """Computes a run's statistics from its snapshot; margins are kept from round to round.

    Attributes:
        snapshot: The run's rows.
        terms: The plan, worked out.
        basis: The contract's basis.
    """

    snapshot: Snapshot
    terms: Terms
    basis: Basis
    _cache: dict[int, _Cached] = field(default_factory=dict)

    def bounded(self, course: Course) -> Bounded:
        """The clipped sum that answers the course's next question; see `statistics.bounded_sum` for the guarantee."""
        stage = course.stage
        _, structure = course.question
        part = self._part(stage)
        margins = self.margins(part, course, course.weights)
        plan = self.terms.plan
        return statistics.bounded_sum(
            stage,
            part.encoded,
            self.basis,
            margins,
            trees=structure,
            plan=plan.quality,
            weight=1 / plan.subsample,
        )

    def final_margins(self, course: Course) -> Margins:
        """Margins of the finished model on the training rows, for the bank's own choice."""
        return self.margins(self.snapshot.training, course, course.weights)

    def margins(self, part: Part, course: Course, weights: Weights) -> Margins:
        """Every row's margin under weights and the leaves of all tree rounds so far."""
        cached = self._cache.setdefault(id(part), _Cached())
        if cached.additive is None or cached.weights != weights:
            cached.weights, cached.additive = weights, self.basis.margins(part.encoded, weights)
        for structure, solved in course.forests[cached.forests :]:
            more = leaves.margins(part.encoded, structure, solved)
            cached.trees = more if cached.trees is None else cached.trees + more
            cached.forests += 1
        return cached.additive if cached.trees is None else cached.additive + cached.trees

    def _part(self, stage: Stage) -> Part:
        return self.snapshot.quality if stage.kind is StageKind.QUALITY else self.snapshot.training


def request_digest(run: Run, attempt: Attempt, terms: Terms) -> bytes:
    """What one spend is for (protocol 5): query, parent, window, contract, Delta, sigma, mode, manifest.

    Returns:
        32 bytes; a slot that was spent on one request can never be spent on another.
    """
    noise = terms.budget.noises[attempt.round]
    plan = terms.plan
    return hashlib.sha256(
        canonical.encode(
            {
                "query": attempt.query.header.body.hex(),
                "parent": run.parent(attempt.round).hex(),
                "window": plan.window,
                "contract": plan.contract,
                "sensitivity": str(noise.sensitivity),
                "variance": str(noise.variance),
                "mode": plan.mode,
                "manifest": plan.manifest,
                "unit": plan.unit,
            }
        )
    ).digest()
