"""The parts of a snapshot that every engine fills, typed.

The fields that callers of the original design rely on come first in each section and keep their names.
None is "the server does not say"; a zero is one that the page proves.
"""

import math
from typing import Annotated, TypeGuard

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

LARGEST_COUNT = 2.0**63  # beyond it a page is broken, and DynamoDB holds 38 digits


def _finite(value: float | None) -> float | None:
    """None for NaN and infinities: a gauge that is not a number says nothing."""
    return value if value is not None and math.isfinite(value) else None


def is_count(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value) and abs(value) < LARGEST_COUNT


def _whole(value: float | None) -> int | None:
    return round(value) if is_count(value) else None


Count = Annotated[int | None, BeforeValidator(_whole)]
Number = Annotated[float | None, BeforeValidator(_finite)]

FEATURES = ("hicache", "speculative", "disaggregation", "lora")


class Model(BaseModel):
    """Made once and not changed after; an unknown field is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Quantile(Model):
    value: Number = Field(
        description="The estimate, shaped by the buckets beside and by the sum; in the last bucket its lower bound."
    )
    linear: Number = Field(
        None, description="The same on a straight line through the bucket: Prometheus' `histogram_quantile`."
    )
    lower_bound: Number = Field(
        description="Where the bucket begins; null below a first bucket that may hold negative values."
    )
    upper_bound: Number = Field(description="Where the bucket ends; null in the last bucket, which has no end.")
    in_last_bucket: bool = Field(
        description="True: the quantile is at least `value`, and the histogram cannot say how much more."
    )


class Distribution(Model):
    """A histogram over the server's life."""

    count: Count = Field(description="Observations.")
    sum: Number = None
    mean: Number = None
    p50: Quantile | None = None
    p90: Quantile | None = None
    p95: Quantile | None = None
    p99: Quantile | None = None


class Section(Model):
    """A part of the snapshot with fields of its own and, beside them, whole features that a server may lack."""

    def missing(self) -> list[str]:
        """The fields that the page does not say; a feature that the server lacks is not among them."""
        return [name for name in type(self).model_fields if getattr(self, name) is None and name not in FEATURES]


class RequestMetrics(Section):
    """What happened to requests over the server's life."""

    success_total: Count = Field(None, description="Requests finished less abort calls: approximate, never below 0.")
    failure_total: Count = Field(None, description="Abort calls, mostly clients that left.")
    request_duration_seconds: Number = Field(None, description="Mean end-to-end time over the server's life.")
    time_to_first_token_seconds: Number = Field(None, description="Mean time to first token over the server's life.")
    time_per_output_token_seconds: Number = Field(None, description="Mean time between tokens over the server's life.")
    input_tokens: Number = Field(None, description="Mean prompt tokens per finished request.")
    output_tokens: Number = Field(None, description="Mean generated tokens per finished request.")

    finished_total: Count = Field(None, description="Requests that ended, aborted ones included.")
    structured_output_total: Count = Field(None, description="Requests with a grammar or schema.")
    prompt_tokens_total: Count = Field(None, description="Prompt tokens of finished requests, cached ones included.")
    generated_tokens_total: Count = Field(None, description="Generated tokens of finished requests.")
    retracted_total: Count = Field(None, description="Requests pushed out of the running batch for want of KV space.")
    retracted_input_tokens_total: Count = None
    retracted_output_tokens_total: Count = None
    queue_time_seconds: Number = Field(None, description="Mean time in the waiting queue over the server's life.")
    time_to_first_token: Distribution | None = Field(None, description="Seconds.")
    inter_token_latency: Distribution | None = Field(None, description="Seconds.")
    request_duration: Distribution | None = Field(None, description="Seconds, end to end.")
    queue_time: Distribution | None = Field(None, description="Seconds.")
    time_per_output_token: Distribution | None = Field(None, description="Seconds, one mean per request.")
    prompt_length: Distribution | None = Field(None, description="Tokens per request.")
    generated_length: Distribution | None = Field(None, description="Tokens per request.")
    http_responses_by_class: dict[str, Count] | None = Field(
        None, description="`2xx`, `4xx`, …: HTTP responses, without those to scrapes and health checks."
    )


class HiCache(Model):
    """The host and storage tiers below the device's prefix cache."""

    host_used_tokens: Count = None
    host_capacity_tokens: Count = None
    backup_tokens_total: Count = Field(None, description="Device to host.")
    backup_bytes_total: Count = Field(None, description="Device to host, summed over ranks: the physical total.")
    load_back_tokens_total: Count = Field(None, description="Host to device.")
    load_back_bytes_total: Count = Field(None, description="Host to device, summed over ranks: the physical total.")
    dropped_tokens_total: Count = None
    storage_prefetched_tokens_total: Count = Field(None, description="Storage to host.")
    storage_backed_up_tokens_total: Count = Field(None, description="Host to storage.")


