"""What SGLang 0.3.6 to 0.5.23 call things, how they are folded over ranks, and what follows from them.

Renames, units and folds were read off released wheels and a running server. Ranks of one data-parallel group repeat
each other (`PerGroup`), except where a value is each GPU's own (`PerRank`); what the tokenizer and the HTTP server
count carries no rank (`Series`). The router's `/engine_metrics` is read by the same tables: its workers are groups.
"""

from operator import add

from collector.engines import router
from collector.engines.between import Between
from collector.engines.engine import Engine
from collector.engines.formulas import Constant, First, Formula, Sum, WhileRunning, product, ratio, share
from collector.engines.invented import Invented
from collector.engines.page import Ranks, Reading
from collector.engines.sglang_parts import DISAGGREGATION, HICACHE, LORA, SPECULATIVE
from collector.engines.sglang_versions import SGLANG as RELEASES
from collector.engines.tables import (
    Born,
    By,
    Histogram,
    Mean,
    Part,
    PerGroup,
    PerRank,
    RankBlind,
    Series,
    Table,
    Until,
    largest,
    mean,
    status_class,
    weighted_by,
)
from collector.sections import Disaggregation, HiCache, Lora, Speculative

GIB = 2.0**30
# Not counted as traffic: what collectors and load balancers ask for.
PROBES = ("/metrics", "/health")

FINISHED = First(
    Born("0.4.1.post7", Series("sglang:num_requests_total")),
    Born("0.3.5.post2", Series("sglang:e2e_request_latency_seconds_count")),
)
ABORTED = Born("0.4.7.post1", Series("sglang:num_aborted_requests_total"))
PROMPT_TOKENS = Born("0.3.5.post2", Series("sglang:prompt_tokens_total"))
GENERATED_TOKENS = Born("0.3.5.post2", Series("sglang:generation_tokens_total"))
CACHED_TOKENS = Born("0.4.3.post4", Series("sglang:cached_tokens_total"))
HIT_RATE = share(CACHED_TOKENS, PROMPT_TOKENS)
KV_MEMORY = PerRank("sglang:kv_cache_memory_usage_gb", scale=GIB)
CAPACITY = PerGroup("sglang:max_total_num_tokens")
USED = First(PerGroup("sglang:kv_used_tokens"), PerGroup("sglang:num_used_tokens"))
EVICTABLE = PerGroup("sglang:kv_evictable_tokens")
RUNNING = PerGroup("sglang:num_running_reqs")
WAITING = PerGroup("sglang:num_queue_reqs")
THROUGHPUT = PerGroup("sglang:gen_throughput")
USAGE = PerGroup("sglang:token_usage", across=largest)

DECODED = Born("0.5.7", PerGroup("sglang:realtime_tokens_total", {"mode": "decode"}))

TTFT = Series("sglang:time_to_first_token_seconds")
INTER_TOKEN = Series("sglang:inter_token_latency_seconds")
TIME_PER_TOKEN = Series("sglang:time_per_output_token_seconds")  # 0.3.5 to 0.4.3; the mean of each request
END_TO_END = Series("sglang:e2e_request_latency_seconds")
QUEUE_TIME = PerGroup("sglang:queue_time_seconds")
QUEUE_TIME_0_5_2 = PerGroup("sglang:queue_time_s")

