"""The project's own pages of a real server, against what its client saw."""

import json

import pytest

from support import PAGES, snapshot_of

SERVERS = ["sglang-0.5.23", "sglang-0.5.23-dp2"]


@pytest.mark.parametrize("server", SERVERS)
def test_counters_move_by_what_the_client_saw(server):
    before, after = snapshot_of(PAGES / f"{server}-idle.prom"), snapshot_of(PAGES / f"{server}-after-load.prom")
    traffic = json.loads((PAGES / f"{server}-traffic.json").read_text())
    sent, tokens = traffic["counts"], traffic["tokens_seen_by_client"]
    aborts = sent["sent_abort_by_hangup"] + sent["sent_abort_by_rid"]
    moved = {
        field: getattr(after.request_metrics, field) - getattr(before.request_metrics, field)
        for field in (
            "finished_total",
            "failure_total",
            "success_total",
            "prompt_tokens_total",
            "generated_tokens_total",
        )
    }
    assert moved["finished_total"] == sent["status_200"] + aborts
    assert moved["failure_total"] == aborts
    assert moved["success_total"] == sent["status_200"]
    # Tokens of aborted requests are the server's alone: their client never saw a count.
    assert tokens["tok_prompt"] < moved["prompt_tokens_total"] < tokens["tok_prompt"] + aborts * 150
    assert tokens["tok_completion"] < moved["generated_tokens_total"]


@pytest.mark.parametrize("server", SERVERS)
def test_live_tokens_agree_with_finished_ones_once_all_have_finished(server):
    after = snapshot_of(PAGES / f"{server}-after-load.prom")
    requests, modes = after.request_metrics, after.system_metrics.realtime_tokens_by_mode
    assert modes["decode"] + requests.time_to_first_token.count == requests.generated_tokens_total


def test_two_ranks_are_one_server():
    snapshot = snapshot_of(PAGES / "sglang-0.5.23-dp2-load-later.prom")
    assert [(rank.dp_rank, rank.num_requests_running) for rank in snapshot.ranks] == [(0, 4), (1, 2)]
    assert snapshot.system_metrics.num_requests_running == 6
    assert snapshot.system_metrics.batch_size_current == 4
    assert snapshot.cache_metrics.kv_capacity_tokens == 2 * 8192


def test_a_busy_rank_beside_an_idle_one_is_not_averaged_away():
    snapshot = snapshot_of(PAGES / "sglang-0.5.23-dp2-load.prom")
    assert snapshot.system_metrics.num_requests_running == snapshot.system_metrics.batch_size_current == 5
    assert snapshot.cache_metrics.kv_usage_ratio > snapshot.cache_metrics.kv_usage_mean_ratio


@pytest.mark.parametrize("page", sorted(PAGES.glob("sglang-*.prom")), ids=lambda page: page.stem)
def test_a_real_page_proves_its_release_and_accounts_for_its_pool(page):
    snapshot = snapshot_of(page)
    cache = snapshot.cache_metrics
    assert snapshot.version_range.at_least in ("0.5.22", "0.5.23")
    assert snapshot.models == ("tiny-llama",)
    assert snapshot.engine_type == "unified"
    if cache.kv_used_tokens is not None:
        assert cache.kv_used_tokens + cache.kv_evictable_tokens + cache.kv_available_tokens <= cache.kv_capacity_tokens
        assert cache.radix_cache_size == cache.kv_used_tokens + cache.kv_evictable_tokens


def test_a_fresh_page_says_zero_where_it_can_and_nothing_where_it_cannot():
    snapshot = snapshot_of(PAGES / "sglang-0.5.23-dp2-fresh.prom")
    assert (snapshot.request_metrics.success_total, snapshot.request_metrics.failure_total) == (0, 0)
    assert snapshot.request_metrics.time_to_first_token_seconds is None
    assert snapshot.system_metrics.num_requests_running is None
    assert snapshot.cache_metrics.cache_hit_rate is None
    assert len(snapshot.ranks) == 2
