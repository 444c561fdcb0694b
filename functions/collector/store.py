"""The `Snapshots` table: one item per scrape, failed scrapes too, written and read in batches.

Every call is repeated with pauses while DynamoDB throttles, fails or cannot be reached, and what it leaves unprocessed
is sent again; until a time on `time.monotonic()` that the caller says.
"""

import functools
import os
import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from collector.errors import LateError
from collector.item import Before, Item, Stored, before_of, item_of, key_of, read_key, read_stored
from collector.outcome import Outcome, OutOfTimeError
from collector.targets import Key, Target

if TYPE_CHECKING:
    from botocore.client import BaseClient

WRITES_AT_ONCE = 25  # DynamoDB's limits; so many of the largest items are 10 MB, of the 16 that a request may have
READS_AT_ONCE = 100
SLOTS_LOOKED_BACK = 4
CONNECT_SECONDS, ANSWER_SECONDS = 1.0, 2.0
PATIENCE_SECONDS = 3.0  # for what a caller waits for
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 1.0
KEYS = {"ProjectionExpression": "instance_id, slot"}
BEFORE = {
    "ProjectionExpression": "instance_id, slot, scraped_at, failures, retry_at, health, memory, #blob",
    "ExpressionAttributeNames": {"#blob": "blob"},  # a word of DynamoDB's own
}
THROTTLED = {"ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"}
# What a call may raise.
NO_ANSWER = (ClientError, BotoCoreError, OutOfTimeError)


class UnprocessedError(Exception):
    """DynamoDB took a request and left this part of it undone, again and again."""

    def __init__(self) -> None:
        super().__init__("DynamoDB left it unprocessed each time")


# Writing


def write(outcomes: Sequence[Outcome], until: float) -> dict[Key, Exception]:
    """Keep each outcome under its target's slot, one write each. Gives what was not written, and why: nothing, mostly.

    A late outcome never takes the place of one that is there. No two may be of the same slot.
    """
    refused: dict[Key, Exception] = {}
    items: dict[Key, Item] = {}
    for outcome in outcomes:
        try:
            items[outcome.target.key] = item_of(outcome)
        except Exception as bug:  # one page that cannot be kept is no reason to keep none
            refused[outcome.target.key] = bug
    late = [outcome.target.key for outcome in outcomes if isinstance(outcome.error, LateError)]
    refused |= _put_new({key: items.pop(key) for key in late if key in items}, until)
    return refused | _put(items, until)


def _put(items: dict[Key, Item], until: float) -> dict[Key, Exception]:
    requests = [{"PutRequest": {"Item": item}} for item in items.values()]
    refused: dict[Key, Exception] = {}
    pauses = _pauses()
    while requests:
        batch, requests = requests[:WRITES_AT_ONCE], requests[WRITES_AT_ONCE:]
        try:
            answer = _ask(client().batch_write_item, until, RequestItems={table_name(): batch})
        except NO_ANSWER as exc:
            refused |= {read_key(request["PutRequest"]["Item"]): exc for request in batch}
            continue
        if left := answer["UnprocessedItems"].get(table_name(), []):
            if _sleep(next(pauses), until):
                requests += left
            else:
                refused |= {read_key(request["PutRequest"]["Item"]): UnprocessedError() for request in left}
    return refused


def _put_new(items: dict[Key, Item], until: float) -> dict[Key, Exception]:
    """Those that are there already stay, and are no failure."""
    refused: dict[Key, Exception] = {}
    for key, item in items.items():
        try:
            _ask(
                client().put_item,
                until,
                TableName=table_name(),
                Item=item,
                ConditionExpression="attribute_not_exists(slot)",
            )
        except NO_ANSWER as exc:
            if _code(exc) != "ConditionalCheckFailedException":
                refused[key] = exc
    return refused


# Reading


