"""If-None-Match as RFC 9110 has it."""

import pytest

from tacit.runtime.etags import held


@pytest.mark.parametrize(
    "sent",
    [['"ab"'], ['W/"ab"'], ["*"], ['"x", "ab"'], ['"x"', '"ab"'], ['"x" ,\tW/"ab"']],
)
def test_a_tag_that_is_named_is_held(sent: list[str]) -> None:
    """Strong or weak, alone or in a list, in any field line."""
    assert held(sent, "ab")


@pytest.mark.parametrize("sent", [[], [""], ["ab"], ['"abc"'], ['"a", "b"'], ['w/"ab"'], ["'ab'"]])
def test_any_other_tag_is_not(sent: list[str]) -> None:
    """A tag has its quotes, and the weak mark is an upper case W."""
    assert not held(sent, "ab")
