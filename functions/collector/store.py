"""The `Snapshots` table: one item per scrape, failed scrapes too, written and read in batches.

Every call is repeated with pauses while DynamoDB throttles, fails or cannot be reached, and what it leaves unprocessed
is sent again; until a time on `time.monotonic()` that the caller says.
"""

import functools
import os
import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from collector.backoff import State
from collector.errors import LateError
from collector.item import Item, Stored, item_of, key_of, read_key, read_state, read_stored
from collector.outcome import Outcome
from collector.targets import Key, Target

if TYPE_CHECKING:
    from botocore.client import BaseClient

WRITES_AT_ONCE = 25  # DynamoDB's limits; so many of the largest items are 10 MB, of the 16 that a request may have
READS_AT_ONCE = 100
QUERY_THREADS = 16
CONNECT_SECONDS, ANSWER_SECONDS = 1.0, 2.0
PATIENCE_SECONDS = 3.0  # for one call on a caller's behalf
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 1.0
STATE = "instance_id, slot, failures, retry_at"
THROTTLED = {
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
}


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
        except (ClientError, BotoCoreError) as exc:
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
        except (ClientError, BotoCoreError) as exc:
            if _code(exc) != "ConditionalCheckFailedException":
                refused[key] = exc
    return refused


# Reading


def read_newest(instance_id: str) -> Stored | None:
    """The last scrape that has not expired, good or failed; None when there is none."""
    until = time.monotonic() + PATIENCE_SECONDS
    # A caller who has just collected sees it. DynamoDB deletes what has expired within days, not at once.
    for item in _newest(instance_id, until, ConsistentRead=True):
        if int(item["expires_at"]["N"]) > time.time():
            return read_stored(item)
    return None


def read_states(targets: Collection[Target], until: float) -> dict[Key, State]:
    """The back-off after the last scrape before each target's slot; none for a server that has no scrape.

    Read at the slot before, whose key is known; a query finds it where there is a gap. Raises botocore's errors, and
    UnprocessedError.
    """
    before = {
        target.key: (target.instance_id, target.slot_ms - 1000 * target.interval_seconds)
        for target in targets
        if target.interval_seconds
    }
    found = {read_key(item): read_state(item) for item in _read(before.values(), STATE, until)}
    states = {key: found[earlier] for key, earlier in before.items() if earlier in found}
    gaps = before.keys() - states.keys()

    def look_back(key: Key) -> None:
        for item in _newest(key[0], until, before_ms=key[1], ProjectionExpression=STATE):
            states[key] = read_state(item)

    if gaps:
        with ThreadPoolExecutor(min(QUERY_THREADS, len(gaps))) as pool:
            list(pool.map(look_back, gaps))
    return states


def existing(keys: Iterable[Key], until: float) -> set[Key]:
    """Those of the slots that have an item. Raises botocore's errors, and UnprocessedError."""
    return {read_key(item) for item in _read(keys, "instance_id, slot", until, ConsistentRead=True)}


def _newest(instance_id: str, until: float, before_ms: int | None = None, **options: Any) -> list[Item]:
    """The newest item of a server, or the newest before a slot: one or none."""
    condition, values = "instance_id = :id", {":id": {"S": instance_id}}
    if before_ms is not None:
        condition, values = condition + " AND slot < :slot", values | {":slot": {"N": str(before_ms)}}
    answer = _ask(
        client().query,
        until,
        TableName=table_name(),
        KeyConditionExpression=condition,
        ExpressionAttributeValues=values,
        ScanIndexForward=False,
        Limit=1,
        **options,
    )
    items: list[Item] = answer["Items"]
    return items


def _read(keys: Iterable[Key], attributes: str, until: float, **options: Any) -> list[Item]:
    items: list[Item] = []
    wanted = [key_of(key) for key in set(keys)]
    pauses = _pauses()
    while wanted:
        batch, wanted = wanted[:READS_AT_ONCE], wanted[READS_AT_ONCE:]
        request = {"Keys": batch, "ProjectionExpression": attributes, **options}
        answer = _ask(client().batch_get_item, until, RequestItems={table_name(): request})
        items += answer["Responses"].get(table_name(), [])
        if left := answer["UnprocessedKeys"].get(table_name(), {}).get("Keys", []):
            if not _sleep(next(pauses), until):
                raise UnprocessedError
            wanted += left
    return items


# Asking


def _ask(call: Callable[..., dict[str, Any]], until: float, **request: Any) -> dict[str, Any]:
    """DynamoDB's answer. Raises botocore's errors: at once those that asking again does not mend."""
    for pause in _pauses():
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


def _code(exc: ClientError | BotoCoreError) -> str | None:
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
            max_pool_connections=QUERY_THREADS,
            parameter_validation=False,  # a tenth of a millisecond for each item, and they are all of our own making
        ),
    )


def table_name() -> str:
    return os.environ["SNAPSHOTS_TABLE"]
