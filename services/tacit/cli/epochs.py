"""What `tacit federation` does: making, signing, describing and accepting epochs, without a terminal."""

import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from tacit import canonical
from tacit.features.spec import Contract
from tacit.federation import (
    LEAST_DISTRIBUTED,
    FederationError,
    Manifest,
    Member,
    Operator,
    Policy,
    accept,
    check_manifest,
    check_terms,
    default_quorums,
    fingerprint,
    public_key,
    sign_manifest,
)
from tacit.privacy.types import Mode
from tacit.runtime import documents
from tacit.wire.documents import parse
from tacit.wire.errors import DocumentError
from tacit.wire.keys import SigningKey

_MOST_KEY_FILE_BYTES = 16 * 1024
_MEMBER_FIELDS = frozenset({"id", "signing", "governance", "principal"})


@dataclass(frozen=True)
class Terms:
    """What founds a federation, as typed by a person.

    Attributes:
        federation: Federation id.
        members: One `id=..,signing=KEY,governance=KEY[,principal=..]` a bank, in the order of their indices.
        operators: One `ID=KEY` an operator.
        aggregator: Key of the aggregator.
        registry: Key of the registry.
        contracts: Contract files, or digests `sha256:<hex>`.
        modes: Trust modes; empty for all that the number of members allows.
        t: Shares that open a secret, None for the default.
        q: Least survivors, None for the default.
        c: Colluding banks, None for the default.
        max_banks_per_person: Banks that one person may be a customer of.

    A KEY is `ed25519:<hex>` or the path of a `.pub` or `.pem` file.
    """

    federation: str
    members: Sequence[str]
    operators: Sequence[str]
    aggregator: str
    registry: str
    contracts: Sequence[str]
    modes: Sequence[Mode] = ()
    t: int | None = None
    q: int | None = None
    c: int | None = None
    max_banks_per_person: int = 1


def read_key(text: str) -> str:
    """The public key `ed25519:<hex>` that a text is, or that the file it names holds.

    Raises:
        FederationError: If it is neither.
        SigningKeyError: If a `.pem` file is no Ed25519 key.
    """
    if text.startswith("ed25519:"):
        public_key(text)
        return text
    path = Path(text)
    if path.suffix == ".pem":
        return SigningKey.load(path).public
    try:
        with path.open(encoding="utf-8") as file:
            key = file.read(_MOST_KEY_FILE_BYTES).strip()
        public_key(key)
    except (OSError, UnicodeDecodeError) as error:
        raise FederationError(f"key {text!r}: expected ed25519:<64 hex digits> or a readable file ({error})") from None
    except FederationError:
        raise FederationError(f"{path} holds no public key: expected ed25519:<64 hex digits>") from None
    return key


def found(terms: Terms) -> Manifest:
    """Epoch 1 of a new federation, without signatures.

    Raises:
        FederationError: If a term is malformed or breaks a rule.
    """
    n = len(terms.members)
    t, q, c = default_quorums(n)
    all_modes = (Mode.LOCAL, Mode.DISTRIBUTED) if n >= LEAST_DISTRIBUTED else (Mode.LOCAL,)
    manifest = Manifest(
        federation=terms.federation,
        epoch=1,
        members=tuple(_member(text, index) for index, text in enumerate(terms.members, 1)),
        operators=tuple(_operator(text) for text in terms.operators),
        aggregator=read_key(terms.aggregator),
        registry=read_key(terms.registry),
        t=t if terms.t is None else terms.t,
        q=q if terms.q is None else terms.q,
        c=c if terms.c is None else terms.c,
        modes=tuple(terms.modes) or all_modes,
        contracts=tuple(_contract(text) for text in terms.contracts),
        max_banks_per_person=terms.max_banks_per_person,
    )
    check_terms(manifest, None)
    return manifest


def sign(manifest: Manifest, keys: Sequence[Path], previous: Manifest | None = None) -> Manifest:
    """Adds the signatures of private keys; whose they are follows from the epoch and the one before.

    Raises:
        FederationError: If the epoch's terms break a rule, or a key is nobody's.
        SigningKeyError: If a file is no key.
    """
    check_terms(manifest, previous)
    for path in keys:
        key = SigningKey.load(path)
        manifest = sign_manifest(manifest, _signer(key.public, path, manifest, previous), key)
    return manifest


