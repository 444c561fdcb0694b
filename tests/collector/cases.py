"""Servers at work, in a few values, for tests of their health."""

from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta

from collector.findings.find import SEVERITIES
from collector.health import judge
from collector.interval import Interval, Moves
from collector.sections import CacheMetrics, Distribution, Quantile, RequestMetrics, SystemMetrics
from collector.snapshot import ScrapeFacts, Snapshot, VersionRange
from collector.thresholds import DEFAULT, Thresholds
from collector.verdict import NO_MEMORY, Health, Memory

AT = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
AT_MS = round(AT.timestamp() * 1000)


def scraped(**changes):
    facts = {"duration_seconds": 0.03, "wire_bytes": 7000, "page_bytes": 90_000, "samples": 900, "bad_lines": 0}
    return ScrapeFacts(**(facts | changes))


def snapshot(requests=None, cache=None, system=None, **changes):
    """A server of 0.5.23 with 15 requests running and 5 waiting."""
    fields = {
        "timestamp": AT,
        "instance_id": "sglang-001",
        "endpoint": "http://10.0.0.1:30000/metrics",
        "request_metrics": RequestMetrics(**({"finished_total": 400} | (requests or {}))),
        "cache_metrics": CacheMetrics(**({"kv_usage_ratio": 0.4} | (cache or {}))),
        "system_metrics": SystemMetrics(
            **(
                {
                    "num_requests_running": 15,
                    "num_requests_waiting": 5,
                    "gen_throughput_tokens_per_second": 1850.0,
                    "realtime_tokens_by_mode": {"decode": 16_000},
                }
                | (system or {})
            )
        ),
        "version_range": VersionRange(at_least="0.5.23"),
        "scrape": scraped(),
    }
    return Snapshot(**(fields | changes))


def interval(**changes):
    """A minute in which 60 requests ended."""
    seconds = changes.get("seconds", 60.0)
    fields = {"since": AT - timedelta(seconds=seconds), "seconds": seconds, "requests_finished": 60}
    return Interval(**(fields | changes))


def moves(**changes):
    """Everything moved."""
    fields = {
        "in_flight": 20.0,
        "in_flight_before": 20.0,
        "waiting_before": 5.0,
        "usage_before": 0.4,
        "progress": True,
        "gauges": True,
        "heartbeat": True,
    }
    return Moves(**(fields | changes))


STILL = {"progress": False, "gauges": False, "heartbeat": False}


def memory(still_seconds=60.0, *, heartbeat=True, **changes):
    """Nothing has been seen to move for so long."""
    then = AT_MS - round(still_seconds * 1000)
    fields = {"progress_ms": then, "gauges_ms": then, "heartbeat_ms": then if heartbeat else None}
    return replace(NO_MEMORY, **(fields | changes))


def times(mean=None, count=100, p95=None, *, last=False):
    """A distribution of seconds."""
    quantile = None if p95 is None else Quantile(value=p95, lower_bound=p95 / 2, upper_bound=None, in_last_bucket=last)
    return Distribution(count=count, mean=mean, p95=quantile)


@dataclass(frozen=True)
class Scene:
    """All that a verdict follows from: by itself, a server at work of which nothing is to be said."""

    now: Snapshot = field(default_factory=snapshot)
    interval: Interval | None = field(default_factory=interval)
    moves: Moves | None = field(default_factory=moves)
    memory: Memory = field(default_factory=memory)
    rules: Thresholds = DEFAULT

    def judged(self) -> tuple[Health, Memory]:
        return judge(self.now, self.interval, self.moves, self.memory, AT, self.rules)

    @property
    def health(self) -> Health:
        return self.judged()[0]

    @property
    def codes(self) -> list[str]:
        return [finding.code for finding in self.health.findings]


def place(findings):
    """0 is the worst; findings of note alone are as none at all."""
    return min((SEVERITIES.index(finding.severity) for finding in findings), default=3)


def without_one_value(scene):
    """The scene with each value in turn that its server might not have said."""
    for part in ("request_metrics", "cache_metrics", "system_metrics"):
        section = getattr(scene.now, part)
        for name in type(section).model_fields:
            if getattr(section, name) is not None:
                now = scene.now.model_copy(update={part: section.model_copy(update={name: None})})
                yield f"{part}.{name}", replace(scene, now=now)
    yield "engine_type", replace(scene, now=scene.now.model_copy(update={"engine_type": None}))
    if scene.interval and scene.moves:
        for name in set(Interval.model_fields) - {"since", "seconds", "restarted", "notes"}:
            yield name, replace(scene, interval=scene.interval.model_copy(update={name: None}))
        for name in ("mean", "count", "p95"):
            for kind in ("queue_time", "time_to_first_token", "inter_token_latency"):
                if known := getattr(scene.interval, kind):
                    lacking = known.model_copy(update={name: None})
                    yield f"{kind}.{name}", replace(scene, interval=scene.interval.model_copy(update={kind: lacking}))
        for move in fields(Moves):
            if move.name not in ("ranks", "evidence"):
                yield move.name, replace(scene, moves=replace(scene.moves, **{move.name: None}))
        for number, rank in enumerate(scene.moves.ranks):
            for name in ("running", "running_before", "progress"):
                ranks = list(scene.moves.ranks)
                ranks[number] = replace(rank, **{name: None})
                yield f"ranks.{name}", replace(scene, moves=replace(scene.moves, ranks=tuple(ranks)))
