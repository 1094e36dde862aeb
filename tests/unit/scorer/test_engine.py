"""The engine: XGBoost's margins without XGBoost, and no file that crashes it."""

import copy
import json
import random
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from tacit.features.spec import Column, ColumnType, Contract, Provenance, Side
from tacit.learning.ensemble import booster
from tacit.learning.structure import draw
from tacit.learning.types import Ensemble, Leaves, LineTable, PlaneTable, TreePlan
from tacit.scorer import engine as subject
from tacit.scorer.engine import Engine, ModelError

NAMES = ("a", "b", "c", "d")


def column_of(name: str, bins: int, side: Side) -> Column:
    """A column with edges at thirds."""
    edges = tuple(Fraction(edge, 3) for edge in range(1, bins))
    return Column(name, ColumnType.AMOUNT, Provenance.CUSTOMER, edges, Fraction(0), Fraction(1), missing=side)


CONTRACT = Contract(
    columns=tuple(column_of(name, 12, Side.RIGHT if name in "bd" else Side.LEFT) for name in NAMES),
    linear=("a",),
    scale=Fraction(1),
)


def rows_of(seed: int, rows: int, missing: float = 0.1) -> np.ndarray:
    """Values, half of them exactly at edges, some missing."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(-1, 5, (rows, 4)).astype(np.float32)
    exact = rng.random(values.shape) < 0.5
    values[exact] = np.float32(rng.integers(0, 14, values.shape)[exact] / 3)
    values[rng.random(values.shape) < missing] = np.nan
    return values


def global_model(seed: int) -> bytes:
    """A small model of every kind of part."""
    rng = np.random.default_rng(seed)
    lines = tuple(LineTable(c, tuple(rng.normal(0, 0.5, 12).tolist())) for c in range(4))
    plane = PlaneTable((0, 3), ((0, 2, 5), tuple(range(12))), tuple(map(tuple, rng.normal(0, 1, (3, 12)).tolist())))
    leaves = Leaves(*(tuple(map(tuple, rng.normal(0, 0.3, (4, 32)).tolist())) for _ in range(2)))
    return booster(Ensemble(-3.0, lines, (plane,), ((draw(bytes(32), CONTRACT, TreePlan(), seed), leaves),)), CONTRACT)


MODEL = global_model(0)


def trained(seed: int, **params: object) -> tuple[xgboost.Booster, bytes]:
    """A model as XGBoost itself grows and saves it."""
    values = rows_of(seed, 400)
    labels = (np.nan_to_num(values[:, 0]) > 2) ^ (np.nan_to_num(values[:, 1]) > 3)
    matrix = xgboost.DMatrix(values, labels, feature_names=list(NAMES), nthread=1)
    settings_ = {"objective": "binary:logistic", "nthread": 1, "seed": seed, **params}
    grown = xgboost.train(settings_, matrix, 12)
    return grown, bytes(grown.save_raw("json"))


def margins_of(model: xgboost.Booster, values: np.ndarray, base: np.ndarray | None = None) -> np.ndarray:
    """XGBoost's margins."""
    matrix = xgboost.DMatrix(values, feature_names=list(NAMES), base_margin=base, nthread=1)
    return model.predict(matrix, output_margin=True)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 80))
def test_global_models_score_as_in_xgboost(seed: int, rows: int) -> None:
    """Batches within 1e-5, NaN and values at edges included."""
    values, model = rows_of(seed, rows, 0.2), global_model(seed % 7)
    native = xgboost.Booster({"nthread": 1}, model_file=bytearray(model))
    found = Engine.load(model, CONTRACT).margins(values)
    assert np.max(np.abs(found - margins_of(native, values))) < 1e-5


GROWN = [
    {"max_depth": 1},
    {"max_depth": 6, "eta": 1.0},
    {"max_depth": 0, "max_leaves": 40, "grow_policy": "lossguide", "tree_method": "hist"},
    {"max_depth": 8, "tree_method": "exact", "gamma": 0.05},
    {"base_score": 0.5},
    {"base_score": 0.02},
]


@pytest.mark.parametrize("params", GROWN)
@pytest.mark.parametrize("seed", range(3))
def test_files_saved_by_xgboost(params: dict[str, object], seed: int) -> None:
    """Any depth, growth policy and base score, pruned trees included."""
    native, model = trained(seed, **params)
    values = rows_of(seed + 100, 300, 0.2)
    found = Engine.of(model, NAMES).margins(values)
    assert np.max(np.abs(found - margins_of(native, values))) < 1e-5


