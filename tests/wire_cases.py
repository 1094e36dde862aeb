"""A small federation with fixed keys, one body of every kind, and strategies that make more of them."""

import datetime as dt
import hashlib
from dataclasses import replace
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from tacit import canonical
from tacit.federation import Manifest, Member, Operator, sign_manifest
from tacit.learning.types import Learner, Shares, Structure, TreeStructure, Weights
from tacit.privacy.types import Mode, Release, ReleaseEvent, Unit
from tacit.rounds import types as kinds
from tacit.rounds.plan import Plan, Window
from tacit.rounds.types import Body, Header, Kind
from tacit.wire import codec, inner, topics
from tacit.wire.envelope import Sealed, SigningKey, seal
from tacit.wire.keys import KeyRing

BANKS = ("ash", "birch", "cedar")
CONTRACT = canonical.label(bytes(32))


def key(name: str) -> SigningKey:
    """The fixed key of a name."""
    return SigningKey.from_seed(hashlib.sha256(name.encode()).digest())


def digest(name: str) -> bytes:
    """A digest that differs by name."""
    return hashlib.sha256(b"digest of " + name.encode()).digest()


def member(name: str, index: int) -> Member:
    """A member with the fixed keys of its name."""
    return Member(name, index, key(f"{name} signs").public, key(f"{name} governs").public, f"User:{name}")


def unsigned_manifest(banks: tuple[str, ...] = BANKS, t: int = 3, q: int = 3, c: int = 1) -> Manifest:
    """Epoch 1 without signatures."""
    return Manifest(
        federation="demo",
        epoch=1,
        members=tuple(member(bank, index) for index, bank in enumerate(banks, 1)),
        operators=(Operator("ops", key("ops").public),),
        aggregator=key("aggregator").public,
        registry=key("registry").public,
        t=t,
        q=q,
        c=c,
        modes=(Mode.LOCAL, Mode.DISTRIBUTED),
        contracts=(CONTRACT,),
    )


def signed(manifest: Manifest, *signers: str) -> Manifest:
    """The epoch with the signatures of members (governance keys) and operators."""
    for signer in signers:
        name = f"{signer} governs" if signer in manifest.by_id else signer
        manifest = sign_manifest(manifest, signer, key(name))
    return manifest


MANIFEST = signed(unsigned_manifest(), "ops", *BANKS)
RING = KeyRing([MANIFEST])

PLAN = Plan(
    federation="demo",
    manifest=canonical.label(MANIFEST.digest),
    not_after=dt.date(2018, 9, 1),
    model="card-fraud",
    contract=CONTRACT,
    unit=Unit.CUSTOMER,
    mode=Mode.LOCAL,
    epsilon=Fraction(1),
    delta=Fraction(1, 10**5),
    population=10_000,
    window=Window(end=dt.date(2018, 8, 1), days=90),
    learner=Learner(),
    shares=Shares(preconditioner=Fraction(1, 20), gradients=Fraction(19, 20)),
    nonce="ab" * 32,
)
PLAN_BODY = inner.sign_plan(PLAN, "ops", key("ops"))
RUN = hashlib.sha256(PLAN_BODY.plan_json).digest()

STRUCTURE = Structure((TreeStructure((0, 1, 2), (1, 62, 7)), TreeStructure((3, 4, 254), (2, 3, 4))))
WEIGHTS = Weights((0.5, -1.25, 3e-9))
CONTENT = b"model " * 500


def release(values: tuple[int, ...], mode: Mode = Mode.LOCAL) -> Release:
    """A release of these values."""
    return Release(np.array(values, dtype=np.int64), ReleaseEvent(mode, 10_000, 1000, 1000))


def masked(values: tuple[int, ...]) -> Body:
    """A masked vector as a reader decodes it."""
    return codec.decode_body(Kind.MASKED, codec.encode_body(codec.vector_body(release(values))))


def _resume() -> Body:
    body = kinds.ResumeBody(4, digest("journal"), 5, digest("topic"), rebuilt=True, signature=bytes(64))
    return inner.sign_resume("demo", "ash", body, key("ash governs"))


