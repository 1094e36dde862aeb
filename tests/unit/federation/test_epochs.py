"""Epochs of every size: default quorums, who must sign, rotations and removals, routine changes."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wire_cases as cases
from tacit import canonical
from tacit.federation import (
    LEAST_DISTRIBUTED,
    FederationError,
    Manifest,
    MemberStatus,
    check_manifest,
    check_terms,
    default_quorums,
    local_quorum,
    routine,
    sign_manifest,
    two_thirds,
)
from tacit.privacy.types import Mode

SIZES = st.integers(1, 100)
BANKS = tuple(f"bank-{number}" for number in range(1, 8))
NEW = cases.key("new").public


def root_of(n: int, **changes: object) -> Manifest:
    """Epoch 1 of the first n banks, unsigned, with its default quorums."""
    base = cases.unsigned_manifest(BANKS[:n], *default_quorums(n))
    modes = base.modes if n >= LEAST_DISTRIBUTED else (Mode.LOCAL,)
    return replace(base, modes=modes, **changes)  # type: ignore[arg-type]


def after(previous: Manifest, **changes: object) -> Manifest:
    """The next epoch, unsigned."""
    fields = {"epoch": previous.epoch + 1, "previous_digest": canonical.label(previous.digest), "signatures": ()}
    return replace(previous, **(fields | changes))  # type: ignore[arg-type]


def member_with(previous: Manifest, bank: str, **changes: object) -> dict[str, object]:
    """The members with one changed, as a change of the manifest."""
    found = [replace(item, **changes) if item.id == bank else item for item in previous.members]  # type: ignore[arg-type]
    return {"members": tuple(found)}


def faults(manifest: Manifest, previous: Manifest | None) -> str:
    """What `check_manifest` says; empty if it passes."""
    try:
        check_manifest(manifest, previous)
    except FederationError as error:
        return str(error)
    return ""


@given(n=SIZES)
def test_a_majority_is_the_least_one(n: int) -> None:
    """One bank fewer would let two results stand side by side."""
    assert 2 * local_quorum(n) > n >= 2 * (local_quorum(n) - 1)


@given(n=SIZES)
def test_two_thirds_is_the_least_one(n: int) -> None:
    """Not a bank more than the rule asks for, in whole numbers."""
    assert 3 * two_thirds(n) >= 2 * n > 3 * (two_thirds(n) - 1)


@given(n=st.integers(1, 99))
def test_quorums_never_shrink_as_banks_join(n: int) -> None:
    """Growing a federation never weakens it."""
    assert local_quorum(n) <= local_quorum(n + 1) <= local_quorum(n) + 1
    assert two_thirds(n) <= two_thirds(n + 1) <= two_thirds(n) + 1
    assert all(now <= later for now, later in zip(default_quorums(n)[:2], default_quorums(n + 1)[:2], strict=True))


@given(n=st.integers(3, 100))
def test_a_secret_stays_closed_to_the_colluding_banks(n: int) -> None:
    """C colluders and every bank that a split view shows once: two sets of t have an honest bank in common."""
    t, q, c = default_quorums(n)
    assert c < t <= q
    assert 2 * t - n > c


@pytest.mark.parametrize("n", range(1, 8))
def test_default_quorums_make_an_epoch_that_passes(n: int) -> None:
    """For every size that a test can sign."""
    assert faults(cases.signed(root_of(n), "ops", *BANKS[:n]), None) == ""


@pytest.mark.parametrize("n", [1, 2, 3, 5, 7])
def test_the_first_epoch_takes_all_the_later_two_thirds(n: int) -> None:
    """One signature fewer is refused with both numbers."""
    root, banks = root_of(n), BANKS[:n]
    assert f"{n - 1} of {n} members signed: expected at least {n}" in faults(
        cases.signed(root, "ops", *banks[1:]), None
    )
    need = two_thirds(n)
    assert faults(cases.signed(after(root), "ops", *banks[:need]), root) == ""
    few = faults(cases.signed(after(root), "ops", *banks[: need - 1]), root)
    assert f"{need - 1} of {n} members signed: expected at least {need}" in few


@given(t=st.integers(0, 5), q=st.integers(1, 5), c=st.integers(0, 4))
@settings(max_examples=60)
def test_the_rules_of_mode_distributed_are_these_four(t: int, q: int, c: int) -> None:
    """An epoch of five passes exactly where all inequalities hold; each that does not is named."""
    rules = {"2t > n + c": 2 * t > 5 + c, "t <= q <= n": t <= q, "q - c >= 2": q - c >= 2, "q >= 3": q >= 3}
    base = replace(root_of(5), t=t, q=q, c=c)
    if all(rules.values()):
        check_terms(base, None)
        return
    with pytest.raises(FederationError) as caught:
        check_terms(base, None)
    named = {rule for rule in rules if f"mode distributed needs {rule}," in str(caught.value)}
    assert named == {rule for rule, holds in rules.items() if not holds}


def test_mode_local_alone_needs_none_of_them() -> None:
    """T, q and c mean nothing there but must be numbers of banks."""
    assert check_terms(replace(root_of(5), modes=(Mode.LOCAL,), t=0, q=1, c=4), None) == []


def test_terms_are_checked_without_signatures() -> None:
    """What a signer looks at before it signs; the epoch itself does not pass yet."""
    assert check_terms(root_of(5), None) == []
    assert "no operator signed: expected one of ops" in faults(root_of(5), None)


def test_a_removed_bank_no_longer_counts_nor_signs() -> None:
    """N, and with it two thirds, is that of the standing members before."""
    root = root_of(5)
    second = after(root, **member_with(root, "bank-5", status=MemberStatus.REMOVED), t=3, q=3, c=1)
    assert faults(cases.signed(second, "ops", *BANKS[:4]), root) == ""
    third = after(second)
    assert "2 of 4 members signed" in faults(cases.signed(third, "ops", "bank-1", "bank-2", "bank-5"), second)
    assert faults(cases.signed(third, "ops", *BANKS[:3]), second) == ""


@pytest.mark.parametrize("change", ["signing_key", "governance_key", "principal", "status"])
def test_a_removed_bank_is_frozen(change: str) -> None:
    """Not even its keys may change: records that it signed must still be read."""
    root = root_of(5)
    second = after(root, **member_with(root, "bank-5", status=MemberStatus.REMOVED), t=3, q=3, c=1)
    value = {"principal": "User:other", "status": MemberStatus.PAUSED}.get(change, NEW)
    third = cases.signed(after(second, **member_with(second, "bank-5", **{change: value})), "ops", *BANKS[:4])
    assert "member bank-5 was removed and may not change" in faults(third, second)


def test_a_removed_bank_may_not_be_dropped_from_the_list() -> None:
    """Its index would look free."""
    root = root_of(5)
    second = after(root, **member_with(root, "bank-5", status=MemberStatus.REMOVED), t=3, q=3, c=1)
    third = cases.signed(after(second, members=second.members[:4]), "ops", *BANKS[:4])
    assert "member bank-5 is missing" in faults(third, second)


@pytest.mark.parametrize("status", [MemberStatus.PAUSED, MemberStatus.ACTIVE])
def test_pausing_and_waking_need_no_key_of_the_bank(status: MemberStatus) -> None:
    """Peers may pause a bank that does not answer, and let it back in."""
    root = root_of(5, **member_with(root_of(5), "bank-3", status=MemberStatus.PAUSED))
    second = after(root, **member_with(root, "bank-3", status=status))
    assert faults(cases.signed(second, "ops", "bank-1", "bank-2", "bank-4", "bank-5"), root) == ""


def test_both_keys_rotate_under_the_old_governance_key() -> None:
    """The old signing key alone may not replace the governance key, nor anybody else both."""
    root = root_of(3)
    fresh = cases.key("fresh governs").public
    second = after(root, **member_with(root, "bank-1", signing_key=NEW, governance_key=fresh))
    assert faults(cases.signed(second, "ops", "bank-1", "bank-2"), root) == ""
    peers = cases.signed(second, "ops", "bank-2", "bank-3")
    assert "governance key of bank-1" in faults(peers, root)
    assert "signing key of bank-1" in faults(peers, root)
    by_signing = faults(sign_manifest(peers, "bank-1", cases.key("bank-1 signs")), root)
    assert "governance key of bank-1" in by_signing
    assert "; signing key" not in by_signing


def test_a_bank_may_swap_no_key_with_a_peer() -> None:
    """A key that stands twice is refused whoever signs."""
    root = root_of(3)
    taken = root.by_id["bank-2"].governance_key
    second = cases.signed(after(root, **member_with(root, "bank-1", signing_key=taken)), "ops", *BANKS[:3])
    assert "stands 2 times" in faults(second, root)


def test_signatures_of_the_epoch_before_do_not_carry_over() -> None:
    """They are over other bytes."""
    root = cases.signed(root_of(3), "ops", *BANKS[:3])
    assert "holds under none of its keys" in faults(after(root, signatures=root.signatures), root)


def test_signing_keeps_the_others_and_sorts() -> None:
    """The order in which members sign leaves no trace."""
    one = cases.signed(root_of(3), "ops", *BANKS[:3])
    other = cases.signed(root_of(3), *reversed(BANKS[:3]), "ops")
    assert one == other
    assert len(one.signatures) == 4


@given(paused=st.sets(st.sampled_from(BANKS[:5])), removed=st.sets(st.sampled_from(BANKS[:5])))
def test_pauses_and_removals_are_routine_additions_never(paused: set[str], removed: set[str]) -> None:
    """Whatever the set of banks; a bank that was removed and stands again is an addition."""
    root = root_of(5)
    standing = dict.fromkeys(paused, MemberStatus.PAUSED) | dict.fromkeys(removed, MemberStatus.REMOVED)
    members = tuple(replace(item, status=standing.get(item.id, item.status)) for item in root.members)
    later = after(root, members=members)
    assert routine(later, root)
    assert routine(root, later) is not bool(removed)