def missing_signers(manifest: Manifest, previous: Manifest | None = None) -> list[str]:
    """Who may still sign: members of the deciding epoch without a signature, and its operators if none signed."""
    base = previous if previous is not None else manifest
    signed = {item.signer for item in manifest.signatures}
    operators = [operator.id for operator in base.operators]
    missing = [] if signed & set(operators) else [f"an operator ({' or '.join(operators)})"]
    return missing + [member.id for member in base.standing if member.id not in signed]


def describe(manifest: Manifest, previous: Manifest | None = None) -> list[str]:
    """Lines that say everything a signer or a bank agrees to, warnings and missing signatures included.

    Raises:
        FederationError: If the terms break a rule.
    """
    warnings = check_terms(manifest, previous)
    lines = [
        f"federation {manifest.federation}, epoch {manifest.epoch}",
        f"digest     {canonical.label(manifest.digest)}",
        f"previous   {manifest.previous_digest or 'none: this is the root'}",
        f"modes      {', '.join(manifest.modes)}",
        f"quorums    {_quorums(manifest)}",
        f"persons    a customer of at most {manifest.max_banks_per_person} bank(s)",
        *(f"contract   {digest}" for digest in manifest.contracts),
        *(f"operator   {operator.id}  {fingerprint(operator.key)}" for operator in manifest.operators),
        f"aggregator {fingerprint(manifest.aggregator)}",
        f"registry   {fingerprint(manifest.registry)}",
        "members    (fingerprints of the governance keys: compare them by another channel)",
        *(_line(member) for member in manifest.members),
    ]
    return [*lines, *(f"WARNING: {warning}" for warning in warnings), _signatures(manifest, previous)]


def prepare_policy(path: Path, manifest: Manifest, previous: Manifest | None, pins: Sequence[str]) -> Policy:
    """The policy that a bank has after it accepts an epoch; nothing is written.

    The first acceptance sets `root` and pins every member, unless the file names them already; the bank's own key is
    always pinned. Later ones keep the root, let pins of known members follow their rotations, and pin a new member only
    if it is named.

    Args:
        path: The bank's `policy.yaml`.
        manifest: The epoch to accept.
        previous: The epoch that the bank is in; None for the root.
        pins: Ids of members to pin with the keys that they have now.

    Raises:
        DocumentError: If the file is no policy.
        FederationError: If the epoch breaks a rule or the policy objects.
    """
    content = _read_policy(path)
    if previous is None:
        content.setdefault("root", canonical.label(manifest.digest))
        content.setdefault("peers", _fingerprints(manifest))
    unknown = [name for name in pins if name not in manifest.by_id]
    if unknown:
        raise FederationError(f"cannot pin {', '.join(unknown)}: not among {', '.join(manifest.by_id)}")
    peers, bank = content.get("peers"), content.get("bank")
    known = (previous or manifest).by_id
    if isinstance(peers, dict) and bank not in peers and bank in known:
        peers = content["peers"] = {**peers, bank: fingerprint(known[str(bank)].governance_key)}
    if pins and isinstance(peers, dict):
        content["peers"] = {**peers, **{name: fingerprint(manifest.by_id[name].governance_key) for name in pins}}
    return accept(_policy(path, content), manifest, previous)


def write_policy(path: Path, policy: Policy) -> None:
    """Sets `root` and `peers` in a policy file and leaves every other line, comments included, as it is.

    Raises:
        DocumentError: If the file would then not read back as this policy.
    """
    kept = "".join(_without(path.read_text(encoding="utf-8").splitlines(keepends=True), ("root", "peers")))
    fresh = yaml.safe_dump({"root": policy.root, "peers": dict(policy.peers)}, sort_keys=False)
    text = f"{kept.rstrip()}\n{fresh}"
    if parse(Policy, documents.read_yaml(text.encode())) != policy:
        raise DocumentError(f"{path}: root and peers cannot be set in this file: write them as block mappings")
    replace_file(path, text)


