"""A bank's policy against epochs of every size: who is known, what unknown banks cost, how pins move."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

import wire_cases as cases
from tacit import canonical
from tacit.federation import (
    MAX_CAP_EPSILON,
    MAX_LEAST_NOISE,
    MAX_MEMBERS,
    MAX_PAID_RETRIES,
    Cap,
    FederationError,
    Manifest,
    MemberStatus,
    Policy,
    accept,
    check_policy,
    fingerprint,
    known_members,
    local_quorum,
)
from tacit.privacy.types import Mode, Unit

NAMES = tuple(f"bank-{number}" for number in range(1, 8))
SEVEN = cases.unsigned_manifest(NAMES, 5, 5, 1)
CAP = Cap(Fraction(2), Fraction(1, 10**5))
SUBSETS = st.sets(st.sampled_from(NAMES[1:]))


def policy(manifest: Manifest = SEVEN, pinned: set[str] | None = None, **changes: object) -> Policy:
    """The policy of bank-1 that pins some peers, all by default."""
    names = set(NAMES) if pinned is None else pinned
    peers = {item.id: fingerprint(item.governance_key) for item in manifest.members if item.id in names | {"bank-1"}}
    made = Policy(
        "bank-1", "cards", Unit.CUSTOMER, CAP, CAP, canonical.label(manifest.digest), peers,
        (cases.CONTRACT,), (Mode.LOCAL, Mode.DISTRIBUTED),
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def with_member(manifest: Manifest, bank: str, **changes: object) -> Manifest:
    """The epoch with one member changed."""
    members = [replace(item, **changes) if item.id == bank else item for item in manifest.members]  # type: ignore[arg-type]
    return replace(manifest, members=tuple(members))


@given(pinned=SUBSETS)
def test_the_bank_and_its_pinned_peers_are_known(pinned: set[str]) -> None:
    """Nobody else, and the bank itself without a pin."""
    assert known_members(policy(pinned=pinned), SEVEN) == pinned | {"bank-1"}


def test_the_own_key_has_to_be_pinned() -> None:
    """Else a false epoch could name another governance key under the bank's own id."""
    own = policy(pinned=set(NAMES))
    without = replace(own, peers={name: pin for name, pin in own.peers.items() if name != "bank-1"})
    assert any("do not pin bank-1's own" in text for text in check_policy(without, SEVEN))
    foreign = with_member(SEVEN, "bank-1", governance_key=SEVEN.members[1].governance_key)
    assert any("governance key of bank-1 is" in text for text in check_policy(own, foreign))


@given(pinned=SUBSETS)
def test_unknown_banks_count_as_colluding(pinned: set[str]) -> None:
    """Mode distributed is refused exactly where the inequalities fail with c + u."""
    known = len(pinned) + 1
    unknown = 7 - known
    joins = 2 * SEVEN.t > 7 + SEVEN.c + unknown and SEVEN.t > SEVEN.c + unknown and known >= SEVEN.q
    assert (check_policy(policy(pinned=pinned), SEVEN, Mode.DISTRIBUTED) == []) is joins


@given(pinned=SUBSETS)
def test_mode_local_takes_a_known_majority(pinned: set[str]) -> None:
    """A crowd of invented banks never makes a quorum."""
    joins = len(pinned) + 1 >= local_quorum(7)
    assert (check_policy(policy(pinned=pinned), SEVEN, Mode.LOCAL) == []) is joins


@pytest.mark.parametrize("status", list(MemberStatus))
def test_a_removed_peer_is_not_known(status: MemberStatus) -> None:
    """A paused one is."""
    known = known_members(policy(), with_member(SEVEN, "bank-2", status=status))
    assert ("bank-2" in known) is (status is not MemberStatus.REMOVED)


def test_a_stale_pin_of_a_removed_peer_is_no_objection() -> None:
    """It takes no part any more, so its key does not matter."""
    gone = with_member(SEVEN, "bank-2", status=MemberStatus.REMOVED, governance_key=cases.key("other").public)
    assert check_policy(policy(), gone) == []


def test_a_paused_bank_may_still_follow_the_epochs() -> None:
    """Pausing is no removal."""
    assert check_policy(policy(), with_member(SEVEN, "bank-1", status=MemberStatus.PAUSED)) == []


@pytest.mark.parametrize(("name", "value"), [("t", 5), ("q", 5), ("c", 1)])
def test_the_least_numbers_are_met_by_equality(name: str, value: int) -> None:
    """One more is an objection that names both."""
    assert check_policy(policy(**{f"least_{name}": value}), SEVEN) == []
    (objection,) = check_policy(policy(**{f"least_{name}": value + 1}), SEVEN)
    assert objection == f"{name} = {value}: the policy asks for at least {value + 1}"


