"""An SQS that misbehaves as it is told: it takes SendMessageBatch over HTTP, keeps what it took, refuses the rest."""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aws_service import Answer, AwsService

Entry = dict[str, Any]
# Of one call, counted from 1, and its entries: a status, and which entries are refused, by id.
Script = Callable[[int, Sequence[Entry]], tuple[int, dict[str, Entry]]]


def takes_all(_call: int, _entries: Sequence[Entry]) -> tuple[int, dict[str, Entry]]:
    return 200, {}


def refusal(code: str = "InternalError", *, sender_fault: bool = False) -> Entry:
    return {"Code": code, "SenderFault": sender_fault, "Message": "refused by the script"}


class Queue(AwsService):
    """`calls` are the entries of each call as it came, `taken` the entries that are in the queue."""

    def __init__(self, script: Script = takes_all) -> None:
        super().__init__()
        self.calls: list[list[Entry]] = []
        self.taken: list[Entry] = []
        self._script = script
        self._one_at_a_time = threading.Lock()

    def answer(self, operation: str, headers: Mapping[str, str], body: bytes) -> Answer:
        assert operation == "AmazonSQS.SendMessageBatch"
        entries = json.loads(body)["Entries"]
        with self._one_at_a_time:
            self.calls.append(entries)
            status, failed = self._script(len(self.calls), entries)
            taken = [entry for entry in entries if status == 200 and entry["Id"] not in failed]
            self.taken += taken
        if status != 200:
            return status, json.dumps({"__type": "com.amazonaws.sqs#InternalFailure", "message": "down"}).encode()
        answer = {
            "Successful": [{"Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "0"} for entry in taken],
            "Failed": [{"Id": number, **reason} for number, reason in failed.items()],
        }
        return status, json.dumps(answer).encode()
