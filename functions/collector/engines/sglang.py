"""What SGLang 0.3.6 to 0.5.23 call things, how they are folded over ranks, and what follows from them.

Renames, units and folds were read off released wheels and a running server. Ranks of one data-parallel group repeat
each other (`PerGroup`), except where a value is each GPU's own (`PerRank`); what the tokenizer and the HTTP server
count carries no rank (`Series`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from collector.columns import Layout
from collector.engines.page import Group, Page, Reading
from collector.engines.sglang_versions import reaches, version_range
from collector.engines.tables import (
    Born,
    By,
    Histogram,
    Mean,
    PerGroup,
    PerRank,
    RankBlind,
    Series,
    Table,
    Until,
    largest,
    mean,
    read,
    weighted_by,
)
from collector.exposition import Exposition
from collector.snapshot import (
    CacheMetrics,
    Disaggregation,
    HiCache,
    Lora,
    Model,
    RankMetrics,
    RequestMetrics,
    ScrapeFacts,
    Snapshot,
    Speculative,
    SystemMetrics,
    VersionRange,
)
from collector.targets import Target

GIB = 2.0**30
GB = 1e9
MILLISECONDS = 1e-3

TTFT = Series("sglang:time_to_first_token_seconds")
INTER_TOKEN = Series("sglang:inter_token_latency_seconds")
TIME_PER_TOKEN = Series("sglang:time_per_output_token_seconds")  # 0.3.5 to 0.4.3; the mean of each request
END_TO_END = Series("sglang:e2e_request_latency_seconds")
QUEUE_TIME = PerGroup("sglang:queue_time_seconds")
QUEUE_TIME_0_5_2 = PerGroup("sglang:queue_time_s")
KV_TRANSFER = PerGroup("sglang:kv_transfer_latency_ms", scale=MILLISECONDS, across=largest)


# Not counted as traffic: what collectors and load balancers ask for.
PROBES = ("/metrics", "/health")


@dataclass(frozen=True, eq=False)
class ResponsesByClass:
    """`2xx`, `4xx`, …: HTTP responses, without those to probes."""

    name: str

    def read(self, at: Reading) -> dict[str, float] | None:
        page = at.page
        if not page.indexes(self.name):
            return None
        by_class: dict[str, list[int]] | None = page.memo.get(self)
        if by_class is None:
            by_class = page.memo[self] = {}
            for index in page.indexes(self.name):
                labels = page.labels(index)
                if not labels.get("endpoint", "").startswith(PROBES):
                    by_class.setdefault(f"{labels.get('status_code', '?')[:1]}xx", []).append(index)
        return {name: at.total(indexes) or 0.0 for name, indexes in by_class.items()}


REQUESTS: Table = {
    "finished_total": [
        Born("0.4.1.post7", Series("sglang:num_requests_total")),
        Born("0.3.5.post2", Series("sglang:e2e_request_latency_seconds_count")),
    ],
    "failure_total": [Born("0.4.7.post1", Series("sglang:num_aborted_requests_total"))],
    "structured_output_total": [Born("0.4.6.post5", Series("sglang:num_so_requests_total"))],
    "prompt_tokens_total": [Born("0.3.5.post2", Series("sglang:prompt_tokens_total"))],
    "generated_tokens_total": [Born("0.3.5.post2", Series("sglang:generation_tokens_total"))],
    "retracted_total": [
        Born("0.5.7", PerGroup("sglang:num_retracted_requests_total")),
        Series("sglang:num_retractions_sum"),
        PerGroup("sglang:total_retracted_reqs"),
    ],
    "retracted_input_tokens_total": [Born("0.5.7", PerGroup("sglang:num_retracted_input_tokens_total"))],
    "retracted_output_tokens_total": [Born("0.5.7", PerGroup("sglang:num_retracted_output_tokens_total"))],
    "request_duration_seconds": [Mean(END_TO_END)],
    "time_to_first_token_seconds": [Mean(TTFT)],
    "time_per_output_token_seconds": [Mean(INTER_TOKEN), Mean(TIME_PER_TOKEN)],
    "queue_time_seconds": [
        Mean(QUEUE_TIME),
        Mean(QUEUE_TIME_0_5_2),
        Until("0.4.6.post5", PerGroup("sglang:avg_request_queue_latency", across=mean)),
    ],
    "time_to_first_token": [Histogram(TTFT)],
    "inter_token_latency": [Histogram(INTER_TOKEN)],
    "request_duration": [Histogram(END_TO_END)],
    "queue_time": [Histogram(QUEUE_TIME), Histogram(QUEUE_TIME_0_5_2)],
    "time_per_output_token": [
        Histogram(Series("sglang:request_time_per_output_token_seconds")),
        Histogram(TIME_PER_TOKEN),
    ],
    "prompt_length": [Histogram(Series("sglang:prompt_tokens_histogram"))],
    "generated_length": [Histogram(Series("sglang:generation_tokens_histogram"))],
    "http_responses_by_class": [ResponsesByClass("sglang:http_responses_total")],
}

CACHE: Table = {
    "prefix_cache_hit_total": [Born("0.4.3.post4", Series("sglang:cached_tokens_total"))],
    "cached_tokens_by_source": [
        # One name per storage backend through 0.5.19.
        By(
            "cache_source",
            Series("sglang:cached_tokens_total"),
            name_of=lambda name: "storage" if name.startswith("storage") else name,
        )
    ],
    "cache_memory_usage_bytes": [PerRank("sglang:kv_cache_memory_usage_gb", scale=GIB)],
    "kv_usage_ratio": [PerGroup("sglang:token_usage", across=largest)],
    "kv_usage_mean_ratio": [PerGroup("sglang:token_usage", across=weighted_by("sglang:max_total_num_tokens"))],
    "kv_capacity_tokens": [PerGroup("sglang:max_total_num_tokens")],
    "kv_used_tokens": [PerGroup("sglang:kv_used_tokens"), PerGroup("sglang:num_used_tokens")],
    "kv_evictable_tokens": [PerGroup("sglang:kv_evictable_tokens")],
    "kv_available_tokens": [PerGroup("sglang:kv_available_tokens")],
    "full_attention_usage_ratio": [PerGroup("sglang:full_token_usage", across=largest)],
    "sliding_window_usage_ratio": [PerGroup("sglang:swa_token_usage", across=largest)],
    "mamba_usage_ratio": [PerGroup("sglang:mamba_usage", across=largest)],
    "page_size_tokens": [PerGroup("sglang:page_size", across=largest)],
    "evicted_tokens_total": [Born("0.5.5.post3", RankBlind("sglang:evicted_tokens_total"))],
}

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

SYSTEM: Table = {
    "num_requests_running": [PerGroup("sglang:num_running_reqs")],
    "num_requests_waiting": [PerGroup("sglang:num_queue_reqs")],
    "batch_size_current": [PerGroup("sglang:num_running_reqs", across=largest)],
    "gen_throughput_tokens_per_second": [PerGroup("sglang:gen_throughput")],
    "num_requests_waiting_for_grammar": [PerGroup("sglang:num_grammar_queue_reqs")],
    "num_requests_paused": [PerGroup("sglang:num_paused_reqs")],
    "utilization_ratio": [PerGroup("sglang:utilization", across=largest)],
    "realtime_tokens_by_mode": [By("mode", PerGroup("sglang:realtime_tokens_total"))],
    "prefill_tokens_by_mode": [By("mode", PerGroup("sglang:prefill_effective_tokens_total"))],
    "cuda_graph_passes_total": [Born("0.5.7", PerGroup("sglang:cuda_graph_passes_total"))],
    "streaming_sessions": [PerGroup("sglang:num_streaming_sessions")],
    "forward_seconds_total": [
        PerRank("sglang:forward_execution_seconds_total", across=mean),
        PerRank("sglang:gpu_execution_seconds_total", across=mean),
    ],
    "scheduler_cpu_seconds_total": [PerRank("sglang:scheduler_process_cpu_seconds_total", across=mean)],
    "scheduler_idle_seconds_total": [PerRank("sglang:scheduler_idle_seconds_total", across=mean)],
    "context_length_tokens": [PerGroup("sglang:context_len", across=largest)],
    "weight_memory_bytes": [PerRank("sglang:weight_memory_usage_gb", scale=GIB)],
    "startup_seconds": [
        Series("sglang:startup_time_seconds", {"phase": "tokenizer_e2e"}, across=largest),
        PerGroup("sglang:engine_startup_time", across=largest),
    ],
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

RANK: Table = {
    "num_requests_running": SYSTEM["num_requests_running"],
    "num_requests_waiting": SYSTEM["num_requests_waiting"],
    "gen_throughput_tokens_per_second": SYSTEM["gen_throughput_tokens_per_second"],
    "kv_usage_ratio": CACHE["kv_usage_ratio"],
    "kv_used_tokens": CACHE["kv_used_tokens"],
    "kv_evictable_tokens": CACHE["kv_evictable_tokens"],
    "kv_capacity_tokens": CACHE["kv_capacity_tokens"],
    "retracted_total": [
        Born("0.5.7", PerGroup("sglang:num_retracted_requests_total")),
        PerGroup("sglang:total_retracted_reqs"),
    ],
    "decoded_tokens_total": [Born("0.5.7", PerGroup("sglang:realtime_tokens_total", {"mode": "decode"}))],
}

# The names that the original design made up, read last of all; `NEVER_SGLANG` are those that no SGLang exposes.
INVENTED_REQUESTS = {
    "success_total": Series("sglang:request_success_total"),
    "failure_total": Series("sglang:request_failure_total"),
    "request_duration_seconds": Series("sglang:request_duration_seconds"),
    "time_to_first_token_seconds": Series("sglang:time_to_first_token_seconds"),
    "time_per_output_token_seconds": Series("sglang:time_per_output_token_seconds"),
    "input_tokens": Series("sglang:request_input_tokens"),
    "output_tokens": Series("sglang:request_output_tokens"),
}
INVENTED_CACHE = {
    "cache_hit_rate": Series("sglang:cache_hit_rate"),
    "cache_memory_usage_bytes": Series("sglang:cache_memory_usage_bytes"),
    "radix_cache_size": Series("sglang:radix_cache_size"),
    "prefix_cache_hit_total": Series("sglang:prefix_cache_hit_total"),
}
INVENTED_SYSTEM = {
    "num_requests_running": Series("sglang:num_requests_running"),
    "num_requests_waiting": Series("sglang:num_requests_waiting"),
    "batch_size_current": Series("sglang:batch_size_current"),
    "throughput_tokens_per_second": Series("sglang:throughput_tokens_per_second"),
}
NEVER_SGLANG = (
    "sglang:request_success_total",
    "sglang:request_input_tokens",
    "sglang:radix_cache_size",
    "sglang:num_requests_running",
    "sglang:throughput_tokens_per_second",
)

# Exposed by every scheduler rank, and the tokenizer's that name the model before the first request.
RANK_FAMILIES = ("sglang:max_total_num_tokens", "sglang:queue_time_seconds_count", "sglang:num_running_reqs")
MODEL_FAMILIES = ("sglang:prompt_tokens_total", "sglang:startup_time_seconds", "sglang:token_usage")


M = TypeVar("M", bound=Model)


_pages: WeakKeyDictionary[Layout, tuple[Page, VersionRange]] = WeakKeyDictionary()


def read_snapshot(exposition: Exposition, target: Target, asked_at: datetime, scrape: ScrapeFacts) -> Snapshot:
    """An SGLang page as one server's snapshot: ranks folded, versions bridged, None where the page says nothing."""
    page, version = _page_of(exposition.layout)
    at = Reading(page, exposition.values)
    requests, system = _requests(at), _system(at)
    cache = _cache(at, requests.prompt_tokens_total)
    sections = {"request_metrics": requests, "cache_metrics": cache, "system_metrics": system}
    return Snapshot(
        timestamp=asked_at,
        instance_id=target.instance_id,
        endpoint=target.endpoint,
        request_metrics=requests,
        cache_metrics=cache,
        system_metrics=system,
        engine=target.engine,
        engine_type=page.engine_type,
        other_engine_types=page.engine_types[1:],
        models=page.models,
        version_range=version,
        ranks=tuple(_rank(at, group) for group in page.groups),
        missing=tuple(f"{name}.{field}" for name, section in sections.items() for field in section.missing()),
        scrape=scrape,
    )


