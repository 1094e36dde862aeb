"""Exit codes of every process and command: the one table. Imports nothing, so the command line may read it first."""

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
