"""What a bank's own policy says to a plan (protocol 1, 2, 5): from plan, policy and schema, never from rows."""

import calendar
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from tacit import canonical
from tacit.federation import Manifest, Policy, check_policy
from tacit.rounds.plan import Plan
from tacit.rounds.terms import Terms
from tacit.rounds.types import Refusal


@dataclass(frozen=True)
class Objection:
    """Why a bank does not take part: the code that travels, and the words that stay at the bank."""

    code: Refusal
    reason: str


def buckets(terms: Terms) -> tuple[str, ...]:
    """The months that a run touches: its window with look-back, its quality rows and the label delay (protocol 5)."""
    window = terms.plan.window
    first = window.start - dt.timedelta(days=terms.contract.look_back_days + window.label_delay_days)
    last = window.end + dt.timedelta(days=window.quality_days + window.label_delay_days)
    month, months = first.replace(day=1), []
    while month < last:
        months.append(f"{month:%Y-%m}")
        month += dt.timedelta(days=calendar.monthrange(month.year, month.month)[1])
    return tuple(months)


def objections(terms: Terms, manifest: Manifest, policy: Policy, today: dt.date) -> Iterator[Objection]:
    """Everything that a bank's policy holds against a plan; nothing when it takes part.

    Args:
        terms: The plan, worked out by the bank itself.
        manifest: The epoch that the bank has accepted.
        policy: The bank's policy.
        today: The bank's own date.

    Yields:
        Objections, the code of the first is the one that travels.
    """
    plan = terms.plan
    if policy.paused:
        yield Objection(Refusal.PAUSED, "the policy says paused: true")
    if not manifest.protocol.min <= 1 <= manifest.protocol.max:
        yield Objection(Refusal.VERSION, f"this program speaks protocol 1, the manifest wants {manifest.protocol}")
    if plan.contract not in policy.contracts:
        yield Objection(Refusal.CONTRACT, f"contract {plan.contract} is not among the policy's contracts")
    by_manifest = check_policy(policy, manifest, plan.mode)
    for reason in [*by_manifest, *_dates(plan, today), *_trust(plan, policy), *_noise(terms, policy)]:
        yield Objection(Refusal.POLICY, reason)


def _dates(plan: Plan, today: dt.date) -> Iterator[str]:
    if today > plan.not_after:
        yield f"the plan was good until {plan.not_after}, today is {today}"
    if today < plan.window.ready:
        yield f"labels of the plan's rows are final on {plan.window.ready}, today is {today}"


def _trust(plan: Plan, policy: Policy) -> Iterator[str]:
    if plan.mode not in policy.modes:
        yield f"mode {plan.mode}: the policy accepts {', '.join(policy.modes)}"
    if plan.unit is not policy.unit:
        yield f"unit {plan.unit}: the account counts by {policy.unit}"


def _noise(terms: Terms, policy: Policy) -> Iterator[str]:
    plan = terms.plan
    if plan.delta > policy.largest_delta:
        most = canonical.number(policy.largest_delta)
        yield f"delta {canonical.number(plan.delta)}: the policy allows {most} at most"
    if plan.paid_retries > policy.max_paid_retries:
        yield f"paid_retries {plan.paid_retries}: the policy allows {policy.max_paid_retries} at most"
    if terms.contract.mixing and not policy.allow_mixing_features:
        yield "the contract has columns that mix customers; the policy says allow_mixing_features: false"
    for number, noise in enumerate(terms.budget.noises):
        if Fraction(noise.variance) < policy.least_noise**2 * noise.sensitivity**2:
            yield f"round {number}: noise below {canonical.number(policy.least_noise)} times the clip bound"
            break