def _page_of(layout: Layout) -> tuple[Page, VersionRange]:
    """The layout as the tables see it, and the releases that expose it."""
    known = _pages.get(layout)
    if known is None:
        version = version_range({name.removeprefix("sglang:").removeprefix("sglang_") for name in layout.by_name})
        page = Page(layout, RANK_FAMILIES, MODEL_FAMILIES, proves=lambda release: reaches(version, release))
        known = _pages[layout] = page, version
    return known


def _requests(at: Reading) -> RequestMetrics:
    values = read(REQUESTS, at)
    finished = values.get("finished_total")
    if finished is not None:
        # An abort of a queued request counts as an abort and not as finished, so the difference can pass below zero.
        values["success_total"] = max(0.0, finished - values.get("failure_total", 0.0))
    values["input_tokens"] = _ratio(values.get("prompt_tokens_total"), finished)
    values["output_tokens"] = _ratio(values.get("generated_tokens_total"), finished)
    return RequestMetrics(**_or_invented(values, INVENTED_REQUESTS, at))


def _cache(at: Reading, prompt_tokens_total: float | None) -> CacheMetrics:
    values = read(CACHE, at)
    used, evictable = values.get("kv_used_tokens"), values.get("kv_evictable_tokens")
    # Never the gauge of that name: it is the last batch's.
    values["cache_hit_rate"] = _ratio(values.get("prefix_cache_hit_total"), prompt_tokens_total)
    values["radix_cache_size"] = None if used is None or evictable is None else used + evictable
    values["kv_used_bytes"] = _times(
        values.get("cache_memory_usage_bytes"), _ratio(used, values.get("kv_capacity_tokens"))
    )
    values["hicache"] = _feature(HiCache, HICACHE, at)
    return CacheMetrics(**_or_invented(values, INVENTED_CACHE, at))


