"""What happened between two pages, as each engine's tables have it."""

import json
from datetime import timedelta
from itertools import pairwise

import pytest

from collector.engines import sglang, tgi, vllm
from collector.exposition import parse
from support import ASKED_AT, PAGES, SHARED, needs_shared

RECORDED = ["idle", "load", "load-later", "after-load"]
REAL = ["idle-after-health", "load-1", "load-2", "load-3", "after-load"]


def between(earlier, later, seconds=60.0, engine=sglang):
    return engine.ENGINE.read_interval(parse(earlier), parse(later), ASKED_AT - timedelta(seconds=seconds), seconds)


def interval(earlier, later, **options):
    return between(earlier, later, **options)[0]


def moves(earlier, later, **options):
    return between(earlier, later, **options)[1]


def recorded(name):
    return (PAGES / f"sglang-0.5.23-{name}.prom").read_bytes()


PAGE = """\
# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{{model_name="m"}} {running}
# TYPE sglang:num_queue_reqs gauge
sglang:num_queue_reqs{{model_name="m"}} {waiting}
# TYPE sglang:num_requests_total counter
sglang:num_requests_total{{model_name="m"}} {finished}
# TYPE sglang:num_aborted_requests_total counter
sglang:num_aborted_requests_total{{model_name="m"}} {aborted}
# TYPE sglang:prompt_tokens_total counter
sglang:prompt_tokens_total{{model_name="m"}} {prompt}
# TYPE sglang:cached_tokens_total counter
sglang:cached_tokens_total{{model_name="m"}} {cached}
# TYPE sglang:generation_tokens_total counter
sglang:generation_tokens_total{{model_name="m"}} {generated}
"""
FIGURES = {"running": 1, "waiting": 0, "finished": 10, "aborted": 1, "prompt": 1000, "cached": 400, "generated": 500}


def page(**changes):
    return PAGE.format(**FIGURES | changes)


def test_amounts_and_rates_are_of_the_interval_alone():
    found = interval(page(), page(finished=40, aborted=4, prompt=4000, cached=1000, generated=1100), seconds=30)
    assert (found.requests_finished, found.requests_aborted) == (30, 3)
    assert (found.prompt_tokens, found.cached_tokens, found.generated_tokens) == (3000, 600, 600)
    assert (found.requests_finished_per_second, found.generated_tokens_per_second) == (1, 20)
    assert found.cache_hit_rate == 0.2
    assert (found.since, found.seconds) == (ASKED_AT - timedelta(seconds=30), 30)


def test_counters_that_contradict_each_other_say_no_hit_rate():
    found = interval(page(), page(prompt=1100, cached=501))
    assert (found.prompt_tokens, found.cached_tokens, found.cache_hit_rate) == (100, 101, None)
    assert interval(page(), page(prompt=1100, cached=500)).cache_hit_rate == 1


def test_the_hit_rate_of_vllm_is_of_what_was_looked_up():
    """A prompt is looked up when it is scheduled, and counts when its prefill has ended: maybe an interval later."""
    text = (
        "# TYPE vllm:prompt_tokens_total counter\n"
        'vllm:prompt_tokens_total{{model_name="m"}} {}\n'
        "# TYPE vllm:prefix_cache_queries_total counter\n"
        'vllm:prefix_cache_queries_total{{model_name="m"}} {}\n'
        "# TYPE vllm:prefix_cache_hits_total counter\n"
        'vllm:prefix_cache_hits_total{{model_name="m"}} {}\n'
    )
    found = interval(text.format(1000, 1000, 500), text.format(1100, 9000, 2500), engine=vllm)
    assert (found.prompt_tokens, found.cached_tokens, found.cache_hit_rate) == (100, 2000, 0.25)


def test_an_amount_beyond_all_counts_has_no_rate():
    found = interval(page(), page(finished=1e300))
    assert (found.requests_finished, found.requests_finished_per_second) == (None, None)


def test_without_prompt_tokens_there_is_no_hit_rate():
    assert interval(page(), page()).cache_hit_rate is None


def test_tokens_are_counted_at_the_end_where_they_are_not_as_they_come():
    assert interval(page(), page(generated=600)).generated_basis == "at_finish"


