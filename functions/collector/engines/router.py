"""What SGLang's router says of itself, on its own port (29000 by default): `smg_…`. Read where `sglang` is asked for.

Names of release 0.3.2, off a running router. It counts what passes through it, which is less than what its workers
count: a retry is one request here and two there. What only a router of gRPC workers has (time to first token, time per
token, tokens) is named in the program and was not seen on a page. Older routers' `sgl_router_…` pages are known for
what they are, and not read.
"""

from collector.engines.engine import Engine
from collector.engines.page import Ranks
from collector.engines.tables import By, Histogram, Mean, Part, Series, Table, status_class
from collector.exposition import Exposition
from collector.specific import Router

DURATION = Series("smg_router_request_duration_seconds")
TTFT = Series("smg_router_ttft_seconds")
TIME_PER_TOKEN = Series("smg_router_tpot_seconds")


def by_class(name: str) -> By:
    return By("status_code", Series(name), name_of=status_class)


REQUESTS: Table = {
    "request_duration_seconds": [Mean(DURATION)],
    "time_to_first_token_seconds": [Mean(TTFT)],
    "time_per_output_token_seconds": [Mean(TIME_PER_TOKEN)],
    "prompt_tokens_total": [Series("smg_router_tokens_total", {"token_type": "input"})],
    "generated_tokens_total": [Series("smg_router_tokens_total", {"token_type": "output"})],
    "request_duration": [Histogram(DURATION)],
    "time_to_first_token": [Histogram(TTFT)],
    "time_per_output_token": [Histogram(TIME_PER_TOKEN)],
    "http_responses_by_class": [by_class("smg_http_responses_total")],  # to probes as well: it has no path
}

OWN: Table = {
    "requests_total": [Series("smg_router_requests_total")],
    "retries_total": [Series("smg_worker_retries_total")],
    "upstream_responses_by_class": [by_class("smg_router_upstream_responses_total")],
    "worker_errors_by_type": [By("error_type", Series("smg_worker_errors_total"))],
    "workers": [Series("smg_worker_pool_size")],
    "requests_active_by_worker": [By("worker", Series("smg_worker_requests_active"))],
    "health_by_worker": [By("worker", Series("smg_worker_health"))],
    "circuit_state_by_worker": [By("worker", Series("smg_worker_cb_state"))],
    "connections_active": [Series("smg_http_connections_active")],
}

ENGINE = Engine(
    Ranks(families=(), model_families=("smg_worker_pool_size",), model="model"),
    REQUESTS,
    own={"router": [Part(Router, OWN)]},
    engine_type="router",
)


def engine_of(page: Exposition) -> Engine | None:
    """The router's, if the page is its own: that has no other names than its, so the first tells."""
    first = next(iter(page.layout.by_name), "")
    return ENGINE if first.startswith(("smg_", "sgl_router_")) else None