def dump(manifest: Manifest) -> str:
    """An epoch as YAML, fields in their declared order."""
    return yaml.safe_dump(canonical.plain(manifest), sort_keys=False, width=200)


def complete(manifest: Manifest, previous: Manifest | None = None) -> bool:
    """Whether an epoch whose terms are right has the signatures that it needs."""
    try:
        check_manifest(manifest, previous)
    except FederationError:
        return False
    return True


def replace_file(path: Path, text: str) -> None:
    """Replaces a file as a whole, keeping its mode; a reader sees the old or the new one."""
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _member(text: str, index: int) -> Member:
    pairs = [part.partition("=") for part in text.split(",")]
    fields = {name.strip(): value.strip() for name, _, value in pairs}
    if len(fields) != len(pairs) or not _MEMBER_FIELDS - {"principal"} <= set(fields) <= _MEMBER_FIELDS:
        raise FederationError(f"member {text!r}: expected id=ID,signing=KEY,governance=KEY[,principal=User:NAME]")
    return Member(
        id=fields["id"],
        index=index,
        signing_key=read_key(fields["signing"]),
        governance_key=read_key(fields["governance"]),
        principal=fields.get("principal", f"User:{fields['id']}"),
    )


def _operator(text: str) -> Operator:
    name, separator, key = text.partition("=")
    if not separator or not name:
        raise FederationError(f"operator {text!r}: expected ID=KEY")
    return Operator(name, read_key(key))


def _contract(text: str) -> str:
    if text.startswith(canonical.DIGEST_PREFIX):
        return text
    return canonical.label(documents.load(Contract, Path(text)).digest)


def _signer(key: str, path: Path, manifest: Manifest, previous: Manifest | None) -> str:
    for epoch in (manifest, previous):
        for signer, known in _signing_keys(epoch) if epoch is not None else ():
            if known == key:
                return signer
    raise FederationError(f"{path}: key {key} is neither an operator's nor a member's of this epoch")


def _signing_keys(manifest: Manifest) -> Iterator[tuple[str, str]]:
    yield from ((operator.id, operator.key) for operator in manifest.operators)
    for member in manifest.members:
        yield from ((member.id, member.governance_key), (member.id, member.signing_key))


def _quorums(manifest: Manifest) -> str:
    n = len(manifest.standing)
    return f"n = {n}, t = {manifest.t} open a secret, q = {manifest.q} survive a round, c = {manifest.c} may collude"


def _line(member: Member) -> str:
    return f"  {member.index:3} {member.id:20} {member.status:8} {fingerprint(member.governance_key)}"


def _signatures(manifest: Manifest, previous: Manifest | None) -> str:
    if complete(manifest, previous):
        return f"signed by  {', '.join(item.signer for item in manifest.signatures)}: complete"
    signed = ", ".join(item.signer for item in manifest.signatures) or "nobody"
    return (
        f"signed by  {signed}: NOT COMPLETE, missing {', '.join(missing_signers(manifest, previous)) or 'valid ones'}"
    )


def _fingerprints(manifest: Manifest) -> dict[str, str]:
    return {member.id: fingerprint(member.governance_key) for member in manifest.standing}


def _read_policy(path: Path) -> dict[str, object]:
    try:
        return documents.read_yaml(path.read_bytes())
    except OSError as error:
        raise DocumentError(f"{path}: cannot be read: {error.strerror}") from None
    except DocumentError as error:
        raise DocumentError(f"{path}: {error}") from None


def _policy(path: Path, content: Mapping[str, object]) -> Policy:
    try:
        return parse(Policy, content)
    except DocumentError as error:
        raise DocumentError(f"{path}: {error}") from None


def _without(lines: Sequence[str], names: Sequence[str]) -> Iterator[str]:
    """The lines without the top-level keys of these names and what belongs to them."""
    dropping = False
    for line in lines:
        if re.match(r"[^\s#]", line):
            dropping = line.partition(":")[0].strip() in names
        if not dropping or line.startswith("#"):
            yield line
