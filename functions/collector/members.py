"""Who belongs to the fleet, by the registry as the schedule last read it, for the fleet view.

So what was deleted or disabled is gone from it within a minute, and what was not scraped yet is there, without reading
the registry: that would be the largest part of a view.

| attribute | |
|---|---|
| `pk`, `sk` | the key in the `Targets` table: `fleet`, as the lines of `shards`, and `members/2/0`: parts, number |
| `tick` | the schedule's tick, ms since 1970. Where the number of parts changed, the newest's stand |
| `ids` | compressed: the ids in order, a line feed between |
| `expires_at` | seconds since 1970, the table's time to live: a day after the tick |
"""

import os
import zlib
from collections.abc import Iterable
from typing import Any

from collector import slots
from collector.dynamodb import client

PARTITION = "fleet"
PREFIX = "members/"
IDS_PER_PART = 2_500  # on average: 350 KB of the longest, of the 400 that an item may have
KEPT_SECONDS = 86_400
HOUR_MS = 3_600_000

Item = dict[str, dict[str, Any]]

# What this process has written, and in which hour: it is written again where it has changed, and hourly.
_noted: dict[str, tuple[int, bytes]] = {}


class UnreadableMembersError(Exception):
    """Items that no release up to this one has written."""


def note(ids: Iterable[str], tick_ms: int) -> int:
    """Keep them: how many items were written, none where nothing has changed within the hour.

    Raises botocore's errors.
    """
    parts = list(_parts(ids))
    for name in _noted.keys() - {_name(number, len(parts)) for number in range(len(parts))}:
        del _noted[name]  # of another number of parts: should that come back, all are to be written
    written = 0
    for number, part in enumerate(parts):
        name, content = _name(number, len(parts)), zlib.compress("\n".join(part).encode(), 9)
        if _noted.get(name) == (noted := (tick_ms // HOUR_MS, content)):
            continue
        client().put_item(
            TableName=os.environ["TARGETS_TABLE"],
            Item={
                "pk": {"S": PARTITION},
                "sk": {"S": name},
                "tick": {"N": str(tick_ms)},
                "ids": {"B": content},
                "expires_at": {"N": str(tick_ms // 1000 + KEPT_SECONDS)},
            },
        )
        _noted[name] = noted
        written += 1
    return written


def _parts(ids: Iterable[str]) -> list[list[str]]:
    """An id's part stays the same while their number does, so a part by itself is right."""
    ordered = sorted(ids)
    count = slots.power_of_two(-(-len(ordered) // IDS_PER_PART))
    parts: list[list[str]] = [[] for _ in range(count)]
    for instance_id in ordered:
        parts[slots.shard(slots.position(instance_id), count)].append(instance_id)
    return parts


def _name(number: int, count: int) -> str:
    return f"{PREFIX}{count}/{number}"


def holds(item: Item) -> bool:
    """Whether an item of the partition is one of these."""
    return str(item["sk"]["S"]).startswith(PREFIX)


def read(items: Iterable[Item]) -> set[str] | None:
    """The ids of the newest parts that are all there; None where nobody has noted any.

    Raises UnreadableMembersError.
    """
    layouts: dict[str, list[Item]] = {}
    for item in items:
        layouts.setdefault(item["sk"]["S"].removeprefix(PREFIX).partition("/")[0], []).append(item)
    whole = [parts for count, parts in layouts.items() if count == str(len(parts))]
    if not whole:
        return None
    try:
        newest = max(whole, key=lambda parts: max(int(item["tick"]["N"]) for item in parts))
        return {one for item in newest for one in zlib.decompress(item["ids"]["B"]).decode().split("\n") if one}
    except (KeyError, ValueError, zlib.error) as exc:
        raise UnreadableMembersError(f"the fleet's members cannot be read: {exc}") from exc


def forget() -> None:
    """Keep nothing of what was written."""
    _noted.clear()
