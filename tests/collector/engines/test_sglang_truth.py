"""Pages from many releases and rank layouts, against what was driven into the servers that made them."""

import json

import pytest

from collector.engines.sglang_versions import RELEASES
from support import SHARED, needs_shared, snapshot_of

GENERATED = SHARED / "expositions" / "generated"
TRUTHS = sorted(GENERATED.glob("sglang-*.truth.json"))

# Wrong on the page itself, so no reader can be right.
WRONG_GAUGES = {
    "sglang-0.4.6-dp4": "no rank labels before 0.4.9: the page shows the last rank that wrote",
    "sglang-0.4.6-tp4-all": "no rank labels before 0.4.9: gen_throughput is another rank's, 0.05 % off",
}
WRONG_COUNTERS = {
    "sglang-0.5.9-shareddir-after-restart": "a shared multiprocess directory keeps what dead processes counted",
}

FOLDED = {  # the truth's name and fold → section and field
    ("num_running_reqs", "per_server_sum_over_dp"): ("system_metrics", "num_requests_running"),
    ("num_queue_reqs", "per_server_sum_over_dp"): ("system_metrics", "num_requests_waiting"),
    ("gen_throughput", "per_server_sum_over_dp"): ("system_metrics", "gen_throughput_tokens_per_second"),
    ("num_grammar_queue_reqs", "per_server_sum_over_dp"): ("system_metrics", "num_requests_waiting_for_grammar"),
    ("utilization", "max_over_dp"): ("system_metrics", "utilization_ratio"),
    ("num_used_tokens", "per_server_sum_over_dp"): ("cache_metrics", "kv_used_tokens"),
    ("kv_used_tokens", "per_server_sum_over_dp"): ("cache_metrics", "kv_used_tokens"),
    ("kv_evictable_tokens", "per_server_sum_over_dp"): ("cache_metrics", "kv_evictable_tokens"),
    ("kv_available_tokens", "per_server_sum_over_dp"): ("cache_metrics", "kv_available_tokens"),
    ("token_usage", "max_over_dp"): ("cache_metrics", "kv_usage_ratio"),
    ("token_usage", "mean_over_dp"): ("cache_metrics", "kv_usage_mean_ratio"),
    ("full_token_usage", "max_over_dp"): ("cache_metrics", "full_attention_usage_ratio"),
    ("num_decode_prealloc_queue_reqs", "per_server_sum_over_dp"): ("disaggregation", "decode_prealloc_queue_requests"),
    ("num_decode_transfer_queue_reqs", "per_server_sum_over_dp"): ("disaggregation", "decode_transfer_queue_requests"),
    ("num_prefill_bootstrap_queue_reqs", "per_server_sum_over_dp"): (
        "disaggregation",
        "prefill_bootstrap_queue_requests",
    ),
    ("num_prefill_inflight_queue_reqs", "per_server_sum_over_dp"): (
        "disaggregation",
        "prefill_inflight_queue_requests",
    ),
}
NO_SUCH_FOLD = {"cache_hit_rate": "the gauge is the last batch's and is not read"}

pages = pytest.mark.parametrize("truth_file", TRUTHS, ids=lambda path: path.name.removesuffix(".truth.json"))


def page_and_truth(truth_file):
    name = truth_file.name.removesuffix(".truth.json")
    return name, snapshot_of(truth_file.with_name(name + ".prom")), json.loads(truth_file.read_text())


@needs_shared
def test_there_are_pages_to_hold_the_engine_against():
    assert len(TRUTHS) > 50


@needs_shared
@pages
def test_folded_gauges_equal_the_truth(truth_file):
    name, snapshot, truth = page_and_truth(truth_file)
    sections = {
        "system_metrics": snapshot.system_metrics,
        "cache_metrics": snapshot.cache_metrics,
        "disaggregation": snapshot.system_metrics.disaggregation,
    }
    wrong = {}
    for family, folds in truth["fold"].items():
        for fold, value in folds.items() if isinstance(folds, dict) else ():
            if family not in NO_SUCH_FOLD and (family, fold) in FOLDED:
                section, field = FOLDED[family, fold]
                read = getattr(sections[section], field)
                if read != pytest.approx(value, abs=1e-9):
                    wrong[family, fold] = (read, value)
    if name in WRONG_GAUGES:
        assert wrong, f"{name} is listed as wrong on the page, and was read right"
    else:
        assert not wrong


