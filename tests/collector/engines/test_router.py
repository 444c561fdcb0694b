"""SGLang's router: the page of its own, and the one on which it gathers its workers' pages."""

import pytest

from support import PAGES, SHARED, needs_shared, snapshot_of

OWN = PAGES / "router-0.3.2-after-load.prom"
GATHERED = PAGES / "router-0.3.2-engine-metrics.prom"
WORKERS = {  # what each worker answered with, when the router was asked
    "http://127.0.0.1:41001": PAGES / "sglang-0.5.23-load-later.prom",
    "http://127.0.0.1:41002": PAGES / "sglang-0.5.23-after-load.prom",
}


@pytest.fixture(scope="module")
def gathered():
    return snapshot_of(GATHERED)


@pytest.fixture(scope="module")
def workers():
    return {address: snapshot_of(page) for address, page in WORKERS.items()}


def test_a_router_that_gathers_is_one_target_with_a_row_for_each_worker(gathered, workers):
    assert [
        (rank.worker, rank.dp_rank, rank.num_requests_running, rank.kv_usage_ratio, rank.decoded_tokens_total)
        for rank in gathered.ranks
    ] == [
        (
            address,
            None,
            worker.system_metrics.num_requests_running,
            worker.cache_metrics.kv_usage_ratio,
            worker.system_metrics.realtime_tokens_by_mode["decode"],
        )
        for address, worker in workers.items()
    ]


@pytest.mark.parametrize(
    ("section", "field"),
    [
        ("system_metrics", "num_requests_running"),
        ("system_metrics", "num_requests_waiting"),
        ("request_metrics", "finished_total"),
        ("request_metrics", "failure_total"),
        ("request_metrics", "prompt_tokens_total"),
        ("request_metrics", "retracted_total"),
        ("cache_metrics", "kv_capacity_tokens"),
        ("cache_metrics", "kv_used_tokens"),
        ("cache_metrics", "prefix_cache_hit_total"),
        ("cache_metrics", "evicted_tokens_total"),
        ("cache_metrics", "cache_memory_usage_bytes"),
    ],
)
def test_workers_add_up(gathered, workers, section, field):
    assert getattr(getattr(gathered, section), field) == sum(
        getattr(getattr(worker, section), field) for worker in workers.values()
    )


def test_a_usage_is_the_fullest_workers_and_histograms_are_all_workers(gathered, workers):
    usages = [worker.cache_metrics.kv_usage_ratio for worker in workers.values()]
    assert gathered.cache_metrics.kv_usage_ratio == max(usages)
    assert gathered.cache_metrics.kv_usage_mean_ratio == pytest.approx(sum(usages) / 2)  # alike in capacity
    for field in ("time_to_first_token", "queue_time", "inter_token_latency"):
        counts = [getattr(worker.request_metrics, field).count for worker in workers.values()]
        assert getattr(gathered.request_metrics, field).count == sum(counts)


def test_a_gathered_page_proves_its_workers_release(gathered, workers):
    assert {worker.version_range for worker in workers.values()} == {gathered.version_range}
    assert (gathered.engine, gathered.engine_type) == ("sglang", "unified")


def test_ranks_are_numbered_within_their_worker():
    page = "".join(
        f'sglang_num_running_reqs{{dp_rank="{rank}",tp_rank="{rank}",worker_addr="{worker}"}} 1\n'
        for worker in ("http://a", "http://b")
        for rank in (0, 1)
    )
    snapshot = snapshot_of(page)
    assert snapshot.system_metrics.num_requests_running == 4
    assert [(rank.worker, rank.dp_rank) for rank in snapshot.ranks] == [
        ("http://a", 0),
        ("http://a", 1),
        ("http://b", 0),
        ("http://b", 1),
    ]


def test_a_routers_own_page_says_what_passed_through_it():
    snapshot = snapshot_of(OWN)
    router = snapshot.router
    assert (snapshot.engine, snapshot.engine_type, snapshot.models) == ("sglang", "router", ("tiny-llama",))
    # 27 requests were answered; 4 of them at the second try.
    assert (router.requests_total, router.retries_total) == (27, 4)
    assert router.upstream_responses_by_class == {"2xx": 27, "5xx": 4}
    assert router.worker_errors_by_type == {"backend_error": 4}
    assert (router.workers, router.health_by_worker) == (2, dict.fromkeys(WORKERS, 1))
    assert router.circuit_state_by_worker == dict.fromkeys(WORKERS, 0)
    assert snapshot.request_metrics.request_duration.count == 27
    assert 0 < snapshot.request_metrics.request_duration_seconds < 1
    assert snapshot.request_metrics.http_responses_by_class == {"2xx": 28}  # and one to a health check


def test_a_router_does_not_know_what_its_workers_finished_or_run():
    snapshot = snapshot_of(OWN)
    assert {"request_metrics.success_total", "system_metrics.num_requests_running"} <= set(snapshot.missing)
    assert snapshot.ranks == ()


def test_a_router_of_grpc_workers_knows_tokens_and_times_too():
    page = (
        'smg_router_tokens_total{token_type="input"} 90\nsmg_router_tokens_total{token_type="output"} 40\n'
        "smg_router_ttft_seconds_sum 2\nsmg_router_ttft_seconds_count 4\n"
        'smg_worker_requests_active{worker="http://a"} 3\n'
    )
    snapshot = snapshot_of(page)
    requests = snapshot.request_metrics
    assert (requests.prompt_tokens_total, requests.generated_tokens_total) == (90, 40)
    assert requests.time_to_first_token_seconds == 0.5
    assert snapshot.router.requests_active_by_worker == {"http://a": 3}


def test_an_older_routers_page_is_known_for_what_it_is():
    snapshot = snapshot_of("sgl_router_processed_requests_total 5\n")
    assert (snapshot.engine_type, snapshot.router) == ("router", None)


@needs_shared
def test_another_recording_of_a_router_is_read_alike():
    folder = SHARED / "expositions" / "generated"
    own = snapshot_of(folder / "router-0.3.2-traffic.prom").router
    assert (own.requests_total, own.retries_total, own.workers) == (29, 4, 2)
    gathered = snapshot_of(folder / "router-0.3.2-engine_metrics.prom")
    assert [(rank.worker[-5:], rank.num_requests_running) for rank in gathered.ranks] == [("31001", 7), ("31002", 12)]
    assert gathered.system_metrics.num_requests_running == 19
    assert gathered.request_metrics.finished_total == 115
