"""What Text Generation Inference calls things: one process, no rank labels, no `_total` on its counters.

Names, types and units are its documentation's (https://huggingface.co/docs/text-generation-inference/reference/metrics),
labels and buckets its source's. It has no time to first token and no KV cache metrics. All durations are in seconds.
"""

from collector.engines.between import Between
from collector.engines.engine import Engine
from collector.engines.formulas import Sum, WhileRunning
from collector.engines.page import Ranks
from collector.engines.tables import Born, By, Histogram, Mean, Part, Series, Table
from collector.specific import Tgi

RUNNING = Series("tgi_batch_current_size")
WAITING = Series("tgi_queue_size")

DURATION = Series("tgi_request_duration")
QUEUE_TIME = Series("tgi_request_queue_duration")
TIME_PER_TOKEN = Series("tgi_request_mean_time_per_token_duration")  # one mean per request, its prefill included
INFERENCE = Series("tgi_request_inference_duration")
INPUT_LENGTH = Series("tgi_request_input_length")
GENERATED = Series("tgi_request_generated_tokens")


def counter(name: str) -> Born:
    """Exposed from its first event on, as `tgi_request_count` is from the first request on."""
    return Born("tgi_request_count", Series(name))


# Names with `_total` or `_seconds` and a histogram's name for one value: as the original design has them.
REQUESTS: Table = {
    "success_total": [Series("tgi_request_success_total"), counter("tgi_request_success")],
    "failure_total": [Series("tgi_request_failure_total"), counter("tgi_request_failure")],
    "request_duration_seconds": [Mean(DURATION)],
    "time_per_output_token_seconds": [
        Mean(TIME_PER_TOKEN),
        Series("tgi_request_mean_time_per_token_duration_seconds"),
    ],
    "input_tokens": [Mean(INPUT_LENGTH), INPUT_LENGTH],
    "output_tokens": [Mean(GENERATED), GENERATED],
    "prompt_tokens_total": [counter("tgi_request_input_length_sum")],
    "generated_tokens_total": [
        Series("tgi_request_generated_tokens_total"),
        counter("tgi_request_generated_tokens_sum"),
    ],
    "queue_time_seconds": [Mean(QUEUE_TIME), Series("tgi_request_queue_duration_seconds")],
    "request_duration": [Histogram(DURATION)],
    "queue_time": [Histogram(QUEUE_TIME)],
    "time_per_output_token": [Histogram(TIME_PER_TOKEN)],
    "prompt_length": [Histogram(INPUT_LENGTH)],
    "generated_length": [Histogram(GENERATED)],
}

SYSTEM: Table = {
    "num_requests_running": [RUNNING],
    "num_requests_waiting": [WAITING],
    "batch_size_current": [RUNNING],
    "throughput_tokens_per_second": [WhileRunning(RUNNING)],
}

OWN: Table = {
    "request_count_total": [Series("tgi_request_count")],
    "failures_by_reason": [By("err", Series("tgi_request_failure"))],
    "validation_seconds": [
        Mean(Series("tgi_request_validation_duration")),
        Series("tgi_request_validation_duration_seconds"),
    ],
    "inference_seconds": [Mean(INFERENCE), Series("tgi_request_inference_duration_seconds")],
    "inference_time": [Histogram(INFERENCE)],
    "max_new_tokens": [Mean(Series("tgi_request_max_new_tokens")), Series("tgi_request_max_new_tokens")],
    "skipped_tokens": [Mean(Series("tgi_request_skipped_tokens"))],
    "prefill_seconds": [Mean(Series("tgi_batch_inference_duration", {"method": "prefill"}))],
    "decode_seconds": [Mean(Series("tgi_batch_inference_duration", {"method": "decode"}))],
    "batch_max_tokens": [Series("tgi_batch_current_max_tokens")],
}

BETWEEN = Between(
    amounts={
        "requests_finished": [Sum(counter("tgi_request_success"), counter("tgi_request_failure"))],
        "requests_aborted": [counter("tgi_request_failure")],
        "prompt_tokens": REQUESTS["prompt_tokens_total"],
        "generated_tokens": REQUESTS["generated_tokens_total"],
        "request_duration": REQUESTS["request_duration"],
        "queue_time": REQUESTS["queue_time"],
    },
    in_flight=Sum(RUNNING, WAITING),
    running=RUNNING,
    waiting=WAITING,
    progress=[
        Series("tgi_request_count"),
        Series("tgi_batch_inference_count"),
        Series("tgi_batch_inference_duration_count"),
    ],
    gauges=["tgi_queue_size", "tgi_batch_current_size", "tgi_batch_current_max_tokens"],
)

ENGINE = Engine(
    Ranks(families=("tgi_queue_size", "tgi_batch_current_size")),
    REQUESTS,
    system=SYSTEM,
    rank={"num_requests_running": [RUNNING], "num_requests_waiting": [WAITING]},
    own={"tgi": [Part(Tgi, OWN)]},
    between=BETWEEN,
)
