"""The template's tables, as tests name them: each variable's, and its keys."""

import boto3

TABLES = {
    "SNAPSHOTS_TABLE": ("snapshots", {"instance_id": "S", "slot": "N"}),
    "SHAPES_TABLE": ("shapes", {"id": "B"}),
    "TARGETS_TABLE": ("targets", {"pk": "S", "sk": "S"}),
}


def create_tables() -> None:
    """All of them, empty, in the AWS that boto3 is at."""
    for name, keys in TABLES.values():
        boto3.client("dynamodb").create_table(
            TableName=name,
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": kind} for key, kind in keys.items()],
            KeySchema=[
                {"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)
            ],
            BillingMode="PAY_PER_REQUEST",
        )
