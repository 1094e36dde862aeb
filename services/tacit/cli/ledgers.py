"""What `tacit ledger` does: asks the running trainer, or opens the journal of a stopped one, without a terminal."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from tacit import canonical
from tacit.adapters.journal import Journal, JournalBusyError, JournalError, open_for
from tacit.adapters.logs import open_federation_log
from tacit.cli.client import NoAnswerError, ServiceClient
from tacit.cli.layout import Folder
from tacit.cli.text import epsilon
from tacit.federation import Policy
from tacit.rounds.ledger import Stored
from tacit.runtime import documents, settings
from tacit.runtime.accepted import load_accepted, load_key
from tacit.runtime.bound_ports import read_ports
from tacit.runtime.clock import SystemClock
from tacit.runtime.log import Log
from tacit.trainer import http, recovery
from tacit.trainer.outbox import Author
from tacit.trainer.settings import TrainerSettings
from tacit.wire import topics
from tacit.wire.envelope import SigningKey

JOURNAL = "journal.sqlite"
NANO = 10**9


class LedgerError(Exception):
    """A ledger that cannot be asked as the command says; the message says what helps."""


@dataclass(frozen=True)
class Source:
    """Where a bank's ledger is found; at least one of the two.

    Attributes:
        client: The running trainer's bank-only port.
        journal: The journal's file and the bank's policy, for a trainer that is stopped.
    """

    client: ServiceClient | None
    journal: tuple[Path, Path] | None


def source(url: str | None, folder: Path | None, bank: str | None, journal: Path | None, policy: Path | None) -> Source:
    """Finds a ledger from a command's options: a URL, a federation's folder and a bank, or two files.

    Raises:
        LedgerError: If the options do not name one ledger.
    """
    if (journal is None) != (policy is None) or (folder is None) != (bank is None):
        raise LedgerError("--journal and --policy go together, and so do --dir and --bank")
    if sum(option is not None for option in (url, folder, journal)) != 1:
        raise LedgerError("give one of --url URL, --dir DIR --bank BANK, and --journal FILE --policy FILE")
    if folder is not None and bank is not None:
        own, port = Folder(folder).bank(bank), read_ports(Folder(folder).ports).get(f"{bank}.bank")
        client = ServiceClient(f"http://127.0.0.1:{port}", service="trainer") if port is not None else None
        return Source(client, (own / JOURNAL, own / "policy.json"))
    client = ServiceClient(url, service="trainer") if url is not None else None
    return Source(client, (journal, policy) if journal is not None and policy is not None else None)


def report(found: Source) -> dict[str, Any]:
    """The account as ``GET /v1/ledger`` gives it.

    Raises:
        ClientError: If only the trainer can be asked, and it does not answer.
        JournalError: If the file cannot be opened, or was changed.
    """
    answer = _asked(found, "GET", "/v1/ledger")
    if answer is not None:
        return dict(answer)
    with opened(found) as journal:
        plain: dict[str, Any] = http.plain(asdict(journal.ledger()))
        return plain


def faults(found: Source) -> list[str]:
    """What is wrong with the journal, in words; raises as `report`."""
    answer = _asked(found, "GET", "/v1/ledger/faults")
    if answer is not None:
        return list(answer["faults"])
    with opened(found) as journal:
        return journal.verify()


def backup(found: Source, name: str, out: Path | None) -> str:
    """Writes a copy of the journal without secrets and noised vectors.

    Args:
        found: The ledger.
        name: File name of the copy, for a running trainer, which writes it beside its journal.
        out: Where the copy goes; needs a stopped trainer. None for beside the journal.

    Returns:
        Where the copy is, on the trainer's machine.

    Raises:
        ClientError: If only the trainer can be asked, and it does not answer or refuses.
        JournalError: If the file exists, or the journal is in use or was changed.
    """
    answer = _asked(found, "POST", f"/v1/ledger/backups/{name}") if out is None else None
    if answer is not None:
        return str(answer["path"])
    if found.journal is None:
        raise LedgerError(
            "--out needs the journal's file, and a stopped trainer: give --journal and --policy, or --dir"
        )
    target = out if out is not None else found.journal[0].parent / "backups" / name
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with opened(found) as journal:
        journal.backup(target)
    return str(target)


@contextlib.contextmanager
def opened(found: Source) -> Iterator[Journal]:
    """The journal of a stopped trainer.

    Raises:
        LedgerError: If there is no such file.
        JournalError: If it is in use or was changed.
    """
    if found.journal is None:
        raise LedgerError("the trainer does not answer: give --journal FILE and --policy FILE")
    file, policy = found.journal
    if not file.exists():
        raise LedgerError(f"{file}: no such journal; one that was lost is made again by `tacit ledger rebuild`")
    with open_journal(file, documents.load(Policy, policy)) as journal:
        yield journal


@contextlib.contextmanager
def open_journal(file: Path, policy: Policy) -> Iterator[Journal]:
    """Opens a journal as the bank's trainer does, and closes it; makes one if there is none.

    Raises:
        JournalError: If it is in use, was changed, or belongs to another account.
    """
    try:
        journal = open_for(file, policy, SystemClock())
    except JournalBusyError as error:
        error.add_note("stop the trainer first: one process holds a journal at a time")
        raise
    try:
        yield journal
    finally:
        journal.close()


@dataclass(frozen=True)
class Bench:
    """A stopped trainer's belongings, opened for a recovery.

    Attributes:
        identity: The bank with its keys.
        log: The log.
        file: The journal's file, whether it exists or not.
        prefix: Of topic names.
    """

    identity: recovery.Identity
    log: Log
    file: Path
    prefix: str

    def findings(self) -> recovery.Findings:
        """What the log says of the bank."""
        return recovery.read(self.log, self.identity, self.prefix)

    def resume(self) -> Stored:
        """Starts the chain again with the journal as it is; charges nothing.

        Raises:
            LedgerError: If there is no journal.
            JournalError: If it is in use, or behind its topic.
        """
        if not self.file.exists():
            raise LedgerError(f"{self.file}: no such journal: one that was lost needs `tacit ledger rebuild`")
        with open_journal(self.file, self.identity.policy) as journal:
            return recovery.resume(self.log, journal, self.identity, SystemClock(), self.findings())

    def prepare(self, *, charge_to_cap: bool) -> recovery.Rebuild:
        """What a rebuild would charge; refuses a journal that holds records.

        Raises:
            LedgerError: If the old journal is still there; the message has the command that moves it away.
            RecoveryError: If the log does not tell enough.
        """
        if self.file.exists():
            self._require_fresh()
        return recovery.prepare(self.findings(), self.identity, charge_to_cap=charge_to_cap)

    def rebuild(self, prepared: recovery.Rebuild) -> Stored:
        """Fills a fresh journal with what was prepared.

        Raises:
            JournalError: If the journal is in use.
        """
        with open_journal(self.file, self.identity.policy) as journal:
            return recovery.rebuild(self.log, journal, self.identity, SystemClock(), prepared)

    def _require_fresh(self) -> None:
        move = f"a rebuild makes a new file; keep the old one: mv {self.file} {self.file}.old"
        try:
            with open_journal(self.file, self.identity.policy) as journal:
                if journal.position().seq == 1 and not journal.ledger().runs:
                    return
        except JournalBusyError:
            raise
        except JournalError as error:
            error.add_note(move)
            raise
        raise LedgerError(f"{self.file} holds records: {move}")


@contextlib.contextmanager
def bench(file: Path, governance: Path, secrets: Path | None) -> Iterator[Bench]:
    """Opens what a recovery needs from a trainer's settings file.

    Args:
        file: The trainer's settings.
        governance: The bank's governance key.
        secrets: Folder of mounted secret files, None for none.

    Raises:
        SettingsError: If the settings are wrong.
        DocumentError, FederationError, ContractError: If an epoch or a contract is not what it must be.
        SigningKeyError: If the record key is not the one that the epoch in force names.
        RecoveryError: If the policy's bank is no member, or the governance key is not the bank's.
        LogError: If the log refuses.
    """
    wanted = settings.load(TrainerSettings, file, secrets_dir=secrets)
    policy, prefix = documents.load(Policy, wanted.policy), wanted.log.topic_prefix
    accepted = load_accepted(wanted.manifest, wanted.earlier_manifests, wanted.contracts, all_contracts=False)
    member = accepted.manifest.by_id.get(policy.bank)
    if member is None:
        raise recovery.RecoveryError(f"bank {policy.bank!r} is no member of epoch {accepted.manifest.epoch}")
    key = load_key(wanted.signing_key, member.signing_key)
    identity = recovery.Identity(
        policy=policy,
        manifest=accepted.manifest,
        contracts=accepted.contracts,
        author=Author(policy.bank, key, topics.bank(prefix, policy.bank).name),
        governance=SigningKey.load(governance),
        earlier=accepted.epochs[:-1],
    )
    log = open_federation_log(wanted.log, accepted.manifest.by_id, policy.bank)
    try:
        yield Bench(identity, log, wanted.folder / JOURNAL, prefix)
    finally:
        log.close()


def render(ledger: Mapping[str, Any]) -> str:
    """A ledger for people."""
    delta = canonical.number(Fraction(ledger["delta"]))
    lines = [
        f"account    {ledger['account']}: epsilon at delta {delta}, adding or removing one {ledger['unit']}",
        f"{'bucket':<12}{'epsilon':>12}{'rho':>14}{'cap rho':>14}{'left rho':>14}",
        *(_bucket(item) for item in [ledger["lifetime"], *ledger["buckets"]]),
    ]
    if ledger["runs"]:
        lines += ["", f"{'run':<14}{'state':<8}{'epsilon':>10}{'reserved':>14}{'spent':>14}{'charged':>14}  months"]
        lines += [_run(item) for item in ledger["runs"]]
    return "\n".join(lines)


def _bucket(item: Mapping[str, Any]) -> str:
    charged, cap = int(item["charged_nano"]), int(item["cap_nano"])
    name = "all months" if item["name"] == "*" else item["name"]
    rhos = "".join(f"{_rho(value):>14}" for value in (charged, cap, cap - charged))
    return f"{name:<12}{epsilon(float(item['epsilon'])):>12}{rhos}"


def _run(item: Mapping[str, Any]) -> str:
    name = item["run"][:12] or "(gap)"
    rhos = "".join(f"{_rho(int(item[key])):>14}" for key in ("reserved_nano", "spent_nano", "charged_nano"))
    months = ", ".join(item["buckets"])
    return f"{name:<14}{item['state']:<8}{epsilon(float(item['epsilon'])):>10}{rhos}  {months}"


def _rho(nano: int) -> str:
    return f"{nano / NANO:.9f}"


def _asked(found: Source, method: str, path: str) -> Any:  # noqa: ANN401  JSON
    """The running trainer's answer; None if it does not run and the file can be opened instead."""
    if found.client is None:
        return None
    try:
        return found.client.call(method, path)
    except NoAnswerError:
        if found.journal is None:
            raise
        return None
