"""Every finding: a scene that raises it, and one that nearly does."""

import ast

import pytest
from cases import AT_MS, STILL, Scene, interval, memory, moves, place, scraped, snapshot, times, without_one_value

from collector.findings.find import LEADS_TO, RULES
from collector.interval import RankMoves
from collector.sections import Disaggregation
from collector.snapshot import VersionRange
from collector.specific import Router
from collector.thresholds import DEFAULT
from collector.verdict import NO_MEMORY
from support import PAGES, ROOT, snapshot_of

OLD = VersionRange(at_least="0.4.1.post7", before="0.4.3.post4")
BEFORE_0_5_7 = {"realtime_tokens_by_mode": None}
NO_QUEUE = {"num_requests_waiting": 0}
QUEUED = {"num_requests_running": 0, "num_requests_waiting": 5}
RUSHED = {"queue_time": times(0.1), "time_to_first_token": times(0.11)}
PRESSED = {"queue_time": times(2.0), "time_to_first_token": times(3.0)}
THRASHED = {"cache_hit_rate": 0.1, "prompt_tokens": 20_000, "evicted_tokens": 9_000}
NOTHING_KNOWN = {
    "requests": {"finished_total": None},
    "cache": {"kv_usage_ratio": None},
    "system": {
        "num_requests_running": None,
        "num_requests_waiting": None,
        "gen_throughput_tokens_per_second": None,
        "realtime_tokens_by_mode": None,
    },
}


def still(seconds, now=None, *, beating=False, clocks=True, **changes):
    """Nothing has moved for so long but, maybe, the scheduler's loop; or it has no clocks."""
    heartbeat = beating if clocks else None
    moved = moves(**(STILL | {"heartbeat": heartbeat} | changes))
    return Scene(now or snapshot(), moves=moved, memory=memory(seconds, heartbeat=clocks))


def ranks(*loads):
    """Data-parallel ranks: running, running before, and whether each worked."""
    return moves(ranks=tuple(RankMoves(str(number), *load) for number, load in enumerate(loads)))


def of(**of_the_interval):
    return Scene(interval=interval(**of_the_interval))


LINGERING = snapshot(system=NO_QUEUE)
PAUSED = snapshot(system={"gen_throughput_tokens_per_second": 0.0})

