"""Bundles: one set of checks for the log and for the cache, and no changed byte is loaded."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer_cases import (
    CONTRACT_LABEL,
    DEFAULTS,
    MODELS,
    NAMES,
    RULES,
    bundle_of,
    document_of,
    label,
    local_booster,
    rows_of,
    version_of,
)
from tacit import canonical
from tacit.scorer.bundle import Bundle, BundleError, LoadError, Obstacle, Rules, assemble
from tacit.scorer.live import Thresholds
from tacit.wire.local import Choice

LOCAL = local_booster()[1].decode()
BOTH = {"choice": "global+local", "booster": LOCAL, "thresholds": {"review": 1.5, "decline": 3.5}}


def obstacle_of(bundle: Bundle, rules: Rules = RULES) -> Obstacle:
    """Why a bundle is not loaded."""
    with pytest.raises(LoadError) as caught:
        assemble(bundle, rules)
    return caught.value.obstacle


def test_a_verified_version_is_loaded() -> None:
    """Identity says exactly which statement, file, contract, choice and move it is."""
    bundle = replace(bundle_of(), sequence=7)
    own = assemble(bundle, RULES).identity
    assert (own.name, own.file, own.contract) == ("card-fraud", label(MODELS[0]), CONTRACT_LABEL)
    assert own.version == label(bundle.statement)
    assert (own.choice, own.sequence) == (Choice.GLOBAL, 7)


@pytest.mark.parametrize("choice", ["alone", "global+local"])
def test_the_banks_choice_is_loaded(choice: str) -> None:
    """The local booster and the trainer's thresholds come with the choice."""
    live = assemble(bundle_of(document=document_of(MODELS[0], **{**BOTH, "choice": choice})), RULES)
    assert live.identity.choice == choice
    assert live.thresholds == Thresholds(1.5, 3.5)


def test_the_share_of_the_global_margin_is_loaded() -> None:
    """The same booster on half the margin scores by that much less."""
    rows = rows_of(3, 20)
    whole, half, none = (
        assemble(bundle_of(document=document_of(MODELS[0], **{**BOTH, "global_share": share})), RULES).margins(rows)
        for share in (1.0, 0.5, 0.0)
    )
    np.testing.assert_allclose(half, (whole + none) / 2, atol=1e-5, rtol=0)
    assert not np.allclose(half, whole, atol=1e-3)


@pytest.mark.parametrize("choice", ["alone", "global+local"])
def test_an_absent_local_model_gives_global(choice: str) -> None:
    """Without a booster the global model serves, and not by thresholds of another model's margins."""
    document = document_of(MODELS[0], **{**BOTH, "choice": choice, "booster": None})
    live = assemble(bundle_of(document=document), RULES)
    assert (live.identity.choice, live.thresholds) == (Choice.GLOBAL, DEFAULTS)


def test_a_booster_is_not_used_against_the_choice() -> None:
    """`global` is global even if a booster is there."""
    document = document_of(MODELS[0], **{**BOTH, "choice": "global"})
    live = assemble(bundle_of(document=document), RULES)
    assert (live.identity.choice, live.thresholds) == (Choice.GLOBAL, Thresholds(1.5, 3.5))


STATED = {"review": Fraction(1, 4), "decline": Fraction(3, 4)}


@pytest.mark.parametrize(
    ("document", "stated", "expected"),
    [
        (BOTH, STATED, Thresholds(1.5, 3.5)),
        ({**BOTH, "thresholds": None}, STATED, Thresholds(0.25, 0.75)),
        ({**BOTH, "thresholds": None, "choice": "alone"}, STATED, DEFAULTS),
        ({}, STATED, Thresholds(0.25, 0.75)),
        ({}, {"review": Fraction(1)}, DEFAULTS),
        ({}, {}, DEFAULTS),
    ],
)
def test_whose_thresholds(document: dict[str, object], stated: dict[str, Fraction], expected: Thresholds) -> None:
    """The trainer's, else the registry's for global margins, else the operator's."""
    bundle = bundle_of(document=document_of(MODELS[0], **document), thresholds=stated)
    assert assemble(bundle, RULES).thresholds == expected


def test_thresholds_out_of_order_are_refused() -> None:
    """A document whose thresholds contradict each other loads nothing."""
    document = document_of(MODELS[0], thresholds={"review": 2, "decline": 1})
    assert obstacle_of(bundle_of(document=document)) is Obstacle.MODEL


