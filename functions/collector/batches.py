"""Asking DynamoDB again and again, in batches, until a time on `time.monotonic()` that the caller says.

Every call is repeated with pauses while DynamoDB throttles, fails or cannot be reached, and what it leaves unprocessed
is sent again. What serves one request at a time uses `dynamodb`'s client, which repeats a call by itself.
"""

import functools
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from collector.outcome import OutOfTimeError
from collector.targets import Key

if TYPE_CHECKING:
    from botocore.client import BaseClient

Item = dict[str, dict[str, Any]]
"""As DynamoDB's API spells it."""

WRITES_AT_ONCE = 25  # DynamoDB's limits; so many of the largest items are 10 MB, of the 16 that a request may have
READS_AT_ONCE = 100
CONNECT_SECONDS, ANSWER_SECONDS = 1.0, 2.0
PATIENCE_SECONDS = 3.0  # for what a caller waits for
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 1.0
THROTTLED = {"ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"}
# What a call may raise.
NO_ANSWER = (ClientError, BotoCoreError, OutOfTimeError)


class UnprocessedError(Exception):
    """DynamoDB took a request and left this part of it undone, again and again."""

    def __init__(self) -> None:
        super().__init__("DynamoDB left it unprocessed each time")


def key_of(key: Key) -> Item:
    """A server's name and a slot, as the key of an item."""
    instance_id, slot_ms = key
    return {"instance_id": {"S": instance_id}, "slot": {"N": str(slot_ms)}}


def read_key(item: Item) -> Key:
    return item["instance_id"]["S"], int(item["slot"]["N"])


def read(table: str, keys: Iterable[Item], until: float, **options: Any) -> list[Item]:
    """The items that there are of those keys, in no order. Raises NO_ANSWER and UnprocessedError."""
    items: list[Item] = []
    wanted = list(keys)
    pauses = _pauses()
    while wanted:
        batch, wanted = wanted[:READS_AT_ONCE], wanted[READS_AT_ONCE:]
        answer = ask(client().batch_get_item, until, RequestItems={table: {"Keys": batch, **options}})
        items += answer["Responses"].get(table, [])
        if left := answer["UnprocessedKeys"].get(table, {}).get("Keys", []):
            if not _sleep(next(pauses), until):
                raise UnprocessedError
            wanted += left
    return items


def put(table: str, items: Mapping[Key, Item], until: float) -> dict[Key, Exception]:
    """Write them all. Gives what was not written, and why: an item that DynamoDB refuses takes no other with it."""
    refused: dict[Key, Exception] = {}
    pauses = _pauses()
    batches = [list(items)[first : first + WRITES_AT_ONCE] for first in range(0, len(items), WRITES_AT_ONCE)]
    while batches:
        batch = batches.pop(0)
        requests = [{"PutRequest": {"Item": items[key]}} for key in batch]
        try:
            answer = ask(client().batch_write_item, until, RequestItems={table: requests})
        except NO_ANSWER as exc:
            if code(exc) == "ValidationException" and len(batch) > 1:
                batches += [batch[::2], batch[1::2]]
            else:
                refused |= dict.fromkeys(batch, exc)
            continue
        if left := answer["UnprocessedItems"].get(table, []):
            keys = [read_key(request["PutRequest"]["Item"]) for request in left]
            if _sleep(next(pauses), until):
                batches.append(keys)
            else:
                refused |= dict.fromkeys(keys, UnprocessedError())
    return refused


def put_new(table: str, item: Item, key: str, until: float) -> bool:
    """Write an item unless one is there; whether it was written. `key` is an attribute of the key. Raises NO_ANSWER."""
    try:
        ask(
            client().put_item,
            until,
            TableName=table,
            Item=item,
            ConditionExpression=f"attribute_not_exists({key})",
        )
    except ClientError as exc:
        if code(exc) != "ConditionalCheckFailedException":
            raise
        return False
    return True


def ask(call: Callable[..., dict[str, Any]], until: float, **request: Any) -> dict[str, Any]:
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
        return code(exc) in THROTTLED or exc.response["ResponseMetadata"]["HTTPStatusCode"] >= 500
    return isinstance(exc, HTTPClientError)  # no connection, or no answer


def code(exc: Exception) -> str | None:
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
            retries={"mode": "standard", "total_max_attempts": 1},  # `ask` asks again
            parameter_validation=False,  # a tenth of a millisecond for each item, and they are all of our own making
        ),
    )
