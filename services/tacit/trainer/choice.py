"""The bank's own model of a finished run: fitted beside the loop, kept in one file, for the bank's scorer alone."""

import os
from dataclasses import dataclass
from pathlib import Path

from tacit import canonical
from tacit.learning import ensemble
from tacit.rounds.state import Run
from tacit.runtime.observing import get_logger
from tacit.trainer import local
from tacit.trainer import snapshot as snapshots
from tacit.trainer.answers import Answerer
from tacit.trainer.checks import Finished
from tacit.trainer.local import LocalModel, LocalRows, LocalSettings
from tacit.trainer.ports import Worker
from tacit.wire import local as documents
from tacit.wire.local import Choice, LocalDocument, LocalDocumentError

CURRENT = "current.json"
"""The first model's document, for a scorer that names no model."""

MODELS = "models"
"""Folder of one document per model."""

GLOBAL_ONLY = LocalModel(Choice.GLOBAL, {}, 0, None, 1.0, (), None)
"""What a bank without rows of a run serves."""

_log = get_logger(__name__)


@dataclass(frozen=True)
class LocalChoice:
    """Makes and keeps the bank's choice. Nothing of it leaves the bank.

    Attributes:
        folder: Where the file lies.
        worker: Runs the fit.
        zone: IANA zone of the bank's midnights.
        threads: Threads of XGBoost.
    """

    folder: Path
    worker: Worker
    zone: str
    threads: int = 1

    def took(self, done: Finished) -> bool:
        """Fits and stores what a verified run gives; True once it is stored.

        A bank that did not take part, or finished the run before a restart, keeps the file that it has for this model,
        else serves the global model.
        """
        model = canonical.label(ensemble.digest(done.model))
        if done.answerer is None:
            kept = held(self.folder, done.run.document.model)
            if kept is None or kept.run != done.run.id.hex():
                self._keep(_document(done.run, model, GLOBAL_ONLY))
            return True
        answerer = done.answerer
        try:
            made = self.worker.done(("choice", done.run.id), lambda: self._choose(done.run, answerer))
        except Exception:  # noqa: BLE001  rows decide which one it is; the global model serves every bank
            _log.exception("local_choice_failed", run=done.run.id.hex())
            made = GLOBAL_ONLY
        if made is None:
            return False
        self._keep(_document(done.run, model, made))
        self.worker.forget(("choice", done.run.id))
        _log.info("local_model_chosen", run=done.run.id.hex(), choice=made.choice)
        return True

    def _keep(self, document: LocalDocument) -> None:
        """Writes the model's own file, and the one without a name if it is this model's or nobody's yet."""
        _write(file_of(self.folder, document.name), document)
        current = read(self.folder / CURRENT)
        if current is None or current.name == document.name:
            _write(self.folder / CURRENT, document)

    def _choose(self, run: Run, answerer: Answerer) -> LocalModel:
        assert run.course is not None  # noqa: S101  a finished run has one
        plan, part = answerer.terms.plan, answerer.snapshot.training
        reach = snapshots.span(plan.window, answerer.terms.contract.look_back_days, self.zone)
        rows = LocalRows(part.values, part.encoded.labels, part.times, answerer.final_margins(run.course))
        rates = plan.quality
        settings = LocalSettings(delay_days=min(plan.window.label_delay_days, 90), threads=self.threads)
        if rates is not None:
            settings = LocalSettings(
                float(rates.review_rate), float(rates.decline_rate), settings.delay_days, self.threads
            )
        return local.choose(rows, answerer.terms.contract, (reach.start, reach.end), settings)


def held(folder: Path, model: str | None = None) -> LocalDocument | None:
    """The document of a model, by default the one without a name; None if there is none."""
    current = read(folder / CURRENT)
    if model is None or (current is not None and current.name == model):
        return current
    return read(file_of(folder, model))


def file_of(folder: Path, model: str) -> Path:
    """Where a model's document lies; a model's name is a plain one (`rounds.plan`)."""
    return folder / MODELS / f"{model}.json"


def read(path: Path) -> LocalDocument | None:
    """The stored document, None if there is none or it cannot be read."""
    try:
        return documents.parse(path.read_bytes())
    except (OSError, LocalDocumentError):
        return None


def _document(run: Run, model: str, made: LocalModel) -> LocalDocument:
    assert run.terms is not None  # noqa: S101  a finished run has terms
    return LocalDocument(
        api=documents.API,
        run=run.id.hex(),
        model=model,
        name=run.terms.plan.model,
        contract=run.terms.plan.contract,
        verdict=documents.VERIFIED,
        choice=made.choice,
        precision=made.precision,
        frauds=made.frauds,
        global_share=made.global_share,
        names=made.names,
        thresholds=made.thresholds,
        booster=made.booster.decode() if made.booster is not None else None,
    )


def _write(path: Path, document: LocalDocument) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        file.write(documents.encode(document))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
