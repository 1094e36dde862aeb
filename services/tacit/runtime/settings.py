"""Settings of a process: read once in `main`, frozen, passed down. Nothing here happens at import.

Sources, strongest first: arguments of `load`, environment (`TACIT_HTTP__PORT`), secret files (`http__port` or
`TACIT_HTTP__PORT` in a mounted folder), the settings file (YAML). Constructing a settings class directly reads none.
"""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as SourceError

from tacit.runtime.observing import get_logger

PREFIX = "TACIT_"
"""Prefix of environment names."""

_MASK = "**********"
_PLACEHOLDERS = frozenset({"", "change-me", "changeme", "example", "password", "placeholder", "secret", "todo", "xxx"})
_PASSWORD_IN_URL = re.compile(r"(?<=://)([^/@:\s]*):([^/@\s]+)@")
_log = get_logger(__name__)


class SettingsError(Exception):
    """Settings that cannot be used; the message lists each wrong one with its allowed range."""


def _refuse_placeholder(value: SecretStr) -> SecretStr:
    if value.get_secret_value().strip().lower() in _PLACEHOLDERS:
        raise ValueError("is empty or a placeholder: give the real secret")
    return value


Secret = Annotated[SecretStr, AfterValidator(_refuse_placeholder)]
"""A secret that is never shown and never a placeholder."""

LogLevel = Literal["debug", "info", "warning", "error", "critical"]


class Group(BaseModel):
    """A group of settings inside a `Settings` class: frozen, unknown names refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LogKind(StrEnum):
    """Adapters of the `Log` port."""

    EMBEDDED = "embedded"
    KAFKA = "kafka"


class LogSettings(Group):
    """Which log the process uses; `tacit.adapters.logs.open_log` opens it.

    Attributes:
        kind: `embedded` (one SQLite file) or `kafka`.
        path: The embedded log's file; needed with it.
        topic_prefix: Begins every topic's name.
        bootstrap_servers: Kafka addresses `host:port`, separated by commas; needed with it.
        security_protocol: What Kafka's listener speaks.
        sasl_mechanism: Used with a SASL protocol.
        sasl_username: User; needed with a SASL protocol.
        sasl_password: Password; needed with a SASL protocol.
        ssl_cafile: Trusted authorities as PEM; None for the machine's own.
        ssl_certfile: Client certificate as PEM, for mutual TLS.
        ssl_keyfile: Its key.
        ssl_password: The key's password.
        replication_factor: Copies of a topic that is created.
        min_insync_replicas: Copies that must have an entry.
    """

    kind: LogKind = LogKind.EMBEDDED
    path: Path | None = None
    topic_prefix: Annotated[str, Field(pattern=r"^[a-z0-9]+([.-][a-z0-9]+)*$", max_length=100)] = "tacit"
    bootstrap_servers: str = ""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "SASL_SSL"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_username: str | None = None
    sasl_password: Secret | None = None
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    ssl_password: Secret | None = None
    replication_factor: Annotated[int, Field(ge=1, le=100)] = 3
    min_insync_replicas: Annotated[int, Field(ge=1, le=100)] = 2

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind is LogKind.EMBEDDED and self.path is None:
            raise ValueError("the embedded log needs `path`, the file it lies in")
        if self.kind is LogKind.KAFKA and not self.bootstrap_servers:
            raise ValueError("the Kafka log needs `bootstrap_servers`, such as broker-1:9093,broker-2:9093")
        if self.kind is LogKind.KAFKA and self.security_protocol.startswith("SASL_"):
            self._check_sasl()
        return self

    def _check_sasl(self) -> None:
        if not self.sasl_username or self.sasl_password is None:
            raise ValueError(f"{self.security_protocol} needs `sasl_username` and `sasl_password`")


class HttpSettings(Group):
    """Where a server listens.

    Attributes:
        host: Address; loopback unless told otherwise.
        port: TCP port, 0 for a free one.
        drain_seconds: How long running requests may take after a stop.
    """

    host: Annotated[str, Field(min_length=1, max_length=255)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 0
    drain_seconds: Annotated[int, Field(ge=1, le=60)] = 5


class Settings(BaseSettings):
    """Base of every service's settings.

    Attributes:
        log_level: Least level that is logged.
        ports_file: `ports.json` to write bound ports to, None for none.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, case_sensitive=False
    )

    log_level: LogLevel = "info"
    ports_file: Path | None = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments only: `load` alone reads the world."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