RAISED = [
    pytest.param(still(35), "stalled", "critical", "stalled", id="loop-stands-still-too"),
    pytest.param(still(35, clocks=False), "stalled", "critical", "stalled", id="a-version-without-clocks"),
    pytest.param(still(35, LINGERING), "stalled", "critical", "stalled", id="nothing-waits"),
    pytest.param(
        still(35, snapshot(engine="tgi"), clocks=False), "stalled", "critical", "stalled", id="another-engine"
    ),
    pytest.param(
        still(600, snapshot(version_range=OLD), clocks=False), "stalled", "critical", "stalled", id="old-with-a-queue"
    ),
    pytest.param(still(15), "scheduler_not_beating", "warning", "degraded", id="not-beating"),
    pytest.param(still(15, LINGERING), "scheduler_not_beating", "warning", "ok", id="not-beating-for-a-while"),
    pytest.param(still(60), "scheduler_not_beating", "critical", "stalled", id="not-beating-for-long"),
    pytest.param(still(15), "no_progress", "degraded", "degraded", id="no-progress-with-a-queue"),
    pytest.param(still(35, beating=True), "no_progress", "degraded", "degraded", id="the-loop-runs-idly"),
    pytest.param(still(35, PAUSED, beating=True), "paused", "degraded", "degraded", id="paused"),
    pytest.param(
        still(35, PAUSED, beating=True, gauges=True), "paused", "degraded", "degraded", id="paused-queue-grows"
    ),
    pytest.param(still(300, PAUSED, beating=True), "paused", "critical", "stalled", id="paused-for-long"),
    pytest.param(
        still(15, snapshot(system=QUEUED), beating=True), "not_admitting", "degraded", "degraded", id="not-admitting"
    ),
    pytest.param(Scene(moves=ranks((8, 8, False), (7, 8, True))), "rank_stalled", "critical", "stalled", id="one-rank"),
    pytest.param(
        Scene(
            interval=interval(seconds=15.0),
            moves=ranks((8, 8, False), (7, 8, True)),
            memory=memory(still_ranks={"0": AT_MS - 35_000}),
        ),
        "rank_stalled",
        "critical",
        "stalled",
        id="one-rank-over-short-intervals",
    ),
    pytest.param(of(**PRESSED), "saturated", "degraded", "saturated", id="the-wait-is-the-queue"),
    pytest.param(of(**RUSHED), "saturated", "degraded", "saturated", id="a-fast-model's-queue"),
    pytest.param(
        of(queue_time=times(None, count=0), seconds=15.0), "saturated", "degraded", "saturated", id="none-admitted"
    ),
    pytest.param(
        # 5 wait and 1 gets through in a second: 5 s each
        of(time_to_first_token=times(6.0, count=60)),
        "saturated",
        "degraded",
        "saturated",
        id="before-0.5.3-by-the-length-of-the-queue",
    ),
    pytest.param(
        Scene(snapshot(cache={"kv_usage_ratio": 0.9}), moves=moves(usage_before=0.9)),
        "kv_nearly_full",
        "degraded",
        "degraded",
        id="full-with-a-queue",
    ),
    pytest.param(
        Scene(
            snapshot(cache={"kv_usage_ratio": 0.95}, system=NO_QUEUE),
            interval(retracted=2),
            moves(usage_before=0.9, waiting_before=0),
        ),
        "kv_nearly_full",
        "degraded",
        "degraded",
        id="full-with-retractions",
    ),
    pytest.param(of(http_responses_by_class={"2xx": 57, "5xx": 3}), "server_errors", "degraded", "degraded", id="5xx"),
    pytest.param(of(kv_transfers_failed=4), "kv_transfers_failed", "degraded", "degraded", id="many-transfers-failed"),
    pytest.param(of(kv_transfers_failed=1), "kv_transfers_failed", "warning", "ok", id="a-transfer-failed"),
    pytest.param(
        of(time_to_first_token=times(p95=5.0)), "slow_first_token", "degraded", "degraded", id="slow-first-token"
    ),
    pytest.param(of(inter_token_latency=times(p95=0.2)), "slow_tokens", "degraded", "degraded", id="slow-tokens"),
    pytest.param(
        Scene(moves=ranks((20, 18, True), (2, 1, True))), "rank_imbalance", "warning", "ok", id="one-rank-has-it-all"
    ),
    pytest.param(
        Scene(memory=memory(restarts=(False, True, False, True, True))),
        "endpoint_balanced",
        "warning",
        "restarted",
        id="three-restarts-in-five",
    ),
    pytest.param(of(restarted=True), "restarted", "info", "restarted", id="restarted"),
    pytest.param(
        Scene(snapshot(cache={"cache_hit_rate": 0.6}), interval(**THRASHED)),
        "cache_thrashing",
        "info",
        "ok",
        id="cache-thrashing",
    ),
    pytest.param(Scene(moves=moves(gauges=False), memory=memory(60)), "gauge_frozen", "info", "ok", id="gauges-frozen"),
    pytest.param(
        Scene(snapshot(scrape=scraped(duration_seconds=1.0))), "slow_scrape", "warning", "ok", id="slow-scrape"
    ),
    pytest.param(
        Scene(snapshot(**NOTHING_KNOWN, scrape=scraped(samples=0)), None, None),
        "empty_page",
        "info",
        "unknown",
        id="empty-page",
    ),
    pytest.param(
        Scene(snapshot(**NOTHING_KNOWN), None, None), "unknown_engine", "warning", "unknown", id="unknown-engine"
    ),
    pytest.param(Scene(interval=None, moves=None), "not_compared", "info", "unknown", id="the-first-scrape"),
]