def test_base_margin_replaces_the_base_score() -> None:
    """A residual starts from the global margin, as in XGBoost."""
    native, model = trained(1, base_score=0.1)
    values, base = rows_of(5, 50), np.linspace(-3, 3, 50)
    found = Engine.of(model, NAMES).margins(values, base)
    np.testing.assert_allclose(found, margins_of(native, values, base), atol=1e-5)
    assert Engine.of(model, NAMES).margin(values[7], base[7]) == found[7]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_one_row_has_the_bits_of_a_batch(seed: int) -> None:
    """The short way, a batch of one and a place in a batch are the same number."""
    model = Engine.load(global_model(seed % 5), CONTRACT)
    values = rows_of(seed, 20, 0.3)
    whole = model.margins(values)
    assert [model.margin(row) for row in values] == whole.tolist()
    assert [model.margins(row[None])[0] for row in values] == whole.tolist()


def test_long_batches_are_cut_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks change nothing, whatever their length."""
    model, values = Engine.load(MODEL, CONTRACT), rows_of(3, 100)
    whole = model.margins(values)
    monkeypatch.setattr(subject, "_CHUNK_CELLS", 37)
    assert np.array_equal(model.margins(values), whole)


def test_scoring_does_not_change_its_input() -> None:
    """Rows with missing values stay as they were."""
    model, values = Engine.load(MODEL, CONTRACT), rows_of(3, 10, 0.5)
    before = values.copy()
    model.margins(values)
    model.margin(values[0])
    assert np.array_equal(values, before, equal_nan=True)


def test_infinities_go_outward() -> None:
    """Infinite values take the outer bins."""
    model = Engine.load(MODEL, CONTRACT)
    far = np.array([[np.inf] * 4, [-np.inf] * 4], dtype=np.float32)
    near = np.array([[1e9] * 4, [-1e9] * 4], dtype=np.float32)
    assert np.array_equal(model.margins(far), model.margins(near))


def test_nothing_in_nothing_out() -> None:
    """No rows are no margins."""
    assert Engine.load(MODEL, CONTRACT).margins(np.empty((0, 4), dtype=np.float32)).shape == (0,)


def test_a_model_without_trees_gives_its_base() -> None:
    """Zero trees are sound."""
    document = json.loads(MODEL)
    document["learner"]["gradient_booster"]["model"]["trees"] = []
    model = Engine.load(json.dumps(document).encode(), CONTRACT)
    assert model.margin(np.zeros(4, dtype=np.float32)) == 0
    assert model.margins(np.zeros((2, 4), dtype=np.float32)).tolist() == [0, 0]


def test_what_a_loaded_model_says() -> None:
    """Names, attributes and the number of trees."""
    model = Engine.load(MODEL, CONTRACT)
    assert model.names == NAMES
    assert model.attributes["api"] == "tacit.booster/v1"
    assert model.trees == len(json.loads(MODEL)["learner"]["gradient_booster"]["model"]["trees"])


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 2, 4)])
def test_batches_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    """The shape is named."""
    with pytest.raises(ModelError, match="shape"):
        Engine.load(MODEL, CONTRACT).margins(np.zeros(shape, dtype=np.float32))


def test_other_shapes_are_refused() -> None:
    """A short row, and base margins of another length."""
    model = Engine.load(MODEL, CONTRACT)
    with pytest.raises(ModelError, match="shape"):
        model.margin(np.zeros(3, dtype=np.float32))
    with pytest.raises(ModelError, match="base"):
        model.margins(np.zeros((2, 4), dtype=np.float32), np.zeros(3))


def changed(*path: str | int, to: object) -> bytes:
    """The model with one value replaced."""
    document = json.loads(MODEL)
    place = document["learner"]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return json.dumps(document).encode()


FOREST = ("gradient_booster", "model", "trees")
BROKEN = {
    "names": changed("feature_names", to=["a", "b", "d", "c"]),
    "fewer names": changed("feature_names", to=["a", "b", "c"]),
    "number of features": changed("learner_model_param", "num_feature", to="5"),
    "classes": changed("learner_model_param", "num_class", to="3"),
    "targets": changed("learner_model_param", "num_target", to="2"),
    "objective": changed("objective", "name", to="reg:squarederror"),
    "kind": changed("gradient_booster", "name", to="dart"),
    "base score text": changed("learner_model_param", "base_score", to="half"),
    "base score range": changed("learner_model_param", "base_score", to="1.0"),
    "base score NaN": changed("learner_model_param", "base_score", to="nan"),
    "attributes": changed("attributes", to={"api": 3}),
    "trees": changed(*FOREST, to={}),
    "a tree": changed(*FOREST, 0, to=[]),
    "cycle": changed(*FOREST, 0, "left_children", 1, to=0),
    "shared child": changed(*FOREST, 0, "right_children", 0, to=1),
    "one child": changed(*FOREST, 0, "right_children", 0, to=-1),
    "child out of range": changed(*FOREST, 0, "left_children", 0, to=10**6),
    "child below -1": changed(*FOREST, 0, "left_children", 0, to=-2),
    "column out of range": changed(*FOREST, 0, "split_indices", 0, to=4),
    "negative column": changed(*FOREST, 0, "split_indices", 0, to=-1),
    "default direction": changed(*FOREST, 0, "default_left", 0, to=2),
    "threshold text": changed(*FOREST, 0, "split_conditions", 0, to="1.5"),
    "threshold true": changed(*FOREST, 0, "split_conditions", 0, to=True),
    "threshold null": changed(*FOREST, 0, "split_conditions", 0, to=None),
    "threshold beyond float32": changed(*FOREST, 0, "split_conditions", 0, to=1e39),
    "threshold NaN": changed(*FOREST, 0, "split_conditions", 0, to=float("nan")),
    "threshold infinite": MODEL.replace(b'"split_conditions":[', b'"split_conditions":[1e999,', 1),
    "lengths": changed(*FOREST, 0, "default_left", to=[0]),
    "no nodes": changed(*FOREST, 0, "left_children", to=[]),
    "categorical": changed(*FOREST, 0, "split_type", 0, to=1),
    "categories": changed(*FOREST, 0, "categories_nodes", to=[0]),
    "vector leaves": changed(*FOREST, 0, "tree_param", "size_leaf_vector", to="3"),
    "repeated key": MODEL.replace(b'"version":', b'"learner":{},"version":', 1),
    "not JSON": b"{",
    "not text": b"\xff\xfe\xfa",
    "empty": b"",
    "another document": b"[1, 2]",
    "nested": b"[" * 100_000,
    "deep value": changed("feature_names", to="x").replace(b'"x"', b"[" * 900 + b"]" * 900),
    "long number": changed("feature_names", to="x").replace(b'"x"', b"9" * 5000),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused(name: str) -> None:
    """Every kind of damage is a ModelError."""
    with pytest.raises(ModelError):
        Engine.load(BROKEN[name], CONTRACT)


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes, trees, nodes and depth are bounded before memory is spent."""
    for name, limit in (("MAX_BYTES", 100), ("MAX_TREES", 1), ("MAX_NODES", 5), ("MAX_DEPTH", 2)):
        with monkeypatch.context() as patch:
            patch.setattr(subject, name, limit)
            with pytest.raises(ModelError, match=r"most|more than|deeper"):
                Engine.load(MODEL, CONTRACT)


