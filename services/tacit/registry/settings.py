"""The registry's settings."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from tacit.runtime.settings import HttpSettings, LogSettings, Secret, Settings


class RegistrySettings(Settings):
    """What `tacit serve registry` needs.

    Attributes:
        manifest: The epoch in force, signed JSON.
        earlier_manifests: The epochs before it, oldest first, from epoch 1; needed if the epoch is not 1, because the
            versions topic holds records of all.
        contracts: Folder of feature contracts (YAML or JSON); those that the manifest names must be in it.
        signing_key: The registry's signing key, unencrypted PKCS#8 PEM of mode 0600.
        folder: Folder for what is not given by URL below; created.
        database_url: SQLAlchemy URL of the version table; `folder`/registry.sqlite if None. SQLite is brought to the
            newest schema at start; any other database must have it.
        artefacts_url: fsspec URL of the model files; `folder`/artefacts if None.
        alias_token: Bearer token of whoever may move the serving alias over HTTP; None lets nobody.
        log: The log.
        http: Where the HTTP port listens.
    """

    manifest: Path
    earlier_manifests: tuple[Path, ...] = ()
    contracts: Path
    signing_key: Path
    folder: Path
    database_url: Secret | None = None
    artefacts_url: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    alias_token: Annotated[Secret, Field(min_length=16, max_length=1000)] | None = None
    log: LogSettings
    http: HttpSettings = HttpSettings()
