"""Re-deriving what a leader claims from the records that it names (protocol 3 "Finish", 4 and 8).

A deviation is one sentence; an empty one means agreement. A record that cannot be found is a deviation of its own
kind, because waiting may still cure it.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tacit import canonical
from tacit.learning import ensemble
from tacit.rounds.state import Run, State
from tacit.rounds.terms import Terms
from tacit.rounds.types import Checked, EndBody, Kind, Outcome, ResultBody, RosterBody, RoundError, VectorBody

RING = 2**64


@dataclass(frozen=True, slots=True)
class Deviation:
    """What does not agree; false where everything does.

    Attributes:
        text: One sentence, empty for agreement.
        missing: Whether a record cannot be found: waiting may still cure it.
    """

    text: str = ""
    missing: bool = False

    def __bool__(self) -> bool:
        return bool(self.text)

    def __str__(self) -> str:
        return self.text


AGREEMENT = Deviation()


def lacking(record: str) -> Deviation:
    """The deviation of a record that cannot be found."""
    return Deviation(f"missing record: {record}", missing=True)


def decode(element: int) -> int:
    """Reads a ring element of Z_2^64 as two's complement, in [-2^63, 2^63)."""
    return element - RING if element >= RING // 2 else element


def encode(value: int) -> int:
    """Writes a signed integer as a ring element of Z_2^64."""
    return value % RING


def total(vectors: Iterable[Sequence[int]], cells: int) -> tuple[int, ...]:
    """Adds ring vectors cell by cell modulo 2^64 and decodes the sums.

    Args:
        vectors: Ring elements, each vector of length `cells`.
        cells: Length.

    Returns:
        Signed sums in grid units.

    Raises:
        RoundError: If a vector has another length.
    """
    sums = [0] * cells
    for vector in vectors:
        if len(vector) != cells:
            raise RoundError(f"a vector has {len(vector)} cells, expected {cells}")
        sums = [(have + more) % RING for have, more in zip(sums, vector, strict=True)]
    return tuple(decode(element) for element in sums)


def releases(state: State, run: Run, slot: int) -> dict[str, Checked]:
    """The roster's RELEASEs of a slot that carry its context and its number of cells, by bank id (mode `local`)."""
    if run.terms is None or slot >= len(run.attempts):
        return {}
    cells = run.terms.stages[run.attempts[slot].round].cells
    banks = frozenset(run.banks)
    return {
        bank: record
        for bank, record in state.answers(run, Kind.RELEASE, slot)
        if bank in banks and isinstance(record.body, VectorBody) and len(record.body.cells) == cells
    }


def vectors(records: Iterable[Checked]) -> list[tuple[int, ...]]:
    """The cells of RELEASE records."""
    return [record.body.cells for record in records if isinstance(record.body, VectorBody)]


def check_result(state: State, run: Run, round_number: int) -> Deviation:
    """Compares a standing RESULT with the RELEASEs that it names.

    Args:
        state: The fold.
        run: A run of it.
        round_number: A round that has a standing RESULT.

    Returns:
        The deviation, or `AGREEMENT`.
    """
    record = run.results[round_number]
    body = record.body
    if not isinstance(body, ResultBody):
        raise RoundError(f"round {round_number} has no RESULT")
    known = releases(state, run, record.header.slot)
    named = []
    for bank, digest in sorted(body.used.items()):
        if bank not in known:
            return _unfit(state, run, bank, record.header.slot)
        if known[bank].digest != digest:
            return Deviation(
                f"RESULT of slot {record.header.slot} names another RELEASE of {bank} than its topic holds"
            )
        named.append(known[bank])
    if total(vectors(named), len(body.sums)) != body.sums:
        return Deviation(f"RESULT of slot {record.header.slot} has other sums than the RELEASEs that it names")
    return AGREEMENT


def _unfit(state: State, run: Run, bank: str, slot: int) -> Deviation:
    """Why a RELEASE that a RESULT names does not count: not there yet, or there and no answer to the question."""
    if state.answer(bank, run.id, Kind.RELEASE, slot) is None:
        return lacking(f"RELEASE of {bank} for slot {slot}")
    return Deviation(f"RESULT of slot {slot} names a RELEASE of {bank} that does not answer its question")


def model_bytes(run: Run) -> bytes:
    """The model file of a run whose rounds are done, byte for byte the same for every reader.

    Raises:
        RoundError: If the run is not that far.
    """
    if run.course is None or run.terms is None or not run.course.finished:
        raise RoundError(f"run {run.id.hex()} has no model: {len(run.results)} rounds are done")
    return ensemble.booster(run.course.ensemble(), run.terms.contract)


def check_run(state: State, run: Run) -> Deviation:
    """Re-derives a finished run from its records: every sum, every step, the model file and the epsilon.

    Args:
        state: The fold.
        run: A run of it with a standing END.

    Returns:
        The first deviation, or `AGREEMENT`.
    """
    body = run.end.body if run.end is not None else None
    if not isinstance(body, EndBody) or run.terms is None:
        return lacking(f"END of run {run.id.hex()}")
    deviation = check_roster(state, run)
    for round_number in range(len(run.results)):
        deviation = deviation or check_result(state, run, round_number)
    return deviation or _check_end(run, run.terms, body)


def check_roster(state: State, run: Run) -> Deviation:
    """Compares the standing ROSTER with the JOINs that it names: each stands on its bank's chain, for this run.

    Args:
        state: The fold.
        run: A run of it.

    Returns:
        The deviation, or `AGREEMENT`, before ROSTER as well.
    """
    body = run.roster.body if run.roster is not None else None
    named = body.joins if isinstance(body, RosterBody) else {}
    known = {bank: record.digest for bank, record in state.answers(run, Kind.JOIN)}
    for bank, digest in sorted(named.items()):
        if state.answer(bank, run.id, Kind.JOIN) is None:
            return lacking(f"JOIN of {bank}")
        if known.get(bank) != digest:
            return Deviation(f"ROSTER names another JOIN of {bank} than its topic holds for this run")
    return AGREEMENT


def _check_end(run: Run, worked: Terms, body: EndBody) -> Deviation:
    promised = str(canonical.number(worked.plan.epsilon))
    if body.epsilon_promised != promised:
        return Deviation(f"END says that epsilon {body.epsilon_promised} was promised, the plan says {promised}")
    spent = worked.epsilon if run.attempts else "0"
    if body.epsilon_spent != spent:
        return Deviation(f"END says epsilon {body.epsilon_spent}, the plan's reserved budget is {spent}")
    if body.outcome is not Outcome.FINISHED:
        return AGREEMENT
    if hashlib.sha256(model_bytes(run)).digest() != body.model:
        return Deviation("END names another model file than the records make")
    return AGREEMENT