def _deal() -> Body:
    shares = {"birch": digest("b"), "cedar": digest("c")}
    slot = kinds.SlotDeal(digest("pk"), digest("seed"), shares, {"cedar": digest("kc")})
    return kinds.DealBody((slot, slot), digest("salt"), digest("shares"))


BODIES: dict[Kind, Body] = {
    Kind.MANIFEST: kinds.ManifestBody(canonical.encode(MANIFEST), MANIFEST),
    Kind.LEAD: kinds.LeadBody(digest("nonce"), "aggregator-0", digest("lead")),
    Kind.PLAN: PLAN_BODY,
    Kind.ORDER: inner.sign_cancel("demo", RUN, "ops", key("ops")),
    Kind.OPEN: kinds.OpenBody(RUN),
    Kind.START: kinds.StartBody(bytes(range(16))),
    Kind.RESUME: _resume(),
    Kind.LEFT: kinds.LeftBody(RUN),
    Kind.JOIN: kinds.JoinBody(digest("run key"), digest("slots")),
    Kind.REFUSED: kinds.RefusedBody(kinds.Refusal.BUDGET),
    Kind.ROSTER: kinds.RosterBody({bank: digest(bank) for bank in BANKS}),
    Kind.DEAL: _deal(),
    Kind.SHARES: kinds.SharesBody((kinds.SealedSlot({"birch": b"s" * 49}, {"birch": b"k" * 49, "cedar": b"c" * 49}),)),
    Kind.COMPLAINT: kinds.ComplaintBody("birch", (0, 3, 511)),
    Kind.COHORT: kinds.CohortBody({bank: digest(bank) for bank in BANKS}, (digest("y"), digest("x"))),
    Kind.QUERY: kinds.QueryBody(WEIGHTS, STRUCTURE),
    Kind.RELEASE: codec.vector_body(release((-1, 0, 2**62))),
    Kind.MASKED: masked((5, -6)),
    Kind.SURVIVORS: kinds.SurvivorsBody({bank: digest(bank) for bank in BANKS}),
    Kind.ACK: kinds.AckBody(digest("survivors")),
    Kind.UNMASK: kinds.UnmaskBody(digest("survivors"), {"ash": b"a" * 33, "birch": b"b" * 33}, {"cedar": b"c" * 33}),
    Kind.RESULT: kinds.ResultBody({"ash": digest("u")}, (-(2**63), 2**63 - 1, 0), 10**30, 7, WEIGHTS, None),
    Kind.ABORT: kinds.AbortBody(kinds.Reason.MISSING_RECORD),
    Kind.END: kinds.EndBody(kinds.Outcome.FINISHED, kinds.Reason.NONE, digest("model"), "1", "0.987"),
    Kind.VERDICT: kinds.VerdictBody(digest("end"), "sum of slot 3 differs"),
    Kind.VERSION: kinds.VersionBody(b'{"model":"card-fraud"}'),
    Kind.ARTEFACT: kinds.ArtefactBody(hashlib.sha256(CONTENT).digest(), CONTENT),
    Kind.ALIAS: kinds.AliasBody("champion", digest("version"), 2),
    Kind.CHECKPOINT: kinds.CheckpointBody(digest("head"), 9),
}


def topic_of(kind: Kind) -> str:
    """A topic on which the kind may stand."""
    if kind in kinds.CONTROL_KINDS:
        return "tacit.control.v1"
    return "tacit.versions.v1" if kind in kinds.VERSION_KINDS else "tacit.bank.v1.ash"


def sender_of(kind: Kind) -> str:
    """Who writes the kind in these cases."""
    return topics.find(topic_of(kind)).writer


