"""How Lambda hands messages to the worker: ten at a time, again where the worker says so, three times at most."""

import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from collector.targets import MESSAGE, Target

BATCH_SIZE = 10
RECEIVES_AT_MOST = 3


@dataclass
class Context:
    """As much of Lambda's as the worker asks for."""

    seconds: float = 30
    function_name: str = "Worker"
    memory_limit_in_mb: int = 1024
    invoked_function_arn: str = "arn:aws:lambda:eu-west-1:123456789012:function:Worker"
    aws_request_id: str = "52fdfc07-2182-154f-163f-5f0f9a621d72"
    began: float = field(default_factory=time.monotonic)

    def get_remaining_time_in_millis(self) -> int:
        return round(1000 * (self.seconds - (time.monotonic() - self.began)))


@dataclass
class Message:
    body: str
    message_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    received: int = 0

    def record(self) -> dict[str, Any]:
        self.received += 1
        return {
            "messageId": self.message_id,
            "body": self.body,
            "attributes": {"ApproximateReceiveCount": str(self.received)},
            "eventSource": "aws:sqs",
        }


def message(*targets: Target) -> Message:
    return Message(MESSAGE.dump_json(targets).decode())


def event(*messages: Message) -> dict[str, Any]:
    return {"Records": [sent.record() for sent in messages]}


class Queue:
    """Delivers in the order of sending, all that is there, until nothing comes back any more."""

    def __init__(self, invoke: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self.invoke = invoke
        self.waiting: deque[Message] = deque()
        self.dead: list[Message] = []

    def send(self, *messages: Message) -> None:
        self.waiting += messages

    def deliver_once(self) -> list[str]:
        """Each waiting message once; the identifiers of those that came back."""
        waiting, self.waiting = self.waiting, deque()
        returned: list[str] = []
        while batch := list(islice(iter(waiting.popleft, None), min(BATCH_SIZE, len(waiting)))):
            answer = self.invoke(event(*batch))
            back = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
            assert back <= {sent.message_id for sent in batch}
            for sent in batch:
                if sent.message_id in back:
                    returned.append(sent.message_id)
                    (self.dead if sent.received >= RECEIVES_AT_MOST else self.waiting).append(sent)
        return returned

    def deliver(self) -> None:
        while self.waiting:
            self.deliver_once()
