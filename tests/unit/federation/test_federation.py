"""Epochs, quorums, signatures, policies and acceptance (protocol 1)."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

import wire_cases as cases
from tacit import canonical, federation
from tacit.federation import (
    Cap,
    EpochSignature,
    FederationError,
    Manifest,
    MemberStatus,
    Operator,
    Policy,
    Protocol,
    accept,
    check_manifest,
    check_policy,
    default_quorums,
    fingerprint,
    known_members,
    local_quorum,
    routine,
    sign_manifest,
)
from tacit.privacy.types import Mode, Unit

ROOT = cases.MANIFEST
BANKS = cases.BANKS
FIVE = ("ash", "birch", "cedar", "dogwood", "elm")
CAP = Cap(Fraction(2), Fraction(1, 10**5))
LOCAL = (Mode.LOCAL,)


def first(banks: tuple[str, ...] = BANKS, **changes: object) -> Manifest:
    """Epoch 1 with some changes, signed by everybody it needs."""
    t, q, c = default_quorums(len(banks))
    base = cases.unsigned_manifest(banks, t, q, c)
    if len(banks) < 3:
        base = replace(base, modes=LOCAL)
    return cases.signed(replace(base, **changes), "ops", *banks)  # type: ignore[arg-type]


def following(previous: Manifest, *signers: str, **changes: object) -> Manifest:
    """The next epoch with some changes."""
    fields = {"epoch": previous.epoch + 1, "previous_digest": canonical.label(previous.digest), "signatures": ()}
    return cases.signed(replace(previous, **(fields | changes)), *signers)  # type: ignore[arg-type]


def broken(manifest: Manifest, previous: Manifest | None = None) -> str:
    """What is wrong with an epoch."""
    with pytest.raises(FederationError) as caught:
        check_manifest(manifest, previous)
    return str(caught.value)


def changed(previous: Manifest, bank: str, **changes: object) -> tuple[federation.Member, ...]:
    """The members with one of them changed."""
    return tuple(
        replace(member, **changes) if member.id == bank else member  # type: ignore[arg-type]
        for member in previous.members
    )


def policy(**changes: object) -> Policy:
    """The policy of ash, which knows its two peers."""
    peers = {member.id: fingerprint(member.governance_key) for member in ROOT.members}
    made = Policy(
        bank="ash",
        account="cards",
        unit=Unit.CUSTOMER,
        bucket_cap=CAP,
        lifetime_cap=CAP,
        root=canonical.label(ROOT.digest),
        peers=peers,
        contracts=(cases.CONTRACT,),
        modes=(Mode.LOCAL, Mode.DISTRIBUTED),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("n", "expected"),
    [(1, (1, 1, 0)), (2, (2, 2, 0)), (3, (3, 3, 1)), (5, (4, 4, 1)), (10, (7, 7, 2)), (100, (67, 67, 20))],
)
def test_default_quorums(n: int, expected: tuple[int, int, int]) -> None:
    """The figures of the protocol page."""
    assert default_quorums(n) == expected


@pytest.mark.parametrize("n", range(3, 101))
def test_default_quorums_keep_every_rule(n: int) -> None:
    """Whatever the size, the defaults pass the inequalities."""
    t, q, c = default_quorums(n)
    assert 2 * t > n + c
    assert t <= q <= n
    assert q - c >= 2
    assert q >= 3


@pytest.mark.parametrize("n", [0, -1, 101])
def test_default_quorums_outside_their_range(n: int) -> None:
    """No federation of that size."""
    with pytest.raises(FederationError, match="expected 1 to 100"):
        default_quorums(n)


@given(n=st.integers(1, 100))
def test_two_local_quorums_share_a_bank(n: int) -> None:
    """A majority: two disjoint sets of banks never both make a result."""
    assert 2 * local_quorum(n) > n
    assert local_quorum(n) <= n


@pytest.mark.parametrize(("n", "expected"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 4), (6, 4), (100, 67)])
def test_two_thirds_is_rounded_up(n: int, expected: int) -> None:
    """ceil(2n/3)."""
    assert federation.two_thirds(n) == expected


def test_first_epoch_holds_and_warns() -> None:
    """Three banks with c = 1: one silent bank stops every distributed run, which is said."""
    assert check_manifest(ROOT, None) == ["1 silent banks of 3 stop every run of mode distributed, which needs t = 3"]
    assert check_manifest(first(FIVE), None) == []
    assert check_manifest(first(modes=LOCAL), None) == []


@pytest.mark.parametrize("banks", [("ash",), ("ash", "birch")])
def test_one_and_two_banks_are_local(banks: tuple[str, ...]) -> None:
    """Below three members there is mode local only, with c = 0."""
    assert check_manifest(first(banks), None) == []
    assert "below 3 only mode local" in broken(first(banks, c=1))
    assert "below 3 only mode local" in broken(first(banks, modes=(Mode.LOCAL, Mode.DISTRIBUTED)))


@pytest.mark.parametrize(
    ("t", "q", "c", "message"),
    [
        (3, 3, 1, "2t > n + c, with t = 3, n = 5, c = 1"),
        (4, 3, 1, "t <= q <= n, with t = 4, q = 3, n = 5"),
        (4, 6, 1, "q = 6: expected 1 to 5"),
        (5, 5, 4, "q - c >= 2, with q = 5, c = 4"),
        (6, 6, 0, "t = 6: expected 0 to 5"),
        (4, 4, -1, "c = -1: expected 0 to 4"),
        (4, 4, 5, "c = 5: expected 0 to 4"),
        (3, 2, 0, "q >= 3, with q = 2"),
    ],
)
def test_quorum_rules(t: int, q: int, c: int, message: str) -> None:
    """Each broken inequality is named with its numbers."""
    assert message in broken(first(FIVE, t=t, q=q, c=c))


def test_edge_of_the_quorum_rules_holds() -> None:
    """2t = n + c + 1 and q - c = 2 are just enough."""
    (warning,) = check_manifest(first(FIVE, t=4, q=4, c=2), None)
    assert warning.startswith("2 silent banks of 5 stop every run")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"federation": "Demo"}, "federation = 'Demo'"),
        ({"federation": "aggregator"}, "federation = 'aggregator'"),
        ({"epoch": 2}, "epoch = 2 without the epoch before"),
        ({"previous_digest": canonical.label(bytes(32))}, "no previous_digest"),
        ({"operators": ()}, "number of operators = 0"),
        ({"operators": (Operator("ash", cases.key("x").public),)}, "id ash stands 2 times"),
        ({"operators": (Operator("registry", cases.key("x").public),)}, "id = 'registry'"),
        ({"operators": (Operator("ops", ROOT.aggregator),)}, "stands 2 times"),
        ({"aggregator": ROOT.registry}, "stands 2 times"),
        ({"registry": "ed25519:abc"}, "expected 'ed25519:<64 hex digits>'"),
        ({"registry": "ED25519:" + "0" * 64}, "expected 'ed25519:<64 hex digits>'"),
        ({"contracts": ("sha256:abc",)}, "contracts: expected a digest"),
        ({"contracts": (cases.CONTRACT,) * 2}, "stands 2 times"),
        ({"modes": ()}, "number of modes = 0"),
        ({"modes": (Mode.LOCAL, Mode.LOCAL)}, "number of modes = 1: expected 2 to 2"),
        ({"max_banks_per_person": 0}, "max_banks_per_person = 0: expected 1 to 16"),
        ({"max_banks_per_person": 17}, "max_banks_per_person = 17"),
        ({"protocol": Protocol(2, 1)}, "protocol.min = 2: expected 1 to 1"),
        ({"protocol": Protocol(0, 1)}, "protocol.min = 0"),
        ({"members": changed(ROOT, "ash", id="registry")}, "id = 'registry'"),
        ({"members": changed(ROOT, "ash", id="birch")}, "id birch stands 2 times"),
        ({"members": changed(ROOT, "birch", index=1)}, "strictly rising indexes"),
        ({"members": changed(ROOT, "cedar", index=101)}, "index of cedar = 101: expected 1 to 100"),
        ({"members": changed(ROOT, "ash", index=0)}, "index of ash = 0"),
        ({"members": changed(ROOT, "ash", principal="User:birch")}, "principal User:birch stands 2 times"),
        ({"members": changed(ROOT, "ash", principal="")}, "length of the principal of ash = 0"),
        ({"members": changed(ROOT, "ash", signing_key=ROOT.members[0].governance_key)}, "stands 2 times"),
        ({"members": changed(ROOT, "ash", status=MemberStatus.REMOVED)}, "epoch 1 holds removed members"),
        ({"members": ()}, "number of members = 0"),
    ],
)
def test_first_epoch_with_a_fault(changes: dict[str, object], message: str) -> None:
    """Each fault is named with its value, before any signature is looked at."""
    assert message in broken(replace(ROOT, **changes))  # type: ignore[arg-type]


def test_all_faults_are_named_at_once() -> None:
    """An operator mends a manifest in one go."""
    message = broken(replace(ROOT, max_banks_per_person=0, epoch=7, t=2))
    assert all(part in message for part in ("max_banks_per_person", "epoch = 7", "2t > n + c"))


@pytest.mark.parametrize("missing", ["ops", *BANKS])
def test_first_epoch_needs_the_operator_and_every_member(missing: str) -> None:
    """An operator alone could otherwise invent banks and open every mask."""
    signers = [name for name in ("ops", *BANKS) if name != missing]
    expected = "no operator signed" if missing == "ops" else "2 of 3 members signed: expected at least 3"
    assert expected in broken(cases.signed(cases.unsigned_manifest(), *signers))


def test_paused_member_signs_as_well() -> None:
    """N counts active and paused members."""
    base = replace(cases.unsigned_manifest(), members=changed(ROOT, "cedar", status=MemberStatus.PAUSED))
    assert check_manifest(cases.signed(base, "ops", *BANKS), None)
    assert "2 of 3 members signed" in broken(cases.signed(base, "ops", "ash", "birch"))


@pytest.mark.parametrize(
    "bad",
    [
        EpochSignature("ash", "00" * 64),
        EpochSignature("ash", "zz"),
        EpochSignature("ash", ""),
        EpochSignature("nobody", "00" * 64),
    ],
)
def test_signature_that_does_not_hold_is_refused(bad: EpochSignature) -> None:
    """A bad signature is never skipped over."""
    signatures = (*(item for item in ROOT.signatures if item.signer != bad.signer), bad)
    assert f"signature of '{bad.signer}' holds under none" in broken(replace(ROOT, signatures=signatures))


def test_signatures_cover_every_field() -> None:
    """A change after signing breaks all signatures."""
    assert "holds under none" in broken(replace(ROOT, max_banks_per_person=2))


def test_one_signer_signs_once() -> None:
    """The same signature twice is not two members."""
    assert "signer ash stands 2 times" in broken(replace(ROOT, signatures=(*ROOT.signatures, ROOT.signatures[0])))


def test_member_signs_with_its_governance_key() -> None:
    """A record key cannot vote on the federation."""
    base = cases.signed(cases.unsigned_manifest(), "ops", "ash", "birch")
    assert "2 of 3 members signed" in broken(sign_manifest(base, "cedar", cases.key("cedar signs")))


def test_signing_does_not_change_the_digest() -> None:
    """The digest names the epoch without its signatures; signing again replaces."""
    assert cases.unsigned_manifest().digest == ROOT.digest
    again = sign_manifest(ROOT, "ash", cases.key("ash governs"))
    assert again == ROOT
    assert [item.signer for item in ROOT.signatures] == sorted(["ops", *BANKS])


@pytest.mark.parametrize("signers", [("ops", "ash", "birch"), ("ops", *BANKS)])
def test_later_epoch_needs_operator_and_two_thirds(signers: tuple[str, ...]) -> None:
    """Two of three members are enough after the first epoch."""
    assert check_manifest(following(ROOT, *signers), ROOT)


@pytest.mark.parametrize("signers", [("ops", "ash"), ("ash", "birch", "cedar"), ("ops",), ()])
def test_later_epoch_without_its_signatures(signers: tuple[str, ...]) -> None:
    """The same operator cannot be left out, and one of three members is too few."""
    assert "signed" in broken(following(ROOT, *signers), ROOT)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epoch": 3}, "epoch = 3: expected 2"),
        ({"epoch": 1}, "epoch = 1: expected 2"),
        ({"federation": "other"}, "federation = 'other': expected 'demo'"),
        ({"previous_digest": canonical.label(bytes(32))}, "previous_digest = sha256:0000"),
        ({"previous_digest": None}, "previous_digest = None"),
        ({"members": ROOT.members[1:]}, "member ash is missing: a member that goes stays listed as removed"),
        ({"members": changed(ROOT, "cedar", index=4)}, "index of cedar = 4: expected 3, as before"),
    ],
)
def test_later_epoch_with_a_fault(changes: dict[str, object], message: str) -> None:
    """An epoch follows exactly one other; ids and indexes stay."""
    assert message in broken(following(ROOT, "ops", *BANKS, **changes), ROOT)


def removed() -> Manifest:
    """Epoch 2 of five banks, without elm."""
    root = first(FIVE)
    members = changed(root, "elm", status=MemberStatus.REMOVED)
    return following(root, "ops", *FIVE[:4], members=members, t=3, q=3, c=1)


def test_index_is_never_used_again() -> None:
    """A newcomer gets a new index: shares of the old holder may still be about."""
    before = removed()
    assert check_manifest(before, first(FIVE)) == []
    newcomer = cases.member("fir", 6)
    good = following(before, "ops", *FIVE[:4], members=(*before.members, newcomer), t=4, q=4)
    assert check_manifest(good, before) == []
    members = (*before.members[:4], replace(newcomer, index=5))
    assert "member elm is missing" in broken(following(before, "ops", *FIVE[:4], members=members), before)
    assert "index 5 of fir was used before" in broken(following(before, "ops", *FIVE[:4], members=members), before)


def test_removed_member_stays_removed() -> None:
    """It neither comes back nor signs."""
    before = removed()
    back = changed(before, "elm", status=MemberStatus.ACTIVE)
    assert "elm was removed" in broken(following(before, "ops", *FIVE[:4], members=back, t=4, q=4), before)
    assert "2 of 4 members signed: expected at least 3" in broken(
        following(before, "ops", "ash", "birch", "elm"), before
    )


def test_lost_operator_key_is_replaced_by_all_but_c() -> None:
    """N - c members name a new operator; fewer do not."""
    root = first(FIVE)
    operators = (Operator("ops", cases.key("ops-2").public),)
    assert check_manifest(following(root, *FIVE[:4], operators=operators), root) == []
    assert "no operator signed" not in broken(following(root, *FIVE[:3], operators=operators), root)
    assert "3 of 5 members signed: expected at least 4" in broken(following(root, *FIVE[:3], operators=operators), root)
    assert "no operator signed" in broken(following(root, *FIVE), root)


def test_lost_operator_key_without_colluders_takes_everybody() -> None:
    """With c = 0 all members but none name the new operator: more than two thirds."""
    root = first(FIVE, c=0)
    operators = (Operator("ops", cases.key("ops-2").public),)
    assert check_manifest(following(root, *FIVE, operators=operators), root) == []
    few = following(root, *FIVE[:4], operators=operators)
    assert "4 of 5 members signed: expected at least 5" in broken(few, root)


def test_new_operator_does_not_sign_itself_in() -> None:
    """The key that counts is the one of the epoch before."""
    root = first(FIVE)
    operators = (Operator("ops-2", cases.key("ops-2").public),)
    assert "expected at least 4" in broken(following(root, "ops-2", *FIVE[:3], operators=operators), root)


def test_governance_key_rotates_under_the_old_one() -> None:
    """Other members cannot change a bank's governance key without it."""
    new = changed(ROOT, "ash", governance_key=cases.key("ash governs anew").public)
    assert check_manifest(following(ROOT, "ops", "ash", "birch", members=new), ROOT)
    stolen = following(ROOT, "ops", "birch", "cedar", members=new)
    assert "governance key of ash changed without a signature of the old one" in broken(stolen, ROOT)
    assert "governance key of ash" in broken(sign_manifest(stolen, "ash", cases.key("ash governs anew")), ROOT)
    assert "governance key of ash" in broken(sign_manifest(stolen, "ash", cases.key("ash signs")), ROOT)


