"""Making, signing and accepting epochs."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

import wire_cases
from tacit import canonical
from tacit.cli import epochs as subject
from tacit.cli.epochs import Terms
from tacit.federation import (
    FederationError,
    Manifest,
    MemberStatus,
    Policy,
    check_manifest,
    fingerprint,
    sign_manifest,
)
from tacit.privacy.types import Mode
from tacit.runtime import documents
from tacit.wire.documents import parse
from tacit.wire.errors import DocumentError, SigningKeyError
from wire_cases import key, signed, unsigned_manifest

ROOT = signed(unsigned_manifest(), "ops", "ash", "birch", "cedar")
CONTRACT = Path(subject.__file__).parents[1] / "features" / "contracts" / "card.yaml"
POLICY = """\
# our rules
bank: ash
account: cards  # one data set
unit: customer
bucket_cap: {epsilon: "4", delta: "0.00001"}
lifetime_cap: {epsilon: "10", delta: "0.0001"}
contracts: ["CONTRACT"]
modes: [local, distributed]
# the end
""".replace("CONTRACT", wire_cases.CONTRACT)


def member_text(name: str) -> str:
    """A member as a person types it."""
    return f"id={name},signing={key(f'{name} signs').public},governance={key(f'{name} governs').public}"


def terms(*names: str) -> Terms:
    """Terms of a federation of these banks."""
    return Terms(
        federation="demo",
        members=[member_text(name) for name in names],
        operators=[f"ops={key('ops').public}"],
        aggregator=key("aggregator").public,
        registry=key("registry").public,
        contracts=[wire_cases.CONTRACT],
    )


def next_epoch(**changes: object) -> Manifest:
    """Epoch 2, signed by all members of epoch 1."""
    fields = {"epoch": 2, "previous_digest": canonical.label(ROOT.digest), "signatures": (), **changes}
    return signed(replace(ROOT, **fields), "ops", "ash", "birch", "cedar")  # type: ignore[arg-type]


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """A policy that names no root yet."""
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


@pytest.fixture
def pem(tmp_path: Path) -> dict[str, Path]:
    """Private keys of everyone by name, as files."""
    names = {"ops": "ops", **{bank: f"{bank} governs" for bank in wire_cases.BANKS}, "stranger": "stranger"}
    paths = {name: tmp_path / f"{name}.pem" for name in names}
    for name, label in names.items():
        key(label).save(paths[name])
    return paths


def test_a_federation_is_founded_with_defaults() -> None:
    """Members by order, quorums of the protocol, all modes, a principal of the bank's name."""
    manifest = subject.found(terms("ash", "birch", "cedar"))
    assert manifest == unsigned_manifest()


def test_two_banks_found_a_local_federation() -> None:
    """Below three members there is no mode `distributed`."""
    manifest = subject.found(terms("ash", "birch"))
    assert (manifest.modes, manifest.c) == ((Mode.LOCAL,), 0)


def test_given_terms_win_over_defaults() -> None:
    """t, q, c, modes and persons are the founders' choice, within the rules."""
    names = ("ash", "birch", "cedar", "doe", "elm")
    given = replace(terms(*names), t=5, q=5, c=2, modes=(Mode.DISTRIBUTED,), max_banks_per_person=3)
    manifest = subject.found(given)
    assert (manifest.t, manifest.q, manifest.c, manifest.max_banks_per_person) == (5, 5, 2, 3)
    assert manifest.modes == (Mode.DISTRIBUTED,)
    with pytest.raises(FederationError, match="mode distributed needs"):
        subject.found(replace(given, t=2))


def test_contracts_are_named_by_file_or_digest() -> None:
    """A file counts by its digest."""
    manifest = subject.found(replace(terms("ash", "birch", "cedar"), contracts=[str(CONTRACT), wire_cases.CONTRACT]))
    assert manifest.contracts[0].startswith("sha256:")
    assert manifest.contracts[1] == wire_cases.CONTRACT


