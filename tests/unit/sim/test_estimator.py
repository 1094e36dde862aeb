"""The classifier: learns under its budget, and behaves as scikit-learn expects."""

import pickle
import secrets
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
import sklearn
import xgboost
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from tacit.features.spec import Column, ColumnType, Contract, Hat, Provenance, Transform
from tacit.learning.course import RECORD_LEARNER
from tacit.learning.types import Learner, LearnerKind, LearningError, Shares, TreePlan
from tacit.privacy.types import PrivacyError, Unit
from tacit.scorer.engine import Engine
from tacit.sim import estimator as subject
from tacit.sim.estimator import TacitClassifier


def column_of(name: str) -> Column:
    """A column with edges 1, 2, ..., 15."""
    edges = tuple(Fraction(edge) for edge in range(1, 16))
    return Column(name, ColumnType.AMOUNT, Provenance.CUSTOMER, edges, Fraction(5), Fraction(5))


CONTRACT = Contract(
    columns=(column_of("amount"), column_of("mean")),
    linear=("amount", "mean"),
    hats=(Hat("amount", Transform.NONE, (Fraction(2), Fraction(8), Fraction(12))),),
    scale=Fraction("0.7"),
)
QUICK = Learner(rounds=6, average=2, starting_margin=Fraction(-2))


