"""The model file: loads in XGBoost, gives the tables' margins, and is numbered so that single rows agree."""

import hashlib
import json
import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
import xgboost

from feature_cases import card
from tacit import canonical
from tacit.features.spec import Column, ColumnType, Contract, Provenance, Side, as_float32
from tacit.features.types import Encoded
from tacit.learning import ensemble as subject
from tacit.learning.basis import Basis
from tacit.learning.structure import draw
from tacit.learning.types import Ensemble, LearningError, Leaves, LineTable, PlaneTable, TreePlan, Weights

BINS = (61, 2, 17, 63, 5, 16)
NO_PARENT = 2**31 - 1


def column_of(number: int, bins: int) -> Column:
    """A column with uneven edges; odd ones send a missing value to the right."""
    edges = tuple(Fraction(edge * edge + number, 7) for edge in range(1, bins))
    return Column(
        name=f"c{number}",
        type=ColumnType.AMOUNT,
        provenance=Provenance.CUSTOMER,
        edges=edges,
        centre=Fraction(0),
        spread=Fraction(1),
        missing=Side.RIGHT if number % 2 else Side.LEFT,
    )


CONTRACT = Contract(
    columns=tuple(column_of(number, bins) for number, bins in enumerate(BINS)), linear=("c0",), scale=Fraction(1)
)


def values_of(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Raw values: beyond all edges, exactly on them, and missing."""
    columns = []
    for column in CONTRACT.columns:
        edges = np.array(as_float32(column.edges), dtype=np.float32)
        values = rng.uniform(-1, float(edges[-1]) * 1.2 + 1, rows).astype(np.float32)
        exact = rng.random(rows) < 0.4
        values[exact] = rng.choice(edges, rows)[exact]
        values[rng.random(rows) < 0.1] = np.nan
        columns.append(values)
    return np.stack(columns, axis=1)


def binned(values: np.ndarray) -> np.ndarray:
    """The contract's bins, written down once more."""
    bins = []
    for position, column in enumerate(CONTRACT.columns):
        edges = np.array(as_float32(column.edges), dtype=np.float32)
        found = np.searchsorted(edges, values[:, position], side="right")
        missing = 0 if column.missing is Side.LEFT else len(edges)
        bins.append(np.where(np.isnan(values[:, position]), missing, found))
    return np.stack(bins).astype(np.uint8)


def additive(rng: np.random.Generator, size: float = 0.6) -> Ensemble:
    """Lines on every column (two on the first), a large plane and a pair."""
    lines = [LineTable(c, tuple(rng.normal(0, size, bins).tolist())) for c, bins in enumerate(BINS)]
    lines.append(LineTable(0, tuple(rng.normal(0, size, BINS[0]).tolist())))
    sixteen = (0, 1, 2, 4, 6, 9, 11, 15, 20, 30, 33, 40, 41, 50, 55, 60)
    large = rng.normal(0, size, (BINS[0], 16))
    pair = rng.normal(0, size, (4, 16))
    planes = (
        PlaneTable((0, 3), (tuple(range(BINS[0])), sixteen), tuple(map(tuple, large.tolist()))),
        PlaneTable((2, 5), ((0, 3, 8, 9), tuple(range(16))), tuple(map(tuple, pair.tolist()))),
    )
    return Ensemble(-4.59512, tuple(lines), planes)


def forests(rng: np.random.Generator, rounds: int, size: float = 0.2) -> tuple:
    """Tree rounds with random leaves and covers of any sign."""
    drawn = []
    for number in range(rounds):
        structure = draw(bytes(32), CONTRACT, TreePlan(), number)
        leaves = Leaves(*(tuple(map(tuple, rng.normal(0, size, (4, 32)).tolist())) for _ in range(2)))
        drawn.append((structure, leaves))
    return tuple(drawn)


def load(model: bytes) -> xgboost.Booster:
    """XGBoost's own reading of the file."""
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(model))
    return booster


def predict(booster: xgboost.Booster, values: np.ndarray) -> np.ndarray:
    """Margins over a DMatrix."""
    names = [column.name for column in CONTRACT.columns]
    matrix = xgboost.DMatrix(values, feature_names=names, feature_types=["float"] * len(names), nthread=1)
    return booster.predict(matrix, output_margin=True)


