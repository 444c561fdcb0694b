"""How ranks, priorities, processes and engine types become one number."""

import pytest

from support import snapshot_of


def running(*labels_and_values):
    """Lines of num_running_reqs, one per (labels, value)."""
    return "".join(f"sglang:num_running_reqs{{{labels}}} {value}\n" for labels, value in labels_and_values)


@pytest.mark.parametrize(
    ("page", "running_requests"),
    [
        pytest.param('sglang:num_running_reqs{model_name="m"} 7\n', 7, id="no-rank-labels"),
        pytest.param(running(('tp_rank="0"', 3), ('tp_rank="1"', 3)), 3, id="tensor-ranks-repeat-each-other"),
        pytest.param(running(('tp_rank="1"', 9), ('tp_rank="0"', 3)), 3, id="the-lowest-tensor-rank-is-read"),
        pytest.param(
            running(('pp_rank="1",tp_rank="0"', 9), ('pp_rank="0",tp_rank="1"', 3)),
            3,
            id="pipeline-rank-before-tensor-rank",
        ),
        pytest.param(
            running(('dp_rank="0",tp_rank="0"', 3), ('dp_rank="1",tp_rank="1"', 5)), 8, id="data-parallel-ranks-add-up"
        ),
        pytest.param(
            running(
                ('dp_rank="0",tp_rank="0"', 3),
                ('dp_rank="0",tp_rank="1"', 3),
                ('dp_rank="1",tp_rank="2"', 5),
                ('dp_rank="1",tp_rank="3"', 5),
            ),
            8,
            id="both-at-once",
        ),
        pytest.param(
            running(('dp_rank="10",tp_rank="10"', 1), ('dp_rank="9",tp_rank="9"', 2)), 3, id="two-digit-ranks"
        ),
        pytest.param(
            running(('priority="",tp_rank="0"', 10), ('priority="5",tp_rank="0"', 4), ('priority="0",tp_rank="0"', 6)),
            10,
            id="a-priority-total-is-not-added-to-its-breakdown",
        ),
        pytest.param(
            running(('priority="5",tp_rank="0"', 4), ('priority="0",tp_rank="0"', 6)),
            10,
            id="a-breakdown-without-total-adds-up",
        ),
        pytest.param(
            running(('engine_type="prefill",tp_rank="0"', 40), ('engine_type="decode",tp_rank="0"', 2)),
            2,
            id="engine-types-are-kept-apart",
        ),
        pytest.param(running(('dp_rank="0"', "NaN"), ('dp_rank="1"', 5)), 5, id="not-a-number-says-nothing"),
        pytest.param(
            'sglang_num_running_reqs{worker_addr="a"} 2\nsglang_num_running_reqs{worker_addr="b"} 3\n',
            5,
            id="underscores",
        ),
        pytest.param("sglang:num_queue_reqs 1\n", None, id="absent"),
    ],
)
def test_running_requests_are_one_number_for_the_server(page, running_requests):
    assert snapshot_of(page).system_metrics.num_requests_running == running_requests


def test_the_batch_size_is_the_largest_rank_and_each_rank_has_its_row():
    snapshot = snapshot_of(running(('dp_rank="0",tp_rank="0"', 3), ('dp_rank="1",tp_rank="1"', 5)))
    assert snapshot.system_metrics.batch_size_current == 5
    assert [(rank.dp_rank, rank.tp_rank, rank.num_requests_running) for rank in snapshot.ranks] == [
        (0, 0, 3),
        (1, 1, 5),
    ]


def test_the_type_that_is_not_folded_in_is_named():
    snapshot = snapshot_of(running(('engine_type="prefill"', 40), ('engine_type="decode"', 2)))
    assert (snapshot.engine_type, snapshot.other_engine_types) == ("decode", ("prefill",))


