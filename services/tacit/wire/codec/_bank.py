"""Bodies that a bank writes on its own topic, vectors apart."""

import itertools
from collections.abc import Iterable, Mapping, Sequence

from tacit.rounds.types import (
    AckBody,
    ComplaintBody,
    DealBody,
    JoinBody,
    LeftBody,
    Refusal,
    RefusedBody,
    ResumeBody,
    SealedSlot,
    SharesBody,
    SlotDeal,
    StartBody,
    UnmaskBody,
    VerdictBody,
)
from tacit.wire.codec import _checks as check
from tacit.wire.v1 import bank_pb2 as pb

BOOT_BYTES = 16
SHARE_BYTES = 33
SEALED_BYTES = SHARE_BYTES + 16
MAX_DEVIATION = 500
MAX_SEQ = 2**63 - 1


def write_start(body: StartBody) -> pb.Start:
    """START to its message."""
    return pb.Start(boot=body.boot)


def read_start(message: pb.Start) -> StartBody:
    """START from its message."""
    return StartBody(check.exact("boot", message.boot, BOOT_BYTES))


def write_resume(body: ResumeBody) -> pb.Resume:
    """RESUME to its message."""
    return pb.Resume(
        journal_seq=body.journal_seq,
        journal_digest=body.journal_digest,
        topic_seq=body.topic_seq,
        topic_digest=body.topic_digest,
        rebuilt=body.rebuilt,
        signature=body.signature,
    )


def read_resume(message: pb.Resume) -> ResumeBody:
    """RESUME from its message: a sequence number of 0 has no digest, any other has one."""
    return ResumeBody(
        *_read_head("journal", message.journal_seq, message.journal_digest),
        *_read_head("topic", message.topic_seq, message.topic_digest),
        message.rebuilt,
        check.exact("signature", message.signature, check.SIGNATURE_BYTES),
    )


def _read_head(name: str, seq: int, digest: bytes) -> tuple[int, bytes]:
    check.within(f"{name}_seq", seq, 0, MAX_SEQ)
    return seq, check.exact(f"{name}_digest at {name}_seq {seq}", digest, 32 if seq else 0)


def write_left(body: LeftBody) -> pb.Left:
    """LEFT to its message."""
    return pb.Left(run=body.run)


def read_left(message: pb.Left) -> LeftBody:
    """LEFT from its message."""
    return LeftBody(check.exact("run", message.run))


def write_join(body: JoinBody) -> pb.Join:
    """JOIN to its message."""
    return pb.Join(run_key=body.run_key, slots_digest=body.slots_digest)


def read_join(message: pb.Join) -> JoinBody:
    """JOIN from its message: both fields, or neither in mode `local`."""
    if bool(message.run_key) != bool(message.slots_digest):
        check.refuse("JOIN holds one of run_key and slots_digest: expected both or neither")
    run_key = check.absent_or_exact("run_key", message.run_key)
    return JoinBody(run_key, check.absent_or_exact("slots_digest", message.slots_digest))


def write_refused(body: RefusedBody) -> pb.Refused:
    """REFUSED to its message."""
    return pb.Refused(code=f"REFUSAL_{body.code.name}")


def read_refused(message: pb.Refused) -> RefusedBody:
    """REFUSED from its message."""
    return RefusedBody(check.member("code", Refusal, message.code))


def _recipients(seeds: Mapping[str, bytes], keys: Mapping[str, bytes]) -> Iterable[tuple[str, bytes, bytes]]:
    return ((name, seeds.get(name, b""), keys.get(name, b"")) for name in sorted({*seeds, *keys}))


def _write_slot(slot: SlotDeal) -> pb.SlotDeal:
    shares = [
        pb.ShareCommitments(recipient=recipient, seed=seed, key=key)
        for recipient, seed, key in _recipients(slot.seed_shares, slot.key_shares)
    ]
    return pb.SlotDeal(public_key=slot.public_key, seed_commitment=slot.seed_commitment, shares=shares)


def _read_slot(message: pb.SlotDeal) -> SlotDeal:
    public_key = check.exact("public_key", message.public_key)
    seed_commitment = check.exact("seed_commitment", message.seed_commitment)
    return SlotDeal(public_key, seed_commitment, *check.read_pair("share commitments", message.shares, 32))