def _system(at: Reading) -> SystemMetrics:
    values = read(SYSTEM, at)
    # The gauge keeps its last value while nothing runs.
    idle = values.get("num_requests_running") == 0
    values["throughput_tokens_per_second"] = 0.0 if idle else values.get("gen_throughput_tokens_per_second")
    values["speculative"] = _feature(Speculative, SPECULATIVE, at)
    values["disaggregation"] = _feature(Disaggregation, DISAGGREGATION, at)
    values["lora"] = _feature(Lora, LORA, at)
    return SystemMetrics(**_or_invented(values, INVENTED_SYSTEM, at))


def _feature(model: type[M], table: Table, at: Reading) -> M | None:
    """A part that a server may lack altogether: None when the page shows nothing of it."""
    values = read(table, at)
    return model(**values) if values else None


def _rank(at: Reading, group: Group) -> RankMetrics:
    page = at.page
    pp_rank, tp_rank = page.lowest_rank(group)
    return RankMetrics(
        dp_rank=int(group.dp_rank) if len(page.groups) > 1 and group.dp_rank.isdecimal() else None,
        pp_rank=pp_rank,
        tp_rank=tp_rank,
        engine_type=page.engine_type,
        model_name=group.model or None,
        **read(RANK, replace(at, group=group)),
    )


def _or_invented(values: dict[str, Any], invented: Mapping[str, Series], at: Reading) -> dict[str, Any]:
    """The original design's names fill what is still unsaid, on a page that has one which no SGLang exposes."""
    if any(at.page.indexes(name) for name in NEVER_SGLANG):
        for field, series in invented.items():
            if values.get(field) is None:
                values[field] = series.read(at)
    return values


def _ratio(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole


def _times(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one * other
