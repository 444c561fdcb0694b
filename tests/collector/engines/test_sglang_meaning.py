"""What the fixed fields mean: when absent is 0, when it is unsaid, and which name wins."""

import pytest

from support import snapshot_of

# As callers of the original design mock a server: names and figures from its description.
ORIGINAL_DESIGN = """
sglang:request_success_total 300
sglang:request_failure_total 2
sglang:request_duration_seconds 1.8
sglang:time_to_first_token_seconds 0.020
sglang:time_per_output_token_seconds 0.008
sglang:request_input_tokens 256
sglang:request_output_tokens 512
sglang:cache_hit_rate 0.85
sglang:cache_memory_usage_bytes 4294967296
sglang:radix_cache_size 1024
sglang:prefix_cache_hit_total 255
sglang:num_requests_running 4
sglang:num_requests_waiting 1
sglang:batch_size_current 16
sglang:throughput_tokens_per_second 1250.5
"""


def test_the_original_designs_page_gives_the_original_designs_answer():
    snapshot = snapshot_of(ORIGINAL_DESIGN)
    requests, cache, system = snapshot.request_metrics, snapshot.cache_metrics, snapshot.system_metrics
    assert (requests.success_total, requests.failure_total) == (300, 2)
    assert (requests.request_duration_seconds, requests.time_to_first_token_seconds) == (1.8, 0.02)
    assert (requests.time_per_output_token_seconds, requests.input_tokens, requests.output_tokens) == (0.008, 256, 512)
    assert (cache.cache_hit_rate, cache.cache_memory_usage_bytes) == (0.85, 4294967296)
    assert (cache.radix_cache_size, cache.prefix_cache_hit_total) == (1024, 255)
    assert (system.num_requests_running, system.num_requests_waiting) == (4, 1)
    assert (system.batch_size_current, system.throughput_tokens_per_second) == (16, 1250.5)


def test_an_invented_name_never_overrides_a_real_one():
    page = ORIGINAL_DESIGN + "sglang:num_running_reqs 9\n"
    assert snapshot_of(page).system_metrics.num_requests_running == 9


def test_the_hit_rate_gauge_of_a_real_server_is_not_read():
    page = "sglang:num_running_reqs 1\nsglang:cache_hit_rate 0.9\n"
    assert snapshot_of(page).cache_metrics.cache_hit_rate is None


def test_the_hit_rate_is_cached_over_prompt_tokens():
    page = "sglang:prompt_tokens_total 200\nsglang:cached_tokens_total 50\nsglang:cache_hit_rate 0.9\n"
    assert snapshot_of(page).cache_metrics.cache_hit_rate == 0.25


@pytest.mark.parametrize(
    ("finished", "aborted", "success"),
    [(10, 3, 7), (3, 10, 0), (0, 0, 0)],
    ids=["finished-less-aborted", "never-below-zero", "nothing-yet"],
)
def test_successes_are_finished_requests_less_abort_calls(finished, aborted, success):
    page = f"sglang:num_requests_total {finished}\nsglang:num_aborted_requests_total {aborted}\n"
    requests = snapshot_of(page).request_metrics
    assert (requests.success_total, requests.failure_total, requests.finished_total) == (success, aborted, finished)


@pytest.mark.parametrize(
    ("proof", "aborted", "retracted", "cached"),
    [
        pytest.param("sglang:swa_token_usage 0\n", 0, None, 0, id="0.5.2-has-aborts-and-no-retraction-counter"),
        pytest.param("sglang:decode_sum_seq_lens 0\n", 0, 0, 0, id="0.5.7-has-both"),
        pytest.param("sglang:num_running_reqs 0\n", None, None, None, id="any-release-proves-nothing"),
        pytest.param("", None, None, None, id="empty-page"),
    ],
)
def test_an_absent_counter_is_0_where_the_page_proves_a_release_that_has_it(proof, aborted, retracted, cached):
    snapshot = snapshot_of(proof)
    assert snapshot.request_metrics.failure_total == aborted
    assert snapshot.request_metrics.retracted_total == retracted
    assert snapshot.cache_metrics.prefix_cache_hit_total == cached


def test_a_later_node_of_a_multi_node_server_says_nothing_of_the_tokenizers_counters():
    page = 'sglang:decode_sum_seq_lens{tp_rank="8"} 0\nsglang:max_total_num_tokens{tp_rank="8"} 100\n'
    requests = snapshot_of(page).request_metrics
    assert requests.failure_total is None
    assert requests.retracted_total == 0


def test_an_absent_gauge_is_unsaid_and_listed_as_missing():
    snapshot = snapshot_of("sglang:decode_sum_seq_lens 0\n")
    assert snapshot.system_metrics.num_requests_running is None
    assert "system_metrics.num_requests_running" in snapshot.missing
    assert "system_metrics.lora" not in snapshot.missing


