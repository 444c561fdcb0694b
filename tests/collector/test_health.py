"""What a verdict remembers, what a failed scrape is worth, and laws that hold for whatever a server says."""

from dataclasses import replace
from datetime import timedelta

import pytest
from cases import AT, AT_MS, STILL, Scene, interval, memory, moves, place, scraped, snapshot, times, without_one_value
from hypothesis import given
from hypothesis import strategies as st

from collector.errors import (
    BackedOffError,
    ExpositionError,
    LateError,
    MetricsNotEnabled,
    PolicyError,
    RefusedError,
    StatusError,
)
from collector.findings.find import LEADS_TO, SEVERITIES
from collector.findings.flags import FLAG
from collector.health import judge, judge_failure, stale
from collector.interval import RankMoves
from collector.verdict import NO_MEMORY, Finding, Health


def scrape_after(seconds, step, before, **changes):
    """A scrape so long after AT, `step` seconds after the one before."""
    at = AT + timedelta(seconds=seconds)
    between = interval(since=at - timedelta(seconds=step), seconds=step)
    return judge(snapshot(timestamp=at), between, moves(**changes), before, at)


@pytest.mark.parametrize("step", [5.0, 7.0, 15.0, 40.0])
def test_a_stall_is_proven_across_short_intervals(step):
    _, before = Scene().judged()
    seconds, statuses = 0.0, {}
    while seconds < 80:
        seconds += step
        verdict, before = scrape_after(seconds, step, before, **STILL)
        statuses[seconds] = verdict.status
    assert all((status == "stalled") == (after >= 35) for after, status in statuses.items())


def test_a_stall_is_over_with_the_first_thing_that_moves():
    stalled, before = Scene(moves=moves(**STILL)).judged()
    after, before = scrape_after(15, 15, before, **(STILL | {"gauges": True}))
    assert (stalled.status, after.status) == ("stalled", "ok")
    assert (before.progress_ms, before.gauges_ms) == (AT_MS - 60_000, AT_MS + 15_000)


def test_a_stall_goes_on_through_scrapes_that_failed():
    _, before = Scene(memory=memory(20), moves=moves(**STILL)).judged()
    _, before = judge_failure(RefusedError("refused"), before, AT + timedelta(seconds=15), 1)
    verdict, _ = scrape_after(30, 30, before, **STILL)
    assert verdict.status == "stalled"


STUCK, AT_WORK, AT_REST = RankMoves("0", 8, 8, False), RankMoves("1", 7, 8, True), RankMoves("2", 0, 0, False)


@pytest.mark.parametrize("step", [5.0, 15.0, 30.0])
def test_a_ranks_stall_is_proven_across_short_intervals(step):
    _, before = Scene(moves=moves(ranks=(AT_WORK, AT_WORK))).judged()
    seconds, found = 0.0, {}
    while seconds < 80:
        seconds += step
        verdict, before = scrape_after(seconds, step, before, ranks=(STUCK, AT_WORK, AT_REST))
        found[seconds] = "rank_stalled" in [finding.code for finding in verdict.findings]
    assert all(is_found == (after >= 35) for after, is_found in found.items())
    assert before.still_ranks == {"0": AT_MS}


@pytest.mark.parametrize(
    "ranks",
    [
        pytest.param((replace(STUCK, progress=True), AT_WORK), id="it-works"),
        pytest.param((replace(STUCK, progress=None), AT_WORK), id="it-does-not-say"),
        pytest.param((replace(STUCK, running=0), AT_WORK), id="its-requests-are-gone"),
        pytest.param((AT_WORK,), id="it-is-gone"),
        pytest.param((), id="no-ranks-are-told"),
    ],
)
def test_a_ranks_stall_is_over_with_one_scrape(ranks):
    before = memory(still_ranks={"0": AT_MS - 60_000})
    verdict, after = scrape_after(15, 15, before, ranks=ranks)
    assert (verdict.status, after.still_ranks) == ("ok", None)


def test_ranks_begin_anew_with_the_server_and_after_a_gap():
    before = memory(still_ranks={"0": AT_MS - 60_000})
    stuck = moves(ranks=(STUCK, AT_WORK))
    _, restarted = Scene(interval=interval(restarted=True), moves=stuck, memory=before).judged()
    _, alone = Scene(interval=None, moves=None, memory=before).judged()
    assert (restarted.still_ranks, alone.still_ranks) == (None, None)


