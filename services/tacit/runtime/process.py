"""The start that every service's process has in common."""

import os
from collections.abc import Sequence

from tacit.runtime import faults
from tacit.runtime.observing import Metric, Metrics, configure_logging, count_log_lines
from tacit.runtime.settings import Settings, announce


def begin(settings: Settings, name: str, table: Sequence[Metric]) -> Metrics:
    """Sets up logs, metrics and faults of this process; called once, before anything else of it.

    Args:
        settings: The service's settings; logged with secrets masked.
        name: The service, as the field `service` of every log line.
        table: Its metrics; `observing.LOG_LINES` is among them.

    Returns:
        The process's metrics; warnings and errors are counted from here on.

    Raises:
        FaultError: If the environment arms a fault that it may not.
    """
    configure_logging(settings.log_level, service=name)
    measured = Metrics(table)
    count_log_lines(measured)
    announce(settings)
    faults.install(os.environ)
    return measured