@pytest.mark.parametrize("name", ["ash governs", "ash signs"])
def test_signing_key_rotates_under_the_old_or_the_governance_key(name: str) -> None:
    """Either of the bank's old keys will do; none will not."""
    new = changed(ROOT, "ash", signing_key=cases.key("ash signs anew").public)
    unsigned = following(ROOT, "ops", "birch", "cedar", members=new)
    assert "signing key of ash changed" in broken(unsigned, ROOT)
    assert check_manifest(sign_manifest(unsigned, "ash", cases.key(name)), ROOT)


def test_fingerprint_is_of_the_raw_key() -> None:
    """SHA-256 over 32 bytes, different for different keys."""
    prints = {fingerprint(member.governance_key) for member in ROOT.members}
    assert len(prints) == 3
    assert all(canonical.parse_label(text) for text in prints)
    with pytest.raises(FederationError, match="expected 'ed25519:"):
        fingerprint("sha256:abc")


def test_policy_without_objections() -> None:
    """A bank that knows both peers joins in either mode."""
    assert check_policy(policy(), ROOT) == []
    assert known_members(policy(), ROOT) == frozenset(BANKS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bank": "dogwood"}, "'dogwood' is not a member"),
        ({"contracts": (canonical.label(b"x" * 32),)}, "no contract of the epoch"),
        ({"least_t": 4}, "t = 3: the policy asks for at least 4"),
        ({"least_q": 4}, "q = 3: the policy asks for at least 4"),
        ({"least_c": 2}, "c = 1: the policy asks for at least 2"),
        ({"peers": {"birch": canonical.label(bytes(32))}}, "governance key of birch is"),
        ({"peers": {}}, "1 of 3 members are known: a local quorum needs 2"),
        ({"peers": {}}, "1 members are known: a quorum needs q = 3"),
        ({"peers": {}}, "2t > n + c + u does not hold with t = 3, n = 3, c = 1 and u = 2"),
        ({"peers": {}}, "t > c + u does not hold with t = 3, c = 1 and u = 2"),
    ],
)
def test_objections_of_a_policy(changes: dict[str, object], message: str) -> None:
    """Each objection names what the policy asks for."""
    assert any(message in objection for objection in check_policy(policy(**changes), ROOT))