REQUESTS: Table = {
    # An abort of a queued request counts as an abort and not as finished, so the difference can pass below zero.
    "success_total": [
        Formula(lambda finished, aborted: max(0.0, finished - aborted), FINISHED, First(ABORTED, Constant(0.0))),
        Invented("sglang:request_success_total"),
    ],
    "failure_total": [ABORTED, Invented("sglang:request_failure_total")],
    "request_duration_seconds": [Mean(END_TO_END), Invented("sglang:request_duration_seconds")],
    "time_to_first_token_seconds": [Mean(TTFT), Invented("sglang:time_to_first_token_seconds")],
    "time_per_output_token_seconds": [
        Mean(INTER_TOKEN),
        Mean(TIME_PER_TOKEN),
        Invented("sglang:time_per_output_token_seconds"),
    ],
    "input_tokens": [ratio(PROMPT_TOKENS, FINISHED), Invented("sglang:request_input_tokens")],
    "output_tokens": [ratio(GENERATED_TOKENS, FINISHED), Invented("sglang:request_output_tokens")],
    "finished_total": [FINISHED],
    "structured_output_total": [Born("0.4.6.post5", Series("sglang:num_so_requests_total"))],
    "prompt_tokens_total": [PROMPT_TOKENS],
    "generated_tokens_total": [GENERATED_TOKENS],
    "retracted_total": [
        Born("0.5.7", PerGroup("sglang:num_retracted_requests_total")),
        Series("sglang:num_retractions_sum"),
        PerGroup("sglang:total_retracted_reqs"),
    ],
    "retracted_input_tokens_total": [Born("0.5.7", PerGroup("sglang:num_retracted_input_tokens_total"))],
    "retracted_output_tokens_total": [Born("0.5.7", PerGroup("sglang:num_retracted_output_tokens_total"))],
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
    "http_responses_by_class": [  # since 0.5.6
        By(
            "status_code",
            Series("sglang:http_responses_total"),
            name_of=status_class,
            passes_over=lambda labels: labels.get("endpoint", "").startswith(PROBES),
        )
    ],
}

CACHE: Table = {
    # Never the gauge of that name, on a real page: it is the last batch's.
    "cache_hit_rate": [HIT_RATE, Invented("sglang:cache_hit_rate")],
    "cache_memory_usage_bytes": [KV_MEMORY, Invented("sglang:cache_memory_usage_bytes")],
    "radix_cache_size": [Formula(add, USED, EVICTABLE), Invented("sglang:radix_cache_size")],
    "prefix_cache_hit_total": [CACHED_TOKENS, Invented("sglang:prefix_cache_hit_total")],
    "cached_tokens_by_source": [
        # One name per storage backend through 0.5.19.
        By(
            "cache_source",
            Series("sglang:cached_tokens_total"),
            name_of=lambda name: "storage" if name.startswith("storage") else name,
        )
    ],
    "kv_usage_ratio": [USAGE],
    "kv_usage_mean_ratio": [PerGroup("sglang:token_usage", across=weighted_by("sglang:max_total_num_tokens"))],
    "kv_capacity_tokens": [CAPACITY],
    "kv_used_tokens": [USED],
    "kv_evictable_tokens": [EVICTABLE],
    "kv_available_tokens": [PerGroup("sglang:kv_available_tokens")],
    "kv_used_bytes": [product(KV_MEMORY, ratio(USED, CAPACITY))],
    "full_attention_usage_ratio": [PerGroup("sglang:full_token_usage", across=largest)],
    "sliding_window_usage_ratio": [PerGroup("sglang:swa_token_usage", across=largest)],
    "mamba_usage_ratio": [PerGroup("sglang:mamba_usage", across=largest)],
    "page_size_tokens": [PerGroup("sglang:page_size", across=largest)],
    "evicted_tokens_total": [Born("0.5.5.post3", RankBlind("sglang:evicted_tokens_total"))],
    "hicache": [Part(HiCache, HICACHE)],
}

SYSTEM: Table = {
    "num_requests_running": [RUNNING, Invented("sglang:num_requests_running")],
    "num_requests_waiting": [WAITING, Invented("sglang:num_requests_waiting")],
    "batch_size_current": [
        PerGroup("sglang:num_running_reqs", across=largest),
        Invented("sglang:batch_size_current"),
    ],
    "throughput_tokens_per_second": [
        WhileRunning(RUNNING, THROUGHPUT),
        Invented("sglang:throughput_tokens_per_second"),
    ],
    "gen_throughput_tokens_per_second": [THROUGHPUT],
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
    "speculative": [Part(Speculative, SPECULATIVE)],
    "disaggregation": [Part(Disaggregation, DISAGGREGATION)],
    "lora": [Part(Lora, LORA)],
}

RANK: Table = {
    "num_requests_running": [RUNNING],
    "num_requests_waiting": [WAITING],
    "gen_throughput_tokens_per_second": [THROUGHPUT],
    "kv_usage_ratio": [USAGE],
    "kv_used_tokens": [USED],
    "kv_evictable_tokens": [EVICTABLE],
    "kv_capacity_tokens": [CAPACITY],
    "retracted_total": [
        Born("0.5.7", PerGroup("sglang:num_retracted_requests_total")),
        PerGroup("sglang:total_retracted_reqs"),
    ],
    "decoded_tokens_total": [DECODED],
}


