"""The fleet view's items in the `Targets` table: the worker puts lines there, and the API reads them, and the members.

What an item is, `shards` and `members` say; what a reader makes of them, `glance`.
"""

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collector import batches, dynamodb, members, shards
from collector.batches import NO_ANSWER, Item, UnprocessedError
from collector.members import PARTITION, UnreadableMembersError
from collector.shards import Line, Shard, UnreadableShardError

logger = logging.getLogger(__name__)

ATTEMPTS = 4
# Of 1 MB each: lines of some 300,000 targets.
PAGES_AT_MOST = 16


class ContendedError(Exception):
    """Other workers wrote the same shard at the same time, again and again."""

    def __init__(self) -> None:
        super().__init__("other workers wrote it each time")


@dataclass(frozen=True, slots=True)
class Kept:
    """What there is of the fleet. `members` is None where no schedule has noted them."""

    lines: Mapping[str, Line]
    members: set[str] | None
    whole: bool
    """False where there was more than may be read at once."""


# Writing


def put_lines(lines: Mapping[Shard, Sequence[Line]], until: float) -> dict[Shard, Exception]:
    """Put lines into their shards' items, one write each. Gives what was not written, and why.

    What is there is read first, for a worker may bring a part of a shard, and a line of an older slot must not replace
    a newer. It is written only where nobody else has in the meantime; else it is read again.
    """
    refused: dict[Shard, Exception] = {}
    waiting = dict(lines)
    for attempt in range(ATTEMPTS):
        if not waiting:
            break
        try:
            there = _read_shards(waiting, until, ConsistentRead=attempt > 0)
        except (*NO_ANSWER, UnprocessedError) as exc:
            return refused | dict.fromkeys(waiting, exc)
        for shard in list(waiting):
            try:
                _put(shards.with_lines(shard, there.get(shard.key["sk"]["S"]), waiting[shard]), until)
            except NO_ANSWER as exc:
                if batches.code(exc) == "ConditionalCheckFailedException":
                    continue
                refused[shard] = exc
            del waiting[shard]
    return refused | {shard: ContendedError() for shard in waiting}


def _read_shards(wanted: Iterable[Shard], until: float, **options: Any) -> dict[str, Item]:
    items = batches.read(table_name(), (shard.key for shard in wanted), until, **options)
    return {item["sk"]["S"]: item for item in items}


def _put(item: Item | None, until: float) -> None:
    if item is None:
        return
    seen = shards.version_of(item) - 1
    unchanged: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(#version)"}
    if seen:
        unchanged = {
            "ConditionExpression": "#version = :seen",
            "ExpressionAttributeValues": {":seen": {"N": str(seen)}},
        }
    batches.ask(
        batches.client().put_item,
        until,
        TableName=table_name(),
        Item=item,
        ExpressionAttributeNames={"#version": "version"},
        **unchanged,
    )


# Reading


def read(now_ms: int) -> Kept:
    """All lines and members that have not expired. Raises botocore's errors."""
    lines: list[Line] = []
    noted: list[Item] = []
    start: dict[str, Any] = {}
    for _ in range(PAGES_AT_MOST):
        answer = dynamodb.client().query(
            TableName=table_name(),
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": PARTITION}},
            ScanIndexForward=False,  # the members first: without them, what was deleted would show
            **start,
        )
        for item in answer["Items"]:
            # DynamoDB deletes what has expired within days, not at once.
            if int(item.get("expires_at", {}).get("N", 0)) * 1000 <= now_ms:
                continue
            if members.holds(item):
                noted.append(item)
            else:
                lines += _readable(item)
        if "LastEvaluatedKey" not in answer:
            break
        start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
    recent = (line for line in lines if line.slot_ms > now_ms - shards.DAY_MS)
    return Kept(shards.newest(recent), _members(noted), "LastEvaluatedKey" not in answer)


def _members(items: Sequence[Item]) -> set[str] | None:
    try:
        return members.read(items)
    except UnreadableMembersError as exc:
        logger.error("the fleet view shows targets that were deleted, too: %s", exc)
        return None


def _readable(item: Item) -> Sequence[Line]:
    """The lines; none of an item that cannot be read, which must not keep the rest from being seen."""
    try:
        return shards.read_lines(item)
    except UnreadableShardError as exc:
        logger.error("left out of the fleet view: %s", exc)
        return ()


def table_name() -> str:
    return os.environ["TARGETS_TABLE"]