@pytest.mark.parametrize(
    "text",
    ["ash", "id=ash,signing=x", "id=ash,signing=x,governance=y,extra=1", "id=ash,id=b,signing=x,governance=y", ""],
)
def test_malformed_members_are_refused(text: str) -> None:
    """The message shows the form."""
    with pytest.raises(FederationError, match="expected id=ID,signing=KEY,governance=KEY"):
        subject.found(replace(terms("birch", "cedar"), members=[text]))


@pytest.mark.parametrize("text", ["ops", f"={key('ops').public}"])
def test_malformed_operators_are_refused(text: str) -> None:
    """Same for operators."""
    with pytest.raises(FederationError, match="expected ID=KEY"):
        subject.found(replace(terms("ash"), operators=[text]))


def test_keys_are_read_from_text_and_files(tmp_path: Path, pem: dict[str, Path]) -> None:
    """Three ways to name the same key."""
    public = tmp_path / "ops.pub"
    public.write_text(f"{key('ops').public}\n")
    assert {subject.read_key(text) for text in (key("ops").public, str(public), str(pem["ops"]))} == {key("ops").public}


@pytest.mark.parametrize("text", ["ed25519:zz", "none.pub", "."])
def test_other_texts_are_no_keys(text: str) -> None:
    """The form is in the message."""
    with pytest.raises(FederationError, match=r"expected '?ed25519:<64 hex digits>"):
        subject.read_key(text)


def test_signers_sign_one_after_another(pem: dict[str, Path]) -> None:
    """Each run adds one; with the last the epoch is complete."""
    manifest = unsigned_manifest()
    for name, missing in [
        ("birch", ["an operator (ops)", "ash", "cedar"]),
        ("ops", ["ash", "cedar"]),
        ("cedar", ["ash"]),
    ]:
        manifest = subject.sign(manifest, [pem[name]])
        assert subject.missing_signers(manifest) == missing
        assert not subject.complete(manifest)
        assert "NOT COMPLETE, missing" in subject.describe(manifest)[-1]
    manifest = subject.sign(manifest, [pem["ash"]])
    assert subject.complete(manifest)
    assert manifest == ROOT
    assert subject.describe(manifest)[-1].endswith("ash, birch, cedar, ops: complete")


def test_a_stranger_cannot_sign(pem: dict[str, Path]) -> None:
    """A key that nobody has in the epoch is refused by name."""
    with pytest.raises(FederationError, match=r"stranger\.pem: key ed25519:.* neither an operator's nor a member's"):
        subject.sign(unsigned_manifest(), [pem["stranger"]])


def test_broken_terms_are_not_signed(pem: dict[str, Path]) -> None:
    """Nobody puts a name under an epoch that no bank would take."""
    with pytest.raises(FederationError, match="t <= q <= n"):
        subject.sign(replace(unsigned_manifest(), t=3, q=2), [pem["ops"]])


def test_a_missing_key_file_is_an_error(tmp_path: Path) -> None:
    """The key's own error comes through."""
    with pytest.raises(SigningKeyError):
        subject.sign(unsigned_manifest(), [tmp_path / "none.pem"])


def test_an_old_key_signs_its_rotation(pem: dict[str, Path]) -> None:
    """A key that only the epoch before knows belongs to that epoch's member."""
    rotated = replace(ROOT.members[0], governance_key=key("ash governs anew").public)
    bare = replace(next_epoch(members=(rotated, *ROOT.members[1:])), signatures=())
    manifest = subject.sign(bare, [pem[name] for name in ("ops", "ash", "birch")], ROOT)
    assert check_manifest(manifest, ROOT)
    assert subject.missing_signers(manifest, ROOT) == ["cedar"]
    assert subject.complete(manifest, ROOT)


def test_description_says_what_is_agreed_to() -> None:
    """Digest, quorums, contracts, fingerprints of all keys that matter, and the warning of a small federation."""
    text = "\n".join(subject.describe(ROOT))
    assert canonical.label(ROOT.digest) in text
    assert "n = 3, t = 3 open a secret, q = 3 survive a round, c = 1 may collude" in text
    assert "WARNING: 1 silent banks of 3 stop every run" in text
    keys = [ROOT.aggregator, ROOT.registry, ROOT.operators[0].key, *(member.governance_key for member in ROOT.members)]
    assert all(fingerprint(item) in text for item in keys)
    assert ROOT.contracts[0] in text


