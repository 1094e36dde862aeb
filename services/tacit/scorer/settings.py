"""Settings of a scorer."""

import math
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from tacit.runtime.settings import Group, HttpSettings, LogSettings, Settings

Probability = Annotated[float, Field(gt=0.0, lt=1.0)]
Id = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]


class DefaultThresholds(Group):
    """Thresholds where neither the trainer nor the registry gives any.

    Attributes:
        review: Probability at and above which a row is reviewed.
        decline: Probability at and above which it is declined, at least `review`.
    """

    review: Probability = 0.5
    decline: Probability = 0.9

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.review > self.decline:
            raise ValueError(f"review {self.review} is above decline {self.decline}")
        return self

    @property
    def margins(self) -> tuple[float, float]:
        """Both as log-odds."""
        review, decline = (math.log(value / (1.0 - value)) for value in (self.review, self.decline))
        return review, decline


class ScorerSettings(Settings):
    """What a scorer is started with; it needs no key, for it writes nothing.

    Attributes:
        bank: The bank's id.
        log: The log.
        manifest: The accepted epoch, signed JSON or YAML.
        earlier_manifests: The epochs before it, oldest first, from epoch 1.
        contracts: Folder of feature contracts.
        cache: Folder of the last models that served; a disk of this machine, for the scorer alone.
        model: Name of the model to serve; None: the one in the cache, else the first that has a serving alias.
        local_url: Base URL of the trainer's bank-only port.
        local_ports_file: `ports.json` that names the trainer's port `<bank>.bank`, looked up anew at every question.
        local_file: The trainer's own `local/current.json`, where both run on one machine.
        local_seconds: Seconds between two questions to the trainer.
        pinned_digest: `sha256:` digest of a model file that a person vouches for in place of the trainer's verdict.
        thresholds: Where neither the trainer nor the registry gives any.
        http: Bank-only port: scores, the model, all metrics.
        health: Shareable port: probes and shareable metrics.
    """

    bank: Id
    log: LogSettings
    manifest: Path
    earlier_manifests: tuple[Path, ...] = ()
    contracts: Path
    cache: Path
    model: Id | None = None
    local_url: Annotated[str, Field(pattern=r"^https?://[^\s/]+/?$", max_length=255)] | None = None
    local_ports_file: Path | None = None
    local_file: Path | None = None
    local_seconds: Annotated[float, Field(ge=0.1, le=3600.0)] = 2.0
    pinned_digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None
    thresholds: DefaultThresholds = DefaultThresholds()
    http: HttpSettings = HttpSettings()
    health: HttpSettings = HttpSettings()

    @model_validator(mode="after")
    def _one_trainer(self) -> Self:
        given = [self.local_url, self.local_ports_file, self.local_file]
        count = sum(item is not None for item in given)
        if count > 1 or (count == 0 and self.pinned_digest is None):
            raise ValueError(
                "give one of local_url, local_ports_file and local_file (or none of them with pinned_digest): "
                "without the trainer's verdict or a person's word no model may serve"
            )
        return self
