"""The folder of a federation on one machine (formats 4): keys, epoch, policies, settings of every process."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml

from tacit import canonical, federation
from tacit.cli.supervise import Child
from tacit.features.spec import Contract
from tacit.federation import Cap, Manifest, Member, Operator, Policy
from tacit.privacy.types import Mode, Unit
from tacit.wire import topics
from tacit.wire.envelope import SigningKey

OPERATOR = "operator"


class LayoutError(Exception):
    """A folder that is not, or cannot become, a federation's."""


@dataclass(frozen=True)
class Folder:
    """Names of everything in a federation's folder.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def manifest(self) -> Path:
        """The signed epoch."""
        return self.path / "federation.json"

    @property
    def contracts(self) -> Path:
        """Folder of contracts."""
        return self.path / "contracts"

    @property
    def plan(self) -> Path:
        """The plan that was submitted last."""
        return self.path / "plan.json"

    @property
    def ports(self) -> Path:
        """Bound ports by process."""
        return self.path / "ports.json"

    @property
    def logs(self) -> Path:
        """Folder of the processes' output."""
        return self.path / "logs"

    @property
    def log(self) -> Path:
        """The embedded log."""
        return self.path / "log.sqlite"

    def key(self, role: str) -> Path:
        """PEM file of a role's or bank's key."""
        return self.path / "keys" / role / "key.pem"

    def governance_key(self, bank: str) -> Path:
        """PEM file of a bank's governance key."""
        return self.path / "keys" / bank / "governance.pem"

    def bank(self, bank: str) -> Path:
        """Folder of a bank."""
        return self.path / "banks" / bank

    def settings(self, name: str) -> Path:
        """Settings file of a process."""
        return self.path / "settings" / f"{name}.yaml"

    @property
    def banks(self) -> list[str]:
        """Banks with a folder, sorted."""
        return sorted(path.name for path in (self.path / "banks").iterdir() if path.is_dir())


@dataclass(frozen=True)
class Terms:
    """What a new federation agrees on.

    Attributes:
        name: Federation id.
        cap: Both caps of every bank, epsilon at delta.
        modes: Trust modes.
        mixing: Whether banks accept columns that mix customers.
        unit: Privacy unit of every account.
    """

    name: str
    cap: Cap
    mixing: bool
    unit: Unit = Unit.CUSTOMER
    modes: tuple[Mode, ...] = (Mode.LOCAL,)


def found(folder: Folder, banks: Sequence[str], contract: Contract, terms: Terms) -> Manifest:
    """Makes all keys, epoch 1 signed by everybody, and every bank's policy that accepts it.

    All keys of all roles on one machine are for a demo: in a deployment each role makes its own.

    Args:
        folder: Where; its banks' data are there already.
        banks: Member ids.
        contract: The feature contract.
        terms: What the members agree on.

    Returns:
        The signed epoch, also written to `folder.manifest`.
    """
    roles = [topics.AGGREGATOR, topics.REGISTRY, OPERATOR, *banks]
    keys = {role: _new_key(folder.key(role)) for role in roles}
    governance = {bank: _new_key(folder.governance_key(bank)) for bank in banks}
    members = tuple(
        Member(bank, index, keys[bank].public, governance[bank].public, f"User:{bank}")
        for index, bank in enumerate(sorted(banks), 1)
    )
    t, q, c = federation.default_quorums(len(members))
    manifest = Manifest(
        federation=terms.name,
        epoch=1,
        members=members,
        operators=(Operator(OPERATOR, keys[OPERATOR].public),),
        aggregator=keys[topics.AGGREGATOR].public,
        registry=keys[topics.REGISTRY].public,
        t=t,
        q=q,
        c=c,
        modes=terms.modes,
        contracts=(canonical.label(contract.digest),),
    )
    for signer, key in [(OPERATOR, keys[OPERATOR]), *sorted(governance.items())]:
        manifest = federation.sign_manifest(manifest, signer, key)
    federation.check_manifest(manifest, None)
    folder.manifest.write_bytes(canonical.encode(manifest))
    folder.contracts.mkdir(exist_ok=True)
    (folder.contracts / "contract.json").write_bytes(canonical.encode(contract))
    for bank in banks:
        policy = federation.accept(_policy(bank, manifest, terms), manifest)
        (folder.bank(bank) / "policy.json").write_bytes(canonical.encode(policy))
    return manifest