def test_invented_banks_count_as_corrupt() -> None:
    """With one unknown of five the inequality still holds, with two it does not."""
    root = first(FIVE, c=0, q=4, t=4)
    pins = {member.id: fingerprint(member.governance_key) for member in root.members}
    one = policy(peers={bank: pins[bank] for bank in FIVE[:4]}, root=canonical.label(root.digest))
    two = replace(one, peers={bank: pins[bank] for bank in FIVE[:3]})
    three = replace(one, peers={bank: pins[bank] for bank in FIVE[:2]})
    assert check_policy(one, root) == []
    assert any("known: a quorum" in text for text in check_policy(two, root, Mode.DISTRIBUTED))
    assert any("2t > n + c + u" in text for text in check_policy(three, root, Mode.DISTRIBUTED))


def test_one_mode_can_be_looked_at_alone() -> None:
    """A bank that would refuse distributed runs may still join local ones."""
    careful = policy(least_t=100)
    assert check_policy(careful, ROOT, Mode.LOCAL) == []
    assert check_policy(careful, ROOT, Mode.DISTRIBUTED) != []
    assert check_policy(careful, ROOT) == check_policy(careful, ROOT, Mode.DISTRIBUTED)
    assert any("no shared mode" in text for text in check_policy(policy(modes=LOCAL), ROOT, Mode.DISTRIBUTED))


