"""When a target is due: whole intervals since the epoch, shifted by where its id stands on a circle.

The shift spreads the load: servers that were registered together are not scraped together. It follows from the id
alone, so nobody has to keep it, and the slot before is known without a look: it is one interval earlier.

The targets of an interval are cut into shards by the same circle, so those of one shard are due near each other: they
travel in one message, and their lines in the fleet view are written at once. Positions are 64 bits, times are ms since
1970.
"""

from hashlib import blake2b

CIRCLE_BITS = 64
TICK_MS = 60_000
# EventBridge Scheduler calls within the minute that it was told, not at its first second:
# https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-flexible-time-windows.html
LEAD_MS = 60_000
TARGETS_PER_SHARD = 25  # one BatchWriteItem
SPREAD_MS = 5_000  # from the first slot of a shard to its last, and of a message


def position(instance_id: str) -> int:
    """Where an id stands on the circle: 0 up to 2**64, the same on every machine and for ever."""
    return int.from_bytes(blake2b(instance_id.encode(), digest_size=CIRCLE_BITS // 8).digest(), "big")


def slots(position: int, interval_seconds: int, start_ms: int, end_ms: int) -> range:
    """The planned times of a target from `start_ms` up to, not including, `end_ms`."""
    interval_ms = interval_seconds * 1000
    shift_ms = position * interval_ms >> CIRCLE_BITS
    return range(start_ms + (shift_ms - start_ms) % interval_ms, end_ms, interval_ms)


def tick(time_ms: int) -> int:
    """The tick that a time belongs to: the beginning of its minute."""
    return time_ms - time_ms % TICK_MS


def window(tick_ms: int) -> tuple[int, int]:
    """From when up to when the slots are that a tick sends. The windows of consecutive ticks follow without a gap."""
    return tick_ms + LEAD_MS, tick_ms + LEAD_MS + TICK_MS


def shard_count(targets: int, interval_seconds: int) -> int:
    """Into how many shards the targets of an interval are cut: 25 in each at most, on average, and due within 5 s."""
    return power_of_two(max(-(-targets // TARGETS_PER_SHARD), -(-1000 * interval_seconds // SPREAD_MS)))


def power_of_two(parts: int) -> int:
    """The first that is no less: a circle cut into so many parts is cut anew without moving a border."""
    return 1 << max(0, parts - 1).bit_length()


def shard(position: int, count: int) -> int:
    """The shard of a position. Twice the count cuts each shard into two and moves nothing else."""
    return position * count >> CIRCLE_BITS
