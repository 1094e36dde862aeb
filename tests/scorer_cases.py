"""What tests of the scorer share: a small contract, models, sealed records, a trainer and a cache in memory."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import xgboost

from fake_clock import FakeClock
from tacit import canonical
from tacit.adapters.memory import MemoryLog
from tacit.features.encode import local_names
from tacit.features.spec import Column, ColumnType, Contract, Provenance, Ratio, Side
from tacit.learning.ensemble import booster
from tacit.learning.types import Ensemble, LineTable
from tacit.privacy.types import Mode
from tacit.rounds.types import AliasBody, ArtefactBody, Body, Kind, VersionBody
from tacit.runtime.inbox import Inbox
from tacit.scorer.bundle import Bundle, Rules
from tacit.scorer.handlers import Choices, Ports, Scorer
from tacit.scorer.live import Thresholds
from tacit.versions import Guarantee, ModelVersion
from tacit.wire import envelope
from wire_cases import RING, key, record

TOPIC = "tacit.versions.v1"
NAMES = ("amount", "mean_amount", "visits")
ROW: Mapping[str, float | None] = {"amount": 2.5, "mean_amount": 1.0, "visits": None}
DEFAULTS = Thresholds(0.0, 2.0)


def column(name: str, kind: ColumnType, side: Side, *, coarse: bool = False) -> Column:
    """A column with edges at thirds from 1/3 to 11/3."""
    edges = tuple(Fraction(edge, 3) for edge in range(1, 12))
    cells = (Fraction(0), edges[4]) if coarse else None
    return Column(name, kind, Provenance.CUSTOMER, edges, Fraction(0), Fraction(1), side, coarse=cells, of=None)


CONTRACT = Contract(
    columns=(
        column("amount", ColumnType.AMOUNT, Side.LEFT),
        column("mean_amount", ColumnType.AMOUNT, Side.RIGHT, coarse=True),
        column("visits", ColumnType.AMOUNT, Side.LEFT),
    ),
    linear=("amount",),
    ratios=(Ratio("amount", "mean_amount", (Fraction(1, 2), Fraction(2))),),
    scale=Fraction(1),
)
CONTRACT_LABEL = canonical.label(CONTRACT.digest)
RULES = Rules({CONTRACT_LABEL: CONTRACT}, DEFAULTS)


def label(data: bytes) -> str:
    """Digest of bytes as documents write it."""
    return canonical.label(hashlib.sha256(data).digest())


def global_model(seed: int = 0) -> bytes:
    """A small global model that differs by seed."""
    rng = np.random.default_rng(seed)
    lines = tuple(LineTable(c, tuple(rng.normal(0, 0.7, 12).tolist())) for c in range(len(NAMES)))
    return booster(Ensemble(-1.0, lines), CONTRACT)


MODELS = tuple(global_model(seed) for seed in range(4))


def rows_of(seed: int, rows: int) -> np.ndarray:
    """Values, some at edges, some missing."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(0, 5, (rows, len(NAMES))).astype(np.float32)
    exact = rng.random(values.shape) < 0.3
    values[exact] = np.float32(rng.integers(0, 14, values.shape)[exact] / 3)
    values[rng.random(values.shape) < 0.1] = np.nan
    return values


def local_booster(seed: int = 0) -> tuple[xgboost.Booster, bytes]:
    """A booster over the contract's columns and its ratio's logarithm, base score one half."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(0, 5, (300, 4)).astype(np.float32)
    matrix = xgboost.DMatrix(values, values[:, 0] > 3, feature_names=list(local_names(CONTRACT)), nthread=1)
    params = {"objective": "binary:logistic", "base_score": 0.5, "max_depth": 3, "nthread": 1, "seed": seed}
    grown = xgboost.train(params, matrix, 8)
    return grown, bytes(grown.save_raw("json"))


def version_of(model: bytes, /, parent: str | None = None, **changes: Any) -> ModelVersion:  # noqa: ANN401  any field
    """The registry's statement about a model file; the run follows from the file."""
    made = ModelVersion(
        model="card-fraud",
        run=label(b"run" + model),
        contract=CONTRACT_LABEL,
        file=label(model),
        size_bytes=len(model),
        participants=("ash", "birch", "cedar"),
        rounds=3,
        guarantee=Guarantee(Fraction(1), Fraction(1, 10**5), "customer", Mode.LOCAL, 3, 1),
        created="2018-08-01T00:00:00Z",
        parent=parent,
    )
    return replace(made, **changes)


def document_of(model: bytes, /, **changes: object) -> bytes:
    """The trainer's document about a model: verified, global."""
    made = {
        "api": "tacit.local/v1",
        "run": "ab" * 32,
        "model": label(model),
        "name": "card-fraud",
        "contract": CONTRACT_LABEL,
        "verdict": "ok",
        "choice": "global",
        "precision": {},
        "frauds": 0,
        "global_share": 1.0,
        "names": list(local_names(CONTRACT)),
        "thresholds": None,
        "booster": None,
    }
    return json.dumps({**made, **changes}).encode()