def read_newest(instance_id: str) -> Stored | None:
    """The last scrape that has not expired, good or failed; None when there is none."""
    # Consistently: a caller who has just collected sees it.
    for item in _newest(instance_id, time.monotonic() + PATIENCE_SECONDS, ConsistentRead=True):
        # DynamoDB deletes what has expired within days, not at once.
        if int(item["expires_at"]["N"]) > time.time():
            return read_stored(item)
    return None


def read_before(targets: Collection[Target], until: float) -> dict[Key, Before]:
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
    befores = {key: before_of(item) for key, item in found.items()}
    good = {
        key: (key[0], before.memory.last_good_slot_ms)
        for key, before in befores.items()
        if before.blob is None and before.memory.last_good_slot_ms is not None
    }
    pages = {read_key(item): before_of(item) for item in _read(good.values(), until, **BEFORE)}
    for key, earlier in good.items():
        if page := pages.get(earlier):
            befores[key] = replace(befores[key], scraped_at=page.scraped_at, blob=page.blob)
    return befores


def _newest(instance_id: str, until: float, **options: Any) -> list[Item]:
    """The newest item of a server: one or none."""
    answer = _ask(
        client().query,
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


def existing(keys: Iterable[Key], until: float) -> set[Key]:
    """Those of the slots that have an item. Raises NO_ANSWER and UnprocessedError."""
    return {read_key(item) for item in _read(keys, until, ConsistentRead=True, **KEYS)}


def _read(keys: Iterable[Key], until: float, **options: Any) -> list[Item]:
    items: list[Item] = []
    wanted = [key_of(key) for key in set(keys)]
    pauses = _pauses()
    while wanted:
        batch, wanted = wanted[:READS_AT_ONCE], wanted[READS_AT_ONCE:]
        request = {"Keys": batch, **options}
        answer = _ask(client().batch_get_item, until, RequestItems={table_name(): request})
        items += answer["Responses"].get(table_name(), [])
        if left := answer["UnprocessedKeys"].get(table_name(), {}).get("Keys", []):
            if not _sleep(next(pauses), until):
                raise UnprocessedError
            wanted += left
    return items


# Asking


def _ask(call: Callable[..., dict[str, Any]], until: float, **request: Any) -> dict[str, Any]:
    """DynamoDB's answer. Raises NO_ANSWER: at once what asking again does not mend."""
    for pause in _pauses():
        if time.monotonic() > until:
            raise OutOfTimeError("no time was left to ask DynamoDB")
        try:
            return call(**request)
        except (ClientError, BotoCoreError) as exc:
            if not (_may_pass(exc) and _sleep(pause, until)):
                raise
    raise AssertionError("pauses do not end")


def _may_pass(exc: ClientError | BotoCoreError) -> bool:
    if isinstance(exc, ClientError):
        return _code(exc) in THROTTLED or exc.response["ResponseMetadata"]["HTTPStatusCode"] >= 500
    return isinstance(exc, HTTPClientError)  # no connection, or no answer


def _code(exc: Exception) -> str | None:
    return exc.response["Error"]["Code"] if isinstance(exc, ClientError) else None


def _pauses() -> Iterator[float]:
    """Longer and longer; at random up to that, so that those who were throttled together do not come back together."""
    longest = FIRST_PAUSE_SECONDS
    while True:
        yield random.uniform(0, longest)  # noqa: S311 - no secret
        longest = min(2 * longest, LONGEST_PAUSE_SECONDS)


def _sleep(seconds: float, until: float) -> bool:
    """Whether there was time for it."""
    if time.monotonic() + seconds > until:
        return False
    time.sleep(seconds)
    return True


@functools.cache
def client() -> "BaseClient":
    """Made on first use, kept while the Lambda is warm. A resource would cost twice the CPU per call."""
    return boto3.client(
        "dynamodb",
        config=Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=ANSWER_SECONDS,
            retries={"mode": "standard", "total_max_attempts": 1},  # `_ask` asks again
            parameter_validation=False,  # a tenth of a millisecond for each item, and they are all of our own making
        ),
    )


def table_name() -> str:
    return os.environ["SNAPSHOTS_TABLE"]
