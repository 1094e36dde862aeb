"""Opening a bank's journal as its policy says."""

from pathlib import Path

from tacit.adapters.journal.journal import Journal
from tacit.federation import Policy
from tacit.privacy.accounting import cap_nano
from tacit.runtime.clock import Clock


def open_for(path: Path, policy: Policy, clock: Clock) -> Journal:
    """Opens the journal of a policy's account, or creates it, with the policy's caps.

    Guarantee: while caps hold, the account stays within the policy's (epsilon, delta) per month and over all runs, for
    adding or removing one unit of the account (`privacy.accounting.cap_nano`).

    Args:
        path: The file; its folder must be there.
        policy: The bank's policy.
        clock: Stamps entries, advisory.

    Raises:
        JournalBusyError: If another process holds it.
        JournalCorruptError: If anything in it was changed.
        JournalError: If it belongs to another account or unit.
    """
    bucket, lifetime = policy.bucket_cap, policy.lifetime_cap
    return Journal.open(
        path,
        account=policy.account,
        unit=policy.unit,
        bucket_cap_nano=cap_nano(bucket.epsilon, bucket.delta),
        lifetime_cap_nano=cap_nano(lifetime.epsilon, lifetime.delta),
        clock=clock,
        delta=lifetime.delta,
    )