def test_a_ranks_stall_goes_on_through_scrapes_that_failed():
    _, before = Scene(moves=moves(ranks=(STUCK, AT_WORK)), interval=interval(seconds=15.0)).judged()
    _, before = judge_failure(RefusedError("refused"), before, AT + timedelta(seconds=15), 1)
    verdict, _ = scrape_after(30, 30, before, ranks=(STUCK, AT_WORK))
    assert verdict.findings[0].evidence["seconds_without_progress"] == 45


def test_what_is_not_said_once_is_not_held_still_against_the_server():
    _, before = Scene(moves=moves(**STILL)).judged()
    _, before = scrape_after(15, 15, before, **(STILL | {"gauges": None}))
    verdict, _ = scrape_after(30, 15, before, **STILL)
    assert "stalled" not in [finding.code for finding in verdict.findings]


@pytest.mark.parametrize(
    ("system", "heartbeat_ms"), [({"scheduler_cpu_seconds_total": 4.2}, AT_MS), ({}, None)], ids=["clocks", "no-clocks"]
)
def test_a_first_scrape_begins_to_count_from_now(system, heartbeat_ms):
    _, after = judge(snapshot(system=system), None, None, NO_MEMORY, AT)
    assert (after.progress_ms, after.gauges_ms, after.heartbeat_ms) == (AT_MS, AT_MS, heartbeat_ms)
    assert after.most_running == 15


def test_a_scrape_after_a_long_gap_begins_to_count_from_now():
    verdict, after = judge(snapshot(), None, None, memory(3600, most_running=40), AT)
    assert verdict.status == "unknown"
    assert (after.progress_ms, after.gauges_ms, after.most_running) == (AT_MS, AT_MS, 40)


def test_two_pages_without_memory_prove_the_time_between_them():
    verdict, after = judge(snapshot(), interval(), moves(**STILL), NO_MEMORY, AT)
    assert verdict.status == "stalled"
    assert after.progress_ms == AT_MS - 60_000


def test_a_restart_begins_anew_and_says_why():
    scene = Scene(
        interval=interval(restarted=True),
        moves=moves(**STILL, evidence="process 12 became 77"),
        memory=memory(600, most_running=40, restarts=(False,) * 5),
    )
    verdict, after = scene.judged()
    assert verdict.status == "restarted"
    assert verdict.findings[0].message == "It restarted in the last 60 s: process 12 became 77."
    assert (after.progress_ms, after.most_running) == (AT_MS, 15)
    assert after.restarts == (False, False, False, False, True)


def test_the_slot_and_what_else_is_remembered_is_left_to_its_owner():
    _, after = Scene(memory=memory(last_good_slot_ms=7)).judged()
    _, failed = judge_failure(RefusedError("refused"), after, AT, 1)
    assert (after.last_good_slot_ms, failed.last_good_slot_ms) == (7, 7)
    assert failed.restarts == after.restarts


def test_since_stays_while_the_status_stays():
    first, before = Scene().judged()
    second, before = scrape_after(60, 60, before)
    third, before = scrape_after(120, 60, before, in_flight=0, idle_ratio=1.0)
    fourth, _ = judge_failure(RefusedError("refused"), before, AT + timedelta(seconds=180), 1)
    assert [each.status for each in (first, second, third, fourth)] == ["ok", "ok", "idle", "idle"]
    assert [(each.since - AT).total_seconds() for each in (first, second, third, fourth)] == [0, 0, 120, 120]


