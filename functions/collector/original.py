"""The names that callers of the original design know vLLM's and TGI's numbers by, beside ours in an answer."""

from collections.abc import Mapping
from typing import Any

# Section → name → where it stands in a snapshot; None: nowhere, the server does not say it.
Names = Mapping[str, Mapping[str, tuple[str, str] | None]]

VLLM: Names = {
    "request_metrics": {
        "e2e_latency_seconds": ("request_metrics", "request_duration_seconds"),
        "prompt_tokens": ("request_metrics", "input_tokens"),
        "generation_tokens": ("request_metrics", "output_tokens"),
    },
    "gpu_metrics": {
        "cache_usage_perc": ("cache_metrics", "kv_usage_ratio"),
        "memory_usage_bytes": ("cache_metrics", "cache_memory_usage_bytes"),
        "num_requests_running": ("system_metrics", "num_requests_running"),
        "num_requests_waiting": ("system_metrics", "num_requests_waiting"),
    },
    "throughput_metrics": {
        "prompt_tokens_total": ("request_metrics", "prompt_tokens_total"),
        "generation_tokens_total": ("request_metrics", "generated_tokens_total"),
        "num_preemptions_total": ("request_metrics", "retracted_total"),
        "requests_per_second": None,
        "tokens_per_second": ("system_metrics", "throughput_tokens_per_second"),
    },
}
TGI: Names = {
    "request_metrics": {
        "request_count": ("tgi", "request_count_total"),
        "queue_size": ("system_metrics", "num_requests_waiting"),
        "mean_time_per_token_seconds": ("request_metrics", "time_per_output_token_seconds"),
        "validation_duration_seconds": ("tgi", "validation_seconds"),
        "queue_duration_seconds": ("request_metrics", "queue_time_seconds"),
        "inference_duration_seconds": ("tgi", "inference_seconds"),
    },
    "generation_metrics": {
        "input_length": ("request_metrics", "input_tokens"),
        "generated_tokens": ("request_metrics", "output_tokens"),
        "generated_tokens_total": ("request_metrics", "generated_tokens_total"),
        "max_new_tokens": ("tgi", "max_new_tokens"),
        "batch_current_size": ("system_metrics", "batch_size_current"),
        "batch_current_max_tokens": ("tgi", "batch_max_tokens"),
    },
}
NAMES = {"vllm": VLLM, "tgi": TGI}


def with_original_names(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """A snapshot's JSON, with those names added for an engine that has any."""
    answer = dict(metrics)
    for section, names in NAMES.get(metrics["engine"], {}).items():
        added = {name: _value(metrics, *place) if place else None for name, place in names.items()}
        answer[section] = {**metrics.get(section, {}), **added}
    return answer


def _value(metrics: Mapping[str, Any], section: str, field: str) -> Any:
    return metrics[section][field] if metrics[section] else None