S = TypeVar("S", bound=Settings)


def load(cls: type[S], file: Path | None = None, *, secrets_dir: Path | None = None, **overrides: object) -> S:
    """Reads settings from every source.

    Args:
        cls: The service's settings class.
        file: YAML file, None for none.
        secrets_dir: Folder of mounted secret files, one value a file, named like environment names with or without
            prefix; None for none.
        overrides: Values that win over every source; groups as mappings.

    Returns:
        The frozen settings.

    Raises:
        SettingsError: If a file cannot be read or any setting is wrong; all wrong ones are listed.
    """
    merged: dict[str, Any] = {}
    try:
        for source in _sources(cls, file, secrets_dir):
            merged = _merge(merged, source)
        return cls(**_merge(merged, overrides))
    except ValidationError as error:
        raise SettingsError(_explain(cls, error)) from None
    except SourceError as error:
        raise SettingsError(f"wrong settings: {error}") from None


def describe(settings: BaseModel) -> dict[str, str | int | float | bool | None]:
    """Effective settings by dotted name, secrets and passwords inside URLs masked."""
    return dict(_flat("", settings.model_dump(mode="json")))


def announce(settings: Settings) -> None:
    """Logs the effective settings once, as `settings_loaded`, secrets masked."""
    _log.info("settings_loaded", **{name.replace(".", "__"): value for name, value in describe(settings).items()})


def _sources(cls: type[Settings], file: Path | None, secrets_dir: Path | None) -> Iterator[Mapping[str, Any]]:
    """The sources, weakest first."""
    # A source that names one setting of a group must not lose what the class sets for the others.
    defaults = {name: field.default for name, field in cls.model_fields.items() if isinstance(field.default, BaseModel)}
    yield {name: group.model_dump(exclude_unset=True) for name, group in defaults.items()}
    if file is not None:
        yield _read_yaml(file)
    if secrets_dir is not None:
        if not secrets_dir.is_dir():
            raise SettingsError(f"secrets folder {secrets_dir} does not exist or is no folder")
        for prefix in ("", PREFIX):
            files = SecretsSettingsSource(cls, secrets_dir=secrets_dir)
            yield NestedSecretsSettingsSource(files, secrets_prefix=prefix)()
    yield EnvSettingsSource(cls)()


def _read_yaml(file: Path) -> Mapping[str, Any]:
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"settings file {file} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"settings file {file} is not YAML: {error}") from error
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise SettingsError(f"settings file {file} must hold names and values, not {type(found).__name__}")
    return found


def _merge(weak: Mapping[str, Any], strong: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(weak)
    for name, value in strong.items():
        old = merged.get(name)
        merged[name] = _merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _explain(cls: type[BaseModel], error: ValidationError) -> str:
    lines = [f"{error.error_count()} wrong setting(s) for {cls.__name__}:"]
    for item in error.errors(include_url=False):
        path = [str(part) for part in item["loc"]]
        value = item["input"]
        # Only scalars are shown, because a group may hold a secret, and an unknown name may be a misspelt one.
        hidden = not isinstance(value, str | int | float) or _secret(cls, path)
        given = "" if hidden else f" (got {value!r})"
        lines.append(f"  {'.'.join(path) or 'all'}: {item['msg'].removeprefix('Value error, ')}{given}")
    return "\n".join(lines)


def _secret(cls: type[BaseModel], path: list[str]) -> bool:
    """Whether a path through the groups ends in a secret, or in nothing that is declared."""
    if not path or path[0] not in cls.model_fields:
        return True
    annotation = cls.model_fields[path[0]].annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and len(path) > 1:
        return _secret(annotation, path[1:])
    return "SecretStr" in str(annotation)


def _flat(prefix: str, value: object) -> Iterator[tuple[str, str | int | float | bool | None]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _flat(f"{prefix}.{name}" if prefix else str(name), item)
    elif isinstance(value, str):
        yield prefix, _PASSWORD_IN_URL.sub(rf"\1:{_MASK}@", value)
    elif value is None or isinstance(value, bool | int | float):
        yield prefix, value
    else:
        yield prefix, str(value)
