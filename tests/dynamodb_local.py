"""AWS's own DynamoDB Local, asked what items cost: `python dynamodb_local.py DIRECTORY < items.json`.

It listens on every address, so it and this run in a network namespace of their own (`unshare --net`). Items come as
DynamoDB's API spells them, with blobs in base64; what comes out is the write units of each, in their order.
"""

import base64
import json
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

PORT = 8000
START_SECONDS = 60
KEYS = {"instance_id": "S", "slot": "N"}


def write_units(client: Any, table: str, items: Iterable[dict[str, Any]]) -> list[float]:
    """What DynamoDB says that each takes, in a table that has none of them."""
    answers = (client.put_item(TableName=table, Item=item, ReturnConsumedCapacity="TOTAL") for item in items)
    return [answer["ConsumedCapacity"]["CapacityUnits"] for answer in answers]


def main(directory: Path) -> None:
    items = json.load(sys.stdin)
    for item in items:
        for value in item.values():
            if "B" in value:
                value["B"] = base64.b64decode(value["B"])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    command = ["java", "-Djava.library.path=DynamoDBLocal_lib", "-jar", "DynamoDBLocal.jar", "-inMemory"]
    with subprocess.Popen([*command, "-port", str(PORT)], cwd=directory, stdout=sys.stderr) as process:
        try:
            client = boto3.client(
                "dynamodb",
                endpoint_url=f"http://127.0.0.1:{PORT}",
                region_name="us-east-1",
                aws_access_key_id="test",
                aws_secret_access_key="test",  # noqa: S106
                config=Config(retries={"total_max_attempts": 1}),
            )
            started(client)
            client.create_table(
                TableName="Snapshots",
                AttributeDefinitions=[{"AttributeName": key, "AttributeType": kind} for key, kind in KEYS.items()],
                KeySchema=[
                    {"AttributeName": key, "KeyType": kind} for key, kind in zip(KEYS, ("HASH", "RANGE"), strict=True)
                ],
                BillingMode="PAY_PER_REQUEST",
            )
            json.dump(write_units(client, "Snapshots", items), sys.stdout)
        finally:
            process.terminate()


def started(client: Any) -> None:
    """Until it answers. Raises BotoCoreError."""
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            client.list_tables()
            return
        except BotoCoreError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
