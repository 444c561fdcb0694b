"""What was kept last is there, and no more than there is room for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.recent import Recent


def test_the_oldest_goes_first_and_what_is_kept_again_is_the_newest():
    recent = Recent(len, at_most=4)
    recent.update(a="12", b="12")
    recent["a"] = "1"
    recent["c"] = "12"
    assert dict(recent) == {"a": "1", "c": "12"}


def test_what_is_too_heavy_is_not_kept():
    recent = Recent(len, at_most=4)
    recent.update(a="12", b="12345")
    assert dict(recent) == {}


def test_a_key_that_is_not_there_is_said():
    with pytest.raises(KeyError, match="a"):
        Recent(len, at_most=4)["a"]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 30), st.booleans())))
def test_it_is_never_heavier_than_it_may_be_and_room_is_used_again(steps):
    recent = Recent(int, at_most=40)
    for key, weight, is_kept in steps:
        if is_kept:
            recent[key] = weight
            assert recent[key] == weight
        else:
            recent.pop(key, None)
        assert sum(recent.values()) <= recent.at_most
    recent.clear()
    recent["all"] = recent.at_most
    assert dict(recent) == {"all": recent.at_most}
