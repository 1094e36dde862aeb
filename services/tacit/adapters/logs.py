"""Opens the log that the settings name. Client libraries are imported only when they are needed."""

from collections.abc import Iterable

from tacit.runtime.log import Log
from tacit.runtime.settings import LogKind, LogSettings, SettingsError
from tacit.wire import topics


def open_log(settings: LogSettings, client_id: str = "tacit") -> Log:
    """The log that the settings name.

    Args:
        settings: Which log, and how to reach it.
        client_id: Name in a broker's logs and quotas.

    Returns:
        An open log; the caller closes it.

    Raises:
        SettingsError: If the Kafka settings do not fit together.
        LogError: If the log refuses; `LogUnavailableError` if it may answer later.
    """
    return _embedded(settings) if settings.kind is LogKind.EMBEDDED else _kafka(settings, client_id)


def open_federation_log(settings: LogSettings, banks: Iterable[str], client_id: str) -> Log:
    """The log that the settings name, with a federation's topics if it is the embedded one.

    A file has nobody else to make them. Kafka's topics come from its operator, together with their access rules: where
    one is missing, an append says so.

    Args:
        settings: Which log, and how to reach it.
        banks: Member ids.
        client_id: Name in a broker's logs and quotas.

    Returns:
        An open log; the caller closes it.

    Raises:
        SettingsError, LogError: As `open_log`.
    """
    log = open_log(settings, client_id)
    if settings.kind is LogKind.EMBEDDED:
        log.create([topic.name for topic in topics.federation(settings.topic_prefix, banks)])
    return log


def _embedded(settings: LogSettings) -> Log:
    from tacit.adapters.sqlite_log import SqliteLog  # noqa: PLC0415  only what is used is loaded

    if settings.path is None:
        raise SettingsError("the embedded log needs a path")
    return SqliteLog(settings.path)


def _kafka(settings: LogSettings, client_id: str) -> Log:
    from tacit.adapters import kafka, kafka_settings  # noqa: PLC0415  only what is used is loaded

    password, key_password = settings.sasl_password, settings.ssl_password
    try:
        wanted = kafka_settings.KafkaSettings(
            bootstrap_servers=tuple(address.strip() for address in settings.bootstrap_servers.split(",")),
            security_protocol=kafka_settings.SecurityProtocol(settings.security_protocol),
            sasl_mechanism=kafka_settings.SaslMechanism(settings.sasl_mechanism),
            sasl_username=settings.sasl_username,
            sasl_password=password.get_secret_value() if password else None,
            ssl_cafile=settings.ssl_cafile,
            ssl_certfile=settings.ssl_certfile,
            ssl_keyfile=settings.ssl_keyfile,
            ssl_password=key_password.get_secret_value() if key_password else None,
            replication_factor=settings.replication_factor,
            min_insync_replicas=settings.min_insync_replicas,
            client_id=client_id,
        )
    except ValueError as error:
        raise SettingsError(f"wrong settings for the Kafka log: {error}") from error
    return kafka.KafkaLog(wanted)
