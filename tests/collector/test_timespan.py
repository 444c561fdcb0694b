from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.timespan import LATEST_MS, Span, iso, read_moment, read_step

NOW_MS = 1_795_489_200_000  # 2026-11-24T03:00:00Z


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("now", "2026-11-24T03:00:00.000Z"),
        ("-6h", "2026-11-23T21:00:00.000Z"),
        ("now-15m", "2026-11-24T02:45:00.000Z"),
        ("-2d", "2026-11-22T03:00:00.000Z"),
        ("-1w", "2026-11-17T03:00:00.000Z"),
        ("-90s", "2026-11-24T02:58:30.000Z"),
        ("1795489200", "2026-11-24T03:00:00.000Z"),
        ("1795489200.25", "2026-11-24T03:00:00.250Z"),
        ("0", "1970-01-01T00:00:00.000Z"),
        ("2026-11-24", "2026-11-24T00:00:00.000Z"),
        ("2026-11-24T03:00", "2026-11-24T03:00:00.000Z"),
        ("2026-11-24T03:00:00Z", "2026-11-24T03:00:00.000Z"),
        ("2026-11-24T03:00:00.5Z", "2026-11-24T03:00:00.500Z"),
        ("2026-11-24 03:00:00", "2026-11-24T03:00:00.000Z"),
        ("2026-11-24T04:00:00+01:00", "2026-11-24T03:00:00.000Z"),
        pytest.param("2026-11-24T04:00:00 01:00", "2026-11-24T03:00:00.000Z", id="a-plus-that-became-a-blank"),
        ("2026-11-23T22:00:00-0500", "2026-11-24T03:00:00.000Z"),
    ],
)
def test_a_moment_is_read_in_each_spelling(text, moment):
    assert iso(read_moment(text, NOW_MS)) == moment


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "yesterday",
            "6h",
            "+6h",
            "-6",
            "-6y",
            "--6h",
            "-999999999w",
            "1795489200000",
            "1e9",
            "-1",
            "NaN",
            "-6h\n",
        ),
        *("2026-13-01", "2026-11-24T25:00", "2026-11-24T03:00:00+99:00", "9999-12-31", "١٢", "2026-W48-2", "now "),
    ],
)
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(ValueError, match="is"):
        read_moment(text, NOW_MS)


@pytest.mark.parametrize(("text", "seconds"), [("60", 60), ("60s", 60), ("5m", 300), ("1h", 3600), ("1d", 86_400)])
def test_a_step_is_read_in_each_unit(text, seconds):
    assert read_step(text) == 1000 * seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "-5m", "1.5m", "2d", "1w", "m", "5 m", "86401", "1e3", "9" * 40])
def test_what_is_no_step_is_refused(text):
    with pytest.raises(ValueError, match="is"):
        read_step(text)


@pytest.mark.parametrize(
    ("span", "after", "ends"),
    [
        (Span(0, 300, 100), 0, [100, 200, 300]),
        (Span(0, 250, 100), 0, [100, 200, 250]),
        (Span(0, 250, 100), 200, [250]),
        (Span(0, 250, 100), 250, []),
        (Span(50, 50, 100), 50, []),
        pytest.param(Span(0, 300, 100), 130, [200, 300], id="in-the-middle-of-one"),
    ],
)
def test_steps_end_at_whole_steps_from_the_start_and_the_last_at_the_end(span, after, ends):
    assert list(span.ends(after)) == ends


@given(st.text(max_size=40) | st.from_regex(r"\A(now)?-?[0-9]{1,14}[smhdwy.]?\Z"), st.integers(0, LATEST_MS))
def test_any_text_is_a_moment_between_1970_and_2100_or_refused(text, now_ms):
    with suppress(ValueError):
        assert 0 <= read_moment(text, now_ms) < LATEST_MS