def header(kind: Kind, **changes: object) -> Header:
    """A header that fits a kind; its body digest is still missing."""
    attempt, bank = kind in kinds.ATTEMPT_KINDS, topic_of(kind).startswith("tacit.bank")
    made = Header(
        federation="demo",
        manifest=MANIFEST.digest,
        run=RUN if attempt or kind in kinds.RUN_KINDS else b"",
        round=2 if attempt else 0,
        slot=3 if attempt else 0,
        kind=kind,
        sender=sender_of(kind),
        context=digest("context"),
        body=b"",
        fence=digest("lead") if kind in kinds.FENCED_KINDS else b"",
        create_time_ms=1_533_081_600_123,
        seq=5 if bank else 0,
        previous=digest("previous") if bank else b"",
        journal_head=digest("head") if bank else b"",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def record_key(sender: str) -> SigningKey:
    """The key with which a sender signs records."""
    return key(f"{sender} signs") if sender in BANKS else key(sender)


def record(kind: Kind, body: Body | None = None, **changes: object) -> Sealed:
    """A sealed record of a kind."""
    made = header(kind, **changes)
    return seal(made, body or BODIES[kind], record_key(made.sender))


ids = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True)
digests = st.binary(min_size=32, max_size=32)
absent_or_digests = st.one_of(st.just(b""), digests)
runs = digests
signatures = st.binary(min_size=64, max_size=64)
words = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=60)
sequences = st.integers(1, 2**63 - 1)
int64s = st.integers(-(2**63), 2**63 - 1)


def by_bank(values: st.SearchStrategy[bytes], least: int = 1) -> st.SearchStrategy[dict[str, bytes]]:
    """Mappings of bank to bytes."""
    return st.dictionaries(ids, values, min_size=least, max_size=5)


weights = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=6).map(
    lambda values: Weights(tuple(values))
)


@st.composite
def structures(draw: st.DrawFn) -> Structure:
    """Trees of one depth."""
    nodes = 2 ** draw(st.integers(1, 4)) - 1
    columns = st.lists(st.integers(0, 254), min_size=nodes, max_size=nodes).map(tuple)
    cuts = st.lists(st.integers(1, 62), min_size=nodes, max_size=nodes).map(tuple)
    return Structure(tuple(draw(st.lists(st.builds(TreeStructure, columns, cuts), min_size=1, max_size=3))))


@st.composite
def resumes(draw: st.DrawFn) -> kinds.ResumeBody:
    """RESUME bodies; a sequence number of 0 has no digest."""
    journal, topic = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    heads = (draw(digests) if journal else b"", draw(digests) if topic else b"")
    return kinds.ResumeBody(journal, heads[0], topic, heads[1], draw(st.booleans()), draw(signatures))


@st.composite
def unmasks(draw: st.DrawFn) -> kinds.UnmaskBody:
    """UNMASK bodies; no dealer in both lists."""
    shares = draw(by_bank(st.binary(min_size=33, max_size=33), least=0))
    seeds = {dealer: share for dealer, share in shares.items() if draw(st.booleans())}
    rest = {dealer: share for dealer, share in shares.items() if dealer not in seeds}
    return kinds.UnmaskBody(draw(digests), seeds, rest)


def _orders() -> st.SearchStrategy[kinds.OrderBody]:
    entries = st.dictionaries(ids, signatures, min_size=1, max_size=4).map(lambda found: tuple(sorted(found.items())))
    cancel = st.builds(kinds.OrderBody, st.just(kinds.OrderAction.CANCEL), runs, st.just(""), entries)
    return cancel | st.builds(kinds.OrderBody, st.just(kinds.OrderAction.REVOKE), st.just(b""), ids, entries)


def _ends() -> st.SearchStrategy[kinds.EndBody]:
    epsilons = st.sampled_from(["0", "1", "0.98765", "1/3", "64"])
    outcomes = st.sampled_from([kinds.Outcome.ABORTED, kinds.Outcome.CANCELLED])
    reasons = st.sampled_from([reason for reason in kinds.Reason if reason is not kinds.Reason.NONE])
    finished = st.tuples(st.just(kinds.Outcome.FINISHED), st.just(kinds.Reason.NONE), digests)
    failed = st.tuples(outcomes, reasons, st.just(b""))
    return st.tuples(finished | failed, epsilons, epsilons).map(lambda parts: kinds.EndBody(*parts[0], *parts[1:]))


def _vectors(kind: Kind) -> st.SearchStrategy[Body]:
    values = st.lists(int64s, min_size=1, max_size=40).map(tuple)
    return values.map(masked) if kind is Kind.MASKED else values.map(lambda cells: codec.vector_body(release(cells)))


def _shares(size: int) -> st.SearchStrategy[dict[str, bytes]]:
    return by_bank(st.binary(min_size=size, max_size=size), least=0)