NEAR_MISSES = [
    pytest.param(still(34.9), "stalled", id="under-35-s"),
    pytest.param(still(60, beating=True), "stalled", id="the-loop-runs"),
    pytest.param(still(60, progress=True), "stalled", id="something-is-done"),
    pytest.param(still(60, gauges=True), "stalled", id="a-gauge-moves"),
    pytest.param(still(60, in_flight=0.0), "stalled", id="nothing-in-flight-now"),
    pytest.param(still(60, in_flight_before=0.0), "stalled", id="nothing-in-flight-before"),
    pytest.param(
        still(600, snapshot(system=NO_QUEUE, version_range=OLD), clocks=False),
        "stalled",
        id="before-0.4.3-running-stays-at-its-last-value",
    ),
    pytest.param(
        Scene(moves=moves(**(STILL | {"heartbeat": None})), memory=memory(60)),
        "stalled",
        id="clocks-not-said-this-time",
    ),
    pytest.param(
        Scene(interval=interval(restarted=True), moves=moves(**STILL), memory=memory(60)), "stalled", id="a-new-process"
    ),
    pytest.param(Scene(interval=None, moves=None, memory=memory(600)), "stalled", id="a-page-alone"),
    pytest.param(still(14.9), "scheduler_not_beating", id="compiling"),
    pytest.param(still(60, in_flight=0.0), "scheduler_not_beating", id="not-beating-nothing-in-flight"),
    pytest.param(still(60, clocks=False), "scheduler_not_beating", id="no-clocks"),
    pytest.param(still(14.9, beating=True), "no_progress", id="no-progress-for-a-moment"),
    pytest.param(still(34.9, LINGERING, beating=True), "no_progress", id="idle-gauges-not-yet-refreshed"),
    pytest.param(still(34.9, PAUSED, beating=True), "paused", id="paused-for-a-moment"),
    pytest.param(still(60, beating=True), "paused", id="throughput-is-not-0"),
    pytest.param(still(60, PAUSED, beating=True, progress=True), "paused", id="paused-but-works"),
    pytest.param(still(14.9, snapshot(system=QUEUED)), "not_admitting", id="not-admitting-for-a-moment"),
    pytest.param(still(20, beating=True), "not_admitting", id="some-run"),
    pytest.param(still(20, snapshot(system=QUEUED), waiting_before=0.0), "not_admitting", id="nobody-waited-before"),
    pytest.param(
        still(20, snapshot(system=QUEUED, engine_type="prefill")), "not_admitting", id="a-prefill-server-runs-none"
    ),
    pytest.param(
        still(20, snapshot(system=QUEUED | {"disaggregation": Disaggregation(bootstrap_failed_total=0)})),
        "not_admitting",
        id="maybe-a-prefill-server",
    ),
    pytest.param(Scene(moves=ranks((0, 8, False), (7, 8, True))), "rank_stalled", id="the-rank-has-nothing"),
    pytest.param(Scene(moves=ranks((8, 8, False), (7, 8, False))), "rank_stalled", id="no-rank-moves"),
    pytest.param(Scene(moves=ranks((8, 8, None), (7, 8, True))), "rank_stalled", id="ranks-do-not-say"),
    pytest.param(
        Scene(interval=interval(seconds=34.9), moves=ranks((8, 8, False), (7, 8, True))),
        "rank_stalled",
        id="rank-gauges-not-yet-refreshed",
    ),
    pytest.param(
        Scene(
            interval=interval(seconds=15.0),
            moves=ranks((8, 8, False), (7, 8, True)),
            memory=memory(still_ranks={"0": AT_MS - 34_900, "1": AT_MS - 600_000}),
        ),
        "rank_stalled",
        id="one-rank-stands-still-not-yet-for-long",
    ),
    pytest.param(of(**PRESSED | {"queue_time": times(0.49)}), "saturated", id="a-short-wait"),
    pytest.param(of(**PRESSED | {"time_to_first_token": times(4.1)}), "saturated", id="the-prefill-is-what-takes-long"),
    pytest.param(of(**RUSHED | {"queue_time": times(0.099)}), "saturated", id="a-wait-of-a-decode-step"),
    pytest.param(of(**RUSHED | {"time_to_first_token": times(0.112)}), "saturated", id="a-short-wait-beside-a-prefill"),
    pytest.param(
        Scene(snapshot(system=NO_QUEUE), interval(**RUSHED)), "saturated", id="a-short-wait-and-no-queue-left"
    ),
    pytest.param(
        # 5 wait and 20 get through in a second: some 0.25 s each
        of(time_to_first_token=times(0.25, count=1200)),
        "saturated",
        id="a-short-wait-by-the-length-of-the-queue",
    ),
    pytest.param(of(queue_time=times(None, count=0), seconds=0.4), "saturated", id="none-admitted-for-a-moment"),
    pytest.param(of(queue_time=times(2.0)), "saturated", id="no-first-token-to-compare-with"),
    pytest.param(Scene(snapshot(system=NO_QUEUE), interval(**PRESSED)), "saturated", id="the-queue-is-gone"),
    pytest.param(
        Scene(interval=interval(**PRESSED), moves=moves(waiting_before=0)), "saturated", id="the-queue-is-new"
    ),
    pytest.param(
        Scene(interval=interval(**PRESSED), moves=moves(progress=None)), "saturated", id="no-word-of-progress"
    ),
    pytest.param(
        Scene(snapshot(requests={"queue_time": times(0.1)}), interval(time_to_first_token=times(6.0, count=60))),
        "saturated",
        id="queue-times-are-there-but-not-this-time",
    ),
    pytest.param(
        Scene(snapshot(cache={"kv_usage_ratio": 0.89}), moves=moves(usage_before=0.95)), "kv_nearly_full", id="not-full"
    ),
    pytest.param(
        Scene(snapshot(cache={"kv_usage_ratio": 0.95}), moves=moves(usage_before=0.89)),
        "kv_nearly_full",
        id="full-for-a-moment",
    ),
    pytest.param(
        Scene(snapshot(cache={"kv_usage_ratio": 0.95}, system=NO_QUEUE), moves=moves(usage_before=0.95)),
        "kv_nearly_full",
        id="full-and-nobody-minds",
    ),
    pytest.param(of(http_responses_by_class={"2xx": 58, "5xx": 3}), "server_errors", id="under-one-in-twenty"),
    pytest.param(of(http_responses_by_class={"2xx": 1, "5xx": 2}), "server_errors", id="two-errors"),
    pytest.param(of(http_responses_by_class={"4xx": 60}), "server_errors", id="callers-errors"),
    pytest.param(of(http_responses_by_class={"2xx": None, "5xx": 30}), "server_errors", id="a-class-not-said"),
    pytest.param(of(kv_transfers_failed=0), "kv_transfers_failed", id="all-transferred"),
    pytest.param(of(time_to_first_token=times(p95=4.9)), "slow_first_token", id="fast-enough"),
    pytest.param(of(time_to_first_token=times(p95=9.0, count=19)), "slow_first_token", id="too-few-to-tell"),
    pytest.param(of(inter_token_latency=times(p95=0.19)), "slow_tokens", id="tokens-fast-enough"),
    pytest.param(Scene(moves=ranks((20, 12, True), (2, 10, True))), "rank_imbalance", id="uneven-for-a-moment"),
    pytest.param(Scene(moves=ranks((7, 7, True), (0, 0, True))), "rank_imbalance", id="few-requests"),
    pytest.param(Scene(moves=ranks((20, 18, True), (None, 1, True))), "rank_imbalance", id="a-rank-not-said"),
    pytest.param(Scene(moves=ranks((40, 40, True))), "rank_imbalance", id="one-rank"),
    pytest.param(
        Scene(memory=memory(restarts=(True, False, True, False, True))), "endpoint_balanced", id="the-oldest-falls-out"
    ),
    pytest.param(of(), "restarted", id="the-same-process"),
    pytest.param(
        Scene(snapshot(cache={"cache_hit_rate": 0.2}), interval(**THRASHED)), "cache_thrashing", id="half-of-the-life's"
    ),
    pytest.param(
        Scene(snapshot(cache={"cache_hit_rate": 0.6}), interval(**THRASHED | {"prompt_tokens": 9_999})),
        "cache_thrashing",
        id="few-tokens",
    ),
    pytest.param(
        Scene(snapshot(cache={"cache_hit_rate": 0.6}), interval(**THRASHED | {"evicted_tokens": 0})),
        "cache_thrashing",
        id="nothing-evicted",
    ),
    pytest.param(Scene(moves=moves(gauges=False), memory=memory(59.9)), "gauge_frozen", id="between-two-log-lines"),
    pytest.param(Scene(moves=moves(), memory=memory(600)), "gauge_frozen", id="gauges-move"),
    pytest.param(
        Scene(moves=moves(gauges=False, in_flight=0), memory=memory(600)), "gauge_frozen", id="a-probed-idle-server"
    ),
    pytest.param(Scene(snapshot(scrape=scraped(duration_seconds=0.99))), "slow_scrape", id="under-a-second"),
    pytest.param(Scene(snapshot(scrape=None)), "empty_page", id="no-facts-of-the-scrape"),
    pytest.param(Scene(snapshot(scrape=scraped(samples=1))), "empty_page", id="one-sample"),
    pytest.param(
        Scene(snapshot(**(NOTHING_KNOWN | {"requests": {"finished_total": 0}})), None, None),
        "unknown_engine",
        id="a-zero-is-known",
    ),
    pytest.param(
        Scene(snapshot(**NOTHING_KNOWN, router=Router(workers=2)), None, None), "unknown_engine", id="a-fresh-router"
    ),
    pytest.param(
        Scene(snapshot(**NOTHING_KNOWN, scrape=scraped(samples=0)), None, None), "unknown_engine", id="an-empty-page"
    ),
    pytest.param(
        Scene(snapshot(system={"num_requests_running": 0, "num_requests_waiting": 0}), None, None),
        "not_compared",
        id="nothing-that-could-be-stuck",
    ),
    pytest.param(of(), "not_compared", id="two-pages"),
]


