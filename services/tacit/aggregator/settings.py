"""Settings of the aggregator."""

from pathlib import Path

from tacit.runtime.settings import HttpSettings, LogSettings, Settings


class AggregatorSettings(Settings):
    """What an aggregator is started with.

    Attributes:
        log: The log.
        manifest: The accepted epoch, signed JSON or YAML.
        earlier_manifests: The epochs before it, oldest first, from epoch 1.
        contracts: Folder of feature contracts.
        signing_key: PEM file of the aggregator's key.
        lock_file: Lease off Kubernetes: who holds this file's lock tries to lead.
        http: Port of the API, probes and metrics.
    """

    log: LogSettings
    manifest: Path
    earlier_manifests: tuple[Path, ...] = ()
    contracts: Path
    signing_key: Path
    lock_file: Path
    http: HttpSettings = HttpSettings()