def _many(values: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(values, min_size=1, max_size=4).map(tuple)


def _artefact(content: bytes) -> kinds.ArtefactBody:
    return kinds.ArtefactBody(hashlib.sha256(content).digest(), content)


def _epoch(contracts: list[bytes]) -> Body:
    labels = tuple(canonical.label(contract) for contract in contracts)
    manifest = signed(replace(unsigned_manifest(), contracts=labels), "ops", *BANKS)
    return kinds.ManifestBody(canonical.encode(manifest), manifest)


_SLOTS = st.sets(st.integers(0, 511), min_size=1, max_size=9).map(lambda slots: tuple(sorted(slots)))
_DEALS = st.builds(kinds.SlotDeal, digests, digests, _shares(32), _shares(32))
_SEALED = st.builds(kinds.SealedSlot, _shares(49), _shares(49))
_COMPLAINTS = st.lists(digests, max_size=4, unique=True).map(tuple)
_SUMS = st.lists(int64s, min_size=1, max_size=9).map(tuple)
_VARIANCES = st.integers(0, 10**40 - 1)
_RHOS = st.integers(0, 2**64 - 1)
_REASONS = st.sampled_from([reason for reason in kinds.Reason if reason is not kinds.Reason.NONE])
_WEIGHTS, _TREES = st.none() | weights, st.none() | structures()
_LOCAL_JOIN = st.just(kinds.JoinBody(b"", b""))

STRATEGIES: dict[Kind, st.SearchStrategy[Body]] = {
    Kind.MANIFEST: st.lists(digests, min_size=1, max_size=3, unique=True).map(_epoch),
    Kind.LEAD: st.builds(kinds.LeadBody, digests, words, absent_or_digests),
    Kind.PLAN: st.integers(1, 30).map(
        lambda rounds: inner.sign_plan(replace(PLAN, learner=Learner(rounds=rounds, average=1)), "ops", key("ops"))
    ),
    Kind.ORDER: _orders(),
    Kind.OPEN: st.builds(kinds.OpenBody, runs),
    Kind.START: st.builds(kinds.StartBody, st.binary(min_size=16, max_size=16)),
    Kind.RESUME: resumes(),
    Kind.LEFT: st.builds(kinds.LeftBody, runs),
    Kind.JOIN: _LOCAL_JOIN | st.builds(kinds.JoinBody, digests, digests),
    Kind.REFUSED: st.builds(kinds.RefusedBody, st.sampled_from(kinds.Refusal)),
    Kind.ROSTER: st.builds(kinds.RosterBody, by_bank(digests)),
    Kind.DEAL: st.builds(kinds.DealBody, _many(_DEALS), digests, digests),
    Kind.SHARES: st.builds(kinds.SharesBody, _many(_SEALED)),
    Kind.COMPLAINT: st.builds(kinds.ComplaintBody, ids, _SLOTS),
    Kind.COHORT: st.builds(kinds.CohortBody, by_bank(digests), _COMPLAINTS),
    Kind.QUERY: st.builds(kinds.QueryBody, _WEIGHTS, _TREES),
    Kind.RELEASE: _vectors(Kind.RELEASE),
    Kind.MASKED: _vectors(Kind.MASKED),
    Kind.SURVIVORS: st.builds(kinds.SurvivorsBody, by_bank(digests)),
    Kind.ACK: st.builds(kinds.AckBody, digests),
    Kind.UNMASK: unmasks(),
    Kind.RESULT: st.builds(kinds.ResultBody, by_bank(digests), _SUMS, _VARIANCES, _RHOS, _WEIGHTS, _TREES),
    Kind.ABORT: st.builds(kinds.AbortBody, _REASONS),
    Kind.END: _ends(),
    Kind.VERDICT: st.builds(kinds.VerdictBody, digests, st.just("") | words),
    Kind.VERSION: st.builds(kinds.VersionBody, st.binary(min_size=1, max_size=200)),
    Kind.ARTEFACT: st.binary(min_size=1, max_size=500).map(_artefact),
    Kind.ALIAS: st.builds(kinds.AliasBody, ids, digests, sequences),
    Kind.CHECKPOINT: st.builds(kinds.CheckpointBody, digests, sequences),
}