def rows_of(seed: int, customers: int = 600, each: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values, labels that follow the amount, and whose rows they are."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(0, 16, (customers * each, 2))
    labels = (values[:, 0] > 11) & (rng.random(customers * each) < 0.6)
    values[rng.random(values.shape) < 0.01] = np.nan
    return values, labels.astype(int), rng.permutation(np.repeat(np.arange(customers), each))


def classifier(**changes: object) -> TacitClassifier:
    """A quick classifier."""
    return TacitClassifier(CONTRACT, **{"epsilon": 4, "learner": QUICK, **changes})


@pytest.fixture(scope="module")
def fitted() -> TacitClassifier:
    """Fitted at customer level."""
    values, labels, customers = rows_of(0)
    return classifier().fit(values, labels, customers=customers)


def test_learns_at_customer_level(fitted: TacitClassifier) -> None:
    """New rows are ranked far above chance, and the budget is kept."""
    values, labels, _ = rows_of(1)
    assert average_precision_score(labels, fitted.decision_function(values)) > 2 * labels.mean()
    assert 0 < fitted.epsilon_ <= 4
    assert fitted.unit_ is Unit.CUSTOMER
    assert fitted.n_rounds_ == 7


def test_learns_at_record_level() -> None:
    """Without customers every row is a unit."""
    values, labels, _ = rows_of(2)
    found = classifier().fit(values, labels)
    assert found.unit_ is Unit.RECORD
    assert average_precision_score(labels, found.decision_function(values)) > 2 * labels.mean()


def test_default_learner_follows_the_unit() -> None:
    """Without customers the record-level numbers are used, with them the plan's defaults; a given learner stays."""
    values, labels, customers = rows_of(4, customers=20)
    assert classifier(learner=None).fit(values, labels).learner_ == RECORD_LEARNER
    assert classifier(learner=None).fit(values, labels, customers=customers).learner_ == Learner()
    assert classifier().fit(values, labels).learner_ == QUICK


@pytest.mark.parametrize("kind", [LearnerKind.TREES, LearnerKind.ADDITIVE_TREES])
def test_tree_learners(kind: LearnerKind) -> None:
    """Tree rounds are answered too and end in the model."""
    values, labels, customers = rows_of(3)
    plan = TreePlan(rounds=3, depth=2, columns_per_tree=1)
    learner = Learner(kind=kind, rounds=4, average=2, starting_margin=Fraction(-2), trees=plan)
    found = classifier(learner=learner, epsilon=8).fit(values, labels, customers=customers)
    assert len(found.ensemble_.forests) == 3
    assert average_precision_score(labels, found.decision_function(values)) > 1.5 * labels.mean()


@pytest.mark.parametrize("kind", list(LearnerKind))
def test_default_shares_add_up(kind: LearnerKind) -> None:
    """All of the budget is used, by the parts that the learner has."""
    shares = subject.default_shares(kind)
    assert shares.preconditioner + shares.gradients + shares.trees == 1
    assert (shares.trees > 0) == (kind is not LearnerKind.ADDITIVE)
    assert shares.quality == 0


def test_default_shares_of_the_additive_learner() -> None:
    """.05 / .95 and .90 / .95."""
    assert subject.default_shares(LearnerKind.ADDITIVE) == Shares(Fraction(1, 19), Fraction(18, 19))


def test_probabilities_belong_to_margins(fitted: TacitClassifier) -> None:
    """Two columns that add up to 1, the second the sigmoid of the margin; predict cuts at one half."""
    values, _, _ = rows_of(4)
    margins, both = fitted.decision_function(values), fitted.predict_proba(values)
    np.testing.assert_allclose(both.sum(axis=1), 1.0)
    np.testing.assert_allclose(both[:, 1], 1 / (1 + np.exp(-margins)), rtol=1e-12)
    assert np.array_equal(fitted.predict(values), (margins >= 0).astype(int))


def test_booster_gives_the_same_margins(fitted: TacitClassifier) -> None:
    """In the scorer's engine and in XGBoost."""
    values = rows_of(5)[0].astype(np.float32)
    model = fitted.to_booster()
    expected = fitted.decision_function(values)
    np.testing.assert_allclose(Engine.load(model, CONTRACT).margins(values), expected, atol=1e-5)
    native = xgboost.Booster({"nthread": 1}, model_file=bytearray(model))
    found = native.inplace_predict(values, predict_type="margin", validate_features=False)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_noise_differs_from_fit_to_fit() -> None:
    """No seed: two fits on the same rows are two releases."""
    values, labels, customers = rows_of(6, customers=100)
    first, second = (classifier().fit(values, labels, customers=customers).ensemble_ for _ in range(2))
    assert first != second


def test_one_customer_is_one_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are grouped by customer, whatever their order, before they are clipped."""
    seen = []
    real = subject.bounded_sum
    monkeypatch.setattr(
        subject,
        "bounded_sum",
        lambda stage, rows, *rest, **more: (seen.append(np.diff(rows.starts)), real(stage, rows, *rest, **more))[1],
    )
    values, labels, customers = rows_of(7, customers=50, each=4)
    classifier().fit(values, labels, customers=[f"card {number}" for number in customers])
    assert len(seen) == 7
    assert all(np.array_equal(counts, np.full(50, 4)) for counts in seen)


def test_more_noise_for_a_smaller_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every release uses the noise that its question was calibrated for."""
    variances: dict[float, list[int]] = {}
    real = subject.release
    values, labels, customers = rows_of(8, customers=50)
    for epsilon in (1, 4):
        drawn = variances.setdefault(epsilon, [])
        monkeypatch.setattr(
            subject,
            "release",
            lambda sums, noise, mode, drawn=drawn: (drawn.append(noise.variance), real(sums, noise, mode))[1],
        )
        classifier(epsilon=epsilon).fit(values, labels, customers=customers)
    assert len(variances[1]) == len(variances[4]) == 7
    assert all(more > less for more, less in zip(variances[1], variances[4], strict=True))


def test_clone_and_parameters() -> None:
    """Parameters survive get_params, set_params and clone; clone is not fitted."""
    model = classifier(delta="0.0001", population=600)
    copied = clone(model)
    assert {name: value for name, value in copied.get_params().items() if name != "contract"} == {
        name: value for name, value in model.get_params().items() if name != "contract"
    }
    assert copied.contract.digest == CONTRACT.digest
    assert copied.set_params(epsilon=2).epsilon == 2
    with pytest.raises(NotFittedError):
        copied.predict(np.zeros((1, 2)))


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_not_fitted(method: str) -> None:
    """Scoring before fitting is refused in scikit-learn's way."""
    with pytest.raises(NotFittedError):
        getattr(classifier(), method)(np.zeros((1, 2)))
    with pytest.raises(NotFittedError):
        classifier().to_booster()


def test_pipeline() -> None:
    """As the last step behind a transformer."""
    values, labels, customers = rows_of(9, customers=100)
    pipeline = make_pipeline(FunctionTransformer(lambda table: table * 1.0), classifier())
    pipeline.fit(values, labels, tacitclassifier__customers=customers)
    assert pipeline.predict_proba(values).shape == (500, 2)
    assert pipeline[-1].unit_ is Unit.CUSTOMER


def test_cross_val_predict_with_customers() -> None:
    """Folds by customer, customers routed to fit."""
    values, labels, customers = rows_of(10, customers=200)
    with sklearn.config_context(enable_metadata_routing=True):
        model = classifier().set_fit_request(customers=True)
        found = cross_val_predict(
            model,
            values,
            labels,
            cv=GroupKFold(3),
            method="predict_proba",
            params={"customers": customers, "groups": customers},
        )
    assert found.shape == (1000, 2)
    assert average_precision_score(labels, found[:, 1]) > labels.mean()


def test_data_frames(fitted: TacitClassifier) -> None:
    """Frames with the contract's columns score like arrays; other names or another order are refused."""
    values = rows_of(11, customers=20)[0]
    table = pl.DataFrame({"amount": values[:, 0], "mean": values[:, 1]})
    assert np.array_equal(fitted.decision_function(table), fitted.decision_function(values))
    for other in (["mean", "amount"], ["amount", "average"]):
        with pytest.raises(ValueError, match="contract's columns"):
            fitted.predict(pl.DataFrame(dict.fromkeys(other, values[:, 0])))
    assert fitted.feature_names_in_.tolist() == ["amount", "mean"]


def test_other_classes() -> None:
    """Labels may be words; the positive one is last."""
    values, labels, customers = rows_of(12, customers=200)
    words = np.array(["ok", "fraud"])[labels]
    found = classifier(classes=("ok", "fraud")).fit(values, words, customers=customers)
    assert found.classes_.tolist() == ["ok", "fraud"]
    assert set(found.predict(values)) <= {"ok", "fraud"}
    assert average_precision_score(labels, found.predict_proba(values)[:, 1]) > labels.mean()


def test_one_class_alone_is_learnt_from() -> None:
    """A missing class is no error: the answer to "is there a fraud" would be a release."""
    values, labels, _ = rows_of(13, customers=40)
    assert classifier().fit(values, np.zeros_like(labels)).classes_.tolist() == [0, 1]


def test_pickle(fitted: TacitClassifier) -> None:
    """A fitted classifier survives pickling with its margins."""
    values = rows_of(14, customers=10)[0]
    again = pickle.loads(pickle.dumps(fitted))  # noqa: S301  made in this test
    assert np.array_equal(again.decision_function(values), fitted.decision_function(values))


def test_structure_seed_is_the_trees_seed() -> None:
    """Tree structures follow from the public seed."""
    values, labels, _ = rows_of(15, customers=30)
    learner = Learner(kind=LearnerKind.TREES, trees=TreePlan(rounds=2, depth=2, columns_per_tree=1))
    seed = secrets.token_bytes(32)
    fits = [classifier(learner=learner, structure_seed=seed).fit(values, labels) for _ in range(2)]
    trees = [[structure for structure, _ in fit.ensemble_.forests] for fit in fits]
    assert trees[0] == trees[1]


VALUES, LABELS, CUSTOMERS = rows_of(16, customers=10)
REFUSED = {
    "columns": (VALUES[:, :1], LABELS, CUSTOMERS, "2 columns"),
    "infinite": (np.full_like(VALUES, np.inf), LABELS, CUSTOMERS, "infinity"),
    "one dimension": (VALUES[:, 0], LABELS, CUSTOMERS, "2D"),
    "labels": (VALUES, LABELS + 1, CUSTOMERS, "y must hold"),
    "label shape": (VALUES, LABELS[1:], CUSTOMERS, "y must have"),
    "customer shape": (VALUES, LABELS, CUSTOMERS[1:], "customers must have"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_rows_that_do_not_fit(name: str) -> None:
    """The faulty argument is named."""
    values, labels, customers, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        classifier().fit(values, labels, customers=customers)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"epsilon": 0}, PrivacyError),
        ({"delta": 1}, PrivacyError),
        ({"delta": "0.1", "population": 1000}, PrivacyError),
        ({"epsilon": "much"}, ValueError),
        ({"epsilon": float("nan")}, ValueError),
        ({"classes": (1, 1)}, ValueError),
        ({"shares": Shares(Fraction(1, 2), Fraction(1, 4))}, LearningError),
        ({"learner": Learner(kind=LearnerKind.TREES, trees=TreePlan()), "structure_seed": b"short"}, LearningError),
    ],
)
def test_parameters_out_of_range(changes: dict[str, object], error: type[Exception]) -> None:
    """Parameters are checked in fit, by the parts that own them."""
    with pytest.raises(error):
        classifier(**changes).fit(VALUES, LABELS)


@pytest.mark.parametrize("value", ["one", "nan", float("inf"), float("nan"), "", None])
@pytest.mark.parametrize("name", ["epsilon", "delta"])
def test_budgets_that_are_no_numbers(name: str, value: object) -> None:
    """The parameter and the value are named."""
    values, labels, _ = rows_of(3, customers=20)
    with pytest.raises(ValueError, match=name):
        classifier(**{name: value}).fit(values, labels)


@pytest.mark.parametrize("rows", [0, 1])
def test_almost_nothing_to_learn_from_is_no_error(rows: int) -> None:
    """Whether there are rows would be a release; what is learnt is noise and finite."""
    values, labels, _ = rows_of(5, customers=20)
    found = classifier().fit(values[:rows], labels[:rows])
    assert np.isfinite(found.decision_function(values)).all()


def test_what_was_fitted_is_described(fitted: TacitClassifier) -> None:
    """Columns by name, questions by number, epsilon at most the one asked for."""
    assert fitted.n_features_in_ == len(CONTRACT.columns)
    assert fitted.feature_names_in_.tolist() == [column.name for column in CONTRACT.columns]
    assert 0 < fitted.epsilon_ <= 4
    assert fitted.n_rounds_ == 1 + QUICK.rounds
