"""One epoch as data: what its digest covers, who is active, who stands, what is signed."""

import dataclasses
import json
from dataclasses import replace

import pytest

import wire_cases as cases
from tacit import canonical
from tacit.federation import SIGNED_MANIFEST, EpochSignature, Manifest, Member, MemberStatus, Operator, Protocol
from tacit.privacy.types import Mode

BASE = cases.unsigned_manifest()
OTHER = cases.key("somebody else").public
CHANGES: dict[str, object] = {
    "federation": "other",
    "epoch": 2,
    "members": BASE.members[:2],
    "operators": (Operator("ops", OTHER),),
    "aggregator": OTHER,
    "registry": OTHER,
    "t": 2,
    "q": 2,
    "c": 0,
    "modes": (Mode.DISTRIBUTED,),
    "contracts": (),
    "previous_digest": canonical.label(bytes(32)),
    "protocol": Protocol(1, 2),
    "max_banks_per_person": 2,
}
MEMBER_CHANGES: dict[str, object] = {
    "id": "dogwood",
    "index": 9,
    "signing_key": OTHER,
    "governance_key": OTHER,
    "principal": "User:mallory",
    "status": MemberStatus.PAUSED,
}


def with_status(*standings: MemberStatus) -> Manifest:
    """The three members with these standings."""
    members = [replace(member, status=status) for member, status in zip(BASE.members, standings, strict=True)]
    return replace(BASE, members=tuple(members))


def ids(members: tuple[Member, ...]) -> list[str]:
    """Ids of members."""
    return [member.id for member in members]


def test_the_changes_name_every_field() -> None:
    """A field that is added later is added to these tests."""
    assert {*CHANGES, "signatures"} == {field.name for field in dataclasses.fields(Manifest)}
    assert set(MEMBER_CHANGES) == {field.name for field in dataclasses.fields(Member)}


@pytest.mark.parametrize("name", CHANGES)
def test_the_digest_covers_every_field(name: str) -> None:
    """No field can change behind the back of those who signed."""
    changed = replace(BASE, **{name: CHANGES[name]})  # type: ignore[arg-type]
    assert changed.digest != BASE.digest
    assert changed.signed_input != BASE.signed_input


@pytest.mark.parametrize("name", MEMBER_CHANGES)
def test_the_digest_covers_every_field_of_a_member(name: str) -> None:
    """Keys, principal and standing among them."""
    first = replace(BASE.members[0], **{name: MEMBER_CHANGES[name]})  # type: ignore[arg-type]
    assert replace(BASE, members=(first, *BASE.members[1:])).digest != BASE.digest


def test_the_digest_leaves_the_signatures_out() -> None:
    """It is the same before and after signing, so that it can be pinned."""
    signed = replace(BASE, signatures=(EpochSignature("ash", "00" * 64),))
    assert signed.digest == BASE.digest
    assert signed.signed_input == BASE.signed_input


def test_what_is_signed_begins_with_its_label() -> None:
    """A signature of an epoch can never be taken for one of a record; the rest is canonical JSON."""
    assert BASE.signed_input.startswith(SIGNED_MANIFEST)
    text = BASE.signed_input.removeprefix(SIGNED_MANIFEST)
    assert canonical.encode(BASE) == text
    document = json.loads(text)
    assert document["signatures"] == []
    assert "previous_digest" not in document


@pytest.mark.parametrize(
    ("standings", "active", "standing"),
    [
        (("active", "active", "active"), ["ash", "birch", "cedar"], ["ash", "birch", "cedar"]),
        (("paused", "active", "active"), ["birch", "cedar"], ["ash", "birch", "cedar"]),
        (("removed", "active", "paused"), ["birch"], ["birch", "cedar"]),
        (("removed", "removed", "removed"), [], []),
        (("paused", "paused", "paused"), [], ["ash", "birch", "cedar"]),
    ],
)
def test_who_takes_part_and_who_counts(standings: tuple[str, ...], active: list[str], standing: list[str]) -> None:
    """Paused members count for quorums but are in no run; removed ones neither."""
    manifest = with_status(*map(MemberStatus, standings))
    assert ids(manifest.active) == active
    assert ids(manifest.standing) == standing


def test_members_are_found_by_id_whatever_their_standing() -> None:
    """Removed members stay listed, so that their records can still be read."""
    manifest = with_status(MemberStatus.REMOVED, MemberStatus.PAUSED, MemberStatus.ACTIVE)
    assert list(manifest.by_id) == ["ash", "birch", "cedar"]
    assert all(manifest.by_id[member.id] is member for member in manifest.members)


def test_an_epoch_cannot_be_changed_in_place() -> None:
    """What was checked stays what was checked."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        BASE.t = 1  # type: ignore[misc]