def test_another_file_is_refused() -> None:
    """One byte more, and the digest is not the statement's."""
    assert obstacle_of(replace(bundle_of(), model=MODELS[0] + b" ")) is Obstacle.DIGEST
    assert obstacle_of(replace(bundle_of(), model=MODELS[1])) is Obstacle.DIGEST


def test_an_unknown_contract_is_refused() -> None:
    """A model of a contract that is not at hand is not loaded."""
    assert obstacle_of(bundle_of(), Rules({}, DEFAULTS)) is Obstacle.CONTRACT


@pytest.mark.parametrize(
    "document",
    [
        None,
        b"nonsense",
        document_of(MODELS[1]),
        document_of(MODELS[0], verdict="sum of slot 3 differs"),
        document_of(MODELS[0], verdict=""),
        document_of(MODELS[0], verdict="OK"),
        document_of(MODELS[0], contract=label(b"another")),
    ],
    ids=["none", "nonsense", "another model", "deviation", "empty", "other case", "another contract"],
)
def test_what_the_trainer_did_not_verify_is_refused(document: bytes | None) -> None:
    """Only `ok` for exactly this file and contract lets a version in."""
    assert obstacle_of(bundle_of(document=document)) is Obstacle.VERDICT


@pytest.mark.parametrize("document", [None, document_of(MODELS[1]), document_of(MODELS[0], verdict="no")])
def test_a_person_may_vouch(document: bytes | None) -> None:
    """A pinned digest stands for the verdict, and then the global model serves."""
    rules = replace(RULES, pinned=label(MODELS[0]))
    assert assemble(bundle_of(document=document), rules).identity.choice is Choice.GLOBAL


def test_a_pin_is_for_one_file() -> None:
    """The pin of another file does not count."""
    assert obstacle_of(bundle_of(document=None), replace(RULES, pinned=label(MODELS[1]))) is Obstacle.VERDICT


def test_a_pin_does_not_excuse_a_wrong_file() -> None:
    """A person vouches for a digest, not for whatever carries a statement."""
    bundle = replace(bundle_of(document=None), model=MODELS[1])
    assert obstacle_of(bundle, replace(RULES, pinned=label(MODELS[0]))) is Obstacle.DIGEST


def test_a_file_that_is_no_model_is_refused() -> None:
    """A file may have the right digest and be no model."""
    assert obstacle_of(bundle_of(b"not a model")) is Obstacle.MODEL


@pytest.mark.parametrize("saved", ["{}", MODELS[0].decode(), "x"])
def test_a_bad_local_model_is_refused(saved: str) -> None:
    """A booster that is none, or has other features, changes nothing of what serves."""
    bundle = bundle_of(document=document_of(MODELS[0], **{**BOTH, "booster": saved}))
    assert obstacle_of(bundle) is Obstacle.MODEL


@pytest.mark.parametrize(
    "statement", [b"{}", b"", canonical.encode(version_of(MODELS[0])) + b" ", canonical.encode({"api": "x"})]
)
def test_another_statement_is_refused(statement: bytes) -> None:
    """What is no canonical statement is refused before anything else."""
    assert obstacle_of(replace(bundle_of(), statement=statement)) is Obstacle.STATEMENT


@given(st.binary(max_size=50), st.binary(max_size=50), st.integers(1, 2**63 - 1), st.none() | st.binary(max_size=50))
def test_bundles_survive_the_disk(statement: bytes, model: bytes, sequence: int, document: bytes | None) -> None:
    """Decode undoes encode."""
    bundle = Bundle(statement, model, sequence, document)
    assert Bundle.decode(bundle.encode()) == bundle


@given(st.data())
def test_every_changed_byte_is_noticed(data: st.DataObject) -> None:
    """No flipped byte anywhere gives a bundle."""
    whole = Bundle(b"statement", b"model", 3, b"document").encode()
    place = data.draw(st.integers(0, len(whole) - 1))
    changed = whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :]
    with pytest.raises(BundleError):
        Bundle.decode(changed)


@pytest.mark.parametrize("parts", [[], {}, {"api": "tacit.bundle/v2"}, {"api": "tacit.bundle/v1"}, None])
def test_other_content_is_refused(parts: object) -> None:
    """A right digest over the wrong content is no bundle."""
    rest = json.dumps(parts).encode()
    with pytest.raises(BundleError):
        Bundle.decode(label(rest).encode() + b"\n" + rest)


def test_the_contract_of_the_cases_has_a_ratio() -> None:
    """The local part of these tests has a feature that the global one has not."""
    assert len(json.loads(document_of(MODELS[0]))["names"]) == len(NAMES) + 1