def bundle_of(model: bytes = MODELS[0], /, document: bytes | None = b"", **changes: Any) -> Bundle:  # noqa: ANN401  same
    """A bundle that is in order, by default with a document that verifies it."""
    statement = canonical.encode(version_of(model, **changes))
    return Bundle(statement, model, 1, document_of(model) if document == b"" else document)


class Registry:
    """Writes versions onto a log as the registry does, with the registry's key unless told otherwise."""

    def __init__(self, log: MemoryLog) -> None:
        self.log = log
        log.create([TOPIC])
        self.sequence = 0
        self.newest: str | None = None

    def write(self, kind: Kind, body: Body, signer: str = "registry") -> None:
        """Appends one record."""
        sealed = record(kind, body)
        if signer != "registry":
            sealed = envelope.seal(sealed.header, body, key(signer))
        self.log.append(TOPIC, b"registry", sealed.value)

    def artefact(self, model: bytes) -> None:
        """Appends a model file."""
        self.write(Kind.ARTEFACT, ArtefactBody(hashlib.sha256(model).digest(), model))

    def version(self, model: bytes, /, **changes: Any) -> str:  # noqa: ANN401  any field
        """Appends a statement that follows the newest one; gives its digest."""
        made = version_of(model, **{"parent": self.newest, **changes})
        self.write(Kind.VERSION, VersionBody(canonical.encode(made)))
        self.newest = canonical.label(made.digest)
        return self.newest

    def point(self, version: str, sequence: int | None = None, alias: str = "serving") -> None:
        """Moves an alias, by default one move on."""
        self.sequence = self.sequence + 1 if sequence is None else self.sequence
        number = self.sequence if sequence is None else sequence
        self.write(Kind.ALIAS, AliasBody(alias, canonical.parse_label(version), number))

    def publish(self, model: bytes, /, **changes: Any) -> str:  # noqa: ANN401  any field
        """File, statement and alias of a model."""
        self.artefact(model)
        version = self.version(model, **changes)
        self.point(version)
        return version


class FakeTrainer:
    """A trainer in memory.

    Attributes:
        document: What it would answer; None before its first.
        away: Whether it does not answer.
        asked: Tags that it was asked with.
    """

    def __init__(self, document: bytes | None = None) -> None:
        self.document = document
        self.away = False
        self.asked: list[str | None] = []

    def fetch(self, etag: str | None) -> tuple[bytes, str] | None:
        """Answers as a trainer with ETags."""
        self.asked.append(etag)
        if self.away:
            raise ConnectionError("refused")
        if self.document is None or label(self.document) == etag:
            return None
        return self.document, label(self.document)


class FakeCache:
    """A cache in memory.

    Attributes:
        stored: Bundles, newest first.
        broken: Whether the disk refuses.
    """

    def __init__(self, stored: Sequence[bytes] = ()) -> None:
        self.stored = list(stored)
        self.broken = False

    def load(self) -> Sequence[bytes]:
        """What was stored."""
        if self.broken:
            raise OSError("disk gone")
        return tuple(self.stored)

    def save(self, data: bytes) -> None:
        """Keeps the last two."""
        if self.broken:
            raise OSError("disk full")
        self.stored = [data, *self.stored[:1]]


class LogRecords:
    """The versions topic of a log behind the scorer's port."""

    def __init__(self, log: MemoryLog) -> None:
        self.inbox = Inbox(log, [TOPIC], lambda topic, value: envelope.open_record(topic, value, RING))

    def poll(self, timeout: float) -> list[Any]:
        """What is new."""
        return self.inbox.poll(timeout)

    @property
    def invalid(self) -> Counter[str]:
        """Invalid entries by reason."""
        return self.inbox.invalid


class World:
    """A log with a registry, a trainer, a cache and a clock, and the scorers that start on them."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.registry = Registry(self.log)
        self.trainer = FakeTrainer()
        self.cache = FakeCache()
        self.clock = FakeClock()

    def scorer(self, rules: Rules = RULES, **choices: Any) -> Scorer:  # noqa: ANN401  fields of `Choices`
        """A process that starts now."""
        ports = Ports(LogRecords(self.log), self.trainer, self.cache, self.clock)
        return Scorer(Choices(rules, **choices), ports)

    def step(self, scorer: Scorer) -> None:
        """One step, late enough for the trainer to be asked."""
        self.clock.seconds += 10.0
        scorer.step(0.0)

    def serving(self, model: bytes = MODELS[0], **changes: Any) -> Scorer:  # noqa: ANN401  fields of the document
        """A scorer that serves a verified version."""
        self.registry.publish(model)
        self.trainer.document = document_of(model, **changes)
        scorer = self.scorer()
        self.step(scorer)
        assert scorer.live is not None, scorer.obstacle
        return scorer
