"""Thresholds: the table, the environment's, and a target's own."""

import pytest

from collector.thresholds import DEFAULT, Thresholds
from support import ROOT


def test_every_threshold_says_why():
    assert [name for name, field in Thresholds.model_fields.items() if not field.description] == []


def test_the_readme_has_every_threshold_with_its_default():
    readme = (ROOT / "README.md").read_text()
    assert [name for name, value in DEFAULT if f"| `{name}` | {value:,g} |" not in readme] == []


def test_the_environment_sets_them_and_what_is_empty_or_another_s_is_left_alone():
    environment = {
        "HEALTH_STALLED_SECONDS": "90",
        "HEALTH_FAILURES_IN_A_ROW": "3",
        "HEALTH_IDLE_RATIO": "",
        "HEALTH_CHECK_PATH": "/up",
    }
    assert Thresholds.from_environment(environment) == DEFAULT.with_overrides(
        {"stalled_seconds": 90, "failures_in_a_row": 3}
    )


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        pytest.param("HEALTH_STALLED_SECONDS", "soon", "HEALTH_STALLED_SECONDS is 'soon'", id="a-word"),
        pytest.param("HEALTH_STALLED_SECONDS", "0", "greater than 0", id="zero"),
        pytest.param("HEALTH_STALLED_SECONDS", "inf", "finite", id="never"),
        pytest.param(
            "HEALTH_KV_USAGE_RATIO", "90", "HEALTH_KV_USAGE_RATIO is '90'.*less than or equal to 1", id="per-cent"
        ),
        pytest.param("HEALTH_FAILURES_IN_A_ROW", "1.5", "HEALTH_FAILURES_IN_A_ROW is '1.5'", id="one-and-a-half"),
    ],
)
def test_a_bad_variable_is_named(variable, value, words):
    with pytest.raises(ValueError, match=words):
        Thresholds.from_environment({variable: value})


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        pytest.param(
            {"stale_interval": 4}, "stale_interval is no threshold; they are failures_in_a_row, ", id="unknown"
        ),
        pytest.param({"idle_ratio": -1}, "idle_ratio is -1", id="negative"),
    ],
)
def test_a_bad_override_is_named(overrides, words):
    with pytest.raises(ValueError, match=words):
        DEFAULT.with_overrides(overrides)


def test_overrides_keep_the_rest():
    fleet = DEFAULT.with_overrides({"token_seconds": 0.1})
    assert fleet.with_overrides({"stalled_seconds": 60}) == DEFAULT.with_overrides(
        {"token_seconds": 0.1, "stalled_seconds": 60}
    )
