"""What the registry states of a finished run: a function of the log alone, so that every attempt gives the same bytes.

Everything in it is a plan's public number, a re-derived fact or post-processing of noised sums: it costs no privacy.
"""

import datetime as dt
import math
from fractions import Fraction

from tacit import canonical
from tacit.learning.quality import Figure
from tacit.rounds.state import Run
from tacit.rounds.types import EndBody, RoundError
from tacit.versions import Guarantee, ModelVersion, QualityFigure

PLACES = 10**6
"""Figures are rounded to a millionth, an interval's half-width upwards."""

_LAST_MS = 253_402_300_799_000


def statement(run: Run, size_bytes: int) -> ModelVersion:
    """The statement of a finished run whose END agrees with its records (`rounds.verify.check_run`).

    Guarantee: epsilon is the smaller of the plan's and the reserved budget's, rounded up; the reserved budget is
    calibrated not to exceed the plan's.

    Args:
        run: The run.
        size_bytes: Length of its model file.

    Raises:
        RoundError: If the run has not ended or has no terms.
        VersionError: If a value is outside its range.
    """
    body = run.end.body if run.end is not None else None
    if run.end is None or not isinstance(body, EndBody) or run.terms is None:
        raise RoundError(f"run {run.id.hex()} has no version: it is not finished")
    plan = run.document
    return ModelVersion(
        model=plan.model,
        run=canonical.label(run.id),
        contract=plan.contract,
        file=canonical.label(body.model),
        size_bytes=size_bytes,
        participants=run.banks,
        rounds=len(run.results),
        guarantee=Guarantee(
            epsilon=min(Fraction(run.terms.epsilon), plan.epsilon),
            delta=plan.delta,
            unit=run.terms.unit_text,
            mode=plan.mode,
            q=run.terms.q,
            c=run.terms.c,
        ),
        created=_moment(run.end.header.create_time_ms),
        parent=plan.parent,
        quality=_quality(run),
        thresholds=_thresholds(run),
    )


def _moment(milliseconds: int) -> str:
    # A leader's clock is its own affair: a time that no calendar has must not stop the registry.
    moment = dt.datetime.fromtimestamp(min(max(milliseconds, 0), _LAST_MS) // 1000, dt.UTC)
    return f"{moment.year:04d}{moment:-%m-%dT%H:%M:%SZ}"


def _quality(run: Run) -> dict[str, QualityFigure]:
    found = run.course.quality if run.course is not None else None
    if found is None:
        return {}
    names = ("average_precision", "auc", "recall", "calibration")
    return {name: _figure(getattr(found, name)) for name in names}


def _figure(figure: Figure) -> QualityFigure:
    return QualityFigure(_rounded(figure.value), Fraction(math.ceil(figure.half_width * PLACES), PLACES))


def _thresholds(run: Run) -> dict[str, Fraction]:
    found = run.course.quality if run.course is not None else None
    if found is None:
        return {}
    return {"review": _rounded(found.review_margin), "decline": _rounded(found.decline_margin)}


def _rounded(value: float) -> Fraction:
    return Fraction(round(value * PLACES), PLACES)