@pytest.mark.parametrize(
    ("of_policy", "of_epoch", "asked", "joins"),
    [
        ((Mode.LOCAL,), (Mode.LOCAL, Mode.DISTRIBUTED), None, True),
        ((Mode.LOCAL,), (Mode.DISTRIBUTED,), None, False),
        ((Mode.LOCAL, Mode.DISTRIBUTED), (Mode.LOCAL,), Mode.DISTRIBUTED, False),
        ((Mode.DISTRIBUTED,), (Mode.DISTRIBUTED,), Mode.DISTRIBUTED, True),
        ((Mode.DISTRIBUTED,), (Mode.LOCAL, Mode.DISTRIBUTED), Mode.LOCAL, False),
    ],
)
def test_a_mode_must_be_allowed_by_both(
    of_policy: tuple[Mode, ...], of_epoch: tuple[Mode, ...], asked: Mode | None, joins: object
) -> None:
    """Neither side can be talked into the other's mode."""
    objections = check_policy(policy(modes=of_policy), replace(SEVEN, modes=of_epoch), asked)
    assert any("no shared mode" in text for text in objections) is not joins
    assert (objections == []) is joins


def test_one_shared_contract_is_enough() -> None:
    """Two that differ are not."""
    other = canonical.label(b"x" * 32)
    assert check_policy(policy(contracts=(other, cases.CONTRACT)), SEVEN) == []
    assert check_policy(policy(contracts=(other,)), SEVEN) == ["no contract of the epoch is accepted by the policy"]


def test_a_rotation_moves_the_pins_of_known_peers_alone() -> None:
    """A pin of a bank that is no member yet, and everything but the pins, stays."""
    root = cases.signed(SEVEN, "ops", *NAMES)
    mine = policy(root, peers={**policy(root).peers, "newcomer": canonical.label(b"n" * 32)})
    key = cases.key("bank-2 anew").public
    later = replace(
        with_member(root, "bank-2", governance_key=key),
        epoch=2, previous_digest=canonical.label(root.digest), signatures=(),
    )  # fmt: skip
    moved = accept(mine, cases.signed(later, "ops", *NAMES), root)
    assert moved == replace(mine, peers={**mine.peers, "bank-2": fingerprint(key)})


def test_a_peer_without_a_pin_gets_none_by_acceptance() -> None:
    """Only the bank's own people pin."""
    root = cases.signed(SEVEN, "ops", *NAMES)
    mine = policy(root, {"bank-2", "bank-3", "bank-4", "bank-5", "bank-6"})
    later = replace(root, epoch=2, previous_digest=canonical.label(root.digest), signatures=())
    assert accept(mine, cases.signed(later, "ops", *NAMES), root).peers == mine.peers


def test_an_unsigned_epoch_is_never_accepted() -> None:
    """Even where its digest is the pinned root."""
    with pytest.raises(FederationError, match="no operator signed"):
        accept(policy(), SEVEN)


@pytest.mark.parametrize(
    "changes",
    [
        {"bucket_cap": Cap(MAX_CAP_EPSILON - Fraction(1, 10**6), Fraction(999, 1000))},
        {"lifetime_cap": Cap(Fraction(1, 10**6), Fraction(1, 10**12))},
        {"least_t": 0, "least_q": 1, "least_c": 0},
        {"least_t": MAX_MEMBERS, "least_q": MAX_MEMBERS, "least_c": MAX_MEMBERS},
        {"least_noise": Fraction(MAX_LEAST_NOISE), "max_paid_retries": MAX_PAID_RETRIES},
        {"account": "A" * 64},
        {"account": "0._-x"},
    ],
)
def test_edges_of_the_ranges_are_allowed(changes: dict[str, object]) -> None:
    """The values stay as given."""
    made = policy(**changes)
    assert all(getattr(made, name) == value for name, value in changes.items())


@pytest.mark.parametrize("account", ["A" * 65, "-a", ".a", "a/b", "a b", "a\n", "\u00e4"])
def test_an_account_is_a_file_name_everywhere(account: str) -> None:
    """Journals are named by it."""
    with pytest.raises(FederationError, match=r"account = [\s\S]*expected 1 to 64"):
        policy(account=account)


def test_all_faults_of_a_policy_are_named_at_once() -> None:
    """Ids and numbers in one message."""
    with pytest.raises(FederationError, match="least_q = 0") as caught:
        policy(account="", modes=(), least_q=0, least_c=-1)
    assert all(part in str(caught.value) for part in ("account = ''", "number of modes = 0", "least_c = -1"))