LIVE = """\
# TYPE sglang:realtime_tokens_total counter
sglang:realtime_tokens_total{{model_name="m",mode="decode"{type}}} {decoded}
# TYPE sglang:time_to_first_token_seconds histogram
sglang:time_to_first_token_seconds_bucket{{model_name="m",le="1.0"}} {first}
sglang:time_to_first_token_seconds_bucket{{model_name="m",le="+Inf"}} {first}
sglang:time_to_first_token_seconds_count{{model_name="m"}} {first}
sglang:time_to_first_token_seconds_sum{{model_name="m"}} {first}
"""


@pytest.mark.parametrize(("kind", "tokens"), [("unified", 110), ("decode", 100)])
def test_tokens_that_are_counted_as_they_come_are_those_decoded_and_each_requests_first(kind, tokens):
    label = f',engine_type="{kind}"'
    plain = page().replace('num_running_reqs{model_name="m"', f'num_running_reqs{{model_name="m"{label}')
    found = interval(*(plain + LIVE.format(type=label, **figures) for figures in LIVE_FIGURES))
    assert (found.generated_tokens, found.generated_basis) == (tokens, "live")


LIVE_FIGURES = ({"decoded": 500, "first": 20}, {"decoded": 600, "first": 30})


def test_quantiles_are_of_what_was_observed_in_between():
    histogram = (
        "# TYPE sglang:queue_time_seconds histogram\n"
        'sglang:queue_time_seconds_bucket{{model_name="m",le="1.0"}} {}\n'
        'sglang:queue_time_seconds_bucket{{model_name="m",le="2.0"}} {}\n'
        'sglang:queue_time_seconds_bucket{{model_name="m",le="+Inf"}} {}\n'
        'sglang:queue_time_seconds_count{{model_name="m"}} {}\n'
        'sglang:queue_time_seconds_sum{{model_name="m"}} {}\n'
    )
    found = interval(page() + histogram.format(90, 90, 90, 90, 9), page() + histogram.format(90, 100, 100, 100, 24))
    assert (found.queue_time.count, found.queue_time.mean) == (10, 1.5)
    assert (found.queue_time.p50.lower_bound, found.queue_time.p50.upper_bound) == (1, 2)


def test_a_restart_is_told_and_counted_from():
    found = interval(page(), page(finished=2, aborted=0, prompt=50, cached=0, generated=20))
    assert found.restarted
    assert (found.requests_finished, found.prompt_tokens, found.generated_tokens) == (2, 50, 20)


@pytest.mark.parametrize("ranks", ["", "dp2-"])
def test_recorded_intervals_add_up_to_what_the_client_sent(ranks):
    traffic = json.loads((PAGES / f"sglang-0.5.23-{ranks}traffic.json").read_text())
    pages = [recorded(f"{ranks}{name}") for name in RECORDED]
    parts = [interval(earlier, later) for earlier, later in pairwise(pages)]
    whole = interval(pages[0], pages[-1])
    for name in ("requests_finished", "requests_aborted", "prompt_tokens", "cached_tokens", "generated_tokens"):
        assert sum(getattr(part, name) for part in parts) == getattr(whole, name)
    counts = traffic["counts"]
    aborted = counts["sent_abort_by_hangup"] + counts["sent_abort_by_rid"]
    assert whole.requests_aborted == aborted
    assert whole.requests_finished == counts["status_200"] + aborted
    assert whole.generated_basis == "live"


@needs_shared
@pytest.mark.parametrize("folder", ["sglang-0.5.23", "sglang-0.5.23-dp2"])
def test_real_intervals_add_up_to_what_the_client_saw(folder):
    pages = [(SHARED / "expositions" / "real" / folder / f"metrics-{name}.prom").read_bytes() for name in REAL]
    parts = [interval(earlier, later) for earlier, later in pairwise(pages)]
    assert sum(part.requests_finished for part in parts) == 382
    assert sum(part.requests_aborted for part in parts) == 20
    assert sum(part.prompt_tokens for part in parts) == 40_290
    generated = [
        sum(sample.value for sample in parse(page).samples if sample.name == "sglang:generation_tokens_total")
        for page in (pages[0], pages[-1])
    ]
    assert sum(part.generated_tokens for part in parts) == generated[1] - generated[0]
    assert {part.generated_basis for part in parts} == {"live"}


# What moved


