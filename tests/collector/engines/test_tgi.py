"""Text Generation Inference: a page built from its documented names, against what it was built from."""

import json

import pytest

from support import PAGES, snapshot_of

TRUTH = json.loads((PAGES / "tgi-documented.truth.json").read_text())


def read(page):
    return snapshot_of(page, "tgi")


@pytest.fixture(scope="module")
def snapshot():
    return read(PAGES / "tgi-documented.prom")


def test_counts_are_the_truths(snapshot):
    requests = snapshot.request_metrics
    assert (requests.success_total, requests.failure_total) == (TRUTH["success"], sum(TRUTH["failures"].values()))
    assert snapshot.tgi.failures_by_reason == TRUTH["failures"]
    in_flight = TRUTH["running"] + TRUTH["waiting"]
    assert snapshot.tgi.request_count_total == requests.success_total + requests.failure_total + in_flight
    assert requests.prompt_tokens_total == TRUTH["input_tokens"]
    assert requests.generated_tokens_total == TRUTH["generated_tokens"]
    assert requests.input_tokens == TRUTH["input_tokens"] / TRUTH["success"]
    assert requests.output_tokens == TRUTH["generated_tokens"] / TRUTH["success"]


def test_times_are_the_truths_in_seconds(snapshot):
    requests, means = snapshot.request_metrics, TRUTH["mean_seconds"]
    assert requests.request_duration_seconds == pytest.approx(means["total"])
    assert requests.queue_time_seconds == pytest.approx(means["queue"])
    assert requests.time_per_output_token_seconds == pytest.approx(means["per_token"])
    assert snapshot.tgi.validation_seconds == pytest.approx(means["validation"])
    assert snapshot.tgi.inference_seconds == pytest.approx(means["inference"])
    assert snapshot.tgi.prefill_seconds == pytest.approx(TRUTH["prefill_seconds"])
    assert snapshot.tgi.decode_seconds == pytest.approx(TRUTH["decode_seconds"])
    median = TRUTH["durations"][len(TRUTH["durations"]) // 2]
    assert requests.request_duration.p50.lower_bound <= median <= requests.request_duration.p50.upper_bound * 1.5


def test_the_queue_and_the_batch_are_the_truths(snapshot):
    system = snapshot.system_metrics
    assert (system.num_requests_running, system.num_requests_waiting) == (TRUTH["running"], TRUTH["waiting"])
    assert system.batch_size_current == TRUTH["running"]
    assert [(rank.dp_rank, rank.num_requests_running) for rank in snapshot.ranks] == [(None, TRUTH["running"])]


def test_what_it_does_not_measure_is_unsaid(snapshot):
    assert {
        "request_metrics.time_to_first_token_seconds",
        "request_metrics.time_to_first_token",
        "request_metrics.inter_token_latency",
        "cache_metrics.cache_hit_rate",
        "cache_metrics.kv_usage_ratio",
        "system_metrics.throughput_tokens_per_second",
    } <= set(snapshot.missing)


@pytest.mark.parametrize(
    ("page", "success", "failure"),
    [
        pytest.param("tgi_request_count 1\n", 0, 0, id="the-first-request-is-under-way"),
        pytest.param("tgi_queue_size 0\n", None, None, id="nothing-counted-yet"),
        pytest.param('tgi_request_count 2\ntgi_request_failure{err="validation"} 2\n', 0, 2, id="only-failures"),
    ],
)
def test_an_absent_counter_is_0_once_requests_are_counted(page, success, failure):
    requests = read(page).request_metrics
    assert (requests.success_total, requests.failure_total) == (success, failure)


@pytest.mark.parametrize(("batch", "throughput"), [(0, 0), (3, None)], ids=["idle", "at-work"])
def test_throughput_is_0_when_nothing_runs_and_unsaid_otherwise(batch, throughput):
    page = f"tgi_batch_current_size {batch}\n"
    assert read(page).system_metrics.throughput_tokens_per_second == throughput


# As callers of the original design mock a server: names and figures from its description.
ORIGINAL_DESIGN = """
tgi_request_success_total 250
tgi_request_failure_total 3
tgi_queue_size 5
tgi_request_mean_time_per_token_duration_seconds 0.015
tgi_request_validation_duration_seconds 0.002
tgi_request_queue_duration_seconds 0.050
tgi_request_inference_duration_seconds 1.2
tgi_request_input_length 128
tgi_request_generated_tokens 256
tgi_request_generated_tokens_total 64000
tgi_request_max_new_tokens 512
tgi_batch_current_size 8
tgi_batch_current_max_tokens 2048
tgi_request_count 253
"""


def test_the_original_designs_page_gives_the_original_designs_answer():
    snapshot = read(ORIGINAL_DESIGN)
    requests, own = snapshot.request_metrics, snapshot.tgi
    assert (requests.success_total, requests.failure_total, own.request_count_total) == (250, 3, 253)
    assert (requests.time_per_output_token_seconds, requests.queue_time_seconds) == (0.015, 0.05)
    assert (requests.input_tokens, requests.output_tokens, requests.generated_tokens_total) == (128, 256, 64000)
    assert (own.validation_seconds, own.inference_seconds, own.max_new_tokens) == (0.002, 1.2, 512)
    assert (snapshot.system_metrics.batch_size_current, own.batch_max_tokens) == (8, 2048)
