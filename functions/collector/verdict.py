"""A server's health: a status, and the findings that it follows from."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import Field

from collector.sections import Model

Severity = Literal["critical", "degraded", "warning", "info"]
Status = Literal["ok", "idle", "degraded", "saturated", "stalled", "restarted", "unreachable", "unknown", "stale"]


class Finding(Model):
    """One thing that was found, with what it rests on."""

    code: str = Field(description="For programs: `stalled`, `kv_nearly_full`, …")
    severity: Severity
    message: str = Field(description="One plain sentence with the numbers in it.")
    evidence: dict[str, float | str | None] = Field(default={}, description="Names and values.")
    hint: str | None = Field(None, description="What to try; a flag of the engine's where there is one.")


class Health(Model):
    """The worst finding's status; `idle` or `ok` where there is none that matters."""

    status: Status
    since: datetime = Field(description="Since when it has been so, as far as scrapes tell.")
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Memory:
    """What is carried from one scrape of a server to the next, good or failed. Times are ms since 1970, None: never."""

    status: Status | None = None
    since_ms: int | None = None
    failures: int = 0
    """Scrapes in a row that failed."""
    last_good_slot_ms: int | None = None
    progress_ms: int | None = None
    """When a scrape last saw counts of work rise; and gauges change; and the scheduler's loop go round."""
    gauges_ms: int | None = None
    heartbeat_ms: int | None = None
    most_running: float = 0.0
    """The most requests running at once that a scrape of this server's life has seen."""
    restarts: tuple[bool, ...] = ()
    """Whether the server restarted before each of the last good scrapes, five at most, the newest last."""
    still_ranks: dict[str, int] | None = None
    """The ranks that have requests and stand still, and when each was last seen to do work."""


NO_MEMORY = Memory()
