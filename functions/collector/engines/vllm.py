"""What vLLM 0.6 to 0.33 calls things.

Names were read off eight released wheels, of the V0 engine (0.6; no `engine` label) and of V1. A data-parallel rank is
an `engine`, and counts its own: they add up. All times are in seconds.
"""

from collector.engines.between import Between
from collector.engines.engine import Engine
from collector.engines.formulas import First, Sum, WhileRunning, ratio, share
from collector.engines.page import Ranks
from collector.engines.releases import Releases
from collector.engines.tables import (
    Born,
    By,
    FromLabel,
    Histogram,
    Mean,
    Part,
    PerGroup,
    Series,
    Table,
    largest,
    mean,
)
from collector.sections import Speculative
from collector.specific import Vllm

RUNNING = PerGroup("vllm:num_requests_running")
WAITING = Sum(PerGroup("vllm:num_requests_waiting"), PerGroup("vllm:num_requests_swapped"))  # swapped: through 0.8
KV_USAGE = First(
    PerGroup("vllm:kv_cache_usage_perc", across=largest),  # since 0.9.2; 0 to 1 in spite of its name
    PerGroup("vllm:gpu_cache_usage_perc", across=largest),
)
KV_USAGE_MEAN = First(
    PerGroup("vllm:kv_cache_usage_perc", across=mean),
    PerGroup("vllm:gpu_cache_usage_perc", across=mean),
)
PREEMPTIONS = PerGroup("vllm:num_preemptions_total")
PROMPT_TOKENS = PerGroup("vllm:prompt_tokens_total")
GENERATED_TOKENS = PerGroup("vllm:generation_tokens_total")
CAPACITY = FromLabel("vllm:cache_config_info", label="kv_cache_size_tokens")
QUERIES = First(PerGroup("vllm:prefix_cache_queries_total"), PerGroup("vllm:gpu_prefix_cache_queries_total"))
HITS = First(PerGroup("vllm:prefix_cache_hits_total"), PerGroup("vllm:gpu_prefix_cache_hits_total"))

TTFT = Series("vllm:time_to_first_token_seconds")
INTER_TOKEN = Series("vllm:inter_token_latency_seconds")  # since 0.11
TIME_PER_TOKEN = Series("vllm:time_per_output_token_seconds")  # the same under its old name, through 0.13
END_TO_END = Series("vllm:e2e_request_latency_seconds")
QUEUE_TIME = Series("vllm:request_queue_time_seconds")
TIME_IN_QUEUE = Series("vllm:time_in_queue_requests")
PROMPT_LENGTH = Series("vllm:request_prompt_tokens")
GENERATED_LENGTH = Series("vllm:request_generation_tokens")

DRAFTS = PerGroup("vllm:spec_decode_num_drafts_total")
DRAFT_TOKENS = PerGroup("vllm:spec_decode_num_draft_tokens_total")
ACCEPTED_TOKENS = PerGroup("vllm:spec_decode_num_accepted_tokens_total")


def finished(reason: str) -> Born:
    """The V0 engine exposes a reason from its first request on, V1 all of them at once."""
    return Born("0.6.6.post1", PerGroup("vllm:request_success_total", {"finished_reason": reason}))


# As the original design has it: without a reason, and a histogram's name for one value.
REQUESTS: Table = {
    "success_total": [
        Series("vllm:request_success_total", {"finished_reason": None}),
        Sum(finished("stop"), finished("length")),
    ],
    "failure_total": [Series("vllm:request_failure_total"), Sum(finished("abort"), finished("error"))],
    "request_duration_seconds": [Mean(END_TO_END), END_TO_END],
    "time_to_first_token_seconds": [Mean(TTFT), TTFT],
    "time_per_output_token_seconds": [Mean(INTER_TOKEN), Mean(TIME_PER_TOKEN), TIME_PER_TOKEN],
    "input_tokens": [Mean(PROMPT_LENGTH), PROMPT_LENGTH],
    "output_tokens": [Mean(GENERATED_LENGTH), GENERATED_LENGTH],
    "finished_total": [Born("0.6.6.post1", PerGroup("vllm:request_success_total"))],
    "prompt_tokens_total": [PROMPT_TOKENS],
    "generated_tokens_total": [GENERATED_TOKENS],
    "retracted_total": [PREEMPTIONS],
    "queue_time_seconds": [Mean(QUEUE_TIME), Mean(TIME_IN_QUEUE)],
    "time_to_first_token": [Histogram(TTFT)],
    "inter_token_latency": [Histogram(INTER_TOKEN), Histogram(TIME_PER_TOKEN)],
    "request_duration": [Histogram(END_TO_END)],
    "queue_time": [Histogram(QUEUE_TIME), Histogram(TIME_IN_QUEUE)],
    "time_per_output_token": [Histogram(Series("vllm:request_time_per_output_token_seconds"))],
    "prompt_length": [Histogram(PROMPT_LENGTH)],
    "generated_length": [Histogram(GENERATED_LENGTH)],
}

