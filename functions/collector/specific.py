"""What one engine alone says, and the names that the original design gave its numbers.

The first are fields of a `Snapshot` under the engine's name; the second are added when vLLM's or TGI's is answered, by
`original`, and are neither read nor stored.
"""

from pydantic import Field

from collector.sections import Count, Distribution, Model, Number, RequestMetrics


class Vllm(Model):
    """Over all engines (data-parallel ranks) of the server."""

    finished_by_reason: dict[str, Count] | None = Field(
        None, description="`stop`, `length`, `abort`, `error`, `repetition`: `finished_total` split."
    )
    num_requests_waiting_by_reason: dict[str, Count] | None = Field(
        None, description="`capacity`, `deferred`: `num_requests_waiting` split."
    )
    num_requests_swapped: Count = Field(None, description="0.6 and 0.7: moved to host memory, waiting to go on.")
    rejected_by_reason: dict[str, Count] | None = Field(None, description="Turned away by a limit of the queue.")
    prefix_cache_queries_total: Count = Field(None, description="Prompt tokens looked up in the prefix cache.")
    prefix_cache_hit_rate_gauge: Number = Field(
        None, description="0.6: the server's own figure, in blocks and over an interval of its choice; 0 to 1."
    )
    external_cache_queries_total: Count = Field(None, description="Tokens asked of a KV connector.")
    external_cache_hits_total: Count = Field(None, description="Tokens that a KV connector had.")
    multimodal_cache_queries_total: Count = Field(None, description="Images and the like, looked up.")
    multimodal_cache_hits_total: Count = Field(None, description="Images and the like, found.")
    prompt_tokens_by_source: dict[str, Count] | None = Field(
        None, description="`local_compute`, `local_cache_hit`, `external_kv_transfer`."
    )
    cpu_cache_usage_ratio: Number = Field(None, description="0.6: host KV blocks in use, the fullest engine; 0 to 1.")
    gpu_blocks: Count = Field(None, description="KV blocks over all engines.")
    engines_by_sleep_state: dict[str, Count] | None = Field(
        None, description="`awake`, `weights_offloaded`, `discard_all`: how many engines are in each."
    )
    inference_time: Distribution | None = Field(None, description="Seconds from the first schedule to the last token.")
    prefill_time: Distribution | None = Field(None, description="Seconds from the first schedule to the first token.")
    decode_time: Distribution | None = Field(None, description="Seconds from the first token to the last.")
    iteration_tokens: Distribution | None = Field(None, description="Tokens per step of an engine.")


class Tgi(Model):
    """Text Generation Inference."""

    request_count_total: Count = Field(None, description="Requests that came in, refused ones included.")
    failures_by_reason: dict[str, Count] | None = Field(
        None, description="`validation`, `overloaded`, `generation`, `dropped`, …: `failure_total` split."
    )
    validation_seconds: Number = Field(None, description="Mean time from arrival to the queue.")
    inference_seconds: Number = Field(None, description="Mean time from the first batch to the last token.")
    inference_time: Distribution | None = Field(None, description="Seconds from the first batch to the last token.")
    max_new_tokens: Number = Field(None, description="Mean of what requests asked for at most.")
    skipped_tokens: Number = Field(None, description="Mean tokens per forward pass that speculation saved.")
    prefill_seconds: Number = Field(None, description="Mean time of a batch's prefill: nearest to a first token.")
    decode_seconds: Number = Field(None, description="Mean time of a batch's decode step.")
    batch_max_tokens: Count = Field(None, description="What the current batch may grow to, in tokens.")


class Router(Model):
    """SGLang's router (model gateway): what it sees of its workers."""

    requests_total: Count = Field(None, description="Requests routed; a retry is not another.")
    retries_total: Count = None
    upstream_responses_by_class: dict[str, Count] | None = Field(
        None, description="`2xx`, `5xx`, …: workers' responses, retried ones included."
    )
    worker_errors_by_type: dict[str, Count] | None = None
    workers: Count = Field(None, description="In the pools.")
    requests_active_by_worker: dict[str, Count] | None = Field(
        None, description="At each worker, running or waiting there."
    )
    health_by_worker: dict[str, Count] | None = Field(None, description="1: healthy.")
    circuit_state_by_worker: dict[str, Count] | None = Field(None, description="0: closed, 1: open, 2: half open.")
    connections_active: Count = Field(None, description="From clients.")


class VllmRequestMetrics(RequestMetrics):
    """The original design's names beside ours."""

    e2e_latency_seconds: Number = Field(None, description="`request_duration_seconds`.")
    prompt_tokens: Number = Field(None, description="`input_tokens`.")
    generation_tokens: Number = Field(None, description="`output_tokens`.")


class GpuMetrics(Model):
    """vLLM's, in the original design."""

    cache_usage_perc: Number = Field(None, description="`cache_metrics.kv_usage_ratio`; 0 to 1, as vLLM's gauge.")
    memory_usage_bytes: Count = Field(
        None, description="`cache_metrics.cache_memory_usage_bytes`; vLLM does not say it."
    )
    num_requests_running: Count = None
    num_requests_waiting: Count = None


class ThroughputMetrics(Model):
    """vLLM's, in the original design."""

    prompt_tokens_total: Count = None
    generation_tokens_total: Count = Field(None, description="`request_metrics.generated_tokens_total`.")
    num_preemptions_total: Count = Field(None, description="`request_metrics.retracted_total`.")
    requests_per_second: Number = Field(None, description="vLLM does not say it.")
    tokens_per_second: Number = Field(None, description="`system_metrics.throughput_tokens_per_second`.")


class TgiRequestMetrics(RequestMetrics):
    """The original design's names beside ours."""

    request_count: Count = Field(None, description="`tgi.request_count_total`.")
    queue_size: Count = Field(None, description="`system_metrics.num_requests_waiting`.")
    mean_time_per_token_seconds: Number = Field(None, description="`time_per_output_token_seconds`.")
    validation_duration_seconds: Number = Field(None, description="`tgi.validation_seconds`.")
    queue_duration_seconds: Number = Field(None, description="`queue_time_seconds`.")
    inference_duration_seconds: Number = Field(None, description="`tgi.inference_seconds`.")


class GenerationMetrics(Model):
    """TGI's, in the original design."""

    input_length: Number = Field(None, description="`request_metrics.input_tokens`.")
    generated_tokens: Number = Field(None, description="`request_metrics.output_tokens`.")
    generated_tokens_total: Count = None
    max_new_tokens: Number = Field(None, description="`tgi.max_new_tokens`.")
    batch_current_size: Count = Field(None, description="`system_metrics.batch_size_current`.")
    batch_current_max_tokens: Count = Field(None, description="`tgi.batch_max_tokens`.")