def test_nothing_is_missing_twice_and_every_missing_field_is_null():
    snapshot = snapshot_of("sglang:num_running_reqs 1\n")
    assert len(set(snapshot.missing)) == len(snapshot.missing)
    for name in snapshot.missing:
        section, field = name.split(".")
        assert getattr(getattr(snapshot, section), field) is None


@pytest.mark.parametrize(
    ("running", "gauge", "throughput"), [(0, 361.0, 0.0), (2, 361.0, 361.0)], ids=["the-gauge-froze", "at-work"]
)
def test_throughput_is_0_when_nothing_runs(running, gauge, throughput):
    system = snapshot_of(f"sglang:num_running_reqs {running}\nsglang:gen_throughput {gauge}\n").system_metrics
    assert (system.throughput_tokens_per_second, system.gen_throughput_tokens_per_second) == (throughput, gauge)


def mean_of(name, total, count):
    return f"sglang:{name}_sum {total}\nsglang:{name}_count {count}\n"


@pytest.mark.parametrize(
    ("page", "field", "value"),
    [
        pytest.param(
            mean_of("inter_token_latency_seconds", 2, 4), "time_per_output_token_seconds", 0.5, id="inter-token"
        ),
        pytest.param(
            mean_of("time_per_output_token_seconds", 1, 4),
            "time_per_output_token_seconds",
            0.25,
            id="per-token-through-0.4.3",
        ),
        pytest.param(
            mean_of("time_per_output_token_seconds", 1, 4) + mean_of("inter_token_latency_seconds", 2, 4),
            "time_per_output_token_seconds",
            0.5,
            id="0.4.3.post4-has-both",
        ),
        pytest.param(mean_of("queue_time_seconds", 3, 4), "queue_time_seconds", 0.75, id="queue-histogram-since-0.5.3"),
        pytest.param(mean_of("queue_time_s", 3, 4), "queue_time_seconds", 0.75, id="queue-histogram-of-0.5.2"),
        pytest.param(
            "sglang:avg_request_queue_latency 0.5\n", "queue_time_seconds", 0.5, id="queue-gauge-0.4.5-to-0.4.6"
        ),
        pytest.param(
            "sglang:avg_request_queue_latency 0\nsglang:num_grammar_queue_reqs 0\n",
            "queue_time_seconds",
            None,
            id="declared-but-never-set",
        ),
        pytest.param(
            mean_of("e2e_request_latency_seconds", 0, 0), "request_duration_seconds", None, id="nothing-finished"
        ),
        pytest.param("sglang:total_retracted_reqs 3\n", "retracted_total", 3, id="retractions-were-a-gauge"),
        pytest.param(mean_of("num_retractions", 3, 4), "retracted_total", 3, id="retractions-were-a-histogram"),
    ],
)
def test_a_field_has_its_source_in_every_release(page, field, value):
    assert getattr(snapshot_of(page).request_metrics, field) == value


@pytest.mark.parametrize(
    ("page", "field", "value"),
    [
        pytest.param("sglang:num_prefill_infight_queue_reqs 2\n", "prefill_inflight_queue_requests", 2, id="the-typo"),
        pytest.param(
            "sglang:num_prefill_inflight_queue_reqs 2\n", "prefill_inflight_queue_requests", 2, id="the-typo-mended"
        ),
        pytest.param(
            "sglang:num_prefill_prealloc_queue_reqs 2\n", "prefill_bootstrap_queue_requests", 2, id="prealloc"
        ),
        pytest.param(
            "sglang:num_prefill_bootstrap_queue_reqs 2\n", "prefill_bootstrap_queue_requests", 2, id="bootstrap"
        ),
        pytest.param(
            "sglang:kv_transfer_latency_ms 40\n", "kv_transfer_seconds", 0.04, id="transfer-gauge-through-0.5.9"
        ),
        pytest.param(
            mean_of("kv_transfer_latency_ms", 80, 4), "kv_transfer_seconds", 0.02, id="transfer-histogram-since-0.5.10"
        ),
        pytest.param(mean_of("kv_transfer_speed_gb_s", 8, 4), "kv_transfer_bytes_per_second", 2e9, id="transfer-speed"),
    ],
)
def test_a_disaggregation_field_has_its_source_in_every_release(page, field, value):
    assert getattr(snapshot_of(page).system_metrics.disaggregation, field) == pytest.approx(value)


@pytest.mark.parametrize(
    ("page", "at_least", "before"),
    [
        pytest.param("sglang:num_running_reqs 1\n", "0.3.5.post2", "0.4.6.post5", id="oldest"),
        pytest.param("sglang:avg_request_queue_latency 1\n", "0.4.5.post3", "0.4.6.post5", id="a-family-that-left"),
        pytest.param("sglang:prealloc_full_token_usage 1\n", "0.5.23", None, id="newest"),
        pytest.param("other_metric 1\n", None, None, id="not-sglangs"),
    ],
)
def test_the_release_is_told_by_the_families_on_the_page(page, at_least, before):
    version = snapshot_of(page).version_range
    assert (version.at_least, version.before) == (at_least, before)
