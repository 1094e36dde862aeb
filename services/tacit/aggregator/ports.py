"""What the aggregator asks of the world besides the log and the clock."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Lease(Protocol):
    """Says which aggregator should try to lead.

    It is a hint: two holders at once do no harm, because the LEAD record decides (protocol 4).
    """

    @property
    def holder_id(self) -> str:
        """This process's own name, unlike any other's."""

    def try_hold(self) -> bool:
        """Takes or renews the lease without waiting; whether it is held now."""

    def release(self) -> None:
        """Gives the lease up so that another may lead at once; nothing happens if it is not held."""
