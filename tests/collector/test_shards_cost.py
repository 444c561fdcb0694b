"""What the fleet view costs, by bytes as DynamoDB counts them: the schedule's messages, each written at once."""

import math
from collections import Counter

import pytest

from collector import shards
from collector.item import item_bytes
from collector.shards import Shard
from collector.targets import MESSAGE, Registration
from fleet_lines import instance_names, line
from handlers import schedule

START_MS = 1_795_489_200_000


def registered(intervals, names):
    """A fleet whose intervals are dealt out in turn."""
    endpoint = "http://10.0.1.17:30000/metrics"
    return [
        Registration(
            instance_id=name,
            engine="sglang",
            endpoint=endpoint,
            interval_seconds=intervals[number % len(intervals)],
            timeout_seconds=5,
        )
        for number, name in enumerate(names)
    ]


def spent(fleet, minutes):
    """Write units, read units and scrapes of the messages of so many ticks, each message by a worker of its own."""
    table, units = {}, Counter()
    for minute in range(minutes):
        tick_ms = START_MS + minute * 60_000
        for message in schedule.plan_tick(fleet, tick_ms, tick_ms).pack():
            brought = {}
            for target in MESSAGE.validate_json(message.body):
                new = line(target.instance_id, target.slot_ms, target.interval_seconds)
                brought.setdefault(Shard.of(target), []).append(new)
            for shard, lines in brought.items():
                there = table.get(shard)
                table[shard] = shards.with_lines(shard, there, lines)
                sizes = [item_bytes(item) for item in (there, table[shard]) if item]
                units["written"] += math.ceil(max(sizes) / 1024)
                units["read"] += math.ceil(sizes[0] / 4096) / 2
            units["scrapes"] += message.targets
    return units


@pytest.mark.parametrize(
    ("size", "intervals", "minutes", "written", "read"),
    [
        pytest.param(1_000, [60], 5, 0.08, 0.04, id="a-thousand-every-minute"),
        pytest.param(1_000, [15], 2, 0.08, 0.04, id="a-thousand-every-quarter-of-one"),
        pytest.param(1_000, [300], 10, 0.08, 0.04, id="a-thousand-every-five"),
        pytest.param(1_000, [15, 60, 300], 10, 0.09, 0.03, id="a-thousand-mixed"),
        pytest.param(801, [60], 5, 0.09, 0.05, id="shards-half-full"),
        pytest.param(1_600, [60], 5, 0.08, 0.03, id="shards-full"),
        pytest.param(100, [60], 5, 0.17, 0.09, id="a-hundred-a-write-a-message"),
        pytest.param(25, [60], 5, 0.5, 0.25, id="twenty-five"),
    ],
)
def test_a_line_costs_a_part_of_a_write_unit(size, intervals, minutes, written, read):
    """At most 0.15 for a thousand. Fewer servers share fewer writes: 16 a minute at most, whatever their number."""
    units = spent(registered(intervals, instance_names(size)), minutes)
    assert units["written"] / units["scrapes"] <= written
    assert units["read"] / units["scrapes"] <= read
