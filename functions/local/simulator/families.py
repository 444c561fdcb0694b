"""What SGLang 0.5.23 calls things, and what they are in the simulation: a table for each part of the server.

A row is a family's name, its help, and its value: a number or a histogram, or several and the labels that tell them
apart.
"""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from itertools import pairwise
from typing import Any

from local.simulator.rank import KV_CAPACITY_TOKENS, Rank
from local.simulator.tally import Histogram, Tally

Number = float | Histogram
Value = Number | list[tuple[dict[str, str], Number]]
SchedulerFamilies = dict[str, tuple[str, Callable[[Rank], Value]]]
TokenizerFamilies = dict[str, tuple[str, Callable[[Sequence[Rank]], Value]]]

GIB = 2**30
KV_BYTES_PER_TOKEN = 131_072  # 32 layers of 8 heads of 128, keys and values, 2 bytes each
IDLE_CPU_SHARE = 0.02
BUSY_SHARES = {
    "recv_requests": 0.01,
    "process_input_requests": 0.01,
    "get_next_batch_to_run": 0.03,
    "run_batch": 0.88,
    "process_batch_result": 0.06,
    "process_queue": 0.0,
    "sanity_check_cache": 0.0,
    "other": 0.01,
}
STARTUP_SECONDS = {"load_weight": 11.4, "kv_cache_allocation": 0.6, "scheduler_e2e": 31.9, "tokenizer_e2e": 38.2}
GRAPH_PHASES = ("prefill", "decode", "target_verify", "draft_prefill", "draft_decode", "draft_extend")
ROUTING_KEY_BOUNDS = ("0", "1", "2", "3", "5", "7", "10", "20", "50", "100", "200", "+Inf")
IMBALANCE_RATIOS = (1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10, 15, 20, 30, 45, 60)
SYNC_WAIT_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
UNUSED = "Not used by the simulated server."


def by(label: str, values: Mapping[str, Number]) -> Value:
    return [({label: key}, value) for key, value in values.items()]


def of_all(ranks: Sequence[Rank], value: Callable[[Tally], Any]) -> Any:
    return reduce(operator.add, (value(rank.tally) for rank in ranks))


def by_streaming(value: Callable[[Tally, bool], Any]) -> Callable[[Sequence[Rank]], Value]:
    """Over all ranks, once for the requests that do not stream and once for those that do."""
    return lambda ranks: [
        ({"is_streaming": "false"}, of_all(ranks, lambda tally: value(tally, False))),
        ({"is_streaming": "true"}, of_all(ranks, lambda tally: value(tally, True))),
    ]


def busy_seconds(rank: Rank) -> float:
    return rank.now - rank.idle_seconds


def stage_seconds(rank: Rank) -> Value:
    stages = {stage: share * busy_seconds(rank) for stage, share in BUSY_SHARES.items()} | {"idle": rank.idle_seconds}
    return [({"category": stage, "forward_overlap": "none"}, seconds) for stage, seconds in stages.items()]


def prefill_tokens(rank: Rank) -> Value:
    computed, cached = rank.tally.computed_prefill_tokens, rank.tally.cached_prefill_tokens
    return by("mode", {"input": computed, "device_hit": cached, "host_hit": 0, "storage_hit": 0})


def realtime_tokens(rank: Rank) -> Value:
    computed, cached = rank.tally.computed_prefill_tokens, rank.tally.cached_prefill_tokens
    return by("mode", {"prefill_compute": computed, "prefill_cache": cached, "decode": rank.tally.decoded_tokens})


def passes(rank: Rank) -> Value:
    return by("mode", {"prefill_none": rank.tally.prefill_passes, "decode_cuda_graph": rank.tally.decode_passes})


def stage_latency(rank: Rank) -> Value:
    return by("stage", {"request_process": rank.tally.request_process, "prefill_forward": rank.tally.prefill_forward})


def nothing_by_routing_key(_: Rank) -> Value:
    return [({"gt": above, "le": upto}, 0) for above, upto in pairwise(ROUTING_KEY_BOUNDS)]


