"""The trainer's document: read strictly where it matters, tolerant of what a newer trainer adds."""

import pytest

from scorer_cases import CONTRACT, CONTRACT_LABEL, MODELS, document_of, label
from tacit.scorer import local as subject
from tacit.scorer.local import Choice, LocalDocumentError, local_names, parse
from tacit.trainer import local as trainers


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
    """As told; a document that does not tell means the whole margin."""
    assert parse(document_of(MODELS[0])).global_share == 1.0
    assert parse(document_of(MODELS[0], global_share=0.5)).global_share == 0.5


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


def test_names_and_choices_are_the_trainers() -> None:
    """Both sides of the bank's port mean the same features and choices."""
    assert local_names(CONTRACT) == trainers.feature_names(CONTRACT)
    assert [choice.value for choice in Choice] == [choice.value for choice in trainers.Choice]