@pytest.mark.parametrize(
    ("error", "failures", "before", "status", "code", "severity"),
    [
        pytest.param(RefusedError("refused"), 1, "ok", "ok", "scrape_failed", "warning", id="once"),
        pytest.param(RefusedError("refused"), 1, "stalled", "stalled", "scrape_failed", "warning", id="once-stalled"),
        pytest.param(RefusedError("refused"), 1, None, "unknown", "scrape_failed", "warning", id="once-new"),
        pytest.param(RefusedError("refused"), 2, "ok", "unreachable", "unreachable", "critical", id="twice"),
        pytest.param(StatusError("502", 502), 9, "ok", "unreachable", "unreachable", "critical", id="a-proxy"),
        pytest.param(MetricsNotEnabled("404"), 1, "ok", "unknown", "metrics_not_enabled", "degraded", id="no-metrics"),
        pytest.param(
            ExpositionError(1, "<html>", "not a sample"),
            9,
            "ok",
            "unknown",
            "not_an_exposition",
            "degraded",
            id="login",
        ),
        pytest.param(PolicyError("never"), 3, "ok", "unknown", "endpoint_forbidden", "degraded", id="forbidden"),
        pytest.param(LateError("late"), 0, "ok", "ok", "late", "warning", id="not-asked-in-time"),
        pytest.param(
            BackedOffError("later"), 5, "unreachable", "unreachable", "backed_off", "warning", id="backed-off"
        ),
    ],
)
def test_a_failed_scrape(error, failures, before, status, code, severity):
    verdict, after = judge_failure(error, replace(NO_MEMORY, status=before), AT, failures)
    assert (verdict.status, after.status) == (status, status)
    assert [(finding.code, finding.severity) for finding in verdict.findings] == [(code, severity)]
    assert verdict.findings[0].evidence == {"error_code": error.code, "failures": failures}


def test_a_failed_scrape_says_how_long_ago_the_last_good_one_was():
    verdict, _ = judge_failure(RefusedError("refused"), replace(NO_MEMORY, last_good_slot_ms=AT_MS - 90_000), AT, 2)
    assert verdict.findings[0].evidence["seconds_since_last_good"] == 90
    assert "2 scrapes in a row failed" in verdict.findings[0].message


def test_a_server_that_answers_without_metrics_is_told_the_flag():
    verdict, _ = judge_failure(MetricsNotEnabled("404"), NO_MEMORY, AT, 1, engine="sglang")
    assert "--enable-metrics" in (verdict.findings[0].hint or "")


@pytest.mark.parametrize(
    ("engine", "flag"),
    [
        pytest.param("sglang", "--host", id="sglang"),
        pytest.param("vllm", "--host", id="vllm"),
        pytest.param("tgi", "--hostname", id="tgi"),
    ],
)
def test_a_refused_connection_names_the_flag_of_the_engine_that_was_asked_for(engine, flag):
    verdict, _ = judge_failure(RefusedError("refused"), NO_MEMORY, AT, 2, engine=engine)
    assert flag in FLAG.findall(verdict.findings[0].hint or "")


def test_a_verdict_goes_stale_after_three_intervals_and_keeps_what_was_found():
    found = Health(status="stalled", since=AT, findings=(Finding(code="stalled", severity="critical", message="7"),))
    assert stale(found, AT, 60, AT + timedelta(seconds=180)) is found
    late = stale(found, AT, 60, AT + timedelta(seconds=181))
    assert (late.status, late.since) == ("stale", AT + timedelta(seconds=180))
    assert [finding.code for finding in late.findings] == ["stale", "stalled"]
    assert late.findings[0].evidence == {
        "seconds_since_scrape": 181,
        "interval_seconds": 60,
        "last_status": "stalled",
    }


# Laws. Values lie around the thresholds, so that rules are met and missed.
def maybe(*values):
    return st.sampled_from((None, *values))


distributions = st.none() | st.builds(
    times,
    mean=maybe(0.1, 0.5, 3.0),
    count=maybe(0, 19, 60),
    p95=maybe(0.01, 0.3, 9.0),
    last=st.booleans(),
)
counts = maybe(0, 1, 8, 30)
truths = st.sampled_from((None, False, True))
standing = st.sampled_from((False, False, None, True))  # more often than servers do
rarely = st.sampled_from((False, False, False, True))
in_flight = st.sampled_from((20, 8, 0, None))


