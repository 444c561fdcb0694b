"""What is to be collected, when, and how long it may take."""

import os
from collections.abc import Iterator
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from collector.dynamodb import client

InstanceId = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9._:-]{1,128}$",
        description="The server's name: 1 to 128 of `A-Za-z0-9._:-`.",
        examples=["sglang-001"],
    ),
]
Endpoint = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2048,
        pattern=r"^[!-~]+$",
        description="The address of the server's metrics page.",
        examples=["http://10.0.1.17:30000/metrics"],
    ),
]
TimeoutSeconds = Annotated[
    float,
    Field(ge=1, le=20, description="Seconds for the whole scrape: name look-up, connection and body."),
]


IntervalSeconds = Annotated[int, Field(ge=15, le=3600, description="Seconds from one planned scrape to the next.")]
RetentionDays = Annotated[int, Field(ge=1, le=3650, description="Days until a scrape expires.")]
Labels = Annotated[
    dict[
        Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")],
        Annotated[str, Field(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")],
    ],
    Field(
        max_length=16, description="Words of the operator's own, kept with every scrape.", examples=[{"team": "search"}]
    ),
]


class Target(BaseModel):
    """One server's page and the slot it is due in. A message of the queue is a list of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    instance_id: InstanceId
    engine: str = Field(description="A name in `engines.ENGINES`.")
    endpoint: Endpoint
    timeout_seconds: TimeoutSeconds = 10.0
    slot_ms: int = Field(ge=0, description="The planned time, ms since 1970; the sort key of the stored item.")
    interval_seconds: IntervalSeconds | None = Field(None, description="None: a caller asked for it, once.")
    retention_days: RetentionDays | None = Field(None, description="None: as long as any other.")
    labels: Labels = {}


MESSAGE = TypeAdapter(tuple[Target, ...])
TARGETS_PER_MESSAGE = 100


class Registration(BaseModel):
    """PLACEHOLDER until the registry is merged: a target as the registry keeps it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    instance_id: InstanceId
    engine: str
    endpoint: Endpoint
    interval_seconds: IntervalSeconds = 60
    timeout_seconds: TimeoutSeconds = 10.0
    retention_days: RetentionDays | None = None
    labels: Labels = {}
    enabled: bool = True

    def at(self, slot_ms: int) -> Target:
        fields = self.model_dump(exclude={"enabled"})
        return Target(**fields, slot_ms=slot_ms)


def read_all() -> Iterator[Registration]:
    pages = (
        client()
        .get_paginator("query")
        .paginate(
            TableName=os.environ["TARGETS_TABLE"],
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": "target"}},
        )
    )
    from boto3.dynamodb.types import TypeDeserializer

    read = TypeDeserializer().deserialize
    for page in pages:
        for item in page["Items"]:
            fields = {name: read(value) for name, value in item.items()}
            yield Registration(instance_id=fields["sk"], **{k: v for k, v in fields.items() if k not in ("pk", "sk")})