CACHE: Table = {
    # From counters only. 0.6 has but a gauge, in blocks and over an interval of the server's choice: see `vllm`.
    "cache_hit_rate": [share(HITS, QUERIES)],
    "cache_memory_usage_bytes": [Series("vllm:gpu_memory_usage_bytes")],  # the original design's; no vLLM says it
    "prefix_cache_hit_total": [HITS],
    "cached_tokens_by_source": [By("source", PerGroup("vllm:prompt_tokens_cached_by_source_total"))],
    "kv_usage_ratio": [KV_USAGE],
    "kv_usage_mean_ratio": [KV_USAGE_MEAN],
    # Not blocks times their size, which is wrong where layers of several kinds share them.
    "kv_capacity_tokens": [CAPACITY],
    "page_size_tokens": [FromLabel("vllm:cache_config_info", label="block_size", across=largest)],
}

SPECULATIVE: Table = {
    "accept_length_tokens": [ratio(Sum(DRAFTS, ACCEPTED_TOKENS), DRAFTS)],  # the target model's own token included
    "accept_ratio": [
        share(ACCEPTED_TOKENS, DRAFT_TOKENS),
        PerGroup("vllm:spec_decode_draft_acceptance_rate", across=mean),
    ],
    "verify_calls_total": [DRAFTS],
}

SYSTEM: Table = {
    "num_requests_running": [RUNNING],
    "num_requests_waiting": [WAITING],
    "batch_size_current": [PerGroup("vllm:num_requests_running", across=largest)],
    "throughput_tokens_per_second": [
        WhileRunning(RUNNING, PerGroup("vllm:avg_generation_throughput_toks_per_s"))  # the gauge: 0.6
    ],
    "gen_throughput_tokens_per_second": [PerGroup("vllm:avg_generation_throughput_toks_per_s")],
    "speculative": [Part(Speculative, SPECULATIVE)],
}

OWN: Table = {
    "finished_by_reason": [By("finished_reason", PerGroup("vllm:request_success_total"))],
    "num_requests_waiting_by_reason": [By("reason", PerGroup("vllm:num_requests_waiting_by_reason"))],
    "num_requests_swapped": [PerGroup("vllm:num_requests_swapped")],
    "rejected_by_reason": [By("reason", Series("vllm:admission_rejections_total"))],
    "prefix_cache_queries_total": [QUERIES],
    "prefix_cache_hit_rate_gauge": [PerGroup("vllm:gpu_prefix_cache_hit_rate", across=mean)],
    "external_cache_queries_total": [PerGroup("vllm:external_prefix_cache_queries_total")],
    "external_cache_hits_total": [PerGroup("vllm:external_prefix_cache_hits_total")],
    "multimodal_cache_queries_total": [PerGroup("vllm:mm_cache_queries_total")],
    "multimodal_cache_hits_total": [PerGroup("vllm:mm_cache_hits_total")],
    "prompt_tokens_by_source": [By("source", PerGroup("vllm:prompt_tokens_by_source_total"))],
    "cpu_cache_usage_ratio": [PerGroup("vllm:cpu_cache_usage_perc", across=largest)],
    "gpu_blocks": [FromLabel("vllm:cache_config_info", label="num_gpu_blocks")],
    "engines_by_sleep_state": [By("sleep_state", PerGroup("vllm:engine_sleep_state"))],
    "inference_time": [Histogram(Series("vllm:request_inference_time_seconds"))],
    "prefill_time": [Histogram(Series("vllm:request_prefill_time_seconds"))],
    "decode_time": [Histogram(Series("vllm:request_decode_time_seconds"))],
    "iteration_tokens": [Histogram(Series("vllm:iteration_tokens_total"))],  # a histogram in spite of its name
}

