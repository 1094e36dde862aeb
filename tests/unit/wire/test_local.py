"""The trainer's document: read strictly where it matters, tolerant of what a newer trainer adds."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer_cases import CONTRACT, CONTRACT_LABEL, MODELS, document_of, label
from tacit.features.encode import local_names
from tacit.wire import local as subject
from tacit.wire.local import Choice, LocalDocument, LocalDocumentError, Thresholds, encode, parse


def test_reads_what_a_trainer_writes() -> None:
    """Every field arrives; fields that only the trainer needs are passed over."""
    data = document_of(MODELS[0], choice="alone", booster="{}", thresholds={"review": 1, "decline": 2.5})
    found = parse(data)
    assert (found.model, found.contract, found.verdict) == (label(MODELS[0]), CONTRACT_LABEL, "ok")
    assert (found.choice, found.booster) == (Choice.ALONE, "{}")
    assert found.thresholds is not None
    assert (found.thresholds.review, found.thresholds.decline) == (1.0, 2.5)
    assert found.names == local_names(CONTRACT)


def test_the_share_of_the_global_margin() -> None:
    """As told; a document that does not tell is refused, because every choice of a start would be a guess."""
    assert parse(document_of(MODELS[0], global_share=0.5)).global_share == 0.5
    parts = json.loads(document_of(MODELS[0]))
    del parts["global_share"]
    with pytest.raises(LocalDocumentError, match="global_share: Field required"):
        parse(json.dumps(parts).encode())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"api": "tacit.local/v2"}, "api"),
        ({"model": "sha256:xyz"}, "model"),
        ({"contract": 7}, "contract"),
        ({"verdict": True}, "verdict"),
        ({"choice": "both"}, "choice"),
        ({"names": "amount"}, "names"),
        ({"thresholds": {"review": 1}}, "thresholds.decline"),
        ({"thresholds": {"review": "1", "decline": 2}}, "thresholds.review"),
        ({"thresholds": {"review": float("nan"), "decline": 2}}, "thresholds.review"),
        ({"booster": {}}, "booster"),
        ({"run": "zz"}, "run"),
        ({"frauds": -1}, "frauds"),
        ({"precision": {"both": 0.5}}, "precision"),
        ({"precision": {"alone": float("inf")}}, "precision.alone"),
        ({"global_share": 1.5}, "global_share"),
        ({"global_share": -0.5}, "global_share"),
        ({"global_share": "1"}, "global_share"),
        ({"global_share": float("nan")}, "global_share"),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, object], field: str) -> None:
    """A field of the wrong form refuses the document, by name."""
    with pytest.raises(LocalDocumentError, match=field):
        parse(document_of(MODELS[0], **changes))


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"{}", b"[" * 5000])
def test_other_bytes_are_refused(data: bytes) -> None:
    """Whatever stands behind the port, it is a document or an error of ours."""
    with pytest.raises(LocalDocumentError):
        parse(data)


def test_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The size limit comes before parsing."""
    monkeypatch.setattr(subject, "MAX_DOCUMENT_BYTES", 100)
    with pytest.raises(LocalDocumentError, match="at most 100"):
        parse(document_of(MODELS[0]))


def made(**changes: Any) -> LocalDocument:  # noqa: ANN401  any field
    """A document with something in every field."""
    return replace(
        LocalDocument(
            api=subject.API,
            run="ab" * 32,
            model=label(MODELS[0]),
            name="card-fraud",
            contract=CONTRACT_LABEL,
            verdict=subject.VERIFIED,
            choice=Choice.GLOBAL_LOCAL,
            precision={Choice.ALONE: 0.25, Choice.GLOBAL: 0.5},
            frauds=21,
            global_share=0.5,
            names=local_names(CONTRACT),
            thresholds=Thresholds(1.0, 2.5),
            booster="{}",
        ),
        **changes,
    )


@pytest.mark.parametrize(
    "changes", [{}, {"thresholds": None, "booster": None, "names": (), "precision": {}, "choice": Choice.GLOBAL}]
)
def test_what_is_written_is_what_is_read(changes: dict[str, object]) -> None:
    """Encoding and parsing are inverse, and an equal document has the same bytes and so the same tag."""
    document = made(**changes)
    assert parse(encode(document)) == document
    assert encode(parse(encode(document))) == encode(document)


@given(share=st.floats(0, 1), review=st.floats(-50, 50), frauds=st.integers(0, 2**31))
def test_figures_survive_exactly(share: float, review: float, frauds: int) -> None:
    """No digit of a figure is lost on the way from the trainer to the scorer."""
    found = parse(encode(made(global_share=share, thresholds=Thresholds(review, 60.0), frauds=frauds)))
    assert (found.global_share, found.thresholds, found.frauds) == (share, Thresholds(review, 60.0), frauds)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_figures_that_are_not_finite_are_not_written(value: float) -> None:
    """JSON has no such number: what no scorer reads, no trainer writes."""
    with pytest.raises(LocalDocumentError, match="finite"):
        encode(made(thresholds=Thresholds(0.0, value)))


def test_only_both_models_together_start_from_the_global_margin() -> None:
    """A bank's own model, and no model at all, start from nothing whatever the share says."""
    assert [choice.start(0.5) for choice in (Choice.ALONE, Choice.GLOBAL, Choice.GLOBAL_LOCAL)] == [0.0, 0.0, 0.5]