@pytest.mark.parametrize(
    ("engine_types", "own"),
    [
        pytest.param(["unified", "prefill"], "unified", id="unified-before-prefill"),
        pytest.param(["dynamic"], "dynamic", id="one-unknown"),
        pytest.param(["zeta", "alpha"], "alpha", id="unknown-ones-in-their-order"),
    ],
)
def test_the_engine_type_that_answers_clients_is_the_servers(engine_types, own):
    assert snapshot_of(running(*((f'engine_type="{name}"', 1) for name in engine_types))).engine_type == own


def test_tokenizer_totals_count_although_only_the_scheduler_knows_its_type():
    page = (
        running(('engine_type="prefill"', 1), ('engine_type="decode"', 2))
        + 'sglang:prompt_tokens_total{model_name="m"} 9\n'
    )
    assert snapshot_of(page).request_metrics.prompt_tokens_total == 9


def test_a_tokenizers_priorities_add_up_since_each_request_has_its_own():
    page = "".join(f'sglang:prompt_tokens_total{{priority="{p}"}} {n}\n' for p, n in [("", 5), ("0", 7), ("5", 11)])
    assert snapshot_of(page).request_metrics.prompt_tokens_total == 23


def test_a_process_id_that_changed_leaves_one_series():
    page = "".join(f'sglang:num_paused_reqs{{pid="{pid}",tp_rank="0"}} 2\n' for pid in (100, 200))
    assert snapshot_of(page).system_metrics.num_requests_paused == 2


def test_usage_is_the_fullest_ranks_and_the_mean_is_weighted_by_capacity():
    page = (
        'sglang:token_usage{dp_rank="0"} 0.9\nsglang:token_usage{dp_rank="1"} 0.1\n'
        'sglang:max_total_num_tokens{dp_rank="0"} 1000\nsglang:max_total_num_tokens{dp_rank="1"} 3000\n'
    )
    cache = snapshot_of(page).cache_metrics
    assert cache.kv_usage_ratio == 0.9
    assert cache.kv_usage_mean_ratio == pytest.approx((0.9 * 1000 + 0.1 * 3000) / 4000)


def test_the_mean_usage_is_plain_where_no_capacity_is_said():
    page = 'sglang:token_usage{dp_rank="0"} 0.9\nsglang:token_usage{dp_rank="1"} 0.1\n'
    assert snapshot_of(page).cache_metrics.kv_usage_mean_ratio == pytest.approx(0.5)


def test_memory_is_each_gpus_own_and_adds_up_over_every_rank():
    page = "".join(
        f'sglang:kv_cache_memory_usage_gb{{dp_rank="{dp}",tp_rank="{tp}"}} 36\n'
        for dp, tp in [(0, 0), (0, 1), (1, 2), (1, 3)]
    )
    assert snapshot_of(page).cache_metrics.cache_memory_usage_bytes == 4 * 36 * 2**30


def test_the_used_bytes_are_the_used_share_of_what_is_allocated():
    page = "sglang:kv_cache_memory_usage_gb 2\nsglang:max_total_num_tokens 1000\nsglang:kv_used_tokens 250\n"
    assert snapshot_of(page).cache_metrics.kv_used_bytes == 2**29


def test_a_speculative_mean_counts_each_rank_by_its_running_requests():
    page = (
        running(('dp_rank="0"', 1), ('dp_rank="1"', 3))
        + 'sglang:spec_accept_length{dp_rank="0"} 1\nsglang:spec_accept_length{dp_rank="1"} 3\n'
    )
    assert snapshot_of(page).system_metrics.speculative.accept_length_tokens == 2.5


RANKS = "".join(f'sglang:max_total_num_tokens{{tp_rank="{tp}",pp_rank="0"}} 1000\n' for tp in range(4))


@pytest.mark.parametrize(
    ("page", "evicted"),
    [
        pytest.param(
            RANKS + 'sglang:evicted_tokens_total{cache_type="RadixCache"} 400\n',
            100,
            id="through-0.5.20-summed-over-ranks",
        ),
        pytest.param(
            RANKS + "".join(f'sglang:evicted_tokens_total{{dp_rank="0",tp_rank="{tp}"}} 100\n' for tp in range(4)),
            100,
            id="since-0.5.21-one-rank-is-read",
        ),
        pytest.param('sglang:evicted_tokens_total{cache_type="RadixCache"} 400\n', None, id="unknown-number-of-ranks"),
    ],
)
def test_evictions_are_the_servers_and_not_multiplied_by_its_ranks(page, evicted):
    assert snapshot_of(page).cache_metrics.evicted_tokens_total == evicted


