"""Before a trainer touches its journal, its policy has to accept the whole way from the root to the epoch in force."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import federation_cases as cases
from tacit import canonical
from tacit.federation import Policy
from tacit.runtime.accepted import Accepted
from tacit.runtime.settings import SettingsError
from tacit.trainer import metrics
from tacit.trainer.main import require_policy

SETTINGS = SimpleNamespace(policy=Path("policy.yaml"), manifest=Path("federation.yaml"))


@pytest.fixture
def pinned(tmp_path: Path) -> tuple[Policy, Accepted]:
    """A bank's policy and the epoch that it accepted."""
    fed = cases.federation(tmp_path, 2, seed=1)
    fed.close()
    return fed._policy("bank-0"), Accepted((fed.manifest,), fed._contracts())


def test_the_pinned_root_is_accepted(pinned: tuple[Policy, Accepted]) -> None:
    """Nothing is held against it."""
    require_policy(*pinned, SETTINGS)  # type: ignore[arg-type]


def test_another_root_is_refused(pinned: tuple[Policy, Accepted]) -> None:
    """A whole chain of epochs that somebody else founded is not this bank's federation."""
    policy = replace(pinned[0], root=canonical.label(b"r" * 32))
    with pytest.raises(SettingsError, match=r"epoch 1 is sha256:.*the policy pins the root sha256:7272"):
        require_policy(policy, pinned[1], SETTINGS)  # type: ignore[arg-type]


def test_an_epoch_with_another_key_of_ours_is_refused(pinned: tuple[Policy, Accepted]) -> None:
    """The own governance key is pinned as well, and has to be."""
    policy, accepted = pinned
    others = {name: pin for name, pin in policy.peers.items() if name != "bank-0"}
    with pytest.raises(SettingsError, match="do not pin bank-0's own"):
        require_policy(replace(policy, peers=others), accepted, SETTINGS)  # type: ignore[arg-type]


def test_nobody_else_sees_how_many_lines_a_trainer_logs() -> None:
    """Rows decide about warnings: the counter is on the bank's own port only."""
    (lines,) = [metric for metric in metrics.TABLE if metric.name == "tacit_log_lines_total"]
    assert not lines.shareable
