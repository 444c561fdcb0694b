"""The fleet at a glance: a row for each target, worst first, and what they come to together. Pure.

Staleness is found at reading: a collector that is silent cannot say so.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from pydantic import Field

from collector import health
from collector.fleet import Kept
from collector.sections import Count, Model, Number
from collector.shards import Line
from collector.thresholds import Thresholds
from collector.verdict import Status

EPOCH = datetime.fromtimestamp(0, UTC)
# Worst first.
STATUSES: tuple[Status, ...] = (
    "unreachable",
    "stalled",
    "stale",
    "degraded",
    "saturated",
    "unknown",
    "restarted",
    "ok",
    "idle",
)
NOT_UP = {"unreachable", "stale", "unknown"}
NEVER_MS = 2**53
SUM_DECIMALS = 3
NOTHING_SAID = {"failures": 0, "models": ()}


class Place(NamedTuple):
    """Where a row stands: worst first, those that have been so for longest before others, then by name."""

    severity: int
    since_ms: int
    instance_id: str


class FleetRow(Model):
    """One registered target, as its newest slot left it. Null: the server does not say, or not this time."""

    instance_id: str
    status: Status = Field(description="`stale` where the collector was silent; `unknown` before the first scrape too.")
    since: datetime | None = Field(description="Since when it has been so. Null: no slot came up in the last day.")
    seconds_without_progress: float | None = Field(
        description="From when a scrape last saw counts of work rise to the newest; it grows on an idle server too."
    )
    scraped_at: datetime | None = Field(description="When it was asked last, or its turn passed over.")
    last_good_slot: datetime | None = Field(description="The planned time of the last scrape that succeeded.")
    failures: int = Field(description="Scrapes in a row that failed.")
    error_code: str | None = Field(description="Why the newest slot has no page, or `empty_page`.")
    interval_seconds: int | None
    engine: str | None
    models: tuple[str, ...] = Field(description="Those that it named last.")
    num_requests_running: Count
    num_requests_waiting: Count
    kv_usage_ratio: Number
    throughput_tokens_per_second: Number
    cache_hit_rate: Number = Field(description="Of the interval: cached over prompt tokens.")
    time_to_first_token_p95_seconds: Number = Field(description="Of the interval.")


class Sums(Model):
    """Over many servers, but for the numbers of those that are stale. Null where no server says."""

    servers: int
    up: int = Field(description="Neither unreachable, stale nor unknown.")
    num_requests_running: Count
    num_requests_waiting: Count
    throughput_tokens_per_second: Number


class ModelSums(Sums):
    """The servers of one model. One that serves several counts with each, so these may come to more than the totals."""

    model: str | None = Field(description="Null: those that have named none.")


class Totals(Sums):
    by_status: dict[Status, int] = Field(description="Servers of each status that there is, worst first.")


@dataclass(frozen=True, slots=True)
class Seen:
    """A target as it stands at the moment of reading."""

    place: Place
    line: Line | None

    @property
    def status(self) -> Status:
        return STATUSES[self.place.severity]


def look(kept: Kept, at: datetime, rules: Thresholds) -> list[Seen]:
    """Every target that belongs to the fleet, worst first."""
    ids = kept.lines.keys() if kept.members is None else kept.members
    return sorted((_seen(one, kept.lines.get(one), at, rules) for one in ids), key=lambda seen: seen.place)


def _seen(instance_id: str, line: Line | None, at: datetime, rules: Thresholds) -> Seen:
    status: Status = "unknown"
    since_ms = line.since_ms if line else None
    if line:
        if line.status in STATUSES:  # not None, nor one of a later release's
            status = line.status
        intervals = rules.stale_intervals if line.stale_intervals is None else line.stale_intervals
        silence = health.silence(_moment(line.at_ms), line.interval_seconds, intervals)
        if at > silence:
            status, since_ms = "stale", (silence - EPOCH) // timedelta(milliseconds=1)
    place = Place(STATUSES.index(status), NEVER_MS if since_ms is None else since_ms, instance_id)
    return Seen(place, line)


def only(fleet: Iterable[Seen], statuses: Collection[str], models: Collection[str]) -> list[Seen]:
    """Those of the statuses and of the models that are asked for; none named is all of them."""
    return [
        seen
        for seen in fleet
        if (not statuses or seen.status in statuses)
        and (not models or (seen.line and not set(models).isdisjoint(seen.line.models)))
    ]


def page(fleet: Sequence[Seen], after: Place | None, limit: int) -> tuple[list[FleetRow], Place | None]:
    """The rows behind a place, and the place to go on from; None at the end."""
    behind = [seen for seen in fleet if after is None or seen.place > after]
    shown = behind[:limit]
    return [_row(seen) for seen in shown], shown[-1].place if len(behind) > limit else None


def _row(seen: Seen) -> FleetRow:
    since_ms = seen.place.since_ms
    known: Mapping[str, Any] = _said(seen.line) if seen.line else dict.fromkeys(FleetRow.model_fields) | NOTHING_SAID
    return FleetRow.model_validate(
        {
            **known,
            "instance_id": seen.place.instance_id,
            "status": seen.status,
            "since": None if since_ms == NEVER_MS else _moment(since_ms),
        }
    )


def _said(line: Line) -> dict[str, Any]:
    return {
        "seconds_without_progress": None if line.progress_ms is None else (line.at_ms - line.progress_ms) / 1000,
        "scraped_at": _moment(line.at_ms),
        "last_good_slot": None if line.last_good_slot_ms is None else _moment(line.last_good_slot_ms),
        "failures": line.failures,
        "error_code": line.code,
        "interval_seconds": line.interval_seconds,
        "engine": line.engine,
        "models": line.models,
        "num_requests_running": line.run,
        "num_requests_waiting": line.wait,
        "kv_usage_ratio": line.kv,
        "throughput_tokens_per_second": line.tps,
        "cache_hit_rate": line.hit,
        "time_to_first_token_p95_seconds": line.ttft,
    }


def totals(fleet: Sequence[Seen]) -> Totals:
    counts = Counter(seen.status for seen in fleet)
    return Totals(**_sums(fleet), by_status={status: counts[status] for status in STATUSES if counts[status]})


def by_model(fleet: Iterable[Seen]) -> list[ModelSums]:
    """In order of the names; those that name none at the end."""
    groups: dict[str | None, list[Seen]] = {}
    for seen in fleet:
        models: Sequence[str | None] = (seen.line.models if seen.line else ()) or (None,)
        for model in models:
            groups.setdefault(model, []).append(seen)
    ordered = sorted(groups.items(), key=lambda group: (group[0] is None, group[0] or ""))
    return [ModelSums(model=model, **_sums(servers)) for model, servers in ordered]


def _sums(servers: Sequence[Seen]) -> dict[str, Any]:
    current = [seen.line for seen in servers if seen.line and seen.status != "stale"]
    return {
        "servers": len(servers),
        "up": sum(seen.status not in NOT_UP for seen in servers),
        "num_requests_running": _sum(line.run for line in current),
        "num_requests_waiting": _sum(line.wait for line in current),
        "throughput_tokens_per_second": _sum(line.tps for line in current),
    }


def _sum(numbers: Iterable[float | None]) -> float | None:
    said = [number for number in numbers if number is not None]
    return round(sum(said), SUM_DECIMALS) if said else None


def _moment(time_ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=time_ms)