def places(value: Any, path: tuple = ()) -> list[tuple]:  # noqa: ANN401  JSON
    """Paths to values, the first three of a list at most."""
    inner = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    return [path, *(found for key, item in inner for found in places(item, (*path, key)))]


DOCUMENT = json.loads(MODEL)
PLACES = places(DOCUMENT)[1:]
JUNK = [None, True, -1, 0, 3, 10**30, 1.5, -1e300, "", "x", "7", [], [0], [[1]], {}, {"a": 1}]


def mutated(seed: int) -> bytes:
    """The model with up to three values replaced or removed."""
    chooser, document = random.Random(seed), copy.deepcopy(DOCUMENT)
    for _ in range(chooser.randint(1, 3)):
        path, place = chooser.choice(PLACES), document
        try:
            for step in path[:-1]:
                place = place[step]
            if chooser.random() < 0.3:
                del place[path[-1]]
            else:
                place[path[-1]] = chooser.choice(JUNK)
        except (KeyError, IndexError, TypeError):
            continue
    return json.dumps(document).encode()


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32))
def test_mutated_files_never_crash(seed: int) -> None:
    """A changed file either scores finite margins or is refused with a ModelError."""
    try:
        model = Engine.load(mutated(seed), CONTRACT)
    except ModelError:
        return
    assert np.isfinite(model.margins(rows_of(0, 5))).all()


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(MODEL) - 1), st.binary(min_size=1, max_size=3))
def test_flipped_bytes_never_crash(position: int, junk: bytes) -> None:
    """Damage below the level of JSON."""
    try:
        Engine.load(MODEL[:position] + junk + MODEL[position + len(junk) :], CONTRACT)
    except ModelError:
        return