def _policy(bank: str, manifest: Manifest, terms: Terms) -> Policy:
    return Policy(
        bank=bank,
        account=f"{terms.name}-{bank}-cards",
        unit=terms.unit,
        bucket_cap=terms.cap,
        lifetime_cap=terms.cap,
        root=canonical.label(manifest.digest),
        peers={member.id: federation.fingerprint(member.governance_key) for member in manifest.members},
        contracts=manifest.contracts,
        modes=manifest.modes,
        largest_delta=max(Fraction(1, 10**5), terms.cap.delta),
        allow_mixing_features=terms.mixing,
    )


def _new_key(path: Path) -> SigningKey:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = SigningKey.generate()
    key.save(path)
    return key


@dataclass(frozen=True)
class Processes:
    """How the processes of a folder reach their log and data.

    Attributes:
        log: Settings of the log per process name; None for the embedded one.
        feeds: Feed name to file, for every trainer.
        scoring: Banks that run a scorer.
    """

    scoring: Sequence[str]
    log: Mapping[str, Mapping[str, Any]] | None = None
    feeds: Mapping[str, Path] | None = None


def write_settings(folder: Folder, banks: Sequence[str], processes: Processes) -> list[Child]:
    """Writes every process's settings file.

    Returns:
        The children of a supervisor, in the order in which they start.
    """
    folder.settings("").parent.mkdir(exist_ok=True)
    wanted = {
        topics.AGGREGATOR: _consortium(folder, topics.AGGREGATOR) | {"lock_file": str(folder.path / "aggregator.lock")},
        topics.REGISTRY: _consortium(folder, topics.REGISTRY) | {"folder": str(folder.path / "registry")},
    }
    wanted |= {f"trainer-{bank}": _trainer(folder, bank, processes) for bank in banks}
    wanted |= {f"scorer-{bank}": _scorer(folder, bank) for bank in processes.scoring}
    children = []
    for name, settings in wanted.items():
        log = processes.log[name] if processes.log is not None else {"kind": "embedded", "path": str(folder.log)}
        document = {**settings, "log": dict(log), "ports_file": str(folder.ports)}
        path = folder.settings(name)
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        children.append(child(name, path))
    return children


def child(name: str, settings: Path) -> Child:
    """The process of a settings file; its service is the first word of its name."""
    service = name.partition("-")[0]
    argv = (sys.executable, "-m", "tacit.cli", "serve", service, "--settings", str(settings))
    # One thread per library and process: five trainers on two cores would only wait for each other.
    return Child(name, argv, {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "2"})


def children(folder: Folder) -> list[Child]:
    """The children of a folder that has its settings already.

    Raises:
        LayoutError: If it has none.
    """
    files = sorted(folder.settings("").parent.glob("*.yaml"))
    if not files:
        raise LayoutError(f"{folder.path} holds no federation: `tacit demo --out {folder.path}` makes one")
    return [child(path.stem, path) for path in files]


def _shared(folder: Folder) -> dict[str, Any]:
    return {"manifest": str(folder.manifest), "contracts": str(folder.contracts)}


def _consortium(folder: Folder, role: str) -> dict[str, Any]:
    return _shared(folder) | {"signing_key": str(folder.key(role))}


def _trainer(folder: Folder, bank: str, processes: Processes) -> dict[str, Any]:
    own = folder.bank(bank)
    return _shared(folder) | {
        "signing_key": str(folder.key(bank)),
        "policy": str(own / "policy.json"),
        "source": str(own / "data"),
        "mapping": str(own / "mapping.yaml"),
        "folder": str(own),
        "feeds": {name: str(path) for name, path in (processes.feeds or {}).items()},
    }


def _scorer(folder: Folder, bank: str) -> dict[str, Any]:
    return _shared(folder) | {
        "bank": bank,
        "cache": str(folder.path / "scorer" / bank),
        "local_ports_file": str(folder.ports),
    }