@pytest.mark.parametrize(("scene", "code", "severity", "status"), RAISED)
def test_a_finding_is_raised(scene, code, severity, status):
    finding = next(finding for finding in scene.health.findings if finding.code == code)
    assert (finding.severity, scene.health.status) == (severity, status)
    assert finding.evidence
    assert any(letter.isdigit() for letter in finding.message) or code in ("empty_page", "not_compared")


@pytest.mark.parametrize(("scene", "code", "severity", "status"), RAISED)
def test_no_value_less_makes_it_worse(scene, code, severity, status):
    found = place(scene.health.findings)
    worse = [name for name, lacking in without_one_value(scene) if place(lacking.health.findings) < found]
    assert worse == []


@pytest.mark.parametrize(("scene", "code"), NEAR_MISSES)
def test_a_near_miss_is_not(scene, code):
    assert code not in scene.codes


@pytest.mark.parametrize(
    ("scene", "code", "severity"),
    [
        pytest.param(still(59.9), "scheduler_not_beating", "warning", id="not-beating-for-less-than-a-minute"),
        pytest.param(still(299.9, PAUSED, beating=True), "paused", "degraded", id="paused-for-less-than-five"),
        pytest.param(of(kv_transfers_failed=3), "kv_transfers_failed", "warning", id="3-beside-60"),
    ],
)
def test_a_finding_is_not_yet_the_worse(scene, code, severity):
    assert [finding.severity for finding in scene.health.findings if finding.code == code] == [severity]


