"""Findings about load: what waits, what is full, what is slow, what fails, and what is unevenly spread."""

from collector.findings.case import Case, positive, spoken
from collector.interval import Interval
from collector.sections import Distribution
from collector.thresholds import Thresholds
from collector.verdict import Finding


def saturated(case: Case) -> Finding | None:
    moves, interval, rules = case.moves, case.interval, case.rules
    if moves is None or interval is None or not moves.progress or not case.queued:
        return None
    wait, first_token = _queue_wait(case), _mean(interval.time_to_first_token)
    if wait is None:
        return None
    if _admitted_none(interval):
        if wait < rules.queue_wait_seconds:
            return None
        told = f"none was admitted in {spoken(wait)} s"
    elif first_token is not None and _waits_long(wait, first_token, interval.queue_time is not None, rules):
        told = f"the mean wait is {spoken(wait)} s of {spoken(first_token)} s to the first token"
    else:
        return None
    usage = case.now.cache_metrics.kv_usage_ratio
    cause = ""
    if (interval.retracted or 0) > 0 or (usage or 0.0) >= rules.kv_pressure_ratio:
        cause = " by KV space"
    elif case.running is not None and case.running == case.most_running > 0:
        cause = " by request slots"
    return case.finding(
        "saturated",
        "degraded",
        f"{spoken(case.waiting)} requests wait, {spoken(moves.waiting_before)} did at the scrape before, and {told}.",
        {
            "num_requests_waiting": case.waiting,
            "num_requests_waiting_before": moves.waiting_before,
            "num_requests_running": case.running,
            "most_requests_running": case.most_running or None,
            "queue_time_mean_seconds": wait,
            "time_to_first_token_mean_seconds": first_token,
            "kv_usage_ratio": usage,
            "retracted": interval.retracted,
        },
        cause,
    )


def _waits_long(wait: float, first_token: float, is_measured: bool, rules: Thresholds) -> bool:
    """A fast model's queue passes quickly: there it is enough that next to nothing but the queue is waited for."""
    if wait >= rules.queue_wait_seconds and wait >= rules.queue_wait_ratio * first_token:
        return True
    # A wait that is worked out from the queue's length at two moments is too rough for that.
    return is_measured and wait >= rules.short_wait_seconds and wait >= rules.short_wait_ratio * first_token


def _queue_wait(case: Case) -> float | None:
    """The interval's mean wait in the queue, in seconds: at least all of it, where nobody left the queue."""
    interval, moves = case.interval, case.moves
    if interval is None or moves is None:
        return None
    if interval.queue_time is not None:
        return interval.seconds if _admitted_none(interval) else interval.queue_time.mean
    if case.now.request_metrics.queue_time is not None or case.waiting is None or moves.waiting_before is None:
        return None
    # Before 0.5.3, by Little's law: those who wait over those who get through in a second.
    through = interval.time_to_first_token.count if interval.time_to_first_token else None
    return min(case.waiting, moves.waiting_before) * interval.seconds / through if through else None


def _admitted_none(interval: Interval) -> bool:
    return interval.queue_time is not None and interval.queue_time.count == 0


def kv_nearly_full(case: Case) -> Finding | None:
    moves, interval = case.moves, case.interval
    if moves is None or interval is None:
        return None
    usage, before = case.now.cache_metrics.kv_usage_ratio or 0.0, moves.usage_before or 0.0
    if min(usage, before) < case.rules.kv_usage_ratio or not (positive(case.waiting) or positive(interval.retracted)):
        return None
    told = [f"{spoken(case.waiting)} requests wait"] if positive(case.waiting) else []
    told += [f"{spoken(interval.retracted)} were pushed out"] if positive(interval.retracted) else []
    return case.finding(
        "kv_nearly_full",
        "degraded",
        f"The KV pool is {usage:.0%} full, as it was at the scrape before ({before:.0%}), and {' and '.join(told)}.",
        {
            "kv_usage_ratio": usage,
            "kv_usage_ratio_before": before,
            "num_requests_waiting": case.waiting,
            "retracted": interval.retracted,
        },
    )


def server_errors(case: Case) -> Finding | None:
    responses = case.interval.http_responses_by_class if case.interval else None
    if not responses:
        return None
    counts = {name: count for name, count in responses.items() if count is not None}
    total, errors = sum(counts.values()), counts.get("5xx", 0)
    if len(counts) < len(responses) or errors < case.rules.server_errors_at_least:
        return None
    if errors < case.rules.server_errors_ratio * total:
        return None
    message = f"{spoken(errors)} of {spoken(total)} HTTP responses were server errors ({errors / total:.0%})."
    return case.finding(
        "server_errors",
        "degraded",
        message,
        {"http_responses_5xx": errors, "http_responses": total},
    )


