"""Findings about what moved and what stood still: stalled, paused, idle, and what lies between.

A stopped scheduler's page goes on saying what it last said, throughput included: only two pages can tell. Gauges are
refreshed by each prefill, every 40 decode steps, and every 30 s when idle; clocks of the loop every second (0.5.20+).
"""

from collector.findings.case import Case, spoken
from collector.snapshot import Snapshot
from collector.verdict import Finding, Severity


def stands_still(case: Case) -> Finding | None:
    """Stalled, paused, not admitting, or no progress: the one that says most."""
    moves, rules = case.moves, case.rules
    if moves is None or moves.progress is not False or not case.busy:
        return None
    quiet = case.still.progress or 0.0
    frozen = min(quiet, case.still.gauges or 0.0) if moves.gauges is False else 0.0
    throughput = case.now.system_metrics.gen_throughput_tokens_per_second
    if frozen >= rules.stalled_seconds and case.without_heartbeat:
        claim = f" Its page still says {spoken(throughput)} tokens/s." if throughput else ""
        return case.finding("stalled", "critical", _still(case, frozen) + "." + claim, case.standstill())
    if moves.heartbeat and throughput == 0 and quiet >= rules.paused_seconds:
        severity: Severity = "critical" if quiet >= rules.paused_critical_seconds else "degraded"
        message = (
            f"The scheduler's loop runs and has done no work for {spoken(quiet)} s, with {spoken(moves.in_flight)} "
            "requests in flight: generation is paused."
        )
        return case.finding("paused", severity, message, case.standstill())
    if case.running == 0 and case.queued and quiet >= rules.no_progress_seconds and not _prefills(case.now):
        message = (
            f"{spoken(case.waiting)} requests wait and none has been admitted for {spoken(quiet)} s, with none running."
        )
        return case.finding("not_admitting", "degraded", message, case.standstill())
    # A queue is no leftover: what leaves it is reported. Running requests may be, until an idle server's next refresh.
    if frozen >= (rules.no_progress_seconds if case.queued else rules.stalled_seconds):
        return case.finding("no_progress", "degraded", _still(case, frozen) + ".", case.standstill())
    return None


def _still(case: Case, seconds: float) -> str:
    in_flight = case.moves.in_flight if case.moves else None
    told = (
        f"No request finished or received a token and no gauge moved for {spoken(seconds)} s, with {spoken(in_flight)} "
        "in flight"
    )
    if case.now.engine == "sglang" and case.now.system_metrics.realtime_tokens_by_mode is None:
        return told + "; this version counts prefill only at its end"
    return told


def scheduler_not_beating(case: Case) -> Finding | None:
    moves, seconds = case.moves, case.still.heartbeat or 0.0
    if moves is None or not case.busy or (moves.progress, moves.gauges, moves.heartbeat) != (False, False, False):
        return None
    if seconds < case.rules.not_beating_seconds:
        return None
    severity: Severity = "critical" if seconds >= case.rules.not_beating_critical_seconds else "warning"
    message = (
        f"The scheduler's loop has not gone round for {spoken(seconds)} s, with {spoken(moves.in_flight)} requests in "
        "flight."
    )
    return case.finding("scheduler_not_beating", severity, message, case.standstill())


def rank_stalled(case: Case) -> Finding | None:
    """A rank that is at rest keeps its last gauges for 30 s at most."""
    ranks, quiet = case.moves.ranks if case.moves else (), case.still.ranks
    still = [rank for rank in ranks if quiet.get(rank.name, 0.0) >= case.rules.rank_stalled_seconds]
    if not still or not any(rank.progress for rank in ranks):
        return None
    names, seconds = ", ".join(rank.name for rank in still), min(quiet[rank.name] for rank in still)
    held = sum(rank.running or 0 for rank in still)
    message = (
        f"Of {len(ranks)} ranks, {names} did no work for {spoken(seconds)} s with {spoken(held)} running; others did."
    )
    return case.finding(
        "rank_stalled",
        "critical",
        message,
        {"ranks": names, "seconds_without_progress": seconds, "num_requests_running": held},
    )


def gauge_frozen(case: Case) -> Finding | None:
    """With requests in flight: an idle server that is probed does work and has no gauge to change."""
    moves, seconds = case.moves, case.still.gauges or 0.0
    if moves is None or not case.busy or not moves.progress or moves.gauges is not False:
        return None
    if seconds < case.rules.gauge_frozen_seconds:
        return None
    message = f"Work is done, and no gauge has changed for {spoken(seconds)} s: running, waiting and usage may be old."
    return case.finding("gauge_frozen", "info", message, {"seconds_without_gauges": seconds})


def is_idle(case: Case) -> bool:
    """Nothing in flight and no new request; or the scheduler had nothing to do. Probes are no requests."""
    moves, interval = case.moves, case.interval
    if moves is None or interval is None:
        return False
    if (moves.idle_ratio or 0.0) >= case.rules.idle_ratio:
        return True
    none_new = moves.progress is False if interval.requests_finished is None else interval.requests_finished == 0
    return moves.in_flight == 0 and none_new


def _prefills(now: Snapshot) -> bool:
    """A prefill server of a pair: through 0.5.15 it says that next to nothing runs."""
    return now.engine_type == "prefill" or (now.engine_type is None and now.system_metrics.disaggregation is not None)