class CacheMetrics(Section):
    """The KV pool and the prefix cache in it."""

    cache_hit_rate: Number = Field(
        None, description="Cached over prompt tokens, from counters over the server's life; 0 to 1."
    )
    cache_memory_usage_bytes: Count = Field(None, description="KV cache memory allocated, over the server's GPUs.")
    radix_cache_size: Count = Field(None, description="Tokens in the radix tree at most: evictable + used.")
    prefix_cache_hit_total: Count = Field(None, description="Prompt tokens found in the cache, over all its tiers.")

    cached_tokens_by_source: dict[str, Count] | None = Field(
        None, description="`device`, `host`, `storage`, or `total` where unsplit."
    )
    kv_usage_ratio: Number = Field(None, description="KV pool in use, the fullest rank; 0 to 1.")
    kv_usage_mean_ratio: Number = Field(
        None, description="KV pool in use over all ranks, weighted by capacity; 0 to 1."
    )
    kv_capacity_tokens: Count = None
    kv_used_tokens: Count = Field(None, description="Held by running requests.")
    kv_evictable_tokens: Count = Field(None, description="Cached, and given up when space is needed.")
    kv_available_tokens: Count = Field(None, description="Neither used nor cached.")
    kv_used_bytes: Count = Field(None, description="The share of the allocated memory that running requests hold.")
    full_attention_usage_ratio: Number = Field(
        None, description="Full-attention pool in use, the fullest rank; 0 to 1."
    )
    sliding_window_usage_ratio: Number = Field(
        None, description="Sliding-window pool in use, the fullest rank; 0 to 1."
    )
    mamba_usage_ratio: Number = Field(None, description="Mamba state pool in use, the fullest rank; 0 to 1.")
    page_size_tokens: Count = None
    evicted_tokens_total: Count = Field(
        None, description="Evictions are normal: a healthy load evicts hundreds a second."
    )
    hicache: HiCache | None = None


class Speculative(Model):
    """Speculative decoding."""

    accept_length_tokens: Number = Field(None, description="Accepted per verification, weighted by running requests.")
    accept_ratio: Number = Field(None, description="Weighted by running requests; 0 to 1.")
    steps: Number = None
    draft_tokens: Number = None
    verify_calls_total: Count = None


class Disaggregation(Model):
    """Queues and transfers between prefill and decode servers."""

    prefill_bootstrap_queue_requests: Count = None
    prefill_inflight_queue_requests: Count = None
    decode_prealloc_queue_requests: Count = None
    decode_transfer_queue_requests: Count = None
    decode_host_receive_queue_requests: Count = None
    bootstrap_failed_total: Count = None
    transfer_failed_total: Count = None
    prefill_retries_total: Count = None
    kv_transfer_seconds: Number = Field(None, description="Mean; before 0.5.10 the last transfer's.")
    kv_transfer_bytes_per_second: Number = Field(None, description="Mean; before 0.5.10 the last transfer's.")
    kv_transfer: Distribution | None = Field(None, description="Seconds.")


class Lora(Model):
    """The pool of LoRA adapters."""

    slots_used: Count = None
    slots_total: Count = None
    usage_ratio: Number = Field(None, description="0 to 1.")


class SystemMetrics(Section):
    """What the scheduler is doing now."""

    num_requests_running: Count = Field(None, description="Over all data-parallel ranks.")
    num_requests_waiting: Count = Field(None, description="Over all data-parallel ranks.")
    batch_size_current: Count = Field(None, description="Running requests of the largest rank.")
    throughput_tokens_per_second: Number = Field(
        None,
        description="Generated since the last good scrape, where there is an interval; else 0 when nothing runs, "
        "else the server's gauge, folded over ranks.",
    )

    gen_throughput_tokens_per_second: Number = Field(
        None, description="The server's gauge, summed over ranks. It freezes."
    )
    num_requests_waiting_for_grammar: Count = None
    num_requests_paused: Count = Field(None, description="Since the last report: no state.")
    utilization_ratio: Number = Field(None, description="The busiest rank.")
    realtime_tokens_by_mode: dict[str, Count] | None = Field(
        None, description="Tokens as they are computed: `prefill_compute`, `decode`, …"
    )
    prefill_tokens_by_mode: dict[str, Count] | None = Field(
        None, description="`input`, `device_hit`, `host_hit`, `storage_hit`."
    )
    cuda_graph_passes_total: Count = None
    streaming_sessions: Count = None
    forward_seconds_total: Number = Field(None, description="GPU time in forward passes, mean over ranks.")
    scheduler_cpu_seconds_total: Number = Field(None, description="Mean over ranks.")
    scheduler_idle_seconds_total: Number = Field(None, description="Mean over ranks.")
    context_length_tokens: Count = None
    weight_memory_bytes: Count = Field(
        None, description="Over the server's GPUs; as the server says, which can be negative."
    )
    startup_seconds: Number = Field(None, description="From launch to ready.")
    speculative: Speculative | None = None
    disaggregation: Disaggregation | None = None
    lora: Lora | None = None