def test_removed_bank_may_not_join() -> None:
    """Its own policy says so."""
    gone = replace(ROOT, members=changed(ROOT, "ash", status=MemberStatus.REMOVED))
    assert any("not a member" in objection for objection in check_policy(policy(), gone))


def test_root_is_accepted_by_its_digest() -> None:
    """The policy that pins it comes back unchanged; another root is refused."""
    assert accept(policy(), ROOT) == policy()
    with pytest.raises(FederationError, match="the policy pins sha256:"):
        accept(policy(root=canonical.label(bytes(32))), ROOT)


def test_pins_follow_a_rotation() -> None:
    """A known peer's new governance key becomes the pin; an unknown one stays unknown."""
    members = changed(ROOT, "birch", governance_key=cases.key("birch anew").public)
    later = following(ROOT, "ops", "ash", "birch", members=members)
    moved = accept(policy(), later, ROOT)
    assert moved.peers["birch"] == fingerprint(cases.key("birch anew").public)
    assert moved.peers["cedar"] == policy().peers["cedar"]
    assert known_members(moved, later) == frozenset(BANKS)


def test_wrong_pin_is_not_healed_by_the_next_epoch() -> None:
    """A pin that did not match before is no known member, so it does not follow a rotation."""
    pins = dict(policy().peers, birch=canonical.label(bytes(32)))
    later = following(ROOT, "ops", *BANKS)
    with pytest.raises(FederationError, match="governance key of birch is"):
        accept(policy(peers=pins), later, ROOT)


