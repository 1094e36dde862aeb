"""Settings of a trainer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from tacit.runtime.settings import HttpSettings, LogSettings, Settings


class TrainerSettings(Settings):
    """What a trainer is started with; every file is the bank's own.

    Attributes:
        log: The log.
        manifest: The accepted epoch, signed JSON or YAML.
        earlier_manifests: The epochs before it, oldest first, from epoch 1.
        policy: The bank's policy.
        contracts: Folder of feature contracts.
        signing_key: PEM file of the bank's record key.
        source: Parquet file or folder, or SQL URL, of the bank's rows.
        mapping: Which column is which.
        feeds: Feed name to feed file.
        folder: Journal, snapshots and local model lie here; a disk of this machine.
        threads: Threads of the local fit.
        bank_http: Bank-only port: local model, ledger, all metrics.
        health: Shareable port: probes and shareable metrics.
    """

    log: LogSettings
    manifest: Path
    earlier_manifests: tuple[Path, ...] = ()
    policy: Path
    contracts: Path
    signing_key: Path
    source: str
    mapping: Path
    folder: Path
    feeds: Mapping[str, Path] = {}
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    bank_http: HttpSettings = HttpSettings()
    health: HttpSettings = HttpSettings()
