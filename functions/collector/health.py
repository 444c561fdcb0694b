"""A server's health: from a scrape, what happened since the one before, and what is remembered, to a verdict.

Pure. What has to outlast a scrape is `Memory`, which the caller keeps: so a stall is proven across any number of short
intervals, each of which would prove nothing by itself.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from collector.errors import CollectorError, ExpositionError, MetricsNotEnabled, NotAskedError, PolicyError
from collector.findings.case import Case, Still, found, positive
from collector.findings.find import find, status_of, worst_first
from collector.findings.hints import hint
from collector.findings.movement import is_idle
from collector.interval import Interval, Moves
from collector.snapshot import Snapshot
from collector.thresholds import DEFAULT, Thresholds
from collector.verdict import Finding, Health, Memory, Status

# What verdicts rest on, of a snapshot and of what moved. A test holds it against the rules.
FIELDS = frozenset(
    {
        "request_metrics.queue_time",
        "cache_metrics.cache_hit_rate",
        "cache_metrics.kv_usage_ratio",
        "system_metrics.num_requests_running",
        "system_metrics.num_requests_waiting",
        "system_metrics.gen_throughput_tokens_per_second",
        "system_metrics.realtime_tokens_by_mode",
        "system_metrics.scheduler_cpu_seconds_total",
        "system_metrics.scheduler_idle_seconds_total",
        "system_metrics.disaggregation",
        "interval.requests_finished",
        "interval.prompt_tokens",
        "interval.cache_hit_rate",
        "interval.time_to_first_token.p95",
        "interval.inter_token_latency.p95",
        "interval.queue_time",
        "interval.retracted",
        "interval.evicted_tokens",
        "interval.http_responses_by_class",
        "interval.kv_transfers_failed",
        "moves",
        "router",
    }
)
SCRAPES_REMEMBERED = 5
ERROR_CHARACTERS = 500
# One of them is enough: the server was met, or may not be asked, and the next scrape will not be another.
CERTAIN = (MetricsNotEnabled, ExpositionError, PolicyError)


def judge(
    now: Snapshot,
    interval: Interval | None,
    moves: Moves | None,
    memory: Memory,
    at: datetime,
    rules: Thresholds = DEFAULT,
) -> tuple[Health, Memory]:
    """The verdict on a good scrape, and what the next one has to know; the slot is the caller's to note."""
    begun_anew = interval is not None and interval.restarted
    why = moves.evidence if moves else None
    moves = None if begun_anew else moves
    most_running = 0.0 if begun_anew else memory.most_running
    remembered = replace(
        _moved(now, interval, moves, memory, _milliseconds(at)),
        restarts=(*memory.restarts, begun_anew)[-SCRAPES_REMEMBERED:],
        most_running=max(most_running, float(now.system_metrics.num_requests_running or 0)),
    )
    case = Case(now, interval, moves, _still(remembered, at), most_running, remembered.restarts, why, rules)
    findings = find(case)
    return _concluded(status_of(findings) or ("idle" if is_idle(case) else "ok"), findings, remembered, at)


def judge_failure(
    error: CollectorError,
    memory: Memory,
    at: datetime,
    failures: int,
    rules: Thresholds = DEFAULT,
    engine: str = "",
) -> tuple[Health, Memory]:
    """The verdict on a scrape that failed, `failures` of them in a row, this one included.

    A slot that was passed over says nothing of the server, nor does a single failure: its status stays what it was.
    """
    evidence: dict[str, float | str | None] = {"error_code": error.code, "failures": failures}
    if memory.last_good_slot_ms is not None:
        evidence["seconds_since_last_good"] = _milliseconds(at) / 1000 - memory.last_good_slot_ms / 1000
    words, help_ = str(error)[:ERROR_CHARACTERS], hint(error.code, engine)
    if isinstance(error, NotAskedError):
        finding = found(error.code, "warning", words, help_, evidence)
    elif isinstance(error, CERTAIN):
        finding = found(error.code, "degraded", words, help_, evidence)
    elif failures < rules.failures_in_a_row:
        finding = found("scrape_failed", "warning", f"The last scrape failed: {words}", help_, evidence)
    else:
        message = f"{failures} scrapes in a row failed, the last so: {words}"
        finding = found("unreachable", "critical", message, help_, evidence)
    findings = (finding,)
    return _concluded(status_of(findings) or memory.status or "unknown", findings, memory, at)