PLACE_OF_THE_CODE = {"case.finding": 0, "_slow": 1}  # among what is given


def codes_in_the_rules():
    """Every code that a rule names in its source."""
    for file in (ROOT / "functions" / "collector" / "findings").glob("*.py"):
        for call in ast.walk(ast.parse(file.read_text())):
            if isinstance(call, ast.Call) and (function := ast.unparse(call.func)) in PLACE_OF_THE_CODE:
                code = call.args[PLACE_OF_THE_CODE[function]]
                if isinstance(code, ast.Constant):
                    yield code.value


def test_every_finding_on_a_good_page_has_a_scene_and_a_near_miss():
    codes = set(codes_in_the_rules())
    assert len(codes) >= len(RULES)
    assert {row.values[1] for row in RAISED} == codes
    assert {row.values[1] for row in NEAR_MISSES} == codes
    raised = {(row.values[1], row.values[2]) for row in RAISED}
    assert {(code, severity) for code, severity in LEADS_TO if code in codes} <= raised


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.prom")), ids=lambda page: page.stem)
def test_no_recorded_page_raises_an_alarm_by_itself(page):
    scene = Scene(snapshot_of(page, page.name.split("-")[0].replace("router", "sglang")), None, None, NO_MEMORY)
    assert set(scene.codes) <= {"not_compared"}


def test_the_readme_has_every_finding():
    readme = (ROOT / "README.md").read_text()
    assert [row.values[1] for row in RAISED if f"| `{row.values[1]}` |" not in readme] == []
    assert [code for code, _ in LEADS_TO if f"| `{code}` |" not in readme] == []


def test_a_server_at_work_has_no_finding():
    assert (Scene().health.status, Scene().codes) == ("ok", [])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {},
            "No request finished or received a token and no gauge moved for 60 s, with 20 in flight. "
            "Its page still says 1,850 tokens/s.",
            id="0.5.7-and-later",
        ),
        pytest.param(
            {"system": BEFORE_0_5_7 | {"gen_throughput_tokens_per_second": None}},
            "No request finished or received a token and no gauge moved for 60 s, with 20 in flight; "
            "this version counts prefill only at its end.",
            id="before",
        ),
    ],
)
def test_a_stall_says_what_its_version_lets_it_say(changes, message):
    assert still(60, snapshot(**changes)).health.findings[0].message == message


