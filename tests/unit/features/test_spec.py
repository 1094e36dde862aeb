"""The contract is refused, with the field's path, for anything training, scoring or the model file could not use."""

import copy
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_cases import card, card_document, contract_of
from tacit import canonical
from tacit.features import spec
from tacit.features.spec import ContractError

Document = dict[str, Any]
AMOUNT, WEEKEND, C_NB1, C_AVG30, T_NB1, T_RISK7, T_RISK30 = 0, 1, 3, 8, 9, 13, 14


def changed(change: Callable[[Document], object]) -> Document:
    """The card contract's document after a change."""
    document = copy.deepcopy(card_document())
    change(document)
    return document


def column_change(position: int, **fields: Any) -> Document:  # noqa: ANN401
    """The card contract's document with other fields in one column."""
    return changed(lambda document: document["columns"][position].update(fields))


def shape_change(kind: str, **fields: Any) -> Document:  # noqa: ANN401
    """The card contract's document with other fields in the first hat, ratio or pair."""
    return changed(lambda document: document[kind][0].update(fields))


def refusal(document: Document) -> str:
    """The message with which a document is refused."""
    with pytest.raises(ContractError) as caught:
        contract_of(document)
    return str(caught.value)


def test_card_contract_is_accepted() -> None:
    """The default contract passes its own check a second time."""
    spec.check(card())


@pytest.mark.parametrize("name", ["Amount", "1st", "", "a-b", "a" * 64, "a b", "amount\n", "_a"])
def test_column_names_are_refused(name: str) -> None:
    """A name outside the allowed alphabet is refused with its path."""
    assert "columns[1]" in (message := refusal(column_change(WEEKEND, name=name)))
    assert ".name is" in message


def test_repeated_column_name_is_refused() -> None:
    """Two columns may not share a name."""
    assert refusal(column_change(WEEKEND, name="amount")) == "columns is ['amount']; allowed: every name once"


@pytest.mark.parametrize("count", [0, 63, 200])
def test_number_of_edges_is_limited(count: int) -> None:
    """A column has 1 to 62 edges."""
    message = refusal(column_change(AMOUNT, edges=list(range(1, count + 1))))
    assert message == f"columns[0] (amount).edges is {count}; allowed: 1 to 62 edges"


def test_sixty_two_edges_are_accepted() -> None:
    """The largest number of edges gives 63 bins."""
    assert contract_of(column_change(AMOUNT, edges=list(range(1, 63)))).columns[AMOUNT].bins == 63


@pytest.mark.parametrize(
    ("edges", "position", "shown"),
    [([1, 1], 1, "1"), ([2, 1], 1, "1"), ([1, 3, 2], 2, "2"), ([1, "1.00000001"], 1, "'1.00000001'")],
)
def test_edges_rise_after_rounding_to_float32(edges: list[int | str], position: int, shown: str) -> None:
    """Edges that are distinct numbers but one float32 are refused too."""
    message = refusal(column_change(AMOUNT, edges=edges))
    assert f"edges[{position}] is {shown}; allowed: above its left neighbour" in message


def test_edges_one_float32_apart_are_accepted() -> None:
    """Rounding to float32 decides, not a wider tolerance."""
    contract = contract_of(column_change(AMOUNT, edges=[16777214, 16777215]))
    assert contract.columns[AMOUNT].cuts == (16777214.0, 16777215.0)


@pytest.mark.parametrize("edge", [10**39, str(-(10**39))])
def test_edges_beyond_float32_are_refused(edge: int | str) -> None:
    """An edge that is infinite as float32 is refused."""
    assert "finite as float32" in refusal(column_change(AMOUNT, edges=[edge]))


def test_edges_beyond_float64_are_refused() -> None:
    """An edge that no float can hold is refused as a contract error."""
    assert "beyond float64" in refusal(column_change(AMOUNT, edges=[10**400]))


