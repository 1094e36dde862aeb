"""Values that the control topic's bodies may not hold."""

import re
from dataclasses import replace

import pytest

import wire_cases as cases
from tacit.learning.types import Structure, TreeStructure, Weights
from tacit.rounds import types as kinds
from tacit.rounds.types import Body, Kind, Outcome, Reason
from tacit.wire import codec
from tacit.wire.codec import InvalidRecord
from tacit.wire.v1 import control_pb2 as pb

D = cases.digest("any")
RESULT = kinds.ResultBody({"ash": D}, (1, -2), 9, 7, None, None)


def weights(*values: float) -> kinds.QueryBody:
    """A QUERY with these weights."""
    return kinds.QueryBody(Weights(values), None)


def trees(*shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> kinds.QueryBody:
    """A QUERY with these trees."""
    return kinds.QueryBody(None, Structure(tuple(TreeStructure(*shape) for shape in shapes)))


def end(outcome: Outcome, reason: Reason, model: bytes, spent: str = "1") -> kinds.EndBody:
    """An END."""
    return kinds.EndBody(outcome, reason, model, "1", spent)


REFUSED: list[tuple[Body, str]] = [
    (kinds.LeadBody(b"n", "holder", b""), "nonce has 1 bytes"),
    (kinds.LeadBody(D, "", b""), "length of holder = 0: expected 1 to 253"),
    (kinds.LeadBody(D, "h" * 254, b""), "length of holder = 254"),
    (kinds.LeadBody(D, "höl", b""), "printable ASCII"),
    (kinds.LeadBody(D, "holder", b"x"), "previous_digest has 1 bytes"),
    (kinds.OpenBody(b""), "run has 0 bytes"),
    (kinds.RosterBody({}), "number of joins = 0: expected 1 to 100"),
    (kinds.RosterBody({f"b{number}": D for number in range(101)}), "number of joins = 101"),
    (kinds.RosterBody({"ash": b"x"}), "joins[ash] has 1 bytes"),
    (kinds.RosterBody({"-ash": D}), "bank in joins = '-ash'"),
    (kinds.RosterBody({"a" * 41: D}), "bank in joins"),
    (kinds.CohortBody({}, ()), "number of deals = 0"),
    (kinds.CohortBody({"ash": D}, (D, D)), "a complaint stands twice"),
    (kinds.CohortBody({"ash": D}, (b"x",)), "complaint has 1 bytes"),
    (kinds.CohortBody({"ash": D}, (D,) * 9901), "number of complaints = 9901"),
    (kinds.SurvivorsBody({}), "number of masked = 0"),
    (weights(), "number of weights = 0: expected 1 to 4096"),
    (weights(*[0.0] * 4097), "number of weights = 4097"),
    (weights(1.0, float("nan")), "weights[1] = nan: expected a finite number"),
    (weights(float("-inf")), "weights[0] = -inf"),
    (kinds.QueryBody(None, Structure(())), "number of trees = 0: expected 1 to 16"),
    (trees(*[((0,), (1,))] * 17), "number of trees = 17"),
    (trees(((), ())), "0 inner nodes"),
    (trees(((0, 1), (1, 1))), "2 inner nodes: expected 2^depth - 1 with depth 1 to 8"),
    (trees(((0,) * 511, (1,) * 511)), "511 inner nodes"),
    (trees(((0, 1, 2), (1, 1))), "number of cuts = 2: expected 3 to 3"),
    (trees(((255,), (1,))), "column = 255: expected 0 to 254"),
    (trees(((0,), (0,))), "cut = 0: expected 1 to 62"),
    (trees(((0,), (63,))), "cut = 63"),
    (trees(((0,), (1,)), ((0, 1, 2), (1, 1, 1))), "trees differ in depth"),
    (replace(RESULT, used={}), "number of used = 0"),
    (replace(RESULT, sums=()), "number of sums = 0: expected 1 to 4096"),
    (replace(RESULT, sums=(0,) * 4097), "number of sums = 4097"),
    (replace(RESULT, sums=(2**63,)), "ResultBody"),
    (replace(RESULT, variance=-1), "variance = '-1'"),
    (replace(RESULT, variance=10**40), "at most 40 decimal digits"),
    (replace(RESULT, rho_nano=-1), "ResultBody"),
    (replace(RESULT, rho_nano=2**64), "ResultBody"),
    (kinds.AbortBody(Reason.NONE), "expected why the attempt ended"),
    (end(Outcome.FINISHED, Reason.QUORUM, D), "NONE belongs to FINISHED alone"),
    (end(Outcome.ABORTED, Reason.NONE, b""), "NONE belongs to FINISHED alone"),
    (end(Outcome.FINISHED, Reason.NONE, b""), "model_digest with FINISHED has 0 bytes: expected 32"),
    (end(Outcome.CANCELLED, Reason.ORDER, D), "model_digest with CANCELLED has 32 bytes: expected 0"),
    (end(Outcome.FINISHED, Reason.NONE, D, "1e3"), "epsilon_spent = '1e3'"),
    (end(Outcome.FINISHED, Reason.NONE, D, "-1"), "epsilon_spent = '-1'"),
    (end(Outcome.FINISHED, Reason.NONE, D, "1" * 65), "at most 64 characters"),
    (end(Outcome.FINISHED, Reason.NONE, D, "1/0"), "epsilon_spent = '1/0'"),
]


@pytest.mark.parametrize(("body", "message"), REFUSED, ids=[f"{n} {message}" for n, (_, message) in enumerate(REFUSED)])
def test_value_out_of_range_is_refused(body: Body, message: str) -> None:
    """The refusal names the field, its value and what is allowed."""
    with pytest.raises(InvalidRecord, match=re.escape(message)):
        codec.encode_body(body)


@pytest.mark.parametrize("variance", ["", "01", "+1", "1.0", " 1", "1_0"])
def test_variance_has_one_spelling(variance: str) -> None:
    """Only plain decimal digits are a variance."""
    used = [pb.BankDigest(bank="ash", digest=D)]
    data = pb.Result(used=used, sums=[1], variance=variance).SerializeToString()
    with pytest.raises(InvalidRecord, match="variance = "):
        codec.decode_body(Kind.RESULT, data)


@pytest.mark.parametrize("banks", [("birch", "ash"), ("ash", "ash")])
def test_repeated_or_unsorted_banks_are_refused(banks: tuple[str, str]) -> None:
    """A roster cannot name one bank twice."""
    data = pb.Roster(joins=[pb.BankDigest(bank=bank, digest=D) for bank in banks]).SerializeToString()
    with pytest.raises(InvalidRecord, match="strictly rising ids"):
        codec.decode_body(Kind.ROSTER, data)


@pytest.mark.parametrize(("outcome", "reason"), [(0, 1), (4, 1), (1, 0), (1, 10)])
def test_unknown_outcome_and_reason_are_refused(outcome: int, reason: int) -> None:
    """UNSPECIFIED and numbers of the future end no run."""
    message = pb.End(outcome=outcome, reason=reason, epsilon_promised="1", epsilon_spent="1")  # type: ignore[arg-type]
    with pytest.raises(InvalidRecord, match="expected one of"):
        codec.decode_body(Kind.END, message.SerializeToString())


def test_absent_and_present_questions_differ() -> None:
    """A QUERY without weights is not a QUERY with a default."""
    for body in (kinds.QueryBody(None, None), kinds.QueryBody(cases.WEIGHTS, None)):
        assert codec.decode_body(Kind.QUERY, codec.encode_body(body)) == body


def test_weights_keep_every_bit() -> None:
    """Coefficients travel as 64-bit floats, negative zero and subnormals included."""
    values = (-0.0, 5e-324, 0.1, 1.7976931348623157e308)
    found = codec.decode_body(Kind.QUERY, codec.encode_body(weights(*values)))
    assert isinstance(found, kinds.QueryBody)
    assert found.weights is not None
    assert [value.hex() for value in found.weights.values] == [value.hex() for value in values]
