"""The `Snapshots` table: one item per scrape, failed scrapes too, written and read in batches."""

import os
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from collector import batches, pages
from collector.batches import NO_ANSWER, PATIENCE_SECONDS, Item, key_of, read_key
from collector.errors import LateError, TooLargeError
from collector.frames import UNIT_BYTES
from collector.item import (
    Before,
    Stored,
    earlier_of,
    item_bytes,
    item_of,
    read_before,
    read_stored,
    with_page,
)
from collector.outcome import Outcome
from collector.targets import Key, Target

SLOTS_LOOKED_BACK = 4
KEYS = {"ProjectionExpression": "instance_id, slot"}
BLOB = b"blob"  # its attribute's name is paid for too
RANGE_LIMIT = 5000  # 1 MB of the smallest items has fewer
ALWAYS_READ = ("instance_id", "slot", "engine", "scraped_at", "expires_at", "code", "error", "interval")
BEFORE = {
    "ProjectionExpression": "instance_id, slot, scraped_at, expires_at, failures, retry_at, health, memory, #blob",
    "ExpressionAttributeNames": {"#blob": "blob"},  # a word of DynamoDB's own
}


# Writing


def write(outcomes: Sequence[Outcome], until: float) -> dict[Key, Exception]:
    """Keep each outcome under its target's slot, one write each. Gives what was not written, and why: nothing, mostly.

    A late outcome never takes the place of one that is there. No two may be of the same slot.
    """
    refused: dict[Key, Exception] = {}
    items: dict[Key, Item] = {}
    for outcome in outcomes:
        try:
            items[outcome.target.key] = _item(outcome, until)
        except Exception as reason:  # one page that cannot be kept is no reason to keep none
            refused[outcome.target.key] = reason
    late = [outcome.target.key for outcome in outcomes if isinstance(outcome.error, LateError)]
    refused |= _put_new({key: items.pop(key) for key in late if key in items}, until)
    return refused | batches.put(table_name(), items, until)


def _item(outcome: Outcome, until: float) -> Item:
    item = item_of(outcome)
    if outcome.lines is None:
        return item
    room = UNIT_BYTES - item_bytes(item) - len(BLOB)
    expires_at = int(item["expires_at"]["N"])
    blob, is_anchor = pages.encode(
        outcome.page, outcome.lines, outcome.target.key, expires_at, outcome.anchor, room, until
    )
    if whole := with_page(item, blob, is_anchor):
        return whole
    words = f"its page takes {len(blob):,} bytes, and an item has no room for it"
    return item | {"code": {"S": TooLargeError.code}, "error": {"S": words}}


def _put_new(items: dict[Key, Item], until: float) -> dict[Key, Exception]:
    """Those that are there already stay, and are no failure."""
    refused: dict[Key, Exception] = {}
    for key, item in items.items():
        try:
            batches.put_new(table_name(), item, "slot", until)
        except NO_ANSWER as exc:
            refused[key] = exc
    return refused


# Reading


def read_newest(instance_id: str) -> Stored | None:
    """The last scrape that has not expired, good or failed, with the one before it; None when there is none.

    Raises NO_ANSWER and UnprocessedError.
    """
    until = time.monotonic() + PATIENCE_SECONDS
    # Consistently: a caller who has just collected sees it.
    for item in _newest(instance_id, until, ConsistentRead=True):
        # DynamoDB deletes what has expired within days, not at once.
        if int(item["expires_at"]["N"]) > time.time():
            return _with_earlier(item, until)
    return None


def _with_earlier(item: Item, until: float) -> Stored:
    key = earlier_of(item)
    earlier = _read([key], until) if key else []
    told = pages.read_pages([item, *earlier], table_name(), until)
    stored, *others = (read_stored(one, told.get(read_key(one))) for one in [item, *earlier])
    return replace(stored, earlier=next(iter(others), None))


