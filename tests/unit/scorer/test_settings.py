"""Settings of a scorer: one way to the trainer, thresholds in order, nothing half set."""

import math
from pathlib import Path
from typing import Any

import pytest

from tacit.runtime.settings import SettingsError, load
from tacit.scorer.settings import ScorerSettings

PIN = "sha256:" + "ab" * 32


def settings_of(**changes: Any) -> ScorerSettings:  # noqa: ANN401  any setting
    """Settings that are in order, with changes; None takes one out."""
    given: dict[str, Any] = {
        "bank": "ash",
        "log": {"path": "log.sqlite"},
        "manifest": "federation.yaml",
        "contracts": "contracts",
        "cache": "cache",
        "local_url": "http://127.0.0.1:8081",
        **changes,
    }
    return load(ScorerSettings, **{name: value for name, value in given.items() if value is not None})


def test_defaults() -> None:
    """What is not said has a documented value."""
    made = settings_of()
    assert (made.model, made.pinned_digest, made.local_seconds) == (None, None, 2.0)
    assert (made.http.host, made.health.port) == ("127.0.0.1", 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"local_url": None},
        {"local_file": "current.json"},
        {"local_ports_file": "ports.json"},
        {"local_url": None, "local_file": "a", "local_ports_file": "b", "pinned_digest": PIN},
    ],
)
def test_one_way_to_the_trainer(changes: dict[str, object]) -> None:
    """None without a pin, or two, is refused, and the message says what to give."""
    with pytest.raises(SettingsError, match="local_url, local_ports_file and local_file"):
        settings_of(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"local_url": None, "pinned_digest": PIN},
        {"pinned_digest": PIN},
        {"local_url": None, "local_file": Path("current.json")},
        {"local_url": None, "local_ports_file": Path("ports.json")},
    ],
)
def test_each_way_is_enough(changes: dict[str, object]) -> None:
    """A pin alone, a pin beside a trainer, a file or a ports file."""
    assert settings_of(**changes).bank == "ash"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"bank": "Ash"}, "bank"),
        ({"model": "card fraud"}, "model"),
        ({"local_url": "file:///etc"}, "local_url"),
        ({"local_url": "http://host/path"}, "local_url"),
        ({"local_seconds": 0}, "local_seconds"),
        ({"local_seconds": 1e9}, "local_seconds"),
        ({"pinned_digest": "ab" * 32}, "pinned_digest"),
        ({"thresholds": {"review": 0}}, "thresholds.review"),
        ({"thresholds": {"decline": 1}}, "thresholds.decline"),
        ({"thresholds": {"review": 0.8, "decline": 0.2}}, "review 0.8 is above decline 0.2"),
        ({"treshold": 1}, "treshold"),
    ],
)
def test_a_wrong_setting_is_named(changes: dict[str, object], name: str) -> None:
    """Every wrong setting is refused by its name."""
    with pytest.raises(SettingsError, match=name):
        settings_of(**changes)


def test_default_thresholds_are_margins() -> None:
    """A person gives probabilities; the machine compares margins."""
    review, decline = settings_of(thresholds={"review": 0.5, "decline": 0.9}).thresholds.margins
    assert review == 0.0
    assert decline == pytest.approx(math.log(9))