def kv_transfers_failed(case: Case) -> Finding | None:
    failed = case.interval.kv_transfers_failed if case.interval else None
    if case.interval is None or not failed or failed < 0:
        return None
    finished = case.interval.requests_finished
    many = finished is not None and failed >= case.rules.transfers_failed_ratio * (finished + failed)
    beside = "" if finished is None else f", beside {spoken(finished)} finished requests"
    return case.finding(
        "kv_transfers_failed",
        "degraded" if many else "warning",
        f"{spoken(failed)} transfers between prefill and decode servers, or their bootstraps, failed{beside}.",
        {"kv_transfers_failed": failed, "requests_finished": finished},
    )


def slow_first_token(case: Case) -> Finding | None:
    times = case.interval.time_to_first_token if case.interval else None
    return _slow(
        case, "slow_first_token", "the first token", "time_to_first_token", times, case.rules.first_token_seconds
    )


def slow_tokens(case: Case) -> Finding | None:
    times = case.interval.inter_token_latency if case.interval else None
    return _slow(case, "slow_tokens", "the next token", "inter_token_latency", times, case.rules.token_seconds)


def _slow(case: Case, code: str, what: str, field: str, times: Distribution | None, limit: float) -> Finding | None:
    quantile = times.p95 if times else None
    if times is None or quantile is None or (times.count or 0) < case.rules.latency_observations:
        return None
    if (quantile.value or 0.0) < limit:
        return None
    least = "at least " if quantile.in_last_bucket else ""
    return case.finding(
        code,
        "degraded",
        f"One in twenty waited {least}{spoken(quantile.value)} s or longer for {what}; {spoken(limit)} s is the limit.",
        {
            f"{field}_p95_seconds": quantile.value,
            f"{field}_p95_lower_bound_seconds": quantile.lower_bound,
            f"{field}_count": times.count,
            "limit_seconds": limit,
        },
    )


def rank_imbalance(case: Case) -> Finding | None:
    """The same rank is the busiest on both pages, by far."""
    ranks = case.moves.ranks if case.moves else ()
    now, before = [rank.running for rank in ranks], [rank.running_before for rank in ranks]
    if len(ranks) < 2 or None in now or None in before:
        return None
    busiest = max(range(len(ranks)), key=lambda place: now[place] or 0)
    for page in now, before:
        loads = [load or 0 for load in page]
        mean = sum(loads) / len(loads)
        if loads[busiest] < max(case.rules.imbalance_ratio * mean, mean + case.rules.imbalance_requests):
            return None
    mean = sum(load or 0 for load in now) / len(ranks)
    return case.finding(
        "rank_imbalance",
        "warning",
        f"Rank {ranks[busiest].name} runs {spoken(now[busiest])} requests, and all {len(ranks)} run {spoken(mean)} on "
        "average.",
        {
            "rank": ranks[busiest].name,
            "num_requests_running": now[busiest],
            "num_requests_running_before": before[busiest],
            "mean_requests_running": mean,
        },
        " of workers" if any(rank.worker for rank in case.now.ranks) else "",
    )


def cache_thrashing(case: Case) -> Finding | None:
    """Evictions alone mean nothing: a healthy load evicts hundreds of tokens a second."""
    interval, life = case.interval, case.now.cache_metrics.cache_hit_rate
    if interval is None or interval.cache_hit_rate is None or life is None or not positive(interval.evicted_tokens):
        return None
    enough = (interval.prompt_tokens or 0) >= case.rules.cache_thrashing_tokens
    if not enough or interval.cache_hit_rate >= case.rules.cache_thrashing_ratio * life:
        return None
    return case.finding(
        "cache_thrashing",
        "info",
        f"The prefix cache held {interval.cache_hit_rate:.0%} of {spoken(interval.prompt_tokens)} prompt tokens, "
        f"against {life:.0%} over the server's life, while {spoken(interval.evicted_tokens)} tokens were evicted.",
        {
            "cache_hit_rate": interval.cache_hit_rate,
            "life_cache_hit_rate": life,
            "prompt_tokens": interval.prompt_tokens,
            "evicted_tokens": interval.evicted_tokens,
        },
    )


def _mean(times: Distribution | None) -> float | None:
    return times.mean if times else None
