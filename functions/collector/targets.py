"""What is to be collected, when, and how long it may take."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from collector.engines import ENGINES

if TYPE_CHECKING:
    Engine = str  # mypy takes no Literal that is put together
else:
    Engine = Literal[ENGINES]
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


class Target(BaseModel):
    """One server's page and the slot it is due in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    instance_id: InstanceId
    engine: Engine
    endpoint: Endpoint
    timeout_seconds: TimeoutSeconds = 10.0
    slot_ms: int = Field(ge=0, description="The planned time, ms since 1970; the sort key of the stored item.")