def write_deal(body: DealBody) -> pb.Deal:
    """DEAL to its message."""
    slots = [_write_slot(slot) for slot in body.slots]
    return pb.Deal(slots=slots, salt=body.salt, shares_digest=body.shares_digest)


def read_deal(message: pb.Deal) -> DealBody:
    """DEAL from its message."""
    check.count("slots", message.slots, 1, check.MAX_SLOTS)
    salt, shares = check.exact("salt", message.salt), check.exact("shares_digest", message.shares_digest)
    return DealBody(tuple(_read_slot(slot) for slot in message.slots), salt, shares)


def _write_sealed(slot: SealedSlot) -> pb.SealedSlot:
    shares = [
        pb.SealedShares(recipient=recipient, seed=seed, key=key)
        for recipient, seed, key in _recipients(slot.seed_shares, slot.key_shares)
    ]
    return pb.SealedSlot(shares=shares)


def write_shares(body: SharesBody) -> pb.Shares:
    """SHARES to its message."""
    return pb.Shares(slots=[_write_sealed(slot) for slot in body.slots])


def read_shares(message: pb.Shares) -> SharesBody:
    """SHARES from its message."""
    check.count("slots", message.slots, 1, check.MAX_SLOTS)
    pairs = (check.read_pair("sealed shares", slot.shares, SEALED_BYTES) for slot in message.slots)
    return SharesBody(tuple(SealedSlot(seeds, keys) for seeds, keys in pairs))


def write_complaint(body: ComplaintBody) -> pb.Complaint:
    """COMPLAINT to its message."""
    return pb.Complaint(dealer=body.dealer, slots=body.slots)


def read_complaint(message: pb.Complaint) -> ComplaintBody:
    """COMPLAINT from its message; slots rise strictly."""
    dealer = check.identifier("dealer", message.dealer)
    check.count("slots", message.slots, 1, check.MAX_SLOTS)
    slots = tuple(check.within("slot", slot, 0, check.MAX_SLOTS - 1) for slot in message.slots)
    if any(after <= before for before, after in itertools.pairwise(slots)):
        check.refuse("slots of a COMPLAINT: expected strictly rising numbers")
    return ComplaintBody(dealer, slots)


def write_ack(body: AckBody) -> pb.Ack:
    """ACK to its message."""
    return pb.Ack(survivors_digest=body.survivors)


def read_ack(message: pb.Ack) -> AckBody:
    """ACK from its message."""
    return AckBody(check.exact("survivors_digest", message.survivors_digest))


def _write_opened(shares: Mapping[str, bytes]) -> list[pb.OpenedShare]:
    return [pb.OpenedShare(dealer=dealer, share=shares[dealer]) for dealer in sorted(shares)]


def _read_opened(name: str, entries: Sequence[pb.OpenedShare]) -> dict[str, bytes]:
    check.count(name, entries, 0, check.MAX_BANKS)
    dealers = check.rising(f"dealer in {name}", (entry.dealer for entry in entries))
    pairs = zip(dealers, entries, strict=True)
    return {dealer: check.exact(f"{name}[{dealer}]", entry.share, SHARE_BYTES) for dealer, entry in pairs}


def write_unmask(body: UnmaskBody) -> pb.Unmask:
    """UNMASK to its message."""
    seeds, keys = _write_opened(body.seed_shares), _write_opened(body.key_shares)
    return pb.Unmask(survivors_digest=body.survivors, seed_shares=seeds, key_shares=keys)


def read_unmask(message: pb.Unmask) -> UnmaskBody:
    """UNMASK from its message. Both shares of one dealer would open that bank's vector, so they are refused."""
    survivors = check.exact("survivors_digest", message.survivors_digest)
    seeds = _read_opened("seed_shares", message.seed_shares)
    keys = _read_opened("key_shares", message.key_shares)
    both = sorted(seeds.keys() & keys.keys())
    if both:
        check.refuse(f"seed share and key share of {both[0]} in one UNMASK: never both")
    return UnmaskBody(survivors, seeds, keys)


def write_verdict(body: VerdictBody) -> pb.Verdict:
    """VERDICT to its message."""
    return pb.Verdict(subject_digest=body.subject, deviation=body.deviation)


def read_verdict(message: pb.Verdict) -> VerdictBody:
    """VERDICT from its message."""
    subject = check.exact("subject_digest", message.subject_digest)
    return VerdictBody(subject, check.text("deviation", message.deviation, 0, MAX_DEVIATION))