def test_an_epoch_reads_back_from_its_yaml(tmp_path: Path) -> None:
    """What is written is what was signed."""
    path = tmp_path / "federation.yaml"
    subject.replace_file(path, subject.dump(ROOT))
    assert documents.load(Manifest, path) == ROOT
    assert path.stat().st_mode & 0o777 == 0o644


def test_the_first_acceptance_pins_root_and_peers(policy: Path) -> None:
    """Root and every member's governance key, its own among them."""
    moved = subject.prepare_policy(policy, ROOT, None, [])
    assert moved.root == canonical.label(ROOT.digest)
    assert moved.peers == {name: fingerprint(key(f"{name} governs").public) for name in ("ash", "birch", "cedar")}
    assert policy.read_text() == POLICY


def test_the_own_key_is_pinned_where_the_file_names_the_others_alone(policy: Path) -> None:
    """A file from before gets the key of the epoch that the bank is in; `accept` lets it follow a rotation."""
    moved = subject.prepare_policy(policy, ROOT, None, [])
    others = {name: pin for name, pin in moved.peers.items() if name != "ash"}
    subject.write_policy(policy, replace(moved, peers=others))
    epoch = next_epoch()
    assert subject.prepare_policy(policy, epoch, ROOT, []).peers == moved.peers


def test_writing_keeps_every_other_line(policy: Path) -> None:
    """Comments stay; the file reads back as the policy; a second write changes nothing."""
    policy.chmod(0o600)
    moved = subject.prepare_policy(policy, ROOT, None, [])
    subject.write_policy(policy, moved)
    once = policy.read_text()
    assert once.startswith(POLICY.rstrip())
    assert documents.load(Policy, policy) == moved
    assert policy.stat().st_mode & 0o777 == 0o600
    subject.write_policy(policy, moved)
    assert policy.read_text() == once


def test_old_pins_are_replaced_where_they_stand(policy: Path) -> None:
    """Blocks in the middle of the file go, their neighbours stay."""
    moved = subject.prepare_policy(policy, ROOT, None, [])
    policy.write_text(f'peers:\n  birch: "x"\n# about root\nroot:\n  "y"\n\n{POLICY}')
    subject.write_policy(policy, moved)
    text = policy.read_text()
    assert documents.load(Policy, policy) == moved
    assert "# about root\n# our rules" in text
    assert '"x"' not in text


def test_a_file_in_flow_style_is_not_damaged(policy: Path) -> None:
    """What cannot be edited line by line is refused and left alone."""
    moved = subject.prepare_policy(policy, ROOT, None, [])
    text = canonical.encode(moved).decode()
    policy.write_text(text)
    with pytest.raises(DocumentError):
        subject.write_policy(policy, moved)
    assert policy.read_text() == text


def test_a_pinned_root_is_not_moved(policy: Path) -> None:
    """Another root than the one in the file is refused."""
    policy.write_text(f"{POLICY}root: {wire_cases.CONTRACT}\n")
    with pytest.raises(FederationError, match="the policy pins"):
        subject.prepare_policy(policy, ROOT, None, [])


def test_an_incomplete_epoch_is_not_accepted(policy: Path) -> None:
    """Every member must have signed the root."""
    with pytest.raises(FederationError, match="2 of 3 members signed"):
        subject.prepare_policy(policy, signed(unsigned_manifest(), "ops", "ash", "birch"), None, [])