def nothing_by_process(rank: Rank) -> Value:
    return by("pid", {str(rank.process_id): 0})


SCHEDULER_COUNTERS: SchedulerFamilies = {
    "prefill_effective_tokens_total": ("Prompt tokens by where they came from.", prefill_tokens),
    "realtime_tokens_total": ("Tokens as they are computed.", realtime_tokens),
    "cuda_graph_passes_total": ("Forward passes.", passes),
    "scheduler_idle_seconds_total": ("Time with nothing to run.", lambda rank: rank.idle_seconds),
    "scheduler_process_cpu_seconds_total": (
        "CPU time of the scheduler.",
        lambda rank: busy_seconds(rank) + IDLE_CPU_SHARE * rank.idle_seconds,
    ),
    "scheduler_stage_seconds_total": ("Time of the scheduler's loop by stage.", stage_seconds),
    "dp_attention_tokens_total": (UNUSED, lambda _: by("kind", {"scheduled": 0, "imbalance": 0})),
    "dp_attention_pairs_total": (UNUSED, lambda _: by("kind", {"scheduled": 0, "imbalance": 0})),
    "dp_attention_steps_total": (UNUSED, lambda _: by("rank_state", {"active": 0, "idle": 0})),
}
SCHEDULER_GAUGES: SchedulerFamilies = {
    "num_running_reqs": ("Requests in the running batch.", lambda rank: len(rank.running)),
    "num_queue_reqs": ("Requests in the waiting queue.", lambda rank: len(rank.waiting)),
    "gen_throughput": ("Tokens generated per second.", lambda rank: rank.throughput_tokens_per_second),
    "cache_hit_rate": ("Cached share of the last prefill batch.", lambda rank: rank.last_batch_hit_ratio),
    "decode_sum_seq_lens": ("Lengths of the running sequences.", lambda rank: rank.sequence_tokens),
    "token_usage": ("Share of the KV pool in use.", lambda rank: round(rank.cache.used / KV_CAPACITY_TOKENS, 2)),
    "full_token_usage": ("Share of the KV pool in use.", lambda rank: rank.cache.used / KV_CAPACITY_TOKENS),
    "num_used_tokens": ("Tokens in use in the KV pool.", lambda rank: rank.cache.used),
    "kv_used_tokens": ("Tokens in use in the KV pool.", lambda rank: rank.cache.used),
    "kv_evictable_tokens": ("Cached tokens that can be evicted.", lambda rank: rank.cache.evictable),
    "kv_available_tokens": ("Free tokens in the KV pool.", lambda rank: rank.cache.available),
    "max_total_num_tokens": ("Capacity of the KV pool in tokens.", lambda _: KV_CAPACITY_TOKENS),
    "kv_cache_memory_usage_gb": ("Memory of the KV pool.", lambda _: KV_CAPACITY_TOKENS * KV_BYTES_PER_TOKEN / GIB),
    "weight_memory_usage_gb": ("Memory of the weights.", lambda _: 14.99),
    "graph_memory_usage_gb": ("Memory of captured graphs.", lambda _: by("phase", dict.fromkeys(GRAPH_PHASES, 0.0))),
    "startup_available_gpu_memory_gb": ("Memory left after the start.", lambda _: 53.1),
    "page_size": ("Tokens per page of the KV pool.", lambda _: 1),
    "num_pages": ("Pages of the KV pool.", lambda _: KV_CAPACITY_TOKENS),
    "context_len": ("Longest sequence in tokens.", lambda _: 32_768),
    "new_token_ratio": ("Share of the longest output that is reserved.", lambda _: 1),
    "fwd_occupancy": ("Not measured.", lambda _: math.nan),
    "num_retracted_reqs": (UNUSED, nothing_by_process),
    "num_paused_reqs": (UNUSED, nothing_by_process),
    "routing_key_running_req_count": (UNUSED, nothing_by_routing_key),
    "routing_key_all_req_count": (UNUSED, nothing_by_routing_key),
}
UNUSED_GAUGES = """
    num_grammar_queue_reqs utilization is_cuda_graph num_unique_running_routing_keys
    swa_token_usage swa_available_tokens swa_evictable_tokens swa_used_tokens
    mamba_usage mamba_available_tokens mamba_evictable_tokens mamba_used_tokens
    spec_accept_length spec_accept_rate spec_cap_length spec_block_accept_length spec_num_steps spec_num_draft_tokens
    num_prefill_bootstrap_queue_reqs num_prefill_inflight_queue_reqs num_decode_prealloc_queue_reqs
    num_decode_transfer_queue_reqs num_decode_host_receive_queue_reqs num_decode_deferred_kv_release_reqs
    pending_prealloc_token_usage prealloc_full_token_usage prealloc_swa_token_usage
"""
SCHEDULER_GAUGES |= {name: (UNUSED, lambda _: 0) for name in UNUSED_GAUGES.split()}
SCHEDULER_HISTOGRAMS: SchedulerFamilies = {
    "queue_time_seconds": ("Time in the waiting queue.", lambda rank: rank.tally.queued),
    "per_stage_req_latency_seconds": ("Time of a request in each stage.", stage_latency),
    "dp_attention_token_imbalance_ratio": (UNUSED, lambda _: Histogram(IMBALANCE_RATIOS)),
    "dp_attention_sync_wait_seconds": (UNUSED, lambda _: Histogram(SYNC_WAIT_SECONDS)),
}

