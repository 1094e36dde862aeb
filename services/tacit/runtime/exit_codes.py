"""Exit codes of every process and command: the one table. Loads nothing, so the command line may read it first."""

from collections.abc import Mapping
from enum import IntEnum


class ExitCode(IntEnum):
    """What a process tells its supervisor; numbers from sysexits.h where one fits."""

    OK = 0
    """Done, or stopped as asked."""

    REFUSED = 1
    """The command ran and its answer is no: a check failed, an offer was not accepted."""

    USAGE = 2
    """Wrong arguments or settings; a restart does not help."""

    DATA = 65
    """A document or file given is not what it must be."""

    UNAVAILABLE = 69
    """A service, folder or program that the command needs refuses or is not there."""

    FATAL = 70
    """An error that the program did not expect."""

    CANNOT_CREATE = 73
    """An output exists already or cannot be written."""

    TEMPORARY = 75
    """Try again: the log is away, a port is taken, or a step was abandoned at its deadline."""

    DENIED = 77
    """The caller is known and may not do this."""

    INTERRUPTED = 130
    """Ended by Ctrl-C."""


KNOWN_ERRORS: Mapping[str, ExitCode] = {
    "builtins.KeyboardInterrupt": ExitCode.INTERRUPTED,
    "builtins.OSError": ExitCode.UNAVAILABLE,
    "tacit.adapters.lock_file.LeaseError": ExitCode.UNAVAILABLE,
    "tacit.adapters.rows.mapping.RowsError": ExitCode.DATA,
    "tacit.cli.broker.BrokerError": ExitCode.UNAVAILABLE,
    "tacit.cli.client.ClientError": ExitCode.UNAVAILABLE,
    "tacit.cli.layout.LayoutError": ExitCode.DATA,
    "tacit.cli.ledgers.LedgerError": ExitCode.USAGE,
    "tacit.cli.score.ScoreError": ExitCode.DATA,
    "tacit.cli.supervise.SupervisorError": ExitCode.UNAVAILABLE,
    "tacit.features.spec.ContractError": ExitCode.DATA,
    "tacit.features.windows.FeatureError": ExitCode.DATA,
    "tacit.federation.faults.FederationError": ExitCode.DATA,
    "tacit.learning.types.LearningError": ExitCode.DATA,
    "tacit.privacy.types.PrivacyError": ExitCode.REFUSED,
    "tacit.rounds.ledger.JournalError": ExitCode.REFUSED,
    "tacit.rounds.plan.PlanError": ExitCode.DATA,
    "tacit.rounds.terms.UnaffordableError": ExitCode.REFUSED,
    "tacit.rounds.types.RoundError": ExitCode.DATA,
    "tacit.runtime.bound_ports.PortsFileError": ExitCode.DATA,
    "tacit.runtime.faults.FaultError": ExitCode.USAGE,
    "tacit.runtime.http_server.ServerError": ExitCode.UNAVAILABLE,
    "tacit.runtime.http_server.PortTakenError": ExitCode.TEMPORARY,
    "tacit.runtime.log.LogError": ExitCode.UNAVAILABLE,
    "tacit.runtime.log.LogDeniedError": ExitCode.DENIED,
    "tacit.runtime.log.LogUnavailableError": ExitCode.TEMPORARY,
    "tacit.runtime.settings.SettingsError": ExitCode.USAGE,
    "tacit.scorer.engine.ModelError": ExitCode.DATA,
    "tacit.sim.transactions.world.WorldError": ExitCode.USAGE,
    "tacit.trainer.recovery.RecoveryError": ExitCode.REFUSED,
    "tacit.versions.ArtefactError": ExitCode.UNAVAILABLE,
    "tacit.versions.StoreError": ExitCode.UNAVAILABLE,
    "tacit.versions.VersionError": ExitCode.REFUSED,
    "tacit.wire.errors.WireError": ExitCode.DATA,
}
"""Errors that are answers, by the dotted name of a base class, so that no module is loaded to recognise them."""


def known_code(error: BaseException) -> ExitCode | None:
    """The exit code of an error that is an answer, by its nearest known base class; None for any other."""
    for kind in type(error).__mro__:
        code = KNOWN_ERRORS.get(f"{kind.__module__}.{kind.__qualname__}")
        if code is not None:
            return code
    return None