def stale(
    health: Health, scraped_at: datetime, interval_seconds: int, at: datetime, rules: Thresholds = DEFAULT
) -> Health:
    """The verdict as it reads now. Where the collector has been silent for too long, that comes before the last one."""
    silent_since = silence(scraped_at, interval_seconds, rules.stale_intervals)
    if at <= silent_since:
        return health
    seconds = (at - scraped_at).total_seconds()
    finding = found(
        "stale",
        "critical",
        f"Last scraped {seconds:,.0f} s ago, at intervals of {interval_seconds} s; it was {health.status} then.",
        hint("stale", ""),
        {"seconds_since_scrape": seconds, "interval_seconds": interval_seconds, "last_status": health.status},
    )
    return Health(status="stale", since=silent_since, findings=worst_first((finding, *health.findings)))


def silence(scraped_at: datetime, interval_seconds: int, stale_intervals: float) -> datetime:
    """When a scrape that nothing followed is too old to go by."""
    return scraped_at + timedelta(seconds=stale_intervals * interval_seconds)


def _moved(now: Snapshot, interval: Interval | None, moves: Moves | None, memory: Memory, at_ms: int) -> Memory:
    """When each was last seen to move. Without a page to compare with, from now on."""
    if moves is None or interval is None:
        system = now.system_metrics
        beats = system.scheduler_cpu_seconds_total is not None or system.scheduler_idle_seconds_total is not None
        return replace(
            memory, progress_ms=at_ms, gauges_ms=at_ms, heartbeat_ms=at_ms if beats else None, still_ranks=None
        )
    since_ms = _milliseconds(interval.since)

    def last(before_ms: int | None, moved: bool | None) -> int | None:
        if moved is False:
            return since_ms if before_ms is None else before_ms
        # What is not said this time may have moved: it is not held still against the server.
        return None if moved is None and before_ms is None else at_ms

    return replace(
        memory,
        progress_ms=last(memory.progress_ms, moves.progress),
        gauges_ms=last(memory.gauges_ms, moves.gauges),
        heartbeat_ms=last(memory.heartbeat_ms, moves.heartbeat),
        still_ranks=_still_ranks(moves, memory.still_ranks or {}, since_ms),
    )


def _still_ranks(moves: Moves, before: Mapping[str, int], since_ms: int) -> dict[str, int] | None:
    """A rank whose requests are gone, or that does not say, is not held still against the server."""
    still = [
        rank.name for rank in moves.ranks if rank.progress is False and positive(rank.running, rank.running_before)
    ]
    return {name: before.get(name, since_ms) for name in still} or None


def _still(memory: Memory, at: datetime) -> Still:
    def seconds(then_ms: int | None) -> float | None:
        return None if then_ms is None else (_milliseconds(at) - then_ms) / 1000

    ranks = {name: (_milliseconds(at) - then_ms) / 1000 for name, then_ms in (memory.still_ranks or {}).items()}
    return Still(seconds(memory.progress_ms), seconds(memory.gauges_ms), seconds(memory.heartbeat_ms), ranks)


def _concluded(status: Status, findings: tuple[Finding, ...], memory: Memory, at: datetime) -> tuple[Health, Memory]:
    same = memory.status == status and memory.since_ms is not None
    since_ms = memory.since_ms if same and memory.since_ms is not None else _milliseconds(at)
    since = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=since_ms)
    return Health(status=status, since=since, findings=findings), replace(memory, status=status, since_ms=since_ms)


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
