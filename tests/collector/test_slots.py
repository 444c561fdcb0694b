"""Laws of the slots: time is cut into ticks without a gap, and every interval has one slot of a target."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector import slots

IDS = st.from_regex(r"[A-Za-z0-9._:-]{1,128}", fullmatch=True)
POSITIONS = st.integers(0, 2**slots.CIRCLE_BITS - 1)
INTERVALS = st.integers(15, 3600)
TIMES = st.integers(0, 4_102_444_800_000)  # up to the year 2100
TICKS = TIMES.map(slots.tick)
FLEETS = st.integers(0, 200_000)


@pytest.mark.parametrize(
    ("instance_id", "position"),
    [
        ("sglang-001", 12_280_449_301_857_662_498),
        ("a", 4_681_665_781_835_383_343),
        ("A", 1_912_239_397_717_954_630),
    ],
)
def test_a_position_is_the_same_in_every_release(instance_id, position):
    assert slots.position(instance_id) == position


@given(POSITIONS, INTERVALS, TIMES)
def test_an_interval_has_exactly_one_slot_wherever_it_begins(position, interval_seconds, start_ms):
    [slot_ms] = slots.slots(position, interval_seconds, start_ms, start_ms + interval_seconds * 1000)
    assert start_ms <= slot_ms < start_ms + interval_seconds * 1000


@given(POSITIONS, INTERVALS, TIMES)
def test_every_slot_is_whole_intervals_since_the_epoch_and_the_shift_of_the_id(position, interval_seconds, start_ms):
    interval_ms = interval_seconds * 1000
    [shift_ms] = slots.slots(position, interval_seconds, 0, interval_ms)
    assert shift_ms == position * interval_ms // 2**64
    assert all(
        (slot_ms - shift_ms) % interval_ms == 0
        for slot_ms in slots.slots(position, interval_seconds, start_ms, start_ms + 3 * interval_ms)
    )


@given(POSITIONS, INTERVALS, TICKS, st.integers(1, 70))
def test_consecutive_ticks_send_every_slot_once(position, interval_seconds, first_tick_ms, ticks):
    windows = [slots.window(first_tick_ms + number * slots.TICK_MS) for number in range(ticks)]
    sent = [slot_ms for window in windows for slot_ms in slots.slots(position, interval_seconds, *window)]
    assert sent == list(slots.slots(position, interval_seconds, windows[0][0], windows[-1][1]))


@given(TIMES)
def test_a_tick_is_the_beginning_of_its_minute_and_sends_the_minute_after_next(time_ms):
    tick_ms = slots.tick(time_ms)
    assert tick_ms % 60_000 == 0 <= time_ms - tick_ms < 60_000
    assert slots.window(tick_ms) == (tick_ms + 60_000, tick_ms + 120_000)


@pytest.mark.parametrize(
    ("interval_seconds", "slots_an_hour"), [(15, 240), (45, 80), (60, 60), (90, 40), (3600, 1)], ids=str
)
def test_an_hour_of_ticks_has_the_slots_that_the_interval_asks_for(interval_seconds, slots_an_hour):
    windows = [slots.window(number * slots.TICK_MS) for number in range(60)]
    sent = [len(slots.slots(slots.position("a"), interval_seconds, *window)) for window in windows]
    assert sum(sent) == slots_an_hour
    assert max(sent) - min(sent) <= 1


@pytest.mark.parametrize(
    ("targets", "interval_seconds", "shards"),
    [
        pytest.param(1, 15, 4, id="no-more-than-five-seconds-of-fifteen"),
        pytest.param(100, 15, 4, id="full"),
        pytest.param(101, 15, 8, id="one-more"),
        pytest.param(0, 60, 16, id="none"),
        pytest.param(1_000, 60, 64, id="a-thousand"),
        pytest.param(1_000, 300, 64, id="five-minutes"),
        pytest.param(1_000, 3_600, 1_024, id="an-hour"),
        pytest.param(10_000, 60, 512, id="ten-thousand"),
        pytest.param(100_000, 60, 4_096, id="a-hundred-thousand"),
    ],
)
def test_the_targets_of_an_interval_are_cut_into_the_fewest_shards_that_hold_25_due_within_five_seconds(
    targets, interval_seconds, shards
):
    assert slots.shard_count(targets, interval_seconds) == shards


@given(FLEETS, FLEETS, INTERVALS)
def test_a_larger_fleet_has_no_fewer_shards(fewer, more, interval_seconds):
    counts = [slots.shard_count(targets, interval_seconds) for targets in sorted((fewer, more))]
    assert counts == sorted(counts)


@given(POSITIONS, POSITIONS, INTERVALS, FLEETS)
def test_targets_of_one_shard_are_due_within_five_seconds(one, other, interval_seconds, targets):
    count = slots.shard_count(targets, interval_seconds)
    other = (one * count // 2**64 * 2**64 + other) // count  # of the same shard
    assert slots.shard(one, count) == slots.shard(other, count)
    [first], [second] = (slots.slots(place, interval_seconds, 0, 1000 * interval_seconds) for place in (one, other))
    assert abs(first - second) <= slots.SPREAD_MS


@given(POSITIONS, st.integers(0, 13).map(lambda bits: 2**bits))
def test_twice_the_shards_cut_each_into_two(position, count):
    shard = slots.shard(position, count)
    assert 0 <= shard < count
    assert slots.shard(position, 2 * count) // 2 == shard


@given(st.sets(IDS, min_size=1, max_size=50))
def test_targets_of_one_shard_are_due_in_one_part_of_the_interval(ids):
    count, interval_ms = 16, 60_000
    for position in map(slots.position, ids):
        [slot_ms] = slots.slots(position, 60, 0, interval_ms)
        assert slots.shard(position, count) == slot_ms * count // interval_ms


def test_names_in_a_row_are_spread_over_the_minute_and_the_shards():
    """Within four standard deviations of what chance does."""
    positions = [slots.position(f"sglang-{number:05}") for number in range(10_000)]
    for parts in (60, 64):
        counts = [0] * parts
        for position in positions:
            counts[slots.shard(position, parts)] += 1
        mean = len(positions) / parts
        assert max(abs(count - mean) for count in counts) < 4 * mean**0.5
