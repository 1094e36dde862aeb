"""The live model: margins equal to XGBoost's for each choice, single rows equal to batches, decisions by thresholds."""

import math

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st

from scorer_cases import CONTRACT, CONTRACT_LABEL, DEFAULTS, MODELS, NAMES, local_booster, rows_of
from tacit.features.encode import local_names, local_values
from tacit.scorer.engine import Engine, ModelError
from tacit.scorer.live import Decision, Identity, Live, Thresholds, probability
from tacit.trainer import local as trainers
from tacit.wire.local import Choice

GROWN, SAVED = local_booster()


def identity(choice: Choice) -> Identity:
    """An identity with this choice."""
    return Identity("card-fraud", "sha256:v", "sha256:f", choice, CONTRACT_LABEL, 1)


def live_of(choice: Choice, saved: bytes = SAVED, thresholds: Thresholds = DEFAULTS, share: float = 1.0) -> Live:
    """A live model of the first global model and a local one."""
    local = None if choice is Choice.GLOBAL else Engine.of(saved, local_names(CONTRACT))
    return Live(identity(choice), CONTRACT, thresholds, Engine.load(MODELS[0], CONTRACT), local, share=share)


def xgboost_margins(choice: Choice, values: np.ndarray, grown: xgboost.Booster) -> np.ndarray:
    """What XGBoost itself gives, the global margin as base margin of the residual."""
    whole = xgboost.Booster(model_file=bytearray(MODELS[0]))
    matrix = xgboost.DMatrix(values, feature_names=list(NAMES), nthread=1)
    margins = whole.predict(matrix, output_margin=True)
    if choice is Choice.GLOBAL:
        return margins
    base = margins if choice is Choice.GLOBAL_LOCAL else np.zeros_like(margins)
    wide = xgboost.DMatrix(
        local_values(values, CONTRACT), base_margin=base, feature_names=list(local_names(CONTRACT)), nthread=1
    )
    return grown.predict(wide, output_margin=True)


@pytest.mark.parametrize("choice", Choice)
@pytest.mark.parametrize("seed", range(3))
def test_margins_are_xgboosts(choice: Choice, seed: int) -> None:
    """Global, alone, and local on the global base margin, missing values and edges included: within 1e-5."""
    values = rows_of(seed, 300)
    expected = xgboost_margins(choice, values, GROWN)
    np.testing.assert_allclose(live_of(choice).margins(values), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("choice", [Choice.ALONE, Choice.GLOBAL_LOCAL])
def test_margins_are_those_that_the_trainer_chose_by(choice: Choice) -> None:
    """A booster as the trainer fits and saves it gives the margins that its thresholds were taken from."""
    values = rows_of(7, 400)
    labels = (np.nan_to_num(values[:, 0]) > 3).astype(np.uint8)
    margins = Engine.load(MODELS[0], CONTRACT).margins(values)
    rows = trainers.LocalRows(values, labels, np.arange(400, dtype=np.int64), margins)
    bench = trainers._Bench(rows, CONTRACT, trainers.LocalSettings(), (0, 400))
    parts = bench.parts(bench.matrix(400))[trainers.Choice(choice.value)]
    expected = bench.margins_of(parts, slice(0, 400))
    share = sum(part.share for part in parts) / len(parts)
    found = live_of(choice, trainers._file(parts), share=share).margins(values)
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("choice", Choice)
def test_one_row_has_the_bits_of_a_batch(choice: Choice) -> None:
    """A row's margin does not depend on how it was scored."""
    live, values = live_of(choice), rows_of(11, 60)
    batch = live.margins(values)
    single = [live.score(row).margin for row in values.tolist()]
    assert single == batch.tolist()


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5])
def test_a_residual_starts_from_a_share_of_the_global_margin(share: float) -> None:
    """Margins fall by the rest of the global margin, in single rows as in batches; without a share it is `alone`."""
    values = rows_of(12, 60)
    margins = {choice: live_of(choice, share=share).margins(values) for choice in Choice}
    expected = margins[Choice.ALONE] + share * margins[Choice.GLOBAL]
    np.testing.assert_allclose(margins[Choice.GLOBAL_LOCAL], expected, atol=1e-5, rtol=0)
    single = [live_of(Choice.GLOBAL_LOCAL, share=share).score(row).margin for row in values.tolist()]
    assert single == margins[Choice.GLOBAL_LOCAL].tolist()


