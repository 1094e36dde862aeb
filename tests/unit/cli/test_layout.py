"""A federation's folder: every name in its place, keys and epoch that fit, settings that every process can load."""

import stat
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml

import cli_cases
from tacit import canonical, federation
from tacit.cli import layout as subject
from tacit.cli.layout import OPERATOR, Folder, LayoutError, Processes, Terms
from tacit.features.spec import Contract
from tacit.federation import Cap, FederationError, Manifest, Policy
from tacit.privacy.types import Mode, Unit
from tacit.runtime import documents, settings
from tacit.wire.envelope import SigningKey
from tacit.wire.errors import SigningKeyError

CAP = Cap(Fraction(8), Fraction(1, 10**6))
BANKS = ["oak", "ash"]


@pytest.fixture(scope="module")
def contract() -> Contract:
    """The card contract."""
    return documents.load(Contract, cli_cases.CONTRACT)


def made(path: Path, contract: Contract, banks: list[str] = BANKS, **terms: Any) -> tuple[Folder, Manifest]:  # noqa: ANN401
    """A founded folder and its epoch."""
    folder = Folder(path)
    for bank in banks:
        folder.bank(bank).mkdir(parents=True)
    defaults: dict[str, Any] = {"name": "trial", "cap": CAP, "mixing": True}
    return folder, subject.found(folder, banks, contract, Terms(**(defaults | terms)))


def policy(folder: Folder, bank: str) -> Policy:
    """A bank's policy."""
    return documents.load(Policy, folder.bank(bank) / "policy.json")


def test_names_in_a_folder() -> None:
    """Where everything lies (formats 4)."""
    folder = Folder(Path("fed"))
    names = [folder.manifest, folder.contracts, folder.plan, folder.ports, folder.logs, folder.log]
    expected = ["federation.json", "contracts", "plan.json", "ports.json", "logs", "log.sqlite"]
    assert [path.relative_to("fed").as_posix() for path in names] == expected
    assert folder.key("ash").as_posix() == "fed/keys/ash/key.pem"
    assert folder.governance_key("ash").as_posix() == "fed/keys/ash/governance.pem"
    assert folder.bank("ash").as_posix() == "fed/banks/ash"
    assert folder.settings("trainer-ash").as_posix() == "fed/settings/trainer-ash.yaml"


def test_banks_are_the_folders_of_banks(tmp_path: Path) -> None:
    """Sorted; files are none."""
    for name in ("oak", "ash"):
        Folder(tmp_path).bank(name).mkdir(parents=True)
    (tmp_path / "banks" / "notes.txt").touch()
    assert Folder(tmp_path).banks == ["ash", "oak"]


def test_the_epoch_is_written_signed_and_checked(tmp_path: Path, contract: Contract) -> None:
    """What is on the disk is what is returned; operator and every bank signed."""
    folder, manifest = made(tmp_path, contract)
    assert documents.load(Manifest, folder.manifest) == manifest
    federation.check_manifest(manifest, None)
    assert {item.signer for item in manifest.signatures} == {OPERATOR, *BANKS}
    assert (manifest.federation, manifest.epoch, manifest.modes) == ("trial", 1, (Mode.LOCAL,))


def test_members_are_numbered_by_name(tmp_path: Path, contract: Contract) -> None:
    """Whatever order they were given in; each writes as its own user."""
    _, manifest = made(tmp_path, contract)
    assert [(item.id, item.index, item.principal) for item in manifest.members] == [
        ("ash", 1, "User:ash"),
        ("oak", 2, "User:oak"),
    ]


def test_every_role_has_a_key_of_its_own(tmp_path: Path, contract: Contract) -> None:
    """The epoch has the public halves; nobody else may read the files."""
    folder, manifest = made(tmp_path, contract)
    roles = ["aggregator", "registry", OPERATOR, *BANKS]
    files = [folder.key(role) for role in roles] + [folder.governance_key(bank) for bank in BANKS]
    publics = [SigningKey.load(path).public for path in files]
    assert len(set(publics)) == len(files)
    assert publics[:3] == [manifest.aggregator, manifest.registry, manifest.operators[0].key]
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in files} == {0}


@pytest.mark.parametrize("count", [1, 3, 5])
def test_quorums_follow_the_number_of_members(tmp_path: Path, contract: Contract, count: int) -> None:
    """By the defaults of the protocol."""
    _, manifest = made(tmp_path, contract, [f"bank-{number}" for number in range(count)])
    assert (manifest.t, manifest.q, manifest.c) == federation.default_quorums(count)


def test_the_contract_lies_beside_the_epoch(tmp_path: Path, contract: Contract) -> None:
    """Under the digest that the epoch names."""
    folder, manifest = made(tmp_path, contract)
    written = documents.load(Contract, folder.contracts / "contract.json")
    assert manifest.contracts == (canonical.label(written.digest),)
    assert written == contract


def test_policies_accept_this_epoch_and_its_terms(tmp_path: Path, contract: Contract) -> None:
    """Caps, unit and mixing as agreed; the root is the epoch; every member's governance key is known."""
    folder, manifest = made(tmp_path, contract, mixing=False, unit=Unit.RECORD)
    found = policy(folder, "oak")
    assert (found.bank, found.account, found.unit) == ("oak", "trial-oak-cards", Unit.RECORD)
    assert (found.bucket_cap, found.lifetime_cap, found.allow_mixing_features) == (CAP, CAP, False)
    assert found.root == canonical.label(manifest.digest)
    fingerprints = {item.id: federation.fingerprint(item.governance_key) for item in manifest.members}
    assert found.peers == fingerprints


