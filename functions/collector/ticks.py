"""A tick of the schedule is sent once: who writes its item first has it. Scheduler may call twice.

The item lies in the `Targets` table under pk `tick`, sk the minute, and expires after a day.
"""

import os
import uuid
from datetime import UTC, datetime, timedelta

from botocore.exceptions import ClientError

from collector.dynamodb import client

PARTITION = "tick"
KEPT_SECONDS = 86_400


def name(tick_ms: int) -> str:
    """The tick's minute: 2026-11-24T03:00Z."""
    return f"{datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=tick_ms):%Y-%m-%dT%H:%MZ}"


def claim(tick_ms: int) -> bool:
    """Whether the tick is ours. Raises botocore's errors when the table does not say."""
    try:
        client().put_item(
            TableName=os.environ["TARGETS_TABLE"],
            Item={
                "pk": {"S": PARTITION},
                "sk": {"S": name(tick_ms)},
                "claimed_by": {"S": (claimant := uuid.uuid4().hex)},
                "expires_at": {"N": str(tick_ms // 1000 + KEPT_SECONDS)},
            },
            # When an answer is lost, boto3 asks again: then the item is there already, and it is ours.
            ConditionExpression="attribute_not_exists(pk) OR claimed_by = :claimant",
            ExpressionAttributeValues={":claimant": {"S": claimant}},
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
            return False
        raise
    return True