def test_acceptance_never_goes_back() -> None:
    """An older epoch, or the same one, is refused."""
    later = following(ROOT, "ops", *BANKS)
    for previous in (later, ROOT):
        with pytest.raises(FederationError, match="expected"):
            accept(policy(), ROOT, previous)


def test_acceptance_stops_at_an_objection() -> None:
    """A bank does not move to an epoch that it would refuse to work under."""
    later = following(ROOT, "ops", "birch", "cedar", contracts=(canonical.label(b"x" * 32),))
    with pytest.raises(FederationError, match="no contract"):
        accept(policy(), later, ROOT)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"aggregator": cases.key("other").public}, True),
        ({"members": changed(ROOT, "cedar", status=MemberStatus.REMOVED)}, True),
        ({"members": changed(ROOT, "cedar", signing_key=cases.key("other").public)}, True),
        ({"members": (*ROOT.members, cases.member("dogwood", 4))}, False),
        ({"t": 2}, False),
        ({"q": 2}, False),
        ({"c": 0}, False),
        ({"max_banks_per_person": 2}, False),
        ({"contracts": ()}, False),
        ({"modes": LOCAL}, False),
        ({"operators": ()}, False),
    ],
)
def test_routine_epochs(changes: dict[str, object], expected: object) -> None:
    """Removals and rotations are routine; whatever changes a guarantee or adds a bank wants a person."""
    assert routine(replace(ROOT, **changes), ROOT) is expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bank": "registry"}, "bank = 'registry'"),
        ({"account": ""}, "account = ''"),
        ({"account": "my cards"}, "account = 'my cards'"),
        ({"bucket_cap": Cap(Fraction(0), Fraction(1, 2))}, "bucket_cap.epsilon = 0: expected above 0"),
        ({"lifetime_cap": Cap(Fraction(1), Fraction(1))}, "lifetime_cap.delta = 1: expected above 0 and below 1"),
        ({"lifetime_cap": Cap(Fraction(1000), Fraction(1, 2))}, "lifetime_cap.epsilon = 1000"),
        ({"root": "abc"}, "root: expected a digest"),
        ({"peers": {"Birch": canonical.label(bytes(32))}}, "peers = 'Birch'"),
        ({"peers": {"birch": "abc"}}, "peers: expected a digest"),
        ({"contracts": ("x",)}, "contracts: expected a digest"),
        ({"modes": ()}, "number of modes = 0"),
        ({"least_t": -1}, "least_t = -1: expected 0 to 100"),
        ({"least_q": 0}, "least_q = 0: expected 1 to 100"),
        ({"least_c": 101}, "least_c = 101"),
        ({"largest_delta": Fraction(0)}, "largest_delta = 0"),
        ({"largest_delta": Fraction(1)}, "largest_delta = 1"),
        ({"least_noise": Fraction(-1, 2)}, "least_noise = -0.5: expected 0"),
        ({"max_paid_retries": 17}, "max_paid_retries = 17: expected 0 to 16"),
    ],
)
def test_policy_out_of_range(changes: dict[str, object], message: str) -> None:
    """A policy names the field, the value and the range."""
    with pytest.raises(FederationError, match=r"policy of") as caught:
        policy(**changes)
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["", "ed25519:", "ed25519:" + "0" * 63, "ed25519:" + "G" * 64, "ed25519:" + "A" * 64])
def test_malformed_public_key_is_refused(text: str) -> None:
    """Lower-case hex of 32 bytes, nothing else."""
    with pytest.raises(FederationError, match="expected 'ed25519:<64 hex digits>'"):
        federation.public_key(text)
