"""A DynamoDB on loopback that passes requests on to another one, except those that a fault takes.

Keeps count of what was asked for, and of how often each scrape was written.
"""

import json
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any

import urllib3

from aws_service import Answer, AwsService

PASSED_ON = ("X-Amz-Target", "X-Amz-Date", "Authorization", "Content-Type")
# What becomes of a request: operation, its JSON, and how to pass it on. No answer is a closed connection.
Fault = Callable[[str, dict[str, Any], Callable[[dict[str, Any]], Answer]], Answer | None]


def error(status: int, code: str) -> Fault:
    body = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "on purpose"}).encode()
    return lambda operation, request, forward: (status, body)


THROTTLED = error(400, "ProvisionedThroughputExceededException")
OVERLOADED = error(400, "RequestLimitExceeded")
FAILED = error(500, "InternalServerError")
REFUSED = error(400, "AccessDeniedException")
INVALID = error(400, "ValidationException")


def closed(operation: str, request: dict[str, Any], forward: Callable[[dict[str, Any]], Answer]) -> None:
    """As a DynamoDB that is down."""


def answer_lost(operation: str, request: dict[str, Any], forward: Callable[[dict[str, Any]], Answer]) -> None:
    """It is done, and nobody learns of it."""
    forward(request)


def half(operation: str, request: dict[str, Any], forward: Callable[[dict[str, Any]], Answer]) -> Answer:
    """Half of a batch is left unprocessed; of one that has a single part, all."""
    if operation not in ("BatchWriteItem", "BatchGetItem"):
        return forward(request)
    left_undone = {"BatchWriteItem": "UnprocessedItems", "BatchGetItem": "UnprocessedKeys"}[operation]
    [(table, parts)] = request["RequestItems"].items()
    listed = parts if operation == "BatchWriteItem" else parts["Keys"]
    done, undone = listed[: len(listed) // 2], listed[len(listed) // 2 :]

    def with_only(some: list[Any]) -> Any:
        return some if operation == "BatchWriteItem" else parts | {"Keys": some}

    answer = {"Responses": {}}
    if done:
        _, body = forward(request | {"RequestItems": {table: with_only(done)}})
        answer = json.loads(body)
    return 200, json.dumps(answer | {left_undone: {table: with_only(undone)}}).encode()


class FaultyDynamoDb(AwsService):
    """`faults` come one a request, each taken once; `fault` stays until it is taken away."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.faults: deque[Fault] = deque()
        self.fault: Fault | None = None
        self.operations: Counter[str] = Counter()
        self.writes: Counter[tuple[str, int]] = Counter()
        self.on_write: Callable[[], object] = lambda: None  # after one is done, before it is answered
        self._url = url
        self._pool = urllib3.PoolManager(maxsize=32)

    def __exit__(self, *reason: object) -> None:
        super().__exit__(*reason)
        self._pool.clear()

    def answer(self, operation: str, headers: Mapping[str, str], body: bytes) -> Answer | None:
        operation = operation.rpartition(".")[2]
        passed_on = {name: headers[name] for name in PASSED_ON if name in headers}
        self.operations[operation] += 1

        def forward(request: dict[str, Any]) -> Answer:
            answer = self._pool.request("POST", self._url, body=json.dumps(request).encode(), headers=passed_on)
            if answer.status == 200:
                self._count_writes(operation, request)
                if operation in ("BatchWriteItem", "PutItem"):
                    self.on_write()
            return answer.status, answer.data

        fault = self.faults.popleft() if self.faults else self.fault
        return fault(operation, json.loads(body), forward) if fault else forward(json.loads(body))

    def _count_writes(self, operation: str, request: dict[str, Any]) -> None:
        items = [request["Item"]] if operation == "PutItem" else []
        if operation == "BatchWriteItem":
            [requests] = request["RequestItems"].values()
            items = [put["PutRequest"]["Item"] for put in requests]
        self.writes.update((item["instance_id"]["S"], int(item["slot"]["N"])) for item in items if "slot" in item)
