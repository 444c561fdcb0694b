"""SGLang's releases, and the families that tell a page's.

Read off 36 released wheels, 0.2.15 to 0.5.23, by instantiating their metric collectors; a release is the first or last
*checked* one that shows a family. A family without `_bucket` and `_count` is a gauge or counter.
"""

from collector.engines.releases import Releases

RELEASES = (
    "0.3.5.post2", "0.3.6.post3", "0.4.1.post7", "0.4.3.post4", "0.4.4.post4", "0.4.5.post3", "0.4.6", "0.4.6.post5",
    "0.4.7.post1", "0.4.8.post1", "0.4.9.post6", "0.4.10.post2", "0.5.0rc2", "0.5.1.post3", "0.5.2", "0.5.3.post3",
    "0.5.4.post3", "0.5.5.post3", "0.5.6.post2", "0.5.7", "0.5.8.post1", "0.5.9", "0.5.10.post1", "0.5.11",
    "0.5.12.post1", "0.5.13", "0.5.14", "0.5.15.post1", "0.5.16", "0.5.17", "0.5.18", "0.5.19", "0.5.20", "0.5.21",
    "0.5.22", "0.5.23",
)  # fmt: skip

FIRST_SEEN = {
    "0.3.5.post2": ("num_running_reqs", "token_usage", "prompt_tokens_total", "e2e_request_latency_seconds_count"),
    "0.4.1.post7": ("num_requests_total", "spec_accept_length"),
    "0.4.3.post4": ("cached_tokens_total", "inter_token_latency_seconds_count"),
    "0.4.5.post3": ("avg_request_queue_latency",),
    "0.4.6.post5": (
        "num_grammar_queue_reqs", "num_decode_prealloc_queue_reqs", "num_decode_transfer_queue_reqs",
        "num_prefill_infight_queue_reqs", "num_prefill_prealloc_queue_reqs", "prompt_tokens_histogram_count",
        "num_so_requests_total", "num_bootstrap_failed_reqs_total", "num_transfer_failed_reqs_total",
    ),
    "0.4.7.post1": ("num_aborted_requests_total",),
    "0.4.9.post6": ("total_retracted_reqs",),
    "0.5.1.post3": ("num_prefill_inflight_queue_reqs",),
    "0.5.2": (
        "num_retracted_reqs", "num_paused_reqs", "swa_token_usage", "utilization", "engine_startup_time",
        "num_running_reqs_offline_batch", "kv_transfer_latency_ms", "kv_transfer_latency_ms_count",
        "max_running_requests_under_SLO",
    ),
    "0.5.3.post3": (
        "queue_time_seconds_count", "per_stage_req_latency_seconds_count", "spec_accept_rate",
        "pending_prealloc_token_usage",
    ),
    "0.5.4.post3": ("is_cuda_graph", "mamba_usage", "num_retractions_count"),
    "0.5.5.post3": ("new_token_ratio", "evicted_tokens_total", "load_back_tokens_total"),
    "0.5.6.post2": ("max_total_num_tokens", "http_responses_total"),
    "0.5.7": (
        "decode_sum_seq_lens", "realtime_tokens_total", "cuda_graph_passes_total", "num_retracted_requests_total",
        "http_requests_total", "lora_pool_slots_total", "gpu_execution_seconds_total", "kv_transfer_total_mb",
        "kv_transfer_total_mb_count",
    ),
    "0.5.8.post1": (
        "num_unique_running_routing_keys", "process_cpu_seconds_total", "http_requests_active",
        "routing_keys_active",
    ),
    "0.5.9": ("cache_config_info",),
    "0.5.10.post1": (
        "full_token_usage", "hicache_host_used_tokens", "estimated_flops_per_gpu_total",
        "gpu_overlap_wait_seconds_total",
    ),
    "0.5.11": (
        "kv_used_tokens", "kv_evictable_tokens", "page_size", "context_len", "num_streaming_sessions",
        "forward_execution_seconds_total", "startup_available_gpu_memory_gb",
    ),
    "0.5.12.post1": (
        "fwd_occupancy", "mamba_used_tokens", "num_prefill_bootstrap_queue_reqs",
        "uncached_prompt_tokens_histogram_count",
    ),
    "0.5.13": (
        "spec_num_steps", "spec_num_draft_tokens", "spec_verify_calls_total", "weight_load_duration_seconds",
    ),
    "0.5.16": ("spec_cap_length", "spec_block_accept_length"),
    "0.5.17": (
        "kv_cache_memory_usage_gb", "weight_memory_usage_gb", "startup_time_seconds", "graph_memory_usage_gb",
    ),
    "0.5.18": ("prefill_effective_tokens_total", "hicache_backup_tokens_total"),
    "0.5.20": (
        "scheduler_idle_seconds_total", "scheduler_stage_seconds_total", "scheduler_process_cpu_seconds_total",
    ),
    "0.5.21": ("num_decode_host_receive_queue_reqs",),
    "0.5.22": (
        "num_decode_deferred_kv_release_reqs", "dp_attention_tokens_total",
        "request_time_per_output_token_seconds_count",
    ),
    "0.5.23": ("prealloc_full_token_usage", "prealloc_swa_token_usage"),
}  # fmt: skip

LAST_SEEN = {
    "time_per_output_token_seconds_count": "0.4.3.post4",
    "avg_request_queue_latency": "0.4.6",
    "num_prefill_infight_queue_reqs": "0.5.0rc2",
    "total_retracted_reqs": "0.5.2",
    "cache_config_info": "0.5.10.post1",
    "num_running_reqs_offline_batch": "0.5.10.post1",
    "num_retractions_count": "0.5.10.post1",
    "num_prefill_prealloc_queue_reqs": "0.5.11",
    "engine_startup_time": "0.5.16",
}

# Set together with num_running_reqs, on every server: where that is and one of these is not, the release is older.
BESIDE_RUNNING = (
    "num_grammar_queue_reqs", "swa_token_usage", "mamba_usage", "new_token_ratio", "decode_sum_seq_lens",
    "num_unique_running_routing_keys", "full_token_usage", "kv_used_tokens", "fwd_occupancy", "spec_num_steps",
    "spec_cap_length", "num_decode_host_receive_queue_reqs", "num_decode_deferred_kv_release_reqs",
    "prealloc_full_token_usage",
)  # fmt: skip

SGLANG = Releases(
    RELEASES,
    {release: [f"sglang:{family}" for family in families] for release, families in FIRST_SEEN.items()},
    {f"sglang:{family}": release for family, release in LAST_SEEN.items()},
    anchor="sglang:num_running_reqs",
    beside=[f"sglang:{family}" for family in BESIDE_RUNNING],
)
