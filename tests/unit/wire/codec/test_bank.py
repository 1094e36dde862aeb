"""Values that a bank's bodies may not hold."""

import re

import pytest

import wire_cases as cases
from tacit.rounds import types as kinds
from tacit.rounds.types import Body, Kind
from tacit.wire import codec
from tacit.wire.codec import InvalidRecord
from tacit.wire.v1 import bank_pb2 as pb

D = cases.digest("any")
SIGNATURE = bytes(64)
MANY = [f"b{number}" for number in range(101)]


def slot(**changes: object) -> kinds.SlotDeal:
    """One slot of a DEAL with some fields changed."""
    fields = {"public_key": D, "seed_commitment": D, "seed_shares": {"ash": D}, "key_shares": {"ash": D}} | changes
    return kinds.SlotDeal(**fields)  # type: ignore[arg-type]


def deal(*slots: kinds.SlotDeal, salt: bytes = D, shares: bytes = D) -> kinds.DealBody:
    """A DEAL of these slots."""
    return kinds.DealBody(slots, salt, shares)


def sealed(seeds: dict[str, bytes], keys: dict[str, bytes]) -> kinds.SharesBody:
    """A SHARES body of one slot."""
    return kinds.SharesBody((kinds.SealedSlot(seeds, keys),))


REFUSED: list[tuple[Body, str]] = [
    (kinds.StartBody(b"b" * 15), "boot has 15 bytes: expected 16"),
    (kinds.LeftBody(b""), "run has 0 bytes: expected 32"),
    (kinds.JoinBody(D, b""), "expected both or neither"),
    (kinds.JoinBody(b"", D), "expected both or neither"),
    (kinds.JoinBody(b"k" * 31, D), "run_key has 31 bytes"),
    (kinds.ResumeBody(0, D, 1, D, rebuilt=False, signature=SIGNATURE), "journal_digest at journal_seq 0"),
    (kinds.ResumeBody(1, D, 1, b"", rebuilt=False, signature=SIGNATURE), "topic_digest at topic_seq 1"),
    (kinds.ResumeBody(2**63, D, 1, D, rebuilt=False, signature=SIGNATURE), "journal_seq = 9223372036854775808"),
    (kinds.ResumeBody(1, D, 1, D, rebuilt=False, signature=b""), "signature has 0 bytes: expected 64"),
    (deal(), "number of slots = 0: expected 1 to 512"),
    (deal(*[slot()] * 513), "number of slots = 513"),
    (deal(slot(public_key=b"")), "public_key has 0 bytes"),
    (deal(slot(seed_commitment=b"x")), "seed_commitment has 1 bytes"),
    (deal(slot(seed_shares={"ash": b"x"})), "seed share for ash has 1 bytes: expected 32"),
    (deal(slot(key_shares={"ash": b"x" * 33})), "key share for ash has 33 bytes: expected 32"),
    (deal(slot(seed_shares={"Ash": D})), "recipient in share commitments = 'Ash'"),
    (deal(slot(seed_shares={"ash": b""}, key_shares={})), "[ash] is empty"),
    (
        deal(slot(seed_shares=dict.fromkeys(MANY, D), key_shares={})),
        "share commitments = 101: expected 0 to 100",
    ),
    (deal(slot(), salt=b"salt"), "salt has 4 bytes"),
    (deal(slot(), shares=b""), "shares_digest has 0 bytes"),
    (sealed({"ash": b"s" * 33}, {}), "seed share for ash has 33 bytes: expected 49"),
    (sealed({}, {"ash": b"s" * 50}), "key share for ash has 50 bytes: expected 49"),
    (kinds.SharesBody(()), "number of slots = 0"),
    (kinds.ComplaintBody("", (1,)), "dealer = ''"),
    (kinds.ComplaintBody("ash", ()), "number of slots = 0"),
    (kinds.ComplaintBody("ash", (512,)), "slot = 512: expected 0 to 511"),
    (kinds.ComplaintBody("ash", (2, 2)), "strictly rising"),
    (kinds.ComplaintBody("ash", (3, 2)), "strictly rising"),
    (kinds.AckBody(b"x"), "survivors_digest has 1 bytes"),
    (kinds.UnmaskBody(D, {"ash": b"s" * 33}, {"ash": b"k" * 33}), "of ash in one UNMASK: never both"),
    (kinds.UnmaskBody(D, {"ash": b"s" * 32}, {}), "seed_shares[ash] has 32 bytes: expected 33"),
    (kinds.UnmaskBody(D, {}, {"ash": b"s" * 34}), "key_shares[ash] has 34 bytes: expected 33"),
    (kinds.UnmaskBody(D, {}, {f"b{number}": b"s" * 33 for number in range(101)}), "key_shares = 101"),
    (kinds.VerdictBody(b"", ""), "subject_digest has 0 bytes"),
    (kinds.VerdictBody(D, "x" * 501), "length of deviation = 501: expected 0 to 500"),
    (kinds.VerdictBody(D, "line\nbreak"), "printable ASCII"),
]


