"""Thresholds: the table, all servers' as one text, and a target's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.thresholds import DEFAULT, Thresholds
from support import ROOT


def test_every_threshold_says_why():
    assert [name for name, field in Thresholds.model_fields.items() if not field.description] == []


def test_the_readme_has_every_threshold_with_its_default():
    readme = (ROOT / "README.md").read_text()
    assert [name for name, value in DEFAULT if f"| `{name}` | {value:,g} |" not in readme] == []


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        pytest.param("", {}, id="empty"),
        pytest.param("  ", {}, id="blank"),
        pytest.param("stalled_seconds=90", {"stalled_seconds": 90}, id="one"),
        pytest.param("stalled_seconds=90,idle_ratio=0.5", {"stalled_seconds": 90, "idle_ratio": 0.5}, id="two"),
        pytest.param(
            " stalled_seconds = 9e1 , failures_in_a_row=3 ",
            {"stalled_seconds": 90, "failures_in_a_row": 3},
            id="spaces",
        ),
        pytest.param("kv_usage_ratio=1", {"kv_usage_ratio": 1}, id="a-bound"),
    ],
)
def test_a_text_sets_those_that_it_names(text, changes):
    assert DEFAULT.set_by(text).model_dump() == DEFAULT.model_dump() | changes


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("soon", "'soon' is not name=number", id="a-word"),
        pytest.param("stalled_seconds=", "'stalled_seconds=' is not name=number", id="no-number"),
        pytest.param("=60", "'=60' is not name=number", id="no-name"),
        pytest.param("stalled_seconds 60", "'stalled_seconds 60' is not name=number", id="no-equals"),
        pytest.param("stalled_seconds=60,", "'' is not name=number", id="comma-at-the-end"),
        pytest.param("stalled_seconds=60;idle_ratio=0.5", "stalled_seconds is '60;idle_ratio=0.5'", id="semicolon"),
        pytest.param("stalled_seconds=60,stalled_seconds=60", "stalled_seconds is given twice", id="twice"),
        pytest.param(
            "stale_interval=4", "stale_interval is no threshold; they are failures_in_a_row, stale_", id="unknown"
        ),
        pytest.param("STALLED_SECONDS=4", "STALLED_SECONDS is no threshold", id="in-capitals"),
        pytest.param(
            "stalled_seconds=soon", "stalled_seconds is 'soon': input should be a valid number", id="no-figure"
        ),
        pytest.param("stalled_seconds=0", "stalled_seconds is '0': input should be greater", id="zero"),
        pytest.param("stalled_seconds=nan", "stalled_seconds is 'nan'", id="nan"),
        pytest.param("idle_ratio=nan", "idle_ratio is 'nan'", id="nan-of-a-share"),
        pytest.param("stalled_seconds=inf", "stalled_seconds is 'inf'", id="never"),
        pytest.param(
            "idle_ratio=0.5,kv_usage_ratio=90", "kv_usage_ratio is '90': .* less than or equal to 1", id="per-cent"
        ),
        pytest.param("failures_in_a_row=1.5", "failures_in_a_row is '1.5'", id="one-and-a-half"),
    ],
)
def test_what_is_wrong_in_a_text_is_named(text, words):
    with pytest.raises(ValueError, match=words):
        DEFAULT.set_by(text)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        pytest.param({"stale_interval": 4}, "stale_interval is no threshold; they are ", id="unknown"),
        pytest.param({"idle_ratio": -1}, "idle_ratio is -1", id="negative"),
    ],
)
def test_a_bad_override_is_named(overrides, words):
    with pytest.raises(ValueError, match=words):
        DEFAULT.with_overrides(overrides)


def test_overrides_keep_the_rest():
    fleet = DEFAULT.set_by("token_seconds=0.1,stalled_seconds=50")
    assert fleet.with_overrides({"stalled_seconds": 60}) == DEFAULT.set_by("token_seconds=0.1,stalled_seconds=60")
    assert fleet.with_overrides({}) == fleet


@given(st.sampled_from(list(Thresholds.model_fields)), st.floats() | st.integers())
def test_what_is_let_in_is_a_number_above_zero_that_every_store_can_hold(name, number):
    try:
        let_in = getattr(DEFAULT.with_overrides({name: number}), name)
    except ValueError:
        return
    assert let_in == number
    assert 1e-6 <= let_in <= 1e9
