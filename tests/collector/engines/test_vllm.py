"""vLLM's pages, made by its own classes, against what was told to them; and its names over the releases."""

import json

import pytest

from collector.engines.vllm import RELEASES
from support import PAGES, SHARED, needs_shared, snapshot_of

TRUTHS = sorted(PAGES.glob("vllm-*.truth.json"))
GENERATED = sorted((SHARED / "expositions" / "generated").glob("vllm-*.truth.json"))
ANSWERED, FAILED = ("stop", "length"), ("abort", "error")

pages = pytest.mark.parametrize("truth_file", TRUTHS, ids=lambda path: path.name.removesuffix(".truth.json"))


def read(page):
    return snapshot_of(page, "vllm")


def page_and_truth(truth_file):
    """A snapshot, and what each engine was told, in their order."""
    page = truth_file.with_name(truth_file.name.removesuffix(".truth.json") + ".prom")
    truth = json.loads(truth_file.read_text())
    return read(page), list(truth.get("truth", truth)["engines"].values())


def told(engines, key):
    return sum(engine[key] for engine in engines)


def ended(engines, *reasons):
    return sum(engine["requests"].get(reason, 0) for engine in engines for reason in reasons)


def test_there_are_pages_of_the_oldest_and_the_newest():
    assert [path.name.removesuffix(".truth.json") for path in TRUTHS] == [
        "vllm-0.11.0-dp2",
        "vllm-0.33.0-dp2",
        "vllm-0.6.6.post1",
    ]


@pages
def test_counts_are_what_was_told(truth_file):
    snapshot, engines = page_and_truth(truth_file)
    requests = snapshot.request_metrics
    assert requests.success_total == ended(engines, *ANSWERED)
    assert requests.failure_total == ended(engines, *FAILED)
    assert requests.finished_total == sum(sum(engine["requests"].values()) for engine in engines)
    assert sum(snapshot.vllm.finished_by_reason.values()) == requests.finished_total
    assert requests.prompt_tokens_total == told(engines, "prompt_tokens")
    assert requests.generated_tokens_total == told(engines, "generated_tokens")
    assert requests.retracted_total == told(engines, "preempted")
    assert requests.input_tokens == pytest.approx(requests.prompt_tokens_total / requests.finished_total)
    assert requests.output_tokens == pytest.approx(requests.generated_tokens_total / requests.finished_total)


@pages
def test_gauges_are_what_was_told_folded_over_engines(truth_file):
    snapshot, engines = page_and_truth(truth_file)
    system, cache = snapshot.system_metrics, snapshot.cache_metrics
    usages = [engine["kv_usage"] for engine in engines]
    assert system.num_requests_running == told(engines, "running")
    assert system.num_requests_waiting == sum(engine["waiting"] + engine.get("swapped", 0) for engine in engines)
    assert system.batch_size_current == max(engine["running"] for engine in engines)
    assert (cache.kv_usage_ratio, cache.kv_usage_mean_ratio) == (max(usages), sum(usages) / len(usages))
    assert cache.page_size_tokens == 16
    assert [
        (rank.dp_rank, rank.model_name, rank.num_requests_running, rank.kv_usage_ratio, rank.decoded_tokens_total)
        for rank in snapshot.ranks
    ] == [
        (
            index if len(engines) > 1 else None,
            "tiny-llama",
            engine["running"],
            engine["kv_usage"],
            engine["generated_tokens"],
        )
        for index, engine in enumerate(engines)
    ]


@pages
def test_times_are_in_seconds_and_over_all_engines(truth_file):
    snapshot, engines = page_and_truth(truth_file)
    requests = snapshot.request_metrics
    ttft = sorted(value for engine in engines for value in engine["ttft"])
    e2e = sorted(value for engine in engines for value in engine["e2e"])
    count = told(engines, "inter_token_count")
    assert requests.time_to_first_token_seconds == pytest.approx(sum(ttft) / len(ttft), rel=1e-5)
    assert requests.request_duration_seconds == pytest.approx(sum(e2e) / len(e2e), rel=1e-5)
    assert requests.queue_time_seconds == pytest.approx(told(engines, "queue_sum") / len(e2e))
    assert (requests.inter_token_latency.count, requests.inter_token_latency.sum) == (
        count,
        pytest.approx(told(engines, "inter_token_sum")),
    )
    assert requests.time_per_output_token_seconds == pytest.approx(told(engines, "inter_token_sum") / count)
    for q, quantile in ((0.5, requests.time_to_first_token.p50), (0.95, requests.time_to_first_token.p95)):
        assert quantile.lower_bound <= ttft[min(int(q * len(ttft)), len(ttft) - 1)]
        assert ttft[max(int(q * len(ttft)) - 1, 0)] <= quantile.upper_bound