def trees_of(model: bytes) -> list[dict]:
    """The trees of a file."""
    return json.loads(model)["learner"]["gradient_booster"]["model"]["trees"]


def edges_of(tree: dict) -> Iterator[tuple[int, int, int]]:
    """(node, left, right) of every inner node."""
    for node, (left, right) in enumerate(zip(tree["left_children"], tree["right_children"], strict=True)):
        if left >= 0:
            yield node, left, right


def depth(tree: dict) -> int:
    """Depth of a tree of a file."""
    depths = [0] * len(tree["parents"])
    for node in range(1, len(depths)):
        depths[node] = depths[tree["parents"][node]] + 1
    return max(depths)


MODELS = {
    "additive": additive,
    "small": lambda rng: Ensemble(-1.5, (LineTable(3, tuple(rng.normal(0, 1, 63).tolist())),)),
    "plane first": lambda rng: Ensemble(-2.0, (), additive(rng).planes),
    "trees": lambda rng: Ensemble(-4.6, (), (), forests(rng, 2)),
    "both": lambda rng: Ensemble(-4.6, additive(rng).lines, additive(rng).planes, forests(rng, 8)),
    "large": lambda rng: additive(rng, 3.0),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("seed", range(3))
def test_xgboost_gives_the_tables_margins(name: str, seed: int) -> None:
    """Within 1e-5 on rows at edges, beyond them and missing."""
    rng = np.random.default_rng(seed)
    ensemble, values = MODELS[name](rng), values_of(rng, 1500)
    expected = subject.margins(ensemble, binned(values))
    found = predict(load(subject.booster(ensemble, CONTRACT)), values)
    limit = 1e-5 if name != "large" else 4e-5
    assert np.max(np.abs(found - expected)) < limit


@pytest.mark.parametrize("name", MODELS)
def test_single_rows_batches_and_inplace_agree(name: str) -> None:
    """One row at a time takes XGBoost's other traversal and must give the same margin."""
    rng = np.random.default_rng(7)
    booster, values = load(subject.booster(MODELS[name](rng), CONTRACT)), values_of(rng, 200)
    whole = predict(booster, values)
    assert np.array_equal(whole, np.concatenate([predict(booster, row[None]) for row in values]))
    inplace = [booster.inplace_predict(row[None], predict_type="margin", validate_features=False) for row in values]
    assert np.array_equal(whole, np.concatenate(inplace))
    assert np.array_equal(whole, booster.inplace_predict(values, predict_type="margin", validate_features=False))


def test_sums_are_exact_on_the_grid() -> None:
    """With a power-of-two step XGBoost's float32 margins equal a float64 sum of the same leaves."""
    rng = np.random.default_rng(11)
    model = subject.booster(additive(rng, 0.4), CONTRACT)
    attributes = json.loads(model)["learner"]["attributes"]
    step = 2.0 ** int(attributes["leaf_grid"].removeprefix("2^"))
    leaves = [value for tree in trees_of(model) for value in tree["base_weights"]]
    assert all((np.float32(value) / step).is_integer() for value in leaves)
    margins = predict(load(model), values_of(rng, 500)).astype(np.float64)
    assert np.array_equal(margins, np.rint(margins / step) * step)


def test_wide_models_fall_back_to_float32_leaves() -> None:
    """Where the grid would cost more than 1e-5, the file says that it is not used."""
    model = subject.booster(additive(np.random.default_rng(0), 20.0), CONTRACT)
    assert json.loads(model)["learner"]["attributes"]["leaf_grid"] == "float32"


def test_large_tables_come_last_with_the_intercept() -> None:
    """Float32 sums stay small for as long as possible."""
    large, small = LineTable(0, (0.0, *[64.0] * 60)), LineTable(1, (-1.0, 1.0))
    first, second = trees_of(subject.booster(Ensemble(-9.0, (large, small)), CONTRACT))
    assert set(first["base_weights"]) == {0.0, -1.0, 1.0}
    assert {-9.0, 55.0} <= set(second["base_weights"])


@pytest.mark.parametrize("name", MODELS)
def test_form_of_the_trees(name: str) -> None:
    """Siblings adjacent, depth at most 8, parents and covers consistent, covers above 0 and not constant."""
    for tree in trees_of(subject.booster(MODELS[name](np.random.default_rng(1)), CONTRACT)):
        assert depth(tree) <= 8
        assert tree["parents"][0] == NO_PARENT
        for node, left, right in edges_of(tree):
            assert right == left + 1
            assert tree["parents"][left] == tree["parents"][right] == node
            parts = tree["sum_hessian"][left] + tree["sum_hessian"][right]
            assert tree["sum_hessian"][node] == pytest.approx(parts, rel=1e-6)
        assert min(tree["sum_hessian"]) > 0
        assert len(set(tree["sum_hessian"])) > 1


def test_table_covers_are_shares_of_the_bins() -> None:
    """The root of a stair tree covers everything, a leaf its bins."""
    line = LineTable(4, (0.0, 0.0, 1.0, 2.0, 2.0))
    tree = trees_of(subject.booster(Ensemble(0.0, (line,)), CONTRACT))[0]
    leaves = [cover for cover, left in zip(tree["sum_hessian"], tree["left_children"], strict=True) if left < 0]
    assert tree["sum_hessian"][0] == pytest.approx(1.0)
    assert sorted(leaves) == [pytest.approx(0.2), pytest.approx(0.4), pytest.approx(0.4)]


def test_tree_covers_come_from_the_release() -> None:
    """max(H, 2^-10) at leaves."""
    structure = draw(bytes(32), CONTRACT, TreePlan(depth=1, trees_per_round=1), 0)
    ensemble = Ensemble(0.0, forests=((structure, Leaves(((0.1, 0.2),), ((-3.0, 5.5),))),))
    assert trees_of(subject.booster(ensemble, CONTRACT))[0]["sum_hessian"] == [
        pytest.approx(5.5 + 2**-10),
        2**-10,
        5.5,
    ]


def test_lines_of_one_column_become_one_tree() -> None:
    """Two lines, one stair."""
    line = LineTable(4, (0.0, 1.0, 2.0, 3.0, 4.0))
    assert len(trees_of(subject.booster(Ensemble(0.5, (line, line)), CONTRACT))) == 1


def test_constant_tables_are_dropped_into_the_intercept() -> None:
    """An all-zero or constant table costs no tree and loses no margin."""
    flat, zero = LineTable(4, (0.25,) * 5), LineTable(1, (0.0, 0.0))
    model = subject.booster(Ensemble(-1.0, (flat, zero)), CONTRACT)
    assert [tree["base_weights"] for tree in trees_of(model)] == [[-0.75]]


def test_an_empty_model_is_one_leaf() -> None:
    """XGBoost loads it and predicts the intercept."""
    model = subject.booster(Ensemble(-4.59512), CONTRACT)
    margins = predict(load(model), values_of(np.random.default_rng(0), 3))
    np.testing.assert_allclose(margins, -4.59512, atol=1e-6)


def test_head_of_the_file() -> None:
    """Names, digest, base score and separators are those of the specification."""
    model = subject.booster(additive(np.random.default_rng(2)), CONTRACT)
    learner = json.loads(model)["learner"]
    assert learner["feature_names"] == [column.name for column in CONTRACT.columns]
    assert learner["feature_types"] == ["float"] * len(BINS)
    assert learner["learner_model_param"]["base_score"] == "5E-1"
    assert learner["objective"]["name"] == "binary:logistic"
    assert learner["attributes"]["contract"] == canonical.label(CONTRACT.digest)
    assert learner["attributes"]["api"] == "tacit.booster/v1"
    assert b", " not in model.replace(b"rounds, uniform", b"")
    assert load(model).attr("contract") == canonical.label(CONTRACT.digest)


def test_numbers_are_short_float32() -> None:
    """Every number is the shortest text of a float32."""
    for tree in trees_of(subject.booster(additive(np.random.default_rng(2), 20.0), CONTRACT)):
        for value in tree["split_conditions"]:
            assert repr(value) == repr(float(str(np.float32(value))))


def test_same_model_same_bytes() -> None:
    """Two parties write the same file, and its digest is SHA-256."""
    first, second = (subject.booster(additive(np.random.default_rng(2)), CONTRACT) for _ in range(2))
    assert first == second
    assert subject.digest(first) == hashlib.sha256(second).digest()


def test_size_of_a_card_like_model() -> None:
    """About the size that the costs are stated for."""
    assert len(subject.booster(additive(np.random.default_rng(2)), CONTRACT)) < 300_000


def test_the_card_contract_is_exact_on_the_grid() -> None:
    """The product's own basis: XGBoost, file and basis agree, and the file is of the stated size."""
    contract, rng = card(), np.random.default_rng(4)
    basis = Basis(contract)
    weights = Weights((*rng.normal(0, 2.0, basis.size - 1).tolist(), -9.0))
    bins = np.stack([rng.integers(0, column.bins, 400) for column in contract.columns]).astype(np.uint8)
    edges = [np.array([column.cuts[0] - 1, *column.cuts], dtype=np.float32) for column in contract.columns]
    values = np.stack([edge[part] for edge, part in zip(edges, bins, strict=True)], axis=1)
    rows = Encoded(bins, np.arange(401), np.zeros(400, dtype=np.uint8))
    model = subject.booster(basis.tables(weights), contract)
    assert json.loads(model)["learner"]["attributes"]["leaf_grid"].startswith("2^")
    assert len(model) < 300_000
    found = load(model).inplace_predict(values, predict_type="margin", validate_features=False)
    assert np.max(np.abs(found - basis.margins(rows, weights))) < 1e-5


LINE = LineTable(4, (0.0, 1.0, 2.0, 3.0, 4.0))
CELLS = ((0.0, 1.0), (2.0, 3.0))
TREES = draw(bytes(32), CONTRACT, TreePlan(depth=1, trees_per_round=1), 0)
BROKEN = {
    "intercept": Ensemble(math.nan),
    "no such column": Ensemble(0.0, (LineTable(9, (0.0,)),)),
    "short line": Ensemble(0.0, (LineTable(4, (0.0,)),)),
    "infinite line": Ensemble(0.0, (LineTable(1, (0.0, math.inf)),)),
    "beyond float32": Ensemble(0.0, (LineTable(1, (0.0, 1e39)),)),
    "groups not from 0": Ensemble(0.0, (), (PlaneTable((0, 3), ((1, 2), (0, 1)), CELLS),)),
    "groups not rising": Ensemble(0.0, (), (PlaneTable((0, 3), ((0, 0), (0, 1)), CELLS),)),
    "groups beyond": Ensemble(0.0, (), (PlaneTable((1, 3), ((0, 2), (0, 1)), CELLS),)),
    "plane shape": Ensemble(0.0, (), (PlaneTable((0, 3), ((0, 2, 3), (0, 1)), CELLS),)),
    "plane NaN": Ensemble(0.0, (), (PlaneTable((0, 3), ((0,), (0,)), ((math.nan,),)),)),
    "missing leaves": Ensemble(0.0, forests=((TREES, Leaves((), ())),)),
    "short leaves": Ensemble(0.0, forests=((TREES, Leaves(((0.0,),), ((1.0, 1.0),))),)),
    "NaN cover": Ensemble(0.0, forests=((TREES, Leaves(((0.0, 1.0),), ((1.0, math.nan),))),)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_does_not_fit_is_refused(name: str) -> None:
    """No file is written from a model that the contract cannot hold."""
    with pytest.raises(LearningError, match=r"must|needs|need"):
        subject.booster(BROKEN[name], CONTRACT)


def test_cuts_outside_the_contract_are_refused() -> None:
    """A tree over bins that do not exist."""
    structure = draw(bytes(32), CONTRACT, TreePlan(depth=1, trees_per_round=1), 0)
    tree = type(structure.trees[0])((1,), (2,))
    ensemble = Ensemble(0.0, forests=((type(structure)((tree,)), Leaves(((0.1, 0.2),), ((1.0, 1.0),))),))
    with pytest.raises(LearningError, match="from 1 to 1, got 2"):
        subject.booster(ensemble, CONTRACT)