@pytest.mark.parametrize(
    ("delta", "largest"), [(Fraction(1, 10**7), Fraction(1, 10**5)), (Fraction(1, 1000), Fraction(1, 1000))]
)
def test_plans_may_use_the_usual_delta(tmp_path: Path, contract: Contract, delta: Fraction, largest: Fraction) -> None:
    """1e-5 at least, and the cap's where that is larger."""
    folder, _ = made(tmp_path, contract, cap=Cap(Fraction(8), delta))
    assert policy(folder, "ash").largest_delta == largest


@pytest.mark.parametrize("name", ["aggregator", "registry", "operator", "Upper", "a_b"])
def test_ids_that_no_member_may_have(tmp_path: Path, contract: Contract, name: str) -> None:
    """Names of roles and other forms: no epoch is written with them."""
    with pytest.raises((FederationError, SigningKeyError)):
        made(tmp_path, contract, [name, "ash"])
    assert not Folder(tmp_path).manifest.exists()


def written(folder: Folder, **changes: Any) -> dict[str, dict[str, Any]]:  # noqa: ANN401
    """Settings by process."""
    children = subject.write_settings(folder, BANKS, Processes(**({"scoring": ["ash"]} | changes)))
    return {child.name: yaml.safe_load(folder.settings(child.name).read_text(encoding="utf-8")) for child in children}


def test_processes_start_in_order(tmp_path: Path) -> None:
    """Aggregator and registry, then trainers, then scorers of the banks that have one."""
    assert list(written(Folder(tmp_path))) == ["aggregator", "registry", "trainer-oak", "trainer-ash", "scorer-ash"]


def test_every_process_knows_epoch_log_and_ports(tmp_path: Path) -> None:
    """The embedded log of the folder unless told otherwise."""
    folder = Folder(tmp_path)
    for name, found in written(folder).items():
        assert found["manifest"] == str(folder.manifest), name
        assert found["contracts"] == str(folder.contracts), name
        assert found["ports_file"] == str(folder.ports), name
        assert found["log"] == {"kind": "embedded", "path": str(folder.log)}, name


def test_a_trainer_has_its_own_banks_files_only(tmp_path: Path) -> None:
    """Key, policy, data, mapping and journal are its own; feeds are shared."""
    folder = Folder(tmp_path)
    found = written(folder, feeds={"network": Path("feed.parquet")})["trainer-ash"]
    own = folder.bank("ash")
    assert found["signing_key"] == str(folder.key("ash"))
    assert [found[name] for name in ("policy", "source", "mapping", "folder")] == [
        str(own / "policy.json"),
        str(own / "data"),
        str(own / "mapping.yaml"),
        str(own),
    ]
    assert found["feeds"] == {"network": "feed.parquet"}
    assert "oak" not in str({key: value for key, value in found.items() if key != "log"}).replace(str(tmp_path), "")


def test_roles_have_their_own_keys(tmp_path: Path) -> None:
    """A scorer signs nothing and has none."""
    folder = Folder(tmp_path)
    found = written(folder)
    assert found["aggregator"]["signing_key"] == str(folder.key("aggregator"))
    assert found["registry"]["signing_key"] == str(folder.key("registry"))
    assert "signing_key" not in found["scorer-ash"]
    assert (found["scorer-ash"]["bank"], found["scorer-ash"]["local_ports_file"]) == ("ash", str(folder.ports))


def test_each_process_gets_its_own_log_settings(tmp_path: Path) -> None:
    """As a broker with users needs; a password is for its owner's eyes."""
    names = ["aggregator", "registry", "trainer-oak", "trainer-ash", "scorer-ash"]
    log = {name: {"kind": "kafka", "sasl_username": name} for name in names}
    folder = Folder(tmp_path)
    assert {name: found["log"] for name, found in written(folder, log=log).items()} == log
    assert {stat.S_IMODE(folder.settings(name).stat().st_mode) for name in names} == {0o600}


@pytest.mark.parametrize("name", ["aggregator", "registry", "trainer-ash", "scorer-ash"])
def test_every_service_can_load_its_settings(tmp_path: Path, contract: Contract, name: str) -> None:
    """What is written is what the service's own class accepts."""
    folder, _ = made(tmp_path, contract)
    written(folder)
    service = name.partition("-")[0]
    kind = getattr(pytest.importorskip(f"tacit.{service}.settings"), f"{service.title()}Settings")
    assert settings.load(kind, folder.settings(name)).ports_file == folder.ports


@pytest.mark.parametrize(
    ("name", "service"), [("aggregator", "aggregator"), ("trainer-ash", "trainer"), ("scorer-bank-7", "scorer")]
)
def test_a_child_serves_the_first_word_of_its_name(name: str, service: str) -> None:
    """With this interpreter and one thread a library."""
    child = subject.child(name, Path("x.yaml"))
    assert child.name == name
    assert child.argv == (sys.executable, "-m", "tacit.cli", "serve", service, "--settings", "x.yaml")
    assert child.env["OMP_NUM_THREADS"] == "1"


def test_children_of_a_folder_are_those_that_were_written(tmp_path: Path) -> None:
    """The same processes, found again by their files."""
    folder = Folder(tmp_path)
    wanted = subject.write_settings(folder, BANKS, Processes(scoring=["ash"]))
    assert subject.children(folder) == sorted(wanted, key=lambda child: child.name)


def test_a_folder_without_settings_says_what_makes_one(tmp_path: Path) -> None:
    """The message is a command."""
    with pytest.raises(LayoutError, match=f"holds no federation: `tacit demo --out {tmp_path}` makes one"):
        subject.children(Folder(tmp_path))
