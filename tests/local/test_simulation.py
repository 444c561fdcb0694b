"""What must hold between the numbers of a page, and between the pages of a server, at any time."""

import math
from collections import defaultdict
from itertools import pairwise
from random import Random

import pytest
from prometheus_client.parser import text_string_to_metric_families

from local.simulator.rank import KV_CAPACITY_TOKENS, MAX_RUNNING_REQUESTS
from local.simulator.simulation import LONGEST_CATCH_UP_SECONDS, WARM_SECONDS, Simulation

RANKS = ("0", "1")
STREAMING = ("false", "true")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Page:
    """A page's numbers: `page("num_running_reqs", dp_rank="0")` sums the series that have the labels."""

    def __init__(self, text: str) -> None:
        self.types = {}
        self.series = defaultdict(dict)
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                self.types[sample.name] = family.type
                self.series[sample.name][frozenset(sample.labels.items())] = sample.value

    def __call__(self, name: str, **labels: str) -> float:
        series = self.series[f"sglang:{name}"].items()
        return sum(value for found, value in series if labels.items() <= dict(found).items())

    def counters(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        return {
            (name, labels): value
            for name, series in self.series.items()
            if self.types[name] != "gauge"
            for labels, value in series.items()
        }

    def histograms(self) -> dict[tuple[str, frozenset[tuple[str, str]]], dict[float, float]]:
        """The cumulative counts by upper bound."""
        found = defaultdict(dict)
        for name, series in self.series.items():
            if name.endswith("_bucket"):
                for labels, value in series.items():
                    bound = float(dict(labels)["le"])
                    found[name.removesuffix("_bucket"), frozenset(label for label in labels if label[0] != "le")][
                        bound
                    ] = value
        return found


@pytest.fixture(scope="module", params=[1, 2], ids=lambda seed: f"seed-{seed}")
def pages(request):
    """The pages of ten minutes, asked for at irregular times."""
    clock, random = Clock(), Random(request.param)
    simulation = Simulation(request.param, clock)
    found = []
    for _ in range(60):
        found.append((Page(simulation.page()[0].decode()), simulation.truth(), clock.now))
        clock.now += random.choice([0.003, 0.4, 3.0, 20.0]) * random.uniform(0, 2)
    return found


def test_counters_never_fall(pages):
    for (before, *_), (after, *_) in pairwise(pages):
        old, new = before.counters(), after.counters()
        assert {key for key, value in old.items() if new.get(key, -1) < value} == set()


def test_the_pool_is_used_cached_or_free(pages):
    for page, *_ in pages:
        for rank in RANKS:
            used, evictable, available = (
                page(f"kv_{kind}_tokens", dp_rank=rank) for kind in ("used", "evictable", "available")
            )
            assert used + evictable + available == page("max_total_num_tokens", dp_rank=rank)
            assert min(used, evictable, available) >= 0
            assert page("num_used_tokens", dp_rank=rank) == used
            assert page("full_token_usage", dp_rank=rank) == used / KV_CAPACITY_TOKENS


def test_each_histogram_agrees_with_its_count_and_sum(pages):
    page = pages[-1][0]
    for (name, labels), buckets in page.histograms().items():
        counts = [buckets[bound] for bound in sorted(buckets)]
        assert counts == sorted(counts)
        assert buckets[math.inf] == page.series[f"{name}_count"][labels]
        edges = list(pairwise([(0.0, 0.0), *sorted(buckets.items())]))
        least = sum(lower * (upto - below) for (lower, below), (_, upto) in edges)
        most = sum(upper * (upto - below) for (_, below), (upper, upto) in edges if upto > below)
        assert least <= page.series[f"{name}_sum"][labels] <= most


def test_every_request_is_somewhere(pages):
    for page, truth, _ in pages:
        running, waiting = page("num_running_reqs"), page("num_queue_reqs")
        llm = {"method": "POST"}
        assert page("http_requests_active", **llm) == running + waiting
        assert page("http_requests_total", **llm) == page("http_responses_total", **llm) + running + waiting
        assert page("queue_time_seconds_count") == running + page("num_requests_total")
        assert page("per_stage_req_latency_seconds_count", stage="request_process") >= running + waiting
        assert (running, waiting) == (truth["running"], truth["waiting"])
        assert page("num_requests_total") == truth["ended_total"]
        for rank in RANKS:
            assert page("num_running_reqs", dp_rank=rank) <= MAX_RUNNING_REQUESTS
            assert page("num_running_reqs", dp_rank=rank) == truth["ranks"][int(rank)]["running"]


def test_what_ends_is_counted_everywhere(pages):
    for page, *_ in pages:
        for streaming in STREAMING:
            ended = page("num_requests_total", is_streaming=streaming)
            assert page("e2e_request_latency_seconds_count", is_streaming=streaming) == ended
            assert page("request_time_per_output_token_seconds_count", is_streaming=streaming) <= ended
        assert page("time_to_first_token_seconds_count", is_streaming="false") == page(
            "num_requests_total", is_streaming="false"
        )
        assert page("time_to_first_token_seconds_count", is_streaming="true") >= page(
            "num_requests_total", is_streaming="true"
        )
        for histogram in ("prompt_tokens_histogram", "uncached_prompt_tokens_histogram", "generation_tokens_histogram"):
            assert page(f"{histogram}_count") == page("num_requests_total")
        assert page("num_aborted_requests_total") <= page("http_responses_total", status_code="200")


def test_tokens_add_up(pages):
    for page, *_ in pages:
        prompt, generated, cached = (page(f"{kind}_tokens_total") for kind in ("prompt", "generation", "cached"))
        assert page("prompt_tokens_histogram_sum") == prompt
        assert page("generation_tokens_histogram_sum") == generated
        assert page("uncached_prompt_tokens_histogram_sum") + cached == prompt
        computed, found = (page("realtime_tokens_total", mode=f"prefill_{mode}") for mode in ("compute", "cache"))
        decoded = page("realtime_tokens_total", mode="decode")
        assert computed + found >= prompt
        assert page("prefill_effective_tokens_total") == computed + found
        # All sequences, ended and running, are their prompts, a first token each, and what was decoded.
        first_tokens = page("per_stage_req_latency_seconds_count", stage="prefill_forward")
        assert prompt + generated + page("decode_sum_seq_lens") == computed + found + first_tokens + decoded
        assert page("inter_token_latency_seconds_count") <= decoded


def test_time_is_busy_or_idle(pages):
    began = pages[0][2]
    for page, _, now in pages:
        for rank in RANKS:
            elapsed = WARM_SECONDS + now - began
            assert page("scheduler_stage_seconds_total", dp_rank=rank) == pytest.approx(elapsed)
            idle = page("scheduler_idle_seconds_total", dp_rank=rank)
            assert page("scheduler_stage_seconds_total", dp_rank=rank, category="idle") == idle


def test_traffic_moves(pages):
    assert len({page("num_running_reqs") for page, *_ in pages}) > 5
    assert max(page("num_queue_reqs") for page, *_ in pages) > 0
    last = pages[-1][0]
    assert last("num_aborted_requests_total") > 0
    assert last("http_responses_total", status_code="400") > 0
    assert 0.5 < last("cached_tokens_total") / last("prompt_tokens_total") < 0.95


def without_scrapes(page: bytes) -> list[str]:
    return [line for line in page.decode().splitlines() if 'endpoint="/metrics"' not in line]


def test_the_page_depends_on_the_time_and_not_on_how_often_it_was_asked_for():
    often, once = Clock(), Clock()
    asked_often, asked_once = Simulation(7, often), Simulation(7, once)
    for _ in range(100):
        often.now += 0.75
        page = asked_often.page()[0]
    once.now += 75
    assert without_scrapes(page) == without_scrapes(asked_once.page()[0])


def test_a_long_silence_is_slept_through():
    clock = Clock()
    simulation = Simulation(1, clock)
    before = Page(simulation.page()[0].decode())
    clock.now += 86_400
    after = Page(simulation.page()[0].decode())
    elapsed = after("scheduler_stage_seconds_total", dp_rank="0") - before("scheduler_stage_seconds_total", dp_rank="0")
    assert elapsed == pytest.approx(LONGEST_CATCH_UP_SECONDS)