@pytest.mark.parametrize("choice", [Choice.ALONE, Choice.GLOBAL])
def test_other_choices_have_no_use_for_a_share(choice: Choice) -> None:
    """The share matters to the residual alone."""
    values = rows_of(13, 20)
    assert live_of(choice, share=0.5).margins(values).tolist() == live_of(choice).margins(values).tolist()


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    """Named with its range."""
    with pytest.raises(ModelError, match="from 0 to 1"):
        live_of(Choice.GLOBAL_LOCAL, share=share)


@pytest.mark.parametrize("choice", Choice)
def test_a_wrong_shape_is_refused(choice: Choice) -> None:
    """Rows of another width are refused with the width that is wanted."""
    live = live_of(choice)
    with pytest.raises(ModelError, match="3"):
        live.margins(np.zeros((2, 5), dtype=np.float32))
    with pytest.raises(ModelError, match="3"):
        live.score([1.0])


def test_a_choice_needs_its_local_model() -> None:
    """Local part and choice belong together, both ways."""
    engine = Engine.load(MODELS[0], CONTRACT)
    with pytest.raises(ModelError, match="choice"):
        Live(identity(Choice.ALONE), CONTRACT, DEFAULTS, engine, None)
    with pytest.raises(ModelError, match="choice"):
        Live(identity(Choice.GLOBAL), CONTRACT, DEFAULTS, engine, Engine.of(SAVED, local_names(CONTRACT)))


def test_a_local_model_of_other_features_is_refused() -> None:
    """The global model is no residual: its features are others."""
    engine = Engine.load(MODELS[0], CONTRACT)
    with pytest.raises(ModelError, match="features"):
        Live(identity(Choice.ALONE), CONTRACT, DEFAULTS, engine, engine)


@pytest.mark.parametrize(
    ("margin", "decision"),
    [
        (-9.0, Decision.APPROVE),
        (np.nextafter(1.0, 0.0), Decision.APPROVE),
        (1.0, Decision.REVIEW),
        (np.nextafter(2.5, 0.0), Decision.REVIEW),
        (2.5, Decision.DECLINE),
        (80.0, Decision.DECLINE),
    ],
)
def test_decisions_at_and_above_thresholds(margin: float, decision: Decision) -> None:
    """A threshold itself belongs to the harder decision."""
    assert Thresholds(1.0, 2.5).decide(margin) is decision


@pytest.mark.parametrize(("review", "decline"), [(2.0, 1.0), (math.nan, 1.0), (0.0, math.inf)])
def test_thresholds_out_of_order_are_refused(review: float, decline: float) -> None:
    """Review is at most decline, both finite."""
    with pytest.raises(ModelError, match="review <= decline"):
        Thresholds(review, decline)


def test_a_score_tells_its_decision() -> None:
    """Margin, probability and decision of one answer belong together."""
    row = [4.0, 1.0, math.nan]
    margin = live_of(Choice.GLOBAL).score(row).margin
    score = live_of(Choice.GLOBAL, thresholds=Thresholds(margin - 1, margin)).score(row)
    assert score.decision is Decision.DECLINE
    assert score.probability == pytest.approx(1 / (1 + math.exp(-margin)), rel=1e-12)


@given(st.floats(-1e308, 1e308))
def test_probability_is_symmetric_and_never_overflows(margin: float) -> None:
    """p(m) + p(-m) = 1 and p is in [0, 1] for every margin."""
    found = probability(margin)
    assert 0.0 <= found <= 1.0
    assert found + probability(-margin) == pytest.approx(1.0, abs=1e-15)


def test_probability_keeps_small_figures() -> None:
    """A tiny probability has all its digits."""
    assert probability(-40.0) == pytest.approx(math.exp(-40.0), rel=1e-12)


def test_warming_scores_rows() -> None:
    """A sound model warms; one that gives no finite margin does not."""
    live = live_of(Choice.GLOBAL_LOCAL)
    live.warm()
    live._engine._values[:] = np.inf
    with pytest.raises(ModelError, match="finite"):
        live.warm()