@pytest.mark.parametrize("spread", [0, -1, "-0.5"])
def test_spread_is_above_zero(spread: int | str) -> None:
    """A spread of 0 or less is refused."""
    assert "(amount).spread is" in refusal(column_change(AMOUNT, spread=spread))


@pytest.mark.parametrize("weight", [0, 65, -1])
def test_weight_is_1_to_64(weight: int) -> None:
    """Weights of the draw of tree structures have a range."""
    assert refusal(column_change(AMOUNT, weight=weight)) == (
        f"columns[0] (amount).weight is {weight}; allowed: 1 to 64 as weight"
    )


@pytest.mark.parametrize(
    ("position", "edges", "part"),
    [
        (WEEKEND, ["0.25", "0.5"], "one edge in (0, 1] for a flag"),
        (WEEKEND, [0], "one edge in (0, 1] for a flag"),
        (WEEKEND, [2], "one edge in (0, 1] for a flag"),
        (C_NB1, [0, 1], "above 0 for a count"),
        (12, [0, "0.5"], "above 0 for a share"),
        (12, ["0.5", "1.5"], "at most 1 for a share"),
    ],
)
def test_edges_fit_the_type(position: int, edges: list[int | str], part: str) -> None:
    """Flags have one edge, shares lie in (0, 1], counts above 0."""
    assert part in refusal(column_change(position, edges=edges))


@pytest.mark.parametrize(
    ("coarse", "part"),
    [
        ([], "coarse is 0; allowed: 1 to 16 coarse cells"),
        (list(range(0, 85, 5)), "coarse is 17; allowed: 1 to 16 coarse cells"),
        ([5, 10], "coarse[0] is 5; allowed: below the first edge"),
        ([0, 7], "coarse[1] is 7; allowed: one of the column's edges"),
        ([0, 10, 10], "coarse[2] is 10; allowed: above its left neighbour"),
        ([0, 10, 5], "coarse[2] is 5; allowed: above its left neighbour"),
    ],
)
def test_coarse_cells_begin_at_edges(coarse: list[int], part: str) -> None:
    """At most 16 cells, the first below all edges, each other one at an edge."""
    assert part in refusal(column_change(C_AVG30, coarse=coarse))


def test_coarse_start_matches_an_edge_as_float32() -> None:
    """A start written with other digits is the same edge if float32 cannot tell them apart."""
    contract = contract_of(column_change(C_AVG30, coarse=[0, "132.70000001"]))
    assert contract.columns[C_AVG30].coarse == (Fraction(0), Fraction("132.70000001"))


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"of": "sum"}, "of is 'sum'; allowed: count, mean(amount), fraud_share"),
        ({"key": "bank"}, "key is 'bank'; allowed: customer, terminal"),
        ({"key": None}, "key is None; allowed: customer, terminal"),
        ({"days": None}, "days is None; allowed: 1 to 366"),
        ({"days": 0}, "days is 0; allowed: 1 to 366 days"),
        ({"days": 367}, "days is 367; allowed: 1 to 366 days"),
        ({"delay_days": -1}, "delay_days is -1; allowed: 0 to 366"),
        ({"delay_days": 367}, "delay_days is 367; allowed: 0 to 366"),
        ({"type": "amount"}, "type is 'amount'; allowed: count for count"),
        ({"of": "mean(amount)"}, "type is 'count'; allowed: amount for mean(amount)"),
        ({"of": None}, "key is 'terminal'; allowed: none without `of`"),
        ({"of": None, "key": None}, "days is 1; allowed: none without `of`"),
        ({"of": None, "key": None, "days": None}, "delay_days is 7; allowed: 0 without `of`"),
        ({"of": None, "key": None, "days": None, "delay_days": 0, "feed": "network"}, "feed is 'network'"),
    ],
)
def test_window_fields_are_consistent(fields: Document, part: str) -> None:
    """of, key, days and delay_days stand together and within their ranges."""
    assert part in refusal(column_change(T_NB1, **fields))


