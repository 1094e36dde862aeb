"""Bodies that the leading aggregator writes: LEAD, OPEN, ROSTER, COHORT, QUERY, SURVIVORS, RESULT, ABORT, END."""

import re

from tacit.learning.types import Structure, TreeStructure, Weights
from tacit.rounds.types import (
    AbortBody,
    CohortBody,
    EndBody,
    LeadBody,
    OpenBody,
    Outcome,
    QueryBody,
    Reason,
    ResultBody,
    RosterBody,
    SurvivorsBody,
)
from tacit.wire.codec import _checks as check
from tacit.wire.v1 import control_pb2 as pb

MAX_HOLDER = 253
MAX_COMPLAINTS = 9900
MAX_TREES = 16
MAX_COLUMN = 254
MAX_CUT = 62
MAX_DEPTH = 8

_VARIANCE = re.compile(r"0|[1-9][0-9]{0,39}")


def write_lead(body: LeadBody) -> pb.Lead:
    """LEAD to its message."""
    return pb.Lead(nonce=body.nonce, holder=body.holder, previous_digest=body.previous)


def read_lead(message: pb.Lead) -> LeadBody:
    """LEAD from its message."""
    nonce = check.exact("nonce", message.nonce)
    holder = check.text("holder", message.holder, 1, MAX_HOLDER)
    return LeadBody(nonce, holder, check.absent_or_exact("previous_digest", message.previous_digest))


def write_open(body: OpenBody) -> pb.Open:
    """OPEN to its message."""
    return pb.Open(run=body.run)


def read_open(message: pb.Open) -> OpenBody:
    """OPEN from its message."""
    return OpenBody(check.exact("run", message.run))


def write_roster(body: RosterBody) -> pb.Roster:
    """ROSTER to its message."""
    return pb.Roster(joins=check.write_digests(body.joins))


def read_roster(message: pb.Roster) -> RosterBody:
    """ROSTER from its message."""
    return RosterBody(check.read_digests("joins", message.joins))


def write_cohort(body: CohortBody) -> pb.Cohort:
    """COHORT to its message."""
    return pb.Cohort(deals=check.write_digests(body.deals), complaints=body.complaints)


def read_cohort(message: pb.Cohort) -> CohortBody:
    """COHORT from its message; no complaint stands twice."""
    check.count("complaints", message.complaints, 0, MAX_COMPLAINTS)
    complaints = tuple(check.exact("complaint", digest) for digest in message.complaints)
    if len(set(complaints)) != len(complaints):
        check.refuse("a complaint stands twice")
    return CohortBody(check.read_digests("deals", message.deals), complaints)


def write_query(body: QueryBody) -> pb.Query:
    """QUERY to its message."""
    return pb.Query(weights=_write_weights(body.weights), structure=_write_structure(body.structure))


def read_query(message: pb.Query) -> QueryBody:
    """QUERY from its message."""
    return QueryBody(*_read_question(message))


def write_survivors(body: SurvivorsBody) -> pb.Survivors:
    """SURVIVORS to its message."""
    return pb.Survivors(masked=check.write_digests(body.masked))


def read_survivors(message: pb.Survivors) -> SurvivorsBody:
    """SURVIVORS from its message."""
    return SurvivorsBody(check.read_digests("masked", message.masked))


def write_result(body: ResultBody) -> pb.Result:
    """RESULT to its message."""
    return pb.Result(
        used=check.write_digests(body.used),
        sums=body.sums,
        variance=str(body.variance),
        rho_nano=body.rho_nano,
        weights=_write_weights(body.weights),
        structure=_write_structure(body.structure),
    )


def read_result(message: pb.Result) -> ResultBody:
    """RESULT from its message."""
    check.count("sums", message.sums, 1, check.MAX_CELLS)
    if _VARIANCE.fullmatch(message.variance) is None:
        check.refuse(f"variance = {message.variance[: check.SHOWN_CHARACTERS]!r}: expected at most 40 decimal digits")
    used = check.read_digests("used", message.used)
    weights, structure = _read_question(message)
    return ResultBody(used, tuple(message.sums), int(message.variance), message.rho_nano, weights, structure)


def write_abort(body: AbortBody) -> pb.Abort:
    """ABORT to its message."""
    return pb.Abort(reason=f"REASON_{body.reason.name}")


def read_abort(message: pb.Abort) -> AbortBody:
    """ABORT from its message; it has a reason."""
    reason = check.member("reason", Reason, message.reason)
    if reason is Reason.NONE:
        check.refuse("reason = NONE: expected why the attempt ended")
    return AbortBody(reason)


def write_end(body: EndBody) -> pb.End:
    """END to its message."""
    return pb.End(
        outcome=f"OUTCOME_{body.outcome.name}",
        reason=f"REASON_{body.reason.name}",
        model_digest=body.model,
        epsilon_promised=body.epsilon_promised,
        epsilon_spent=body.epsilon_spent,
    )


def read_end(message: pb.End) -> EndBody:
    """END from its message: a model and reason NONE with FINISHED, neither with anything else."""
    outcome = check.member("outcome", Outcome, message.outcome)
    reason = check.member("reason", Reason, message.reason)
    finished = outcome is Outcome.FINISHED
    if finished != (reason is Reason.NONE):
        check.refuse(f"outcome {outcome.name} with reason {reason.name}: NONE belongs to FINISHED alone")
    model = check.exact(f"model_digest with {outcome.name}", message.model_digest, 32 if finished else 0)
    promised = check.epsilon("epsilon_promised", message.epsilon_promised)
    return EndBody(outcome, reason, model, promised, check.epsilon("epsilon_spent", message.epsilon_spent))


def _write_weights(weights: Weights | None) -> pb.Weights | None:
    return None if weights is None else pb.Weights(values=weights.values)


def _write_structure(structure: Structure | None) -> pb.Structure | None:
    if structure is None:
        return None
    return pb.Structure(trees=[pb.Tree(columns=tree.columns, cuts=tree.cuts) for tree in structure.trees])


def _read_question(message: pb.Query | pb.Result) -> tuple[Weights | None, Structure | None]:
    weights = _read_weights(message.weights) if message.HasField("weights") else None
    return weights, _read_structure(message.structure) if message.HasField("structure") else None


def _read_weights(message: pb.Weights) -> Weights:
    check.count("weights", message.values, 1, check.MAX_CELLS)
    return Weights(check.finite("weights", message.values))


def _read_structure(message: pb.Structure) -> Structure:
    check.count("trees", message.trees, 1, MAX_TREES)
    trees = tuple(_read_tree(tree) for tree in message.trees)
    if len({len(tree.columns) for tree in trees}) != 1:
        check.refuse("trees differ in depth: expected one depth")
    return Structure(trees)


def _read_tree(message: pb.Tree) -> TreeStructure:
    nodes = len(message.columns)
    if nodes not in {2**depth - 1 for depth in range(1, MAX_DEPTH + 1)}:
        check.refuse(f"a tree has {nodes} inner nodes: expected 2^depth - 1 with depth 1 to {MAX_DEPTH}")
    check.count("cuts", message.cuts, nodes, nodes)
    columns = tuple(check.within("column", column, 0, MAX_COLUMN) for column in message.columns)
    return TreeStructure(columns, tuple(check.within("cut", cut, 1, MAX_CUT) for cut in message.cuts))
