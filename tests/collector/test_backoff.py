"""Laws of the back-off, whatever the interval and however long a server fails."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector import backoff
from collector.backoff import FAILURES_FORGIVEN, NO_FAILURES, PAUSE_SECONDS_AT_MOST, State
from collector.errors import BackedOffError
from support import target

intervals = st.integers(15, 3600)
failures = st.integers(0, 200)
slots = st.integers(0, 2**42)
names = st.from_regex(r"[a-z0-9-]{1,20}", fullmatch=True)


def failed(state, interval, slot_ms, name="a"):
    return backoff.after_scrape(
        state, target(instance_id=name, interval_seconds=interval, slot_ms=slot_ms), seconds=None
    )


def is_asked(state, slot_ms):
    try:
        backoff.check(state, target(slot_ms=slot_ms))
    except BackedOffError:
        return False
    return True


@given(intervals, failures, slots, names)
def test_a_pause_is_never_under_the_interval_and_never_over_ten_minutes_or_the_interval(interval, before, slot, name):
    state = failed(State(before), interval, slot, name)
    if state.retry_at_ms:
        pause_ms = state.retry_at_ms - slot
        assert 1000 * interval <= pause_ms <= 1000 * max(interval, PAUSE_SECONDS_AT_MOST)


@given(intervals, failures, slots)
def test_one_good_scrape_ends_all_back_off(interval, before, slot):
    state = failed(State(before), interval, slot)
    good = target(interval_seconds=interval, timeout_seconds=10, slot_ms=slot)
    assert backoff.after_scrape(state, good, seconds=0.05) == NO_FAILURES


@given(intervals, slots)
def test_two_failures_are_forgiven(interval, slot):
    state = NO_FAILURES
    for number in range(FAILURES_FORGIVEN):
        assert is_asked(state, slot + 1000 * interval * number)
        state = failed(state, interval, slot + 1000 * interval * number)
    assert is_asked(state, slot + 1000 * interval * FAILURES_FORGIVEN)


@given(st.integers(15, 150), slots, names)
def test_each_further_failure_doubles_the_pause_up_to_the_jitter(interval, slot, name):
    pauses = [failed(State(before), interval, slot, name).retry_at_ms - slot for before in range(FAILURES_FORGIVEN, 9)]
    for number, pause in enumerate(pauses, start=1):
        longest = 1000 * min(interval * 2**number, PAUSE_SECONDS_AT_MOST)
        assert max(0.75 * longest, 1000 * interval) - 1 <= pause <= longest


@given(intervals, st.integers(1, 300), names)
def test_a_server_that_fails_for_ever_is_asked_at_least_every_ten_minutes_and_less_often_than_before(
    interval, count, name
):
    state, asked = NO_FAILURES, []
    for number in range(count):
        slot = 1000 * interval * number
        if is_asked(state, slot):
            asked.append(slot)
            state = failed(state, interval, slot, name)
    gaps = [later - earlier for earlier, later in pairwise(asked)]
    assert all(gap <= 1000 * (PAUSE_SECONDS_AT_MOST + interval) for gap in gaps)
    assert asked[0] == 0


def test_servers_that_failed_together_do_not_come_back_together():
    back = {failed(State(20), 15, 0, f"sglang-{number:03}").retry_at_ms // 15_000 for number in range(200)}
    assert len(back) >= 10


@pytest.mark.parametrize(
    ("seconds", "failures_after"),
    [pytest.param(5.0, 0, id="half"), pytest.param(5.01, 1, id="more"), pytest.param(None, 1, id="failed")],
)
def test_a_scrape_that_takes_more_than_half_its_timeout_counts_as_slow(seconds, failures_after):
    slow = target(interval_seconds=60, timeout_seconds=10)
    assert backoff.after_scrape(NO_FAILURES, slow, seconds).failures == failures_after


def test_a_server_that_a_caller_asked_for_has_no_back_off():
    assert backoff.after_scrape(State(9, 9), target(), None) == NO_FAILURES


def test_the_words_say_how_often_it_failed_and_when_it_is_tried_again():
    with pytest.raises(BackedOffError, match=r"4 times in a row.*from 2026-11-24T03:04:00Z on"):
        backoff.check(State(4, 1_795_489_440_000), target(slot_ms=1_795_489_439_999))