# Their labels are other than the rest of the scheduler's.
CACHE_COUNTERS: SchedulerFamilies = {
    "evicted_tokens_total": ("Cached tokens evicted.", lambda rank: rank.cache.evicted_total),
}
CACHE_HISTOGRAMS: SchedulerFamilies = {
    "eviction_duration_seconds": ("Time of an eviction.", lambda rank: rank.tally.evictions),
}

TOKENIZER_COUNTERS: TokenizerFamilies = {
    "prompt_tokens_total": ("Prompt tokens of ended requests.", by_streaming(lambda t, s: t.prompt_tokens[s])),
    "generation_tokens_total": ("Tokens of ended requests.", by_streaming(lambda t, s: t.generated_tokens[s])),
    "cached_tokens_total": (
        "Prompt tokens of ended requests that were cached.",
        lambda ranks: by("cache_source", {"device": of_all(ranks, lambda t: t.cached_tokens)}),
    ),
    "num_requests_total": ("Requests that ended.", by_streaming(lambda t, s: t.finished[s])),
    "num_aborted_requests_total": ("Requests whose client left.", lambda ranks: of_all(ranks, lambda t: t.aborted)),
}
TOKENIZER_GAUGES: TokenizerFamilies = {
    "startup_time_seconds": ("Time to start, by phase.", lambda _: by("phase", STARTUP_SECONDS)),
    "startup_cuda_graph_time_seconds": (UNUSED, lambda _: by("phase", dict.fromkeys(GRAPH_PHASES, 0.0))),
}
TOKENIZER_HISTOGRAMS: TokenizerFamilies = {
    "time_to_first_token_seconds": ("Time to first token.", by_streaming(lambda t, s: t.first_token[s])),
    "inter_token_latency_seconds": (
        "Time between the tokens of streams.",
        lambda ranks: of_all(ranks, lambda t: t.inter_token),
    ),
    "e2e_request_latency_seconds": ("Time from arrival to end.", by_streaming(lambda t, s: t.duration[s])),
    "request_time_per_output_token_seconds": (
        "A request's mean time per token after the first.",
        by_streaming(lambda t, s: t.per_output_token[s]),
    ),
    "prompt_tokens_histogram": ("Tokens per prompt.", lambda ranks: of_all(ranks, lambda t: t.prompt_length)),
    "uncached_prompt_tokens_histogram": (
        "Tokens per prompt that were not cached.",
        lambda ranks: of_all(ranks, lambda t: t.uncached_length),
    ),
    "generation_tokens_histogram": (
        "Tokens generated per request.",
        lambda ranks: of_all(ranks, lambda t: t.generated_length),
    ),
}
