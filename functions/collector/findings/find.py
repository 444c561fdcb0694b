"""All findings: the rules, their order, and what each makes of a server. Those about the page itself are here.

Where the rules come from: SGLang's code, and pages of servers at work, overloaded, stopped and restarted.
"""

from collections.abc import Callable, Iterable

from collector.findings import load, movement
from collector.findings.case import Case, positive, spoken
from collector.verdict import Finding, Severity, Status

SEVERITIES: tuple[Severity, ...] = ("critical", "degraded", "warning", "info")

# What a finding makes of the server, worst first within a severity. Those that are not here are worth a look and leave
# the server `ok` or `idle`.
LEADS_TO: dict[tuple[str, Severity], Status] = {
    ("stale", "critical"): "stale",
    ("unreachable", "critical"): "unreachable",
    ("stalled", "critical"): "stalled",
    ("scheduler_not_beating", "critical"): "stalled",
    ("rank_stalled", "critical"): "stalled",
    ("paused", "critical"): "stalled",
    ("metrics_not_enabled", "degraded"): "unknown",
    ("not_an_exposition", "degraded"): "unknown",
    ("endpoint_forbidden", "degraded"): "unknown",
    ("paused", "degraded"): "degraded",
    ("not_admitting", "degraded"): "degraded",
    ("no_progress", "degraded"): "degraded",
    ("server_errors", "degraded"): "degraded",
    ("saturated", "degraded"): "saturated",
    ("kv_nearly_full", "degraded"): "degraded",
    ("kv_transfers_failed", "degraded"): "degraded",
    ("slow_first_token", "degraded"): "degraded",
    ("slow_tokens", "degraded"): "degraded",
    ("unknown_engine", "warning"): "unknown",
    ("endpoint_balanced", "warning"): "restarted",
    ("empty_page", "info"): "unknown",
    ("restarted", "info"): "restarted",
    ("not_compared", "info"): "unknown",
}
_ORDER = {key: place for place, key in enumerate(LEADS_TO)}


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    def place(finding: Finding) -> tuple[int, int]:
        return SEVERITIES.index(finding.severity), _ORDER.get((finding.code, finding.severity), len(_ORDER))

    return tuple(sorted(findings, key=place))


def find(case: Case) -> tuple[Finding, ...]:
    """All that is to be found, worst first."""
    return worst_first(finding for rule in RULES if (finding := rule(case)))


def status_of(findings: tuple[Finding, ...]) -> Status | None:
    """Where the worst finding leads; None where none matters."""
    return next((LEADS_TO[key] for each in findings if (key := (each.code, each.severity)) in LEADS_TO), None)


def endpoint_balanced(case: Case) -> Finding | None:
    restarts = sum(case.restarts)
    if restarts < case.rules.restarts_at_least:
        return None
    message = (
        f"{restarts} of the last {len(case.restarts)} scrapes met another process: the address is a load balancer's, "
        "or the server keeps restarting."
    )
    return case.finding(
        "endpoint_balanced",
        "warning",
        message,
        {"restarts": restarts, "scrapes": len(case.restarts)},
    )


def restarted(case: Case) -> Finding | None:
    if case.interval is None or not case.interval.restarted:
        return None
    why = f": {case.why_restarted}" if case.why_restarted else ""
    return case.finding(
        "restarted",
        "info",
        f"It restarted in the last {spoken(case.interval.seconds)} s{why}.",
        {"seconds": case.interval.seconds, "why": case.why_restarted},
    )


def slow_scrape(case: Case) -> Finding | None:
    scrape = case.now.scrape
    if scrape is None or scrape.duration_seconds < case.rules.slow_scrape_seconds:
        return None
    message = f"Its page of {spoken(scrape.page_bytes)} bytes took {spoken(scrape.duration_seconds)} s."
    return case.finding(
        "slow_scrape",
        "warning",
        message,
        {"duration_seconds": scrape.duration_seconds, "page_bytes": scrape.page_bytes},
    )


def empty_page(case: Case) -> Finding | None:
    if case.now.scrape is None or case.now.scrape.samples:
        return None
    return case.finding("empty_page", "info", "The server answers, and its page has no samples.", {"samples": 0})


def unknown_engine(case: Case) -> Finding | None:
    now = case.now
    if now.scrape is None or not now.scrape.samples or not now.says_nothing:
        return None
    message = f"The page has {spoken(now.scrape.samples)} samples and nothing that {now.engine} is known to say."
    return case.finding(
        "unknown_engine",
        "warning",
        message,
        {"samples": now.scrape.samples, "engine": now.engine},
    )


def not_compared(case: Case) -> Finding | None:
    """A stopped server's page looks as a busy one's: it takes two to tell."""
    if case.moves is not None or (case.interval is not None and case.interval.restarted):
        return None
    if not (positive(case.running) or positive(case.waiting)):
        return None
    return case.finding(
        "not_compared",
        "info",
        "Requests are in flight, and there is no scrape before to tell a server at work from one that stands still.",
        {
            "num_requests_running": case.running,
            "num_requests_waiting": case.waiting,
            # A full pool with a queue proves nothing: a long prompt fills it, and a stopped server goes on saying so.
            "kv_usage_ratio": case.now.cache_metrics.kv_usage_ratio,
        },
    )


Rule = Callable[[Case], Finding | None]

RULES: tuple[Rule, ...] = (
    movement.stands_still,
    movement.scheduler_not_beating,
    movement.rank_stalled,
    load.saturated,
    load.kv_nearly_full,
    load.server_errors,
    load.kv_transfers_failed,
    load.slow_first_token,
    load.slow_tokens,
    load.rank_imbalance,
    endpoint_balanced,
    restarted,
    load.cache_thrashing,
    movement.gauge_frozen,
    slow_scrape,
    empty_page,
    unknown_engine,
    not_compared,
)