@pytest.mark.parametrize(
    ("changes", "progress", "gauges"),
    [
        pytest.param({}, False, False, id="nothing"),
        pytest.param({"finished": 11}, True, False, id="a-request-finished"),
        pytest.param({"running": 2}, False, True, id="a-gauge-changed"),
    ],
)
def test_what_moved_is_told(changes, progress, gauges):
    found = moves(page(), page(**changes))
    assert (found.progress, found.gauges, found.heartbeat) == (progress, gauges, None)


def test_requests_in_flight_are_those_running_and_waiting():
    found = moves(page(running=3, waiting=2), page(running=4, waiting=5))
    assert (found.in_flight_before, found.waiting_before, found.in_flight) == (5, 2, 9)


def test_the_schedulers_clocks_are_its_heartbeat_and_tell_how_idle_it_was():
    name = "sglang:scheduler_idle_seconds_total"
    clock = f'# TYPE {name} counter\n{name}{{{{model_name="m"}}}} {{}}\n'
    found = moves(page() + clock.format(10), page() + clock.format(25), seconds=20)
    assert (found.heartbeat, found.idle_ratio) == (True, 0.75)
    assert moves(page() + clock.format(10), page() + clock.format(10)).heartbeat is False


def test_ranks_are_told_apart():
    ranks = (
        "# TYPE sglang:num_running_reqs gauge\n"
        'sglang:num_running_reqs{{dp_rank="0",model_name="m"}} 3\n'
        'sglang:num_running_reqs{{dp_rank="1",model_name="m"}} 2\n'
        "# TYPE sglang:realtime_tokens_total counter\n"
        'sglang:realtime_tokens_total{{dp_rank="0",mode="decode",model_name="m"}} {}\n'
        'sglang:realtime_tokens_total{{dp_rank="1",mode="decode",model_name="m"}} {}\n'
    )
    found = moves(ranks.format(10, 10), ranks.format(30, 10))
    assert [(rank.name, rank.running, rank.progress) for rank in found.ranks] == [("0", 3, True), ("1", 2, False)]


def test_ranks_of_several_servers_have_names_of_their_own():
    ranks = "# TYPE sglang_num_running_reqs gauge\n" + "".join(
        f'sglang_num_running_reqs{{model_name="m",worker_addr="{worker}"{rank}}} 1\n'
        for worker, rank in [("http://a:1", ',dp_rank="0"'), ("http://a:1", ',dp_rank="1"'), ("http://b:1", "")]
    )
    assert [rank.name for rank in moves(ranks, ranks).ranks] == ["http://a:1 m 0", "http://a:1 m 1", "http://b:1"]


def test_of_a_server_that_shows_nothing_nothing_is_told_to_move():
    found = moves("# TYPE up gauge\nup 1\n", "# TYPE up gauge\nup 1\n")
    assert (found.progress, found.gauges, found.heartbeat, found.in_flight) == (None, None, None, None)


@pytest.mark.parametrize(
    ("engine", "text", "finished", "generated"),
    [
        pytest.param(
            vllm,
            "# TYPE vllm:num_requests_running gauge\n"
            'vllm:num_requests_running{{engine="0",model_name="m"}} 1\n'
            "# TYPE vllm:request_success_total counter\n"
            'vllm:request_success_total{{engine="0",finished_reason="stop",model_name="m"}} {}\n'
            "# TYPE vllm:generation_tokens_total counter\n"
            'vllm:generation_tokens_total{{engine="0",model_name="m"}} {}\n',
            7,
            90,
            id="vllm",
        ),
        pytest.param(
            tgi,
            "# TYPE tgi_queue_size gauge\ntgi_queue_size 0\n# TYPE tgi_request_count counter\ntgi_request_count 9\n"
            "# TYPE tgi_request_success counter\ntgi_request_success {}\n"
            "# TYPE tgi_request_generated_tokens histogram\n"
            'tgi_request_generated_tokens_bucket{{le="+Inf"}} 1\ntgi_request_generated_tokens_count 1\n'
            "tgi_request_generated_tokens_sum {}\n",
            7,
            90,
            id="tgi",
        ),
    ],
)
def test_other_engines_have_intervals_too(engine, text, finished, generated):
    found = interval(text.format(3, 10), text.format(3 + finished, 10 + generated), engine=engine)
    assert (found.requests_finished, found.generated_tokens) == (finished, generated)
