"""Each call of AWS that boto3 is asked for, as the request that IAM judges."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.model import OperationModel

from iam import ACCOUNT, REGION, Request, arn
from test_template import RESOURCES

# The operations that IAM knows by another name.
ACTIONS = {"sqs:SendMessageBatch": "sqs:SendMessage"}
# What has a name of its own, by the parameter that says it. A secret's ARN ends in six characters of AWS's.
NAMED = {
    "SecretId": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{{}}-1a2B3c",
    "Name": f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{{}}",
}
TABLES = {"Snapshots": "SNAPSHOTS_TABLE", "Shapes": "SHAPES_TABLE", "Targets": "TARGETS_TABLE"}
PARTITION_KEYS = {name: RESOURCES[name]["KeySchema"][0]["AttributeName"] for name in TABLES}
EVENT = "provide-client-params"


class Recorder:
    """Listens to the clients that are made in its `with` block; keeps what is called in `by(function)`."""

    def __init__(self) -> None:
        self.calls: dict[str, set[Request]] = {}
        self._function: str | None = None

    def __enter__(self) -> "Recorder":
        boto3.setup_default_session()
        boto3.DEFAULT_SESSION.events.register(EVENT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        boto3.DEFAULT_SESSION = None

    @contextmanager
    def by(self, function: str) -> Iterator[None]:
        """Whatever is called meanwhile is this function's, in whichever thread."""
        self._function = function
        try:
            yield
        finally:
            self._function = None

    def _note(self, params: dict[str, Any], model: OperationModel, **_: object) -> None:
        if self._function:
            self.calls.setdefault(self._function, set()).update(requests(model, params))


def requests(model: OperationModel, params: dict[str, Any]) -> Iterator[Request]:
    """A batch is a request for each of its tables."""
    operation = f"{model.service_model.service_name}:{model.name}"
    action = ACTIONS.get(operation, operation)
    if "QueueUrl" in params:
        assert params["QueueUrl"] == os.environ["QUEUE_URL"]
        yield Request.of(action, arn("Queue"))
        return
    for parameter in NAMED.keys() & params.keys():
        yield Request.of(action, NAMED[parameter].format(params[parameter]))
        return
    logical = {os.environ[variable]: name for name, variable in TABLES.items()}
    for table in params.get("RequestItems", {params.get("TableName"): None}):
        name = logical[table]
        keys = frozenset(partitions(params, table, PARTITION_KEYS[name]))
        assert keys, "every request names the partitions that it is about"
        # Only the words of the shared table are conditions; a server's name or a checksum is any.
        leading = {"dynamodb__LeadingKeys": keys} if name == "Targets" else {}
        yield Request.of(action, arn(name), **leading)


def partitions(params: dict[str, Any], table: str, key: str) -> Iterator[Any]:
    """The partition keys that a request is about: dynamodb:LeadingKeys."""
    batch = params.get("RequestItems", {}).get(table)
    if isinstance(batch, dict):
        yield from (one[key][kind] for one in batch["Keys"] for kind in one[key])
    elif batch:
        for one in batch:
            [(_, request)] = one.items()
            yield from (request.get("Item") or request["Key"])[key].values()
    elif condition := params.get("KeyConditionExpression"):
        found = re.match(rf"{key} = (:\w+)", condition)
        assert found, condition
        yield from params["ExpressionAttributeValues"][found[1]].values()
    else:
        yield from (params.get("Item") or params["Key"])[key].values()
