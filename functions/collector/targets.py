"""What is to be collected, when, and how long it may take."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationInfo, field_validator

from collector.auth import Auth, Reference
from collector.engines import ENGINES
from collector.thresholds import DEFAULT, Thresholds

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
IntervalSeconds = Annotated[int, Field(ge=15, le=3600, description="Seconds from one planned scrape to the next.")]
RetentionDays = Annotated[int, Field(ge=1, le=3650, description="Days until a scrape expires.")]
Labels = Annotated[
    dict[
        Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")],
        # Nothing that moves a terminal's cursor, ends a line, or turns the direction of what follows.
        Annotated[
            str,
            Field(max_length=256, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$"),
        ],
    ],
    Field(
        max_length=16, description="Words of the operator's own, kept with every scrape.", examples=[{"team": "search"}]
    ),
]


def _thresholds(own: dict[str, float]) -> dict[str, float]:
    if own:
        DEFAULT.with_overrides(own)
    return own


OwnThresholds = Annotated[
    dict[str, float],
    AfterValidator(_thresholds),
    Field(
        description="What verdicts on this server are measured against, where it differs from all servers'.",
        examples=[{"stalled_seconds": 60}],
        json_schema_extra={"propertyNames": {"enum": sorted(Thresholds.model_fields)}},
    ),
]

STALE_INTERVALS = "stale_intervals"
"""The one threshold that is asked when a scrape is read; the others are when it is made."""

Key = tuple[str, int]
"""What a scrape is kept under: the server's name, and the slot in ms since 1970."""


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Target(Model):
    """One server's page and the slot it is due in. A message of the queue is a list of them."""

    instance_id: InstanceId
    engine: str = Field(description="A name in `engines.ENGINES`.")
    endpoint: Endpoint
    timeout_seconds: TimeoutSeconds = 10.0
    slot_ms: int = Field(ge=0, description="The planned time, ms since 1970; the sort key of the stored item.")
    interval_seconds: IntervalSeconds | None = Field(None, description="None: a caller asked for it, once.")
    shards: int | None = Field(
        None, ge=1, description="Of its interval's targets. None: it has no line in the fleet view."
    )
    retention_days: RetentionDays | None = Field(None, description="None: as long as any other.")
    labels: Labels = {}
    thresholds: OwnThresholds = {}
    auth: Auth | None = None
    ca: Reference | None = None

    @property
    def key(self) -> Key:
        return self.instance_id, self.slot_ms

    @property
    def own_stale_intervals(self) -> float | None:
        return self.thresholds.get(STALE_INTERVALS)


MESSAGE = TypeAdapter(tuple[Target, ...])
TARGETS_PER_MESSAGE = 100


class Named(Model):
    instance_id: InstanceId


class Settings(Model):
    """What an operator says of a server that is to be collected regularly."""

    engine: Engine
    endpoint: Endpoint
    interval_seconds: IntervalSeconds = 60
    timeout_seconds: TimeoutSeconds = 10.0
    retention_days: RetentionDays | None = Field(None, description="None: as long as any other.")
    labels: Labels = {}
    thresholds: OwnThresholds = {}
    auth: Auth | None = Field(None, description="None: the server asks nobody who comes.")
    ca: Reference | None = Field(
        None, description="The authorities of an https endpoint, in PEM. None: those that everybody trusts."
    )
    enabled: bool = Field(True, description="Whether it is collected; one that is not keeps its place and history.")

    @field_validator("timeout_seconds")
    @classmethod
    def _less_than_the_interval(cls, seconds: float, info: ValidationInfo) -> float:
        interval = info.data.get("interval_seconds")
        if interval is not None and seconds >= interval:
            raise ValueError(f"{seconds:g} s is not less than the interval, {interval} s")
        return seconds

    @field_validator("ca")
    @classmethod
    def _for_https(cls, ca: str | None, info: ValidationInfo) -> str | None:
        if ca is not None and not info.data.get("endpoint", "https:").lower().startswith("https:"):
            raise ValueError("an endpoint without https shows no certificate")
        return ca


class Registration(Settings, Named):
    """A server that is to be collected regularly."""

    def at(self, slot_ms: int) -> Target:
        """What a worker needs to collect it in one slot. Whether it is enabled is the caller's to ask."""
        return Target(slot_ms=slot_ms, **self.model_dump(exclude={"enabled"}))


class Registered(Registration):
    """A registration as it stands in the table."""

    version: int = Field(ge=1, description="Which change this is; the ETag.")
    changed_by: str | None = Field(None, description="The IAM identity that made the change.")
    changed_at: datetime

    @property
    def registration(self) -> Registration:
        return Registration.model_validate(self.model_dump(include=set(Registration.model_fields)))