def test_window_over_labels_has_a_delay() -> None:
    """A fraud share that ends at the row would hold the row's own label."""
    message = refusal(column_change(T_RISK7, delay_days=0))
    assert message == "columns[13] (t_risk7).delay_days is 0; allowed: 1 to 366 days for fraud_share"


@pytest.mark.parametrize("provenance", ["customer", "public"])
def test_terminal_windows_are_mixing(provenance: str) -> None:
    """A window over a terminal holds other customers' rows and must say so."""
    assert "allowed: mixing" in refusal(column_change(T_NB1, provenance=provenance))


@pytest.mark.parametrize("provenance", ["customer", "public"])
def test_feeds_are_mixing(provenance: str) -> None:
    """A feed made of members' transactions must say that it mixes customers."""
    assert "allowed: mixing" in refusal(column_change(T_NB1, provenance=provenance, feed="network"))


def test_customer_windows_are_not_public() -> None:
    """A window over a customer's rows cannot be computed without the customer."""
    assert "allowed: customer or mixing" in refusal(column_change(C_NB1, provenance="public"))


def test_customer_windows_may_be_called_mixing() -> None:
    """Claiming less than is true is allowed."""
    assert contract_of(column_change(C_NB1, provenance="mixing")).mixing


@pytest.mark.parametrize(
    ("position", "fields", "part"),
    [
        (T_NB1, {"feed": "Net work"}, "allowed: a name [a-z][a-z0-9_]*"),
        (C_NB1, {"feed": "network", "provenance": "mixing"}, "allowed: none unless key is terminal"),
        (T_NB1, {"feed": "network", "type": "amount", "of": "mean(amount)"}, "a feed has no amounts"),
    ],
)
def test_feeds_supply_terminal_counts(position: int, fields: Document, part: str) -> None:
    """A feed has a name and supplies counts and fraud shares of terminals only."""
    assert part in refusal(column_change(position, **fields))


@pytest.mark.parametrize(
    ("document", "part"),
    [
        (
            changed(lambda d: d.update(linear=["amount", "nothing"])),
            "linear[1] is 'nothing'; allowed: a column: amount,",
        ),
        (changed(lambda d: d.update(linear=["amount", "amount"])), "linear is ['amount']; allowed: every name once"),
        (shape_change("hats", column="nothing"), "hats[0].column is 'nothing'"),
        (shape_change("hats", column="weekend"), "a column that is not a flag"),
        (shape_change("hats", knots=[5]), "hats[0].knots is 1; allowed: 2 to 64 knots"),
        (shape_change("hats", knots=list(range(1, 66))), "hats[0].knots is 65; allowed: 2 to 64 knots"),
        (shape_change("hats", knots=[5, 5]), "hats[0].knots[1] is 5; allowed: above its left neighbour"),
        (shape_change("hats", knots=[0, 5]), "hats[0].knots[0] is 0; allowed: above 0"),
        (shape_change("ratios", numerator="nothing"), "ratios[0].numerator is 'nothing'"),
        (shape_change("ratios", denominator="nothing"), "ratios[0].denominator is 'nothing'"),
        (shape_change("ratios", numerator="weekend"), "allowed: a column of type amount or count"),
        (shape_change("ratios", denominator="t_risk7"), "allowed: a column of type amount or count"),
        (shape_change("ratios", denominator="c_avg7"), "allowed: a column with coarse cells"),
        (shape_change("ratios", numerator="c_avg30"), "allowed: not the numerator"),
        (shape_change("ratios", knots=[-1, 1]), "ratios[0].knots[0] is -1; allowed: above 0"),
        (shape_change("pairs", columns=["t_risk7", "nothing"]), "pairs[0].columns[1] is 'nothing'"),
        (shape_change("pairs", columns=["t_risk1", "t_risk7"]), "allowed: a column with coarse cells"),
        (shape_change("pairs", columns=["t_risk7", "t_risk7"]), "allowed: two different columns"),
        (shape_change("pairs", knots=["0.5", "0.25"]), "pairs[0].knots[1] is '0.25'"),
    ],
)
def test_basis_names_fitting_columns(document: Document, part: str) -> None:
    """Every part of the basis names columns that exist, of the right type, with coarse cells where it needs them."""
    assert part in refusal(document)