def test_a_new_member_is_pinned_only_by_name(policy: Path) -> None:
    """It stays unknown, and counts as corrupt, until a person names it."""
    subject.write_policy(policy, subject.prepare_policy(policy, ROOT, None, []))
    epoch = next_epoch(members=(*ROOT.members, wire_cases.member("doe", 4)), t=4, q=4)
    pinned = subject.prepare_policy(policy, epoch, ROOT, ["doe"])
    assert pinned.peers["doe"] == fingerprint(key("doe governs").public)
    assert set(pinned.peers) == {"ash", "birch", "cedar", "doe"}
    with pytest.raises(FederationError, match="3 members are known"):
        subject.prepare_policy(policy, epoch, ROOT, [])


def test_only_members_can_be_pinned(policy: Path) -> None:
    """A typing error is not silently nothing."""
    with pytest.raises(FederationError, match="cannot pin elm: not among ash, birch, cedar"):
        subject.prepare_policy(policy, ROOT, None, ["elm"])


def test_later_epochs_need_a_policy_with_a_root(policy: Path) -> None:
    """Nobody enters a federation by its second epoch."""
    epoch = next_epoch(members=(*ROOT.members[:2], replace(ROOT.members[2], status=MemberStatus.PAUSED)))
    with pytest.raises(DocumentError, match="root"):
        subject.prepare_policy(policy, epoch, ROOT, [])


@pytest.mark.parametrize(("text", "message"), [(None, "cannot be read"), ("- 1", "mapping"), ("bank: ash", "account")])
def test_files_that_are_no_policies_are_named(policy: Path, text: str | None, message: str) -> None:
    """The message begins with the path."""
    policy.unlink()
    if text is not None:
        policy.write_text(text)
    with pytest.raises(DocumentError, match=message) as caught:
        subject.prepare_policy(policy, ROOT, None, [])
    assert str(caught.value).startswith(str(policy))


def test_a_failed_replacement_keeps_the_old_file(policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a policy is never seen."""

    def fail(_descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        subject.replace_file(policy, "half")
    assert policy.read_text() == POLICY
    assert list(policy.parent.iterdir()) == [policy]


def test_dumped_epochs_parse_from_plain_data() -> None:
    """The YAML holds exactly the canonical fields."""
    assert parse(Manifest, documents.read_yaml(subject.dump(ROOT).encode())) == ROOT


def test_a_public_file_cannot_sign(tmp_path: Path) -> None:
    """Only the private half does."""
    public = tmp_path / "ops.pub"
    public.write_text(key("ops").public)
    with pytest.raises(SigningKeyError, match="not a readable PEM private key"):
        subject.sign(unsigned_manifest(), [public])


def test_signing_twice_changes_nothing(pem: dict[str, Path]) -> None:
    """Ed25519 is deterministic and a signer stands once."""
    once = subject.sign(unsigned_manifest(), [pem["ash"]])
    assert subject.sign(once, [pem["ash"]]) == once


def test_a_wrong_signature_is_not_complete() -> None:
    """All names are there, one signature is another's: said, and not accepted."""
    first, second, *rest = ROOT.signatures
    forged = replace(ROOT, signatures=(replace(first, signature=second.signature), second, *rest))
    assert subject.missing_signers(forged) == []
    assert not subject.complete(forged)
    assert subject.describe(forged)[-1].endswith("NOT COMPLETE, missing valid ones")


def test_pins_of_known_members_follow_their_rotation(policy: Path) -> None:
    """A key that changed with the old key's signature moves its pin; the root stays."""
    subject.write_policy(policy, subject.prepare_policy(policy, ROOT, None, []))
    rotated = replace(ROOT.members[1], governance_key=key("birch governs anew").public)
    members = (ROOT.members[0], rotated, ROOT.members[2])
    fields = {"epoch": 2, "previous_digest": canonical.label(ROOT.digest), "signatures": (), "members": members}
    bare = replace(ROOT, **fields)  # type: ignore[arg-type]
    for signer, label in (("ops", "ops"), *((bank, f"{bank} governs") for bank in wire_cases.BANKS)):
        bare = sign_manifest(bare, signer, key(label))
    moved = subject.prepare_policy(policy, bare, ROOT, [])
    assert moved.peers["birch"] == fingerprint(key("birch governs anew").public)
    assert moved.root == canonical.label(ROOT.digest)