@pages
def test_the_hit_rate_is_hits_over_queries_and_unsaid_where_there_is_but_a_gauge(truth_file):
    snapshot, engines = page_and_truth(truth_file)
    cache = snapshot.cache_metrics
    if "prefix_hits" in engines[0]:
        hits, queries = told(engines, "prefix_hits"), told(engines, "prefix_queries")
        assert (cache.cache_hit_rate, cache.prefix_cache_hit_total) == (hits / queries, hits)
        assert snapshot.vllm.prefix_cache_queries_total == queries
    else:
        assert (cache.cache_hit_rate, cache.prefix_cache_hit_total) == (None, None)
        assert snapshot.vllm.prefix_cache_hit_rate_gauge == engines[0]["hit_rate_gauge"]


@pages
def test_speculation_is_what_was_told(truth_file):
    snapshot, engines = page_and_truth(truth_file)
    speculative = snapshot.system_metrics.speculative
    if "drafts" not in engines[0]:
        assert speculative is None
        return
    drafts, accepted = told(engines, "drafts"), told(engines, "accepted")
    assert speculative.verify_calls_total == drafts
    assert speculative.accept_ratio == pytest.approx(accepted / (3 * drafts))
    assert speculative.accept_length_tokens == pytest.approx(1 + accepted / drafts)


@pages
def test_the_release_is_within_the_range_that_the_page_proves(truth_file):
    snapshot, _ = page_and_truth(truth_file)
    release = truth_file.name.split("-")[1].removesuffix(".truth.json")
    assert snapshot.version_range.at_least == release
    later = {"0.6.6.post1": "0.8.5.post1", "0.11.0": "0.13.0", "0.33.0": None}
    assert snapshot.version_range.before == later[release]
    assert RELEASES.reaches(snapshot.version_range, "0.6.6.post1")


@needs_shared
@pytest.mark.parametrize("truth_file", GENERATED, ids=lambda path: path.name.removesuffix(".truth.json"))
def test_pages_that_others_made_say_what_was_told_too(truth_file):
    snapshot, engines = page_and_truth(truth_file)
    requests, cache, system = snapshot.request_metrics, snapshot.cache_metrics, snapshot.system_metrics
    assert requests.success_total == ended(engines, *ANSWERED)
    assert requests.failure_total == ended(engines, *FAILED)
    assert requests.prompt_tokens_total == told(engines, "prompt_tokens")
    assert requests.generated_tokens_total == told(engines, "generation_tokens")
    assert requests.retracted_total == told(engines, "preempted")
    assert cache.cache_hit_rate == told(engines, "prefix_hits") / told(engines, "prefix_queries")
    assert cache.kv_usage_ratio == max(engine["kv_cache_usage"] for engine in engines)
    assert system.num_requests_running == told(engines, "running")
    assert system.num_requests_waiting == told(engines, "waiting")
    for name, distribution in (("ttft", requests.time_to_first_token), ("e2e", requests.request_duration)):
        assert distribution.count == sum(len(engine[name]) for engine in engines)
        assert distribution.sum == pytest.approx(sum(sum(engine[name]) for engine in engines))
    assert requests.inter_token_latency.count == told(engines, "itl_count")
    assert [rank.num_requests_running for rank in snapshot.ranks] == [engine["running"] for engine in engines]


def histogram(name, total, count, labels=""):
    return "".join(
        f"vllm:{name}_{part}{{{more}{labels}}} {value}\n"
        for part, more, value in [("bucket", 'le="+Inf",', count), ("sum", "", total), ("count", "", count)]
    )


