from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from collector.snapshot import CacheMetrics, RequestMetrics, SGLangMetricsSnapshot, Snapshot, SystemMetrics
from support import snapshot_of

# The original design's callers read these by name: added fields may follow, none may go or move.
FIXED = {
    RequestMetrics: [
        "success_total",
        "failure_total",
        "request_duration_seconds",
        "time_to_first_token_seconds",
        "time_per_output_token_seconds",
        "input_tokens",
        "output_tokens",
    ],
    CacheMetrics: ["cache_hit_rate", "cache_memory_usage_bytes", "radix_cache_size", "prefix_cache_hit_total"],
    SystemMetrics: [
        "num_requests_running",
        "num_requests_waiting",
        "batch_size_current",
        "throughput_tokens_per_second",
    ],
    Snapshot: [
        "timestamp",
        "instance_id",
        "endpoint",
        "request_metrics",
        "cache_metrics",
        "system_metrics",
        "raw_metrics",
    ],
}


def test_the_original_designs_snapshot_validates():
    snapshot = SGLangMetricsSnapshot(
        instance_id="test", endpoint="http://test", request_metrics={}, cache_metrics={}, system_metrics={}
    )
    assert snapshot.instance_id == "test"
    assert snapshot.request_metrics.success_total is None
    assert (datetime.now(UTC) - snapshot.timestamp).total_seconds() < 60


@pytest.mark.parametrize("model", FIXED, ids=lambda model: model.__name__)
def test_the_fixed_fields_come_first_and_keep_their_names(model):
    assert list(model.model_fields)[: len(FIXED[model])] == FIXED[model]


def test_a_snapshot_does_not_change():
    snapshot = snapshot_of("sglang:num_running_reqs 1\n")
    with pytest.raises(ValidationError, match="frozen"):
        snapshot.instance_id = "other"
    with pytest.raises(ValidationError, match="frozen"):
        snapshot.system_metrics.num_requests_running = 2


def test_a_snapshot_survives_json():
    snapshot = snapshot_of("sglang:num_running_reqs 1\nsglang:max_total_num_tokens 100\n")
    assert Snapshot.model_validate_json(snapshot.model_dump_json()) == snapshot


def test_an_unknown_field_is_a_mistake():
    with pytest.raises(ValidationError, match="num_running"):
        SystemMetrics(num_running=1)
