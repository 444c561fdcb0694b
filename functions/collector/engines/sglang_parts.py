"""What an SGLang may have or lack as a whole: tiers below the device's cache, speculation, disaggregation, LoRA."""

from collector.engines.tables import (
    Born,
    Histogram,
    Mean,
    PerGroup,
    PerRank,
    RankBlind,
    Series,
    Table,
    largest,
    weighted_by,
)

GB = 1e9
MILLISECONDS = 1e-3

KV_TRANSFER = PerGroup("sglang:kv_transfer_latency_ms", scale=MILLISECONDS, across=largest)

KV_POOL = {"pool": "kv"}
ANY_POOL = {"pool": None}  # before the label came
HICACHE: Table = {
    "host_used_tokens": [PerGroup("sglang:hicache_host_used_tokens")],
    "host_capacity_tokens": [PerGroup("sglang:hicache_host_total_tokens")],
    "backup_tokens_total": [
        RankBlind("sglang:hicache_backup_tokens_total", KV_POOL),
        RankBlind("sglang:hicache_backup_tokens_total", ANY_POOL),
    ],
    "backup_bytes_total": [PerRank("sglang:hicache_backup_bytes_total")],
    "load_back_tokens_total": [
        RankBlind("sglang:load_back_tokens_total", KV_POOL),
        RankBlind("sglang:load_back_tokens_total", ANY_POOL),
    ],
    "load_back_bytes_total": [PerRank("sglang:load_back_bytes_total")],
    "dropped_tokens_total": [RankBlind("sglang:hicache_dropped_tokens_total", KV_POOL)],
    "storage_prefetched_tokens_total": [PerGroup("sglang:prefetched_tokens_total")],
    "storage_backed_up_tokens_total": [PerGroup("sglang:backuped_tokens_total")],
}

BY_RUNNING = weighted_by("sglang:num_running_reqs")
SPECULATIVE: Table = {
    "accept_length_tokens": [PerGroup("sglang:spec_accept_length", across=BY_RUNNING)],
    "accept_ratio": [PerGroup("sglang:spec_accept_rate", across=BY_RUNNING)],
    "steps": [PerGroup("sglang:spec_num_steps", across=largest)],
    "draft_tokens": [PerGroup("sglang:spec_num_draft_tokens", across=largest)],
    "verify_calls_total": [Born("0.5.13", Series("sglang:spec_verify_calls_total"))],
}

DISAGGREGATION: Table = {
    "prefill_bootstrap_queue_requests": [
        PerGroup("sglang:num_prefill_bootstrap_queue_reqs"),
        PerGroup("sglang:num_prefill_prealloc_queue_reqs"),
    ],
    "prefill_inflight_queue_requests": [
        PerGroup("sglang:num_prefill_inflight_queue_reqs"),
        PerGroup("sglang:num_prefill_infight_queue_reqs"),  # sic, through 0.5.0rc2
    ],
    "decode_prealloc_queue_requests": [PerGroup("sglang:num_decode_prealloc_queue_reqs")],
    "decode_transfer_queue_requests": [PerGroup("sglang:num_decode_transfer_queue_reqs")],
    "decode_host_receive_queue_requests": [PerGroup("sglang:num_decode_host_receive_queue_reqs")],
    "bootstrap_failed_total": [Born("0.4.6.post5", PerGroup("sglang:num_bootstrap_failed_reqs_total"))],
    "transfer_failed_total": [Born("0.4.6.post5", PerGroup("sglang:num_transfer_failed_reqs_total"))],
    "prefill_retries_total": [Born("0.5.8.post1", PerGroup("sglang:num_prefill_retries_total"))],
    # Histograms since 0.5.10, gauges of the last transfer before, under the same names.
    "kv_transfer_seconds": [Mean(KV_TRANSFER), KV_TRANSFER],
    "kv_transfer_bytes_per_second": [
        Mean(PerGroup("sglang:kv_transfer_speed_gb_s", scale=GB)),
        PerGroup("sglang:kv_transfer_speed_gb_s", scale=GB),
    ],
    "kv_transfer": [Histogram(KV_TRANSFER)],
}

LORA: Table = {
    "slots_used": [PerGroup("sglang:lora_pool_slots_used")],
    "slots_total": [PerGroup("sglang:lora_pool_slots_total")],
    "usage_ratio": [PerGroup("sglang:lora_pool_utilization", across=largest)],
}