@pytest.mark.parametrize(
    ("engine", "changes", "most_running", "flag"),
    [
        pytest.param("sglang", {"cache": {"kv_usage_ratio": 0.8}}, 0, "--mem-fraction-static", id="kv-space"),
        pytest.param("sglang", {"cache": {"kv_usage_ratio": 0.79}}, 15, "--max-running-requests", id="slots"),
        pytest.param("sglang", {}, 20, "--schedule-conservativeness", id="admission"),
        pytest.param("vllm", {"cache": {"kv_usage_ratio": 0.8}}, 0, "--gpu-memory-utilization", id="vllm-kv-space"),
        pytest.param("vllm", {}, 15, "--max-num-seqs", id="vllm-slots"),
        pytest.param("tgi", {}, 20, "--max-batch-prefill-tokens", id="tgi-admission"),
    ],
)
def test_saturation_names_the_flag_of_its_cause(engine, changes, most_running, flag):
    scene = Scene(snapshot(**changes, engine=engine), interval(**PRESSED), memory=memory(most_running=most_running))
    assert flag in scene.health.findings[0].hint


def test_retractions_put_saturation_down_to_kv_space():
    scene = Scene(interval=interval(**PRESSED, retracted=1), memory=memory(most_running=15))
    assert "KV space is what lacks" in scene.health.findings[0].hint


def test_a_page_alone_says_that_the_pool_is_full_with_a_queue_and_proves_nothing_by_it():
    alone = Scene(snapshot(cache={"kv_usage_ratio": 0.99}), interval=None, moves=None).health
    assert (alone.status, [finding.code for finding in alone.findings]) == ("unknown", ["not_compared"])
    assert alone.findings[0].evidence == {
        "num_requests_running": 15,
        "num_requests_waiting": 5,
        "kv_usage_ratio": 0.99,
    }


def test_the_worst_finding_comes_first_and_gives_the_status():
    scene = Scene(
        snapshot(scrape=scraped(duration_seconds=3.0), cache={"kv_usage_ratio": 0.95}),
        interval(**PRESSED, kv_transfers_failed=1),
        moves(usage_before=0.95, gauges=False, ranks=(RankMoves("0", 8, 8, False), RankMoves("1", 7, 8, True))),
        memory(60),
    )
    assert scene.codes == [
        "rank_stalled",
        "saturated",
        "kv_nearly_full",
        "kv_transfers_failed",
        "slow_scrape",
        "gauge_frozen",
    ]
    assert scene.health.status == "stalled"


@pytest.mark.parametrize(
    ("scene", "status"),
    [
        pytest.param(Scene(moves=moves(in_flight=0, idle_ratio=0.2), interval=interval(requests_finished=0)), "idle"),
        pytest.param(Scene(moves=moves(in_flight=0), interval=interval(requests_finished=1)), "ok"),
        pytest.param(Scene(moves=moves(in_flight=1), interval=interval(requests_finished=0)), "ok"),
        pytest.param(Scene(moves=moves(in_flight=None), interval=interval(requests_finished=0)), "ok"),
        pytest.param(
            Scene(moves=moves(in_flight=0, progress=False), interval=interval(requests_finished=None)), "idle"
        ),
        pytest.param(Scene(moves=moves(in_flight=0, progress=None), interval=interval(requests_finished=None)), "ok"),
        pytest.param(Scene(moves=moves(idle_ratio=0.9)), "idle"),
        pytest.param(Scene(moves=moves(idle_ratio=0.89)), "ok"),
    ],
)
def test_a_server_is_idle_with_nothing_in_flight_and_nothing_new_or_nine_tenths_of_the_time(scene, status):
    """A health probe moves prefill and queue time: it is progress, and no request."""
    assert scene.health.status == status


def test_a_target_can_have_its_own_thresholds():
    scene = of(time_to_first_token=times(p95=2.0))
    strict = Scene(interval=scene.interval, rules=DEFAULT.with_overrides({"first_token_seconds": 1.5}))
    assert (scene.codes, strict.codes) == ([], ["slow_first_token"])