@pytest.mark.parametrize(
    ("page", "section", "field", "value"),
    [
        pytest.param("vllm:kv_cache_usage_perc 0.5\n", "cache_metrics", "kv_usage_ratio", 0.5, id="usage-since-0.9"),
        pytest.param("vllm:gpu_cache_usage_perc 0.5\n", "cache_metrics", "kv_usage_ratio", 0.5, id="usage-before"),
        pytest.param(
            "vllm:kv_cache_usage_perc 0.5\nvllm:gpu_cache_usage_perc 0.4\n",
            "cache_metrics",
            "kv_usage_ratio",
            0.5,
            id="usage-with-both",
        ),
        pytest.param(
            "vllm:prefix_cache_queries_total 8\nvllm:prefix_cache_hits_total 2\n",
            "cache_metrics",
            "cache_hit_rate",
            0.25,
            id="hits-since-0.9",
        ),
        pytest.param(
            "vllm:gpu_prefix_cache_queries_total 8\nvllm:gpu_prefix_cache_hits_total 2\n",
            "cache_metrics",
            "cache_hit_rate",
            0.25,
            id="hits-of-0.8",
        ),
        pytest.param(
            "vllm:gpu_prefix_cache_hit_rate 0.9\n", "cache_metrics", "cache_hit_rate", None, id="the-gauge-of-0.6"
        ),
        pytest.param(
            "vllm:prefix_cache_queries_total 0\nvllm:prefix_cache_hits_total 0\n",
            "cache_metrics",
            "cache_hit_rate",
            None,
            id="nothing-asked-yet",
        ),
        pytest.param(
            'vllm:cache_config_info{block_size="16",num_gpu_blocks="512",kv_cache_size_tokens="8000"} 1\n',
            "cache_metrics",
            "kv_capacity_tokens",
            8000,
            id="capacity-as-the-server-says-it",
        ),
        pytest.param(
            'vllm:cache_config_info{block_size="16",num_gpu_blocks="512",kv_cache_size_tokens="None"} 1\n',
            "cache_metrics",
            "kv_capacity_tokens",
            None,
            id="capacity-is-not-blocks-times-their-size",
        ),
        pytest.param(
            histogram("inter_token_latency_seconds", 2, 4) + histogram("time_per_output_token_seconds", 9, 4),
            "request_metrics",
            "time_per_output_token_seconds",
            0.5,
            id="inter-token-since-0.11",
        ),
        pytest.param(
            histogram("time_per_output_token_seconds", 2, 4),
            "request_metrics",
            "time_per_output_token_seconds",
            0.5,
            id="inter-token-before",
        ),
        pytest.param(
            histogram("time_in_queue_requests", 2, 4), "request_metrics", "queue_time_seconds", 0.5, id="queue-of-0.6"
        ),
        pytest.param(
            "vllm:num_requests_waiting 2\nvllm:num_requests_swapped 1\n",
            "system_metrics",
            "num_requests_waiting",
            3,
            id="swapped-wait-too",
        ),
        pytest.param(
            "vllm:num_requests_running 0\nvllm:avg_generation_throughput_toks_per_s 90\n",
            "system_metrics",
            "throughput_tokens_per_second",
            0,
            id="the-throughput-gauge-froze",
        ),
        pytest.param(
            "vllm:num_requests_running 1\n",
            "system_metrics",
            "throughput_tokens_per_second",
            None,
            id="no-throughput-gauge-since-0.8",
        ),
        pytest.param(
            'vllm_num_requests_running{engine="0"} 1\nvllm_num_requests_running{engine="1"} 2\n',
            "system_metrics",
            "num_requests_running",
            3,
            id="openmetrics-underscores",
        ),
    ],
)
def test_a_field_has_its_source_in_every_release(page, section, field, value):
    assert getattr(getattr(read(page), section), field) == value


@pytest.mark.parametrize(
    ("page", "success", "failure"),
    [
        pytest.param("vllm:num_requests_running 0\n", 0, 0, id="nothing-has-ended"),
        pytest.param(
            'vllm:num_requests_running 0\nvllm:request_success_total{finished_reason="abort"} 3\n',
            0,
            3,
            id="0.6-shows-a-reason-from-its-first-request-on",
        ),
        pytest.param("", None, None, id="empty-page"),
    ],
)
def test_an_absent_reason_is_0_where_the_page_is_a_servers(page, success, failure):
    requests = read(page).request_metrics
    assert (requests.success_total, requests.failure_total) == (success, failure)


def test_iteration_tokens_is_a_histogram_in_spite_of_its_name():
    assert read(histogram("iteration_tokens_total", 300, 3)).vllm.iteration_tokens.mean == 100


def test_samples_of_when_a_counter_was_made_are_not_counted():
    page = "vllm:prompt_tokens_total 5\nvllm:prompt_tokens_created 1.7e9\nprocess_cpu_seconds_total 3\n"
    assert read(page).request_metrics.prompt_tokens_total == 5


def test_several_api_servers_expose_a_gauge_once_per_process():
    page = "".join(f'vllm:kv_cache_usage_perc{{engine="0",pid="{pid}"}} 0.5\n' for pid in (7, 8))
    assert read(page).cache_metrics.kv_usage_mean_ratio == 0.5


# As callers of the original design mock a server: names and figures from its description.
ORIGINAL_DESIGN = """
vllm:request_success_total 150
vllm:request_failure_total 5
vllm:time_to_first_token_seconds 0.025
vllm:time_per_output_token_seconds 0.010
vllm:e2e_request_latency_seconds 1.5
vllm:gpu_memory_usage_bytes 8589934592
vllm:num_requests_running 3
vllm:num_requests_waiting 2
vllm:prompt_tokens_total 15000
vllm:generation_tokens_total 30000
"""


def test_the_original_designs_page_gives_the_original_designs_answer():
    snapshot = read(ORIGINAL_DESIGN)
    requests, system = snapshot.request_metrics, snapshot.system_metrics
    assert (requests.success_total, requests.failure_total) == (150, 5)
    assert (requests.time_to_first_token_seconds, requests.time_per_output_token_seconds) == (0.025, 0.01)
    assert (requests.request_duration_seconds, requests.prompt_tokens_total) == (1.5, 15000)
    assert requests.generated_tokens_total == 30000
    assert snapshot.cache_metrics.cache_memory_usage_bytes == 8589934592
    assert (system.num_requests_running, system.num_requests_waiting) == (3, 2)