def read_befores(targets: Collection[Target], until: float) -> dict[Key, Before]:
    """What the scrapes before each target's slot left; none where there are none, or where the slots before are empty.

    The keys of a registered server's are known, so they are read in batches: the slot before, which is there as a rule,
    and in a gap those before that. The newest of any other is asked for. A failed one names the last good slot, which
    is read too. Raises NO_ANSWER and UnprocessedError.
    """
    found: dict[Key, Item] = {}
    for slots_back in range(1, SLOTS_LOOKED_BACK + 1):
        before = {
            target.key: (target.instance_id, target.slot_ms - 1000 * slots_back * target.interval_seconds)
            for target in targets
            if target.interval_seconds and target.key not in found
        }
        items = {read_key(item): item for item in _read(before.values(), until, **BEFORE)}
        found |= {key: items[earlier] for key, earlier in before.items() if earlier in items}
    for target in targets:
        if not target.interval_seconds and (newest := _newest(target.instance_id, until, **BEFORE)):
            [found[target.key]] = newest
    befores = {key: read_before(item, None) for key, item in found.items()}
    good = {
        key: (key[0], before.memory.last_good_slot_ms)
        for key, before in befores.items()
        if before.memory.last_good_slot_ms is not None
    }
    there = {read_key(item): item for item in found.values() if "blob" in item}
    there |= {read_key(item): item for item in _read(set(good.values()) - there.keys(), until, **BEFORE)}
    told = pages.read_pages(there.values(), table_name(), until)
    for key, earlier in good.items():
        if earlier in there:
            page = read_before(there[earlier], told.get(earlier))
            befores[key] = replace(befores[key], slot_ms=page.slot_ms, scraped_at=page.scraped_at, told=page.told)
    return befores


def _newest(instance_id: str, until: float, **options: Any) -> list[Item]:
    """The newest item of a server: one or none."""
    answer = batches.ask(
        batches.client().query,
        until,
        TableName=table_name(),
        KeyConditionExpression="instance_id = :id",
        ExpressionAttributeValues={":id": {"S": instance_id}},
        ScanIndexForward=False,
        Limit=1,
        **options,
    )
    items: list[Item] = answer["Items"]
    return items


def read_range(
    instance_id: str,
    engine: str,
    slots: tuple[int, int],
    attributes: Collection[str],
    until: float,
    *,
    limit: int = RANGE_LIMIT,
    backwards: bool = False,
    good: bool = False,
) -> tuple[list[Item], int | None]:
    """Items of an engine's server from the first slot to the last, both included, oldest first or newest first.

    One answer of DynamoDB's: it looks at `limit` items and 1 MB at most. Given beside them is the slot up to which it
    has looked, None where that is all. `good` leaves out those without a page; what has expired is always left out.
    Raises NO_ANSWER.
    """
    if slots[0] > slots[1]:
        return [], None
    values = {":id": instance_id, ":engine": engine}
    numbers = {":first": slots[0], ":last": slots[1], ":now": int(time.time())}
    answer = batches.ask(
        batches.client().query,
        until,
        TableName=table_name(),
        KeyConditionExpression="instance_id = :id AND slot BETWEEN :first AND :last",
        FilterExpression="expires_at > :now AND engine = :engine" + " AND attribute_exists(#blob)" * good,
        ProjectionExpression=_projection({*attributes, *ALWAYS_READ}),
        ExpressionAttributeNames=_names({*attributes, *ALWAYS_READ, *["blob"] * good}),
        ExpressionAttributeValues={name: {"S": value} for name, value in values.items()}
        | {name: {"N": str(value)} for name, value in numbers.items()},
        ScanIndexForward=not backwards,
        Limit=limit,
    )
    items: list[Item] = answer["Items"]
    last = answer.get("LastEvaluatedKey")
    return items, read_key(last)[1] if last else None


def read_items(keys: Iterable[Key], attributes: Collection[str], until: float) -> dict[Key, Item]:
    """Those that there are. Raises NO_ANSWER and UnprocessedError."""
    names = {*attributes, *ALWAYS_READ}
    options = {"ProjectionExpression": _projection(names), "ExpressionAttributeNames": _names(names)}
    return {read_key(item): item for item in _read(keys, until, **options)}


def newest_engine(instance_id: str) -> str | None:
    """That of the last scrape, None where there is none that has not expired. Raises NO_ANSWER."""
    newest = _newest(instance_id, time.monotonic() + PATIENCE_SECONDS, ConsistentRead=True)
    return next((item["engine"]["S"] for item in newest if int(item["expires_at"]["N"]) > time.time()), None)


def _projection(names: Iterable[str]) -> str:
    return ", ".join(f"#{name}" for name in sorted(names))


def _names(names: Iterable[str]) -> dict[str, str]:
    """`blob`, `error` and others are words of DynamoDB's own."""
    return {f"#{name}": name for name in names}


def existing(keys: Iterable[Key], until: float) -> set[Key]:
    """Those of the slots that have an item. Raises NO_ANSWER and UnprocessedError."""
    return {read_key(item) for item in _read(keys, until, ConsistentRead=True, **KEYS)}


def _read(keys: Iterable[Key], until: float, **options: Any) -> list[Item]:
    return batches.read(table_name(), map(key_of, set(keys)), until, **options)


def table_name() -> str:
    return os.environ["SNAPSHOTS_TABLE"]