RANK: Table = {
    "num_requests_running": [RUNNING],
    "num_requests_waiting": [WAITING],
    "gen_throughput_tokens_per_second": [PerGroup("vllm:avg_generation_throughput_toks_per_s")],
    "kv_usage_ratio": [KV_USAGE],
    "kv_capacity_tokens": [CAPACITY],
    "retracted_total": [PREEMPTIONS],
    "decoded_tokens_total": [GENERATED_TOKENS],
}

RELEASES = Releases(
    order=("0.6.6.post1", "0.8.5.post1", "0.9.2", "0.11.0", "0.13.0", "0.20.0", "0.27.0", "0.33.0"),
    first_seen={
        "0.6.6.post1": ("vllm:num_requests_running", "vllm:prompt_tokens_total"),
        "0.8.5.post1": ("vllm:gpu_prefix_cache_queries_total", "vllm:spec_decode_num_drafts_total"),
        "0.9.2": ("vllm:kv_cache_usage_perc", "vllm:prefix_cache_queries_total"),
        "0.11.0": ("vllm:inter_token_latency_seconds_count", "vllm:request_time_per_output_token_seconds_count"),
        "0.13.0": ("vllm:engine_sleep_state", "vllm:mm_cache_queries_total"),
        "0.20.0": ("vllm:num_requests_waiting_by_reason", "vllm:prompt_tokens_by_source_total"),
        "0.33.0": ("vllm:prompt_tokens_cached_by_source_total", "vllm:admission_rejections_total"),
    },
    last_seen={
        "vllm:tokens_total": "0.6.6.post1",
        "vllm:avg_generation_throughput_toks_per_s": "0.6.6.post1",
        "vllm:num_requests_swapped": "0.8.5.post1",
        "vllm:gpu_cache_usage_perc": "0.11.0",
        "vllm:time_per_output_token_seconds_count": "0.13.0",
    },
    # Families of V1, which has them all from the start; the last V0 engine is older than these.
    anchor="vllm:num_requests_running",
    beside=("vllm:mm_cache_queries_total", "vllm:num_requests_waiting_by_reason", "vllm:admission_rejections_total"),
)

BETWEEN = Between(
    amounts={
        "requests_finished": REQUESTS["finished_total"],
        "requests_aborted": [Sum(finished("abort"), finished("error"))],
        "prompt_tokens": [PROMPT_TOKENS],
        "cached_tokens": [HITS],
        # Looked up when a request is scheduled; its prompt tokens count later, when its prefill has ended.
        "cache_hit_rate": CACHE["cache_hit_rate"],
        "time_to_first_token": REQUESTS["time_to_first_token"],
        "inter_token_latency": REQUESTS["inter_token_latency"],
        "request_duration": REQUESTS["request_duration"],
        "queue_time": REQUESTS["queue_time"],
        "retracted": [PREEMPTIONS],
    },
    live_tokens=GENERATED_TOKENS,
    in_flight=Sum(RUNNING, WAITING),
    running=RUNNING,
    waiting=WAITING,
    usage=KV_USAGE,
    progress=[
        PROMPT_TOKENS,
        GENERATED_TOKENS,
        PerGroup("vllm:request_success_total"),
        Series("vllm:time_to_first_token_seconds_count"),
        PerGroup("vllm:iteration_tokens_total_count"),
    ],
    rank_progress=[PROMPT_TOKENS, GENERATED_TOKENS],
    gauges=[
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
        "vllm:kv_cache_usage_perc",
        "vllm:gpu_cache_usage_perc",
    ],
)

ENGINE = Engine(
    Ranks(
        families=("vllm:num_requests_running", "vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
        model_families=("vllm:prompt_tokens_total",),
        data="engine",
    ),
    REQUESTS,
    CACHE,
    SYSTEM,
    RANK,
    own={"vllm": [Part(Vllm, OWN)]},
    releases=RELEASES,
    between=BETWEEN,
)