@st.composite
def scenes(draw):
    queue_time = draw(distributions)
    engine_type = draw(maybe("unified", "prefill", "decode"))
    now = snapshot(
        requests={"finished_total": 400, "queue_time": queue_time and times(0.1)},
        cache={"kv_usage_ratio": draw(maybe(0.5, 0.85, 0.95)), "cache_hit_rate": draw(maybe(0.1, 0.6))},
        system={
            "num_requests_running": draw(counts),
            "num_requests_waiting": draw(counts),
            "gen_throughput_tokens_per_second": draw(maybe(0.0, 1850.0)),
            "realtime_tokens_by_mode": draw(maybe({"decode": 1})),
            "disaggregation": {"bootstrap_failed_total": 0} if engine_type == "prefill" else None,
        },
        engine=draw(st.sampled_from(("sglang", "vllm", "tgi"))),
        engine_type=engine_type,
        scrape=draw(st.sampled_from((None, scraped(), scraped(samples=0), scraped(duration_seconds=4.0)))),
    )
    between = interval(
        seconds=draw(st.sampled_from((5.0, 15.0, 60.0))),
        restarted=draw(rarely),
        requests_finished=draw(counts),
        prompt_tokens=draw(maybe(100, 50_000)),
        cache_hit_rate=draw(maybe(0.01, 0.5)),
        evicted_tokens=draw(maybe(0, 900)),
        retracted=draw(counts),
        kv_transfers_failed=draw(counts),
        http_responses_by_class=draw(st.none() | st.fixed_dictionaries({"2xx": counts, "5xx": counts})),
        queue_time=queue_time,
        time_to_first_token=draw(distributions),
        inter_token_latency=draw(distributions),
    )
    heartbeat = draw(standing)
    moved = moves(
        in_flight=draw(in_flight),
        in_flight_before=draw(in_flight),
        waiting_before=draw(counts),
        usage_before=draw(maybe(0.5, 0.95)),
        progress=draw(standing),
        gauges=draw(standing),
        heartbeat=heartbeat,
        idle_ratio=draw(maybe(0.1, 0.95)),
        ranks=tuple(
            draw(st.lists(st.builds(RankMoves, st.sampled_from("0123"), counts, counts, truths), max_size=3)),
        ),
    )
    remembered = memory(
        draw(st.sampled_from((5.0, 20.0, 50.0, 400.0))),
        heartbeat=heartbeat is not None,
        most_running=draw(st.sampled_from((0.0, 8.0, 30.0))),
        restarts=tuple(draw(st.lists(st.booleans(), max_size=5))),
    )
    alone = draw(rarely)
    return Scene(now, None if alone else between, None if alone else moved, remembered)


@given(scenes())
def test_the_status_is_the_worst_finding_s(scene):
    verdict = scene.health
    severities = [SEVERITIES.index(finding.severity) for finding in verdict.findings]
    assert severities == sorted(severities)
    leading = [LEADS_TO[key] for each in verdict.findings if (key := (each.code, each.severity)) in LEADS_TO]
    assert verdict.status in (leading[:1] or ("ok", "idle"))
    if place(verdict.findings) < 2:
        assert verdict.status not in ("ok", "idle")
    assert len({finding.code for finding in verdict.findings}) == len(verdict.findings)


@given(scenes())
def test_no_evidence_is_a_value_that_is_missing(scene):
    for finding in scene.health.findings:
        assert finding.evidence
        assert None not in finding.evidence.values()
        assert "None" not in finding.message


@given(scenes())
def test_what_is_not_said_never_makes_a_verdict_worse(scene):
    verdict = scene.health
    for name, lacking in without_one_value(scene):
        without = [finding for finding in lacking.health.findings if finding.code != "unknown_engine"]
        assert place(without) >= place(verdict.findings), (name, without, verdict.findings)


@given(scenes())
def test_a_page_alone_proves_only_what_it_says_itself(scene):
    alone = replace(scene, interval=None, moves=None, memory=replace(scene.memory, restarts=()))
    assert set(alone.codes) <= {"slow_scrape", "empty_page", "unknown_engine", "not_compared"}


@given(scenes())
def test_nothing_stands_still_for_a_server_that_has_begun_anew(scene):
    restarted = interval(restarted=True)
    codes = set(replace(scene, interval=restarted).codes)
    still = {
        "stalled",
        "paused",
        "no_progress",
        "not_admitting",
        "scheduler_not_beating",
        "rank_stalled",
        "gauge_frozen",
    }
    assert not codes & still