@needs_shared
def test_no_fold_of_the_truth_is_passed_over():
    folds = {
        (family, fold)
        for truth_file in TRUTHS
        for family, of_family in json.loads(truth_file.read_text())["fold"].items()
        if isinstance(of_family, dict)
        for fold in of_family
    }
    without_mean = {
        ("full_token_usage", "mean_over_dp"),
        ("utilization", "mean_over_dp"),
    }  # the fullest rank is what alarms
    assert {f for f in folds - FOLDED.keys() - without_mean if f[0] not in NO_SUCH_FOLD} == set()


@needs_shared
@pages
def test_tokenizer_totals_equal_the_truth(truth_file):
    name, snapshot, truth = page_and_truth(truth_file)
    requests, cache, tokenizer = snapshot.request_metrics, snapshot.cache_metrics, truth["tokenizer"]
    read_and_true = {
        "finished": (requests.finished_total, tokenizer["requests_finished"]),
        "aborted": (requests.failure_total, tokenizer["aborted"]),
        "prompt": (requests.prompt_tokens_total, tokenizer["prompt_tokens"]),
        "generated": (requests.generated_tokens_total, tokenizer["generation_tokens"]),
        "cached": (cache.prefix_cache_hit_total, tokenizer["cached_tokens"]),
        "ttft": (count_of(requests.time_to_first_token), tokenizer["ttft"]["count"]),
        "ttft-sum": (requests.time_to_first_token and requests.time_to_first_token.sum, tokenizer["ttft"]["sum"]),
        "e2e": (count_of(requests.request_duration), tokenizer["e2e"]["count"]),
        "inter-token": (count_of(requests.inter_token_latency), tokenizer["itl"]["count"]),
    }
    # A counter of a later release, or one not born yet, may be unsaid; it is never wrong.
    wrong = {
        what: (read, true)
        for what, (read, true) in read_and_true.items()
        if read != pytest.approx(true) and not (read is None and true == 0)
    }
    if name in WRONG_COUNTERS:
        assert wrong, f"{name} is listed as wrong on the page, and was read right"
    else:
        assert not wrong


def count_of(distribution):
    return distribution.count if distribution else None


@needs_shared
@pages
def test_the_true_release_is_within_the_range_that_the_page_proves(truth_file):
    _, snapshot, truth = page_and_truth(truth_file)
    order = RELEASES.index
    version = snapshot.version_range
    assert version.at_least is None or order(version.at_least) <= order(truth["version"])
    assert version.before is None or order(truth["version"]) < order(version.before)


@needs_shared
@pages
def test_a_quantiles_bounds_hold_the_true_quantile(truth_file):
    name, snapshot, truth = page_and_truth(truth_file)
    samples = sorted(truth["tokenizer"]["ttft"]["samples"])
    ttft = snapshot.request_metrics.time_to_first_token
    if not samples or name in WRONG_COUNTERS:
        assert ttft is None or name in WRONG_COUNTERS
        return
    for q, quantile in ((0.5, ttft.p50), (0.9, ttft.p90), (0.95, ttft.p95), (0.99, ttft.p99)):
        true = samples[min(int(q * len(samples)), len(samples) - 1)]
        nearest = samples[max(int(q * len(samples)) - 1, 0)]
        assert quantile.lower_bound <= true
        assert quantile.upper_bound is None or nearest <= quantile.upper_bound


REAL = SHARED / "expositions" / "real"


@needs_shared
@pytest.mark.parametrize("server", ["sglang-0.5.23", "sglang-0.5.23-dp2"])
def test_a_real_servers_counters_move_by_what_its_client_saw(server):
    before = snapshot_of(REAL / server / "metrics-idle-after-health.prom")
    after = snapshot_of(REAL / server / "metrics-after-load.prom")
    traffic = json.loads((REAL / server / "traffic-load.json").read_text())
    sent, tokens = traffic["counts"], traffic["tokens_seen_by_client"]
    aborts = sent["sent_abort_by_hangup"] + sent["sent_abort_by_rid"]

    def moved(section, field):
        return getattr(getattr(after, section), field) - getattr(getattr(before, section), field)

    assert moved("request_metrics", "finished_total") == sent["status_200"] + aborts
    assert moved("request_metrics", "failure_total") == aborts
    assert moved("request_metrics", "success_total") == sent["status_200"]
    # An aborted request's tokens never reached its client: its prompts are the rest.
    assert 0 < moved("request_metrics", "prompt_tokens_total") - tokens["tok_prompt"] < aborts * 150
    assert 0 < moved("cache_metrics", "prefix_cache_hit_total") - tokens["tok_cached"] < aborts * 150
    assert (moved("request_metrics", "prompt_tokens_total"), moved("cache_metrics", "prefix_cache_hit_total")) == (
        40_290,
        {"sglang-0.5.23": 33_895, "sglang-0.5.23-dp2": 33_125}[server],
    )