def test_pair_of_flags_is_refused() -> None:
    """A flag has no use for a pair even with a coarse cell."""
    document = column_change(WEEKEND, coarse=[0])
    document["pairs"][0]["columns"] = ["weekend", "t_risk7"]
    assert "that is not a flag" in refusal(document)


def test_hat_without_logarithm_may_begin_at_zero() -> None:
    """Only a logarithm needs knots above 0."""
    contract = contract_of(shape_change("hats", transform="none", knots=[-1, 0, 5]))
    assert contract.hats[0].knots[0] == -1


@pytest.mark.parametrize("scale", [0, -1, 17, "16.1"])
def test_scale_is_in_range(scale: int | str) -> None:
    """The scale lies in (0, 16]."""
    assert "scale is" in (message := refusal(changed(lambda d: d.update(scale=scale))))
    assert message.endswith("allowed: above 0, at most 16")


def test_number_of_basis_functions_is_limited() -> None:
    """A vector has at most 4,096 numbers."""
    knots = [f"{value}/100" for value in range(64)]
    message = refusal(shape_change("pairs", knots=knots))
    assert message.endswith("is 4126; allowed: 2 to 4096 basis functions with the intercept")


def test_basis_without_any_function_is_refused() -> None:
    """The intercept alone is no model."""
    message = refusal(changed(lambda d: d.update(linear=[], hats=[], ratios=[], pairs=[])))
    assert "is 1; allowed: 2 to 4096" in message


@pytest.mark.parametrize("api", ["", "tacit.contract/v2"])
def test_other_formats_are_refused(api: str) -> None:
    """A document of another format is not guessed at."""
    assert refusal(changed(lambda d: d.update(api=api))) == f"api is {api!r}; allowed: exactly 'tacit.contract/v1'"


@pytest.mark.parametrize("count", [0, 257])
def test_number_of_columns_is_limited(count: int) -> None:
    """A contract has 1 to 256 columns."""
    flag = card_document()["columns"][WEEKEND]
    columns = [{**flag, "name": f"flag_{position}"} for position in range(count)]
    document = changed(lambda d: d.update(columns=columns, linear=[], hats=[], ratios=[], pairs=[]))
    assert refusal(document) == f"columns is {count}; allowed: 1 to 256 columns"


def test_unknown_column_is_named() -> None:
    """Asking for a column that is not there lists those that are."""
    with pytest.raises(ContractError, match=r"no column 'x'; columns are amount, weekend"):
        card().column("x")


def test_column_is_found_by_name() -> None:
    """The index and the columns agree."""
    contract = card()
    assert [contract.column(name) for name in contract.index] == list(contract.columns)


def test_digest_covers_every_field() -> None:
    """Changing one edge, one weight or the scale changes the digest; reading again does not."""
    same = card().digest
    documents = [
        column_change(AMOUNT, weight=2),
        column_change(AMOUNT, edges=[1, 2]),
        changed(lambda d: d.update(scale="0.405")),
    ]
    digests = {contract_of(document).digest for document in documents}
    assert card().digest == same
    assert len(digests | {same}) == 4


def test_canonical_form_reads_back() -> None:
    """A contract survives its canonical JSON form."""
    contract = card()
    assert contract_of(canonical.plain(contract)) == contract


def test_look_back_is_the_longest_window_with_its_delay() -> None:
    """30 days that end 7 days ago reach 37 days back."""
    assert card().look_back_days == 37


@given(st.lists(st.fractions(min_value=-(10**9), max_value=10**9), min_size=1, max_size=20))
def test_float32_rounding_keeps_order(values: list[Fraction]) -> None:
    """Rounding of edges never swaps two of them and is stable."""
    rounded = spec.as_float32(sorted(values))
    assert list(rounded) == sorted(rounded)
    assert spec.as_float32([Fraction(value) for value in rounded]) == rounded