class LiveTokens:
    """Tokens as they are generated: those decoded, and each request's first, which comes of its prefill.

    On a decode server the first comes from elsewhere. None before 0.5.7.
    """

    def read(self, at: Reading) -> float | None:
        decoded = DECODED.read(at)
        if decoded is None or at.page.engine_type == "decode":
            return decoded
        return decoded + (TTFT.read(at, "_count") or 0.0)


PD_QUEUES = [source for name in DISAGGREGATION if name.endswith("_queue_requests") for source in DISAGGREGATION[name]]
CLOCKS = [
    Series("sglang:scheduler_process_cpu_seconds_total"),
    Series("sglang:scheduler_stage_seconds_total"),
    Series("sglang:scheduler_idle_seconds_total"),
]
BETWEEN = Between(
    amounts={
        "requests_finished": [FINISHED],
        "requests_aborted": [ABORTED],
        "prompt_tokens": [PROMPT_TOKENS],
        "cached_tokens": [CACHED_TOKENS],
        "cache_hit_rate": [HIT_RATE],
        "generated_tokens": [GENERATED_TOKENS],
        "time_to_first_token": REQUESTS["time_to_first_token"],
        "inter_token_latency": [*REQUESTS["inter_token_latency"], Histogram(TIME_PER_TOKEN)],
        "request_duration": REQUESTS["request_duration"],
        "queue_time": REQUESTS["queue_time"],
        "retracted": [
            Born("0.5.7", PerGroup("sglang:num_retracted_requests_total")),
            Series("sglang:num_retractions_sum"),
        ],
        "evicted_tokens": CACHE["evicted_tokens_total"],
        "http_responses_by_class": REQUESTS["http_responses_by_class"],
        "kv_transfers_failed": [
            Sum(First(*DISAGGREGATION["bootstrap_failed_total"]), First(*DISAGGREGATION["transfer_failed_total"]))
        ],
    },
    live_tokens=LiveTokens(),
    in_flight=Sum(RUNNING, WAITING, *PD_QUEUES),
    running=RUNNING,
    waiting=WAITING,
    usage=USAGE,
    # Tokens by mode and passes move while a request runs; before 0.5.7 its prefill counts only at its end.
    progress=[
        PerGroup("sglang:realtime_tokens_total"),
        PerGroup("sglang:prefill_effective_tokens_total"),
        PerGroup("sglang:cuda_graph_passes_total"),
        Series("sglang:time_to_first_token_seconds_count"),
        Series("sglang:inter_token_latency_seconds_count"),
        Series("sglang:time_per_output_token_seconds_count"),
        PerGroup("sglang:queue_time_seconds_count"),
        Series("sglang:prompt_tokens_total"),
        Series("sglang:generation_tokens_total"),
        Series("sglang:num_requests_total"),
        PerGroup("sglang:kv_transfer_latency_ms_count"),
    ],
    rank_progress=[PerGroup("sglang:realtime_tokens_total"), PerGroup("sglang:cuda_graph_passes_total")],
    gauges=[
        "sglang:num_running_reqs",
        "sglang:num_queue_reqs",
        "sglang:num_used_tokens",
        "sglang:kv_used_tokens",
        "sglang:token_usage",
        "sglang:gen_throughput",
        "sglang:decode_sum_seq_lens",
        "sglang:cache_hit_rate",
    ],
    heartbeat=CLOCKS,
    idle_seconds=PerRank("sglang:scheduler_idle_seconds_total", across=mean),
)

ENGINE = Engine(
    Ranks(
        # Exposed by every scheduler rank, and the tokenizer's that name the model before the first request.
        families=("sglang:max_total_num_tokens", "sglang:queue_time_seconds_count", "sglang:num_running_reqs"),
        model_families=("sglang:prompt_tokens_total", "sglang:startup_time_seconds", "sglang:token_usage"),
    ),
    REQUESTS,
    CACHE,
    SYSTEM,
    RANK,
    releases=RELEASES,
    between=BETWEEN,
    instead=router.engine_of,
)