def test_a_schedulers_histogram_is_read_from_one_rank_and_a_tokenizers_from_all_series():
    queue = "".join(
        f'sglang:queue_time_seconds_{part}{{{le}tp_rank="{tp}"}} {value}\n'
        for tp in (0, 1)
        for part, le, value in [
            ("sum", "", 2),
            ("bucket", 'le="1.0",', 3),
            ("bucket", 'le="+Inf",', 4),
            ("count", "", 4),
        ]
    )
    ttft = "".join(
        f'sglang:time_to_first_token_seconds_{part}{{is_streaming="{streaming}",{le}}} {value}\n'
        for streaming in ("true", "false")
        for part, le, value in [
            ("sum", "", 2),
            ("bucket", 'le="1.0",', 3),
            ("bucket", 'le="+Inf",', 4),
            ("count", "", 4),
        ]
    )
    requests = snapshot_of(queue + ttft).request_metrics
    assert (requests.queue_time.count, requests.queue_time.sum) == (4, 2)
    assert (requests.time_to_first_token.count, requests.time_to_first_token.sum) == (8, 4)


def test_series_with_other_bounds_are_added_where_they_share_one():
    page = (
        'sglang:e2e_request_latency_seconds_bucket{a="1",le="1.0"} 1\n'
        'sglang:e2e_request_latency_seconds_bucket{a="1",le="2.0"} 2\n'
        'sglang:e2e_request_latency_seconds_bucket{a="1",le="+Inf"} 2\n'
        'sglang:e2e_request_latency_seconds_bucket{a="2",le="2.0"} 5\n'
        'sglang:e2e_request_latency_seconds_bucket{a="2",le="+Inf"} 6\n'
        'sglang:e2e_request_latency_seconds_bucket{a="2",le="many"} 9\n'
    )
    duration = snapshot_of(page).request_metrics.request_duration
    assert duration.count == 8
    assert (duration.p50.lower_bound, duration.p50.upper_bound) == (0, 2)
    assert duration.p99.in_last_bucket


def test_http_responses_are_counted_by_class_without_probes():
    responses = {
        ("/generate", 200): 5,
        ("/v1/completions", 201): 2,
        ("/generate", 503): 1,
        ("/metrics", 200): 90,
        ("/health_generate", 200): 30,
    }
    page = "".join(
        f'sglang:http_responses_total{{endpoint="{path}",status_code="{code}"}} {count}\n'
        for (path, code), count in responses.items()
    )
    assert snapshot_of(page).request_metrics.http_responses_by_class == {"2xx": 7, "5xx": 1}


def test_cached_tokens_are_split_by_source_whatever_backend_stores_them():
    page = "".join(
        f'sglang:cached_tokens_total{{cache_source="{source}"}} 5\n'
        for source in ("device", "storage_file", "storage_x")
    )
    cache = snapshot_of(page).cache_metrics
    assert cache.cached_tokens_by_source == {"device": 5, "storage": 10}
    assert cache.prefix_cache_hit_total == 15


def test_a_label_with_more_values_than_a_server_has_does_not_make_an_endless_split():
    page = "".join(f'sglang:realtime_tokens_total{{mode="m{n:04}"}} 1\n' for n in range(500))
    split = snapshot_of(page).system_metrics.realtime_tokens_by_mode
    assert len(split) <= 33
    assert sum(split.values()) == 500


@pytest.mark.parametrize("value", ["1e300", "-1e300", "NaN", "+Inf"])
def test_a_count_beyond_what_can_be_counted_is_unsaid(value):
    assert snapshot_of(f"sglang:num_running_reqs {value}\n").system_metrics.num_requests_running is None