@pytest.mark.parametrize(("body", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_value_out_of_range_is_refused(body: Body, message: str) -> None:
    """The refusal names the field, its value and what is allowed."""
    with pytest.raises(InvalidRecord, match=re.escape(message)):
        codec.encode_body(body)


@pytest.mark.parametrize("code", [0, 7, 99])
def test_unknown_refusal_is_refused(code: int) -> None:
    """UNSPECIFIED and numbers of the future are no refusals."""
    data = pb.Refused(code=code).SerializeToString()  # type: ignore[arg-type]
    with pytest.raises(InvalidRecord, match=f"code = {code}: expected one of 1 VERSION"):
        codec.decode_body(Kind.REFUSED, data)


@pytest.mark.parametrize("dealers", [("birch", "ash"), ("ash", "ash")])
def test_repeated_or_unsorted_dealers_are_refused(dealers: tuple[str, str]) -> None:
    """One mapping has one spelling, so nothing can hide behind a second entry."""
    shares = [pb.OpenedShare(dealer=dealer, share=b"s" * 33) for dealer in dealers]
    data = pb.Unmask(survivors_digest=D, seed_shares=shares).SerializeToString()
    with pytest.raises(InvalidRecord, match="strictly rising ids"):
        codec.decode_body(Kind.UNMASK, data)


def test_repeated_recipient_is_refused() -> None:
    """A second commitment for one recipient is refused."""
    shares = [pb.ShareCommitments(recipient="ash", seed=D, key=D)] * 2
    one = pb.SlotDeal(public_key=D, seed_commitment=D, shares=shares)
    data = pb.Deal(slots=[one], salt=D, shares_digest=D).SerializeToString()
    with pytest.raises(InvalidRecord, match="'ash' stands after 'ash'"):
        codec.decode_body(Kind.DEAL, data)


def test_largest_deal_and_shares_fit_a_record() -> None:
    """K n = 5,500 with the longest ids stays below 960 KiB, in DEAL and in SHARES."""
    banks = [f"{number:0>40}" for number in range(99)]
    slots, commitments = 55, dict.fromkeys(banks, D)
    dealt = codec.encode_body(deal(*[slot(seed_shares=commitments, key_shares=commitments)] * slots))
    shares = dict.fromkeys(banks, b"s" * 49)
    body = kinds.SharesBody((kinds.SealedSlot(shares, shares),) * slots)
    assert len(dealt) < codec.MAX_RECORD_BYTES - 5000
    assert len(codec.encode_body(body)) < codec.MAX_RECORD_BYTES - 5000


def test_local_join_is_empty() -> None:
    """Mode `local` needs no key: its JOIN has no bytes at all."""
    assert codec.encode_body(kinds.JoinBody(b"", b"")) == b""
