"""Due targets on their way to the queue: packed into messages by shard, sent to arrive when they are due.

SQS's limits: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
"""

import functools
import os
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from collector import slots
from collector.targets import TARGETS_PER_MESSAGE, Target

if TYPE_CHECKING:
    from botocore.client import BaseClient

# SQS takes 1 MiB since August 2025; some emulators, and our own promise to the worker, stay at what it was before.
MESSAGE_BYTES = CALL_BYTES = 256 * 1024
MESSAGES_PER_CALL = 10
DELAY_SECONDS_AT_MOST = 900

THREADS = 8
ATTEMPTS = 6
FIRST_PAUSE_SECONDS = 0.1


class Due(NamedTuple):
    """One target's slot: where it belongs, when it is due, and the target as JSON."""

    position: int
    slot_ms: int
    json: str


@dataclass(frozen=True, slots=True)
class Message:
    """A JSON list of targets: `targets.MESSAGE`."""

    first_slot_ms: int
    targets: int
    body: str


class Refusal(NamedTuple):
    """A message that did not get into the queue, and the last reason."""

    message: Message
    reason: str


def due(position: int, target: Target) -> Due:
    """ASCII, since SQS refuses some characters that a label may have; what is as by default goes without saying."""
    return Due(position, target.slot_ms, target.model_dump_json(exclude_defaults=True, ensure_ascii=True))


def pack(dues: Iterable[Due], shards: int) -> list[Message]:
    """As few messages as there can be: one shard's each, within 5 s, 100 targets and 256 KiB. The first due first.

    All of one interval. Each target is told the number of shards, which is known when all are.
    """

    def shard(due: Due) -> int:
        return slots.shard(due.position, shards)

    told = (due._replace(json=f'{due.json[:-1]},"shards":{shards}}}') for due in dues)
    ordered = sorted(told, key=lambda due: (shard(due), due.slot_ms))
    packed = (message for _, of_shard in groupby(ordered, shard) for message in _cut(of_shard))
    return sorted(packed, key=attrgetter("first_slot_ms"))


def _cut(of_shard: Iterable[Due]) -> Iterator[Message]:
    packed: list[Due] = []
    size = 0
    for due in of_shard:
        size += len(due.json) + len(",")
        if packed and (
            due.slot_ms - packed[0].slot_ms > slots.SPREAD_MS
            or len(packed) == TARGETS_PER_MESSAGE
            or size + len("[") > MESSAGE_BYTES
        ):
            yield _message(packed)
            packed, size = [], len(due.json) + len(",")
        packed.append(due)
    yield _message(packed)


def _message(packed: Sequence[Due]) -> Message:
    return Message(packed[0].slot_ms, len(packed), f"[{','.join(due.json for due in packed)}]")


def send(messages: Sequence[Message], give_up_at: float) -> list[Refusal]:
    """Put messages into the queue, each to be seen when its first target is due; what was refused to the last.

    `give_up_at` is on the monotonic clock: nothing is tried after it. A call whose answer was lost is made again, so a
    message may be in the queue twice, which SQS allows itself too.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        refusals = pool.map(functools.partial(_send, give_up_at=give_up_at), _calls(messages))
        return [refusal for of_call in refusals for refusal in of_call]


def in_words(refusals: Iterable[Refusal]) -> dict[str, int]:
    """How many targets each reason kept out."""
    counts: Counter[str] = Counter()
    for refusal in refusals:
        counts[refusal.reason] += refusal.message.targets
    return dict(counts)


def _calls(messages: Sequence[Message]) -> Iterator[list[Message]]:
    call: list[Message] = []
    size = 0
    for message in messages:
        size += len(message.body)
        if len(call) == MESSAGES_PER_CALL or (call and size > CALL_BYTES):
            yield call
            call, size = [], len(message.body)
        call.append(message)
    if call:
        yield call


def _send(call: Sequence[Message], give_up_at: float) -> list[Refusal]:
    waiting = [Refusal(message, "GaveUp") for message in call]
    refused: list[Refusal] = []
    for attempt in range(ATTEMPTS):
        if attempt:
            # Half of it jitter, so that those refused together do not come back together.
            time.sleep(FIRST_PAUSE_SECONDS * 2**attempt * random.uniform(0.5, 1))  # noqa: S311 - not a secret
        if time.monotonic() > give_up_at:
            break
        answered = _try([refusal.message for refusal in waiting])
        refused += [refusal for refusal, for_good in answered if for_good]
        waiting = [refusal for refusal, for_good in answered if not for_good]
        if not waiting:
            break
    return refused + waiting


def _try(call: Sequence[Message]) -> list[tuple[Refusal, bool]]:
    """One call: what it refused, and whether it would always. A call that fails refuses all of its messages."""
    now_ms = time.time_ns() // 1_000_000
    entries = [
        {
            "Id": str(number),
            "MessageBody": message.body,
            "DelaySeconds": min(max(0, message.first_slot_ms - now_ms) // 1000, DELAY_SECONDS_AT_MOST),
        }
        for number, message in enumerate(call)
    ]
    try:
        answer = client().send_message_batch(QueueUrl=os.environ["QUEUE_URL"], Entries=entries)
    except ClientError as error:
        return [(Refusal(message, error.response["Error"]["Code"]), False) for message in call]
    except BotoCoreError as error:
        return [(Refusal(message, type(error).__name__), False) for message in call]
    return [
        (Refusal(call[int(entry["Id"])], entry["Code"]), entry["SenderFault"]) for entry in answer.get("Failed", ())
    ]


@functools.cache
def client() -> "BaseClient":
    """Made on first use, kept while the Lambda is warm. Asks once: `send` asks again for what is still waiting."""
    return boto3.client(
        "sqs",
        config=Config(
            connect_timeout=1, read_timeout=3, retries={"total_max_attempts": 1}, max_pool_connections=THREADS
        ),
    )
