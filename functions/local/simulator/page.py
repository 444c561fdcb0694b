"""The page of SGLang 0.5.23 with data-parallel ranks, made of the simulation's values for prometheus_client to write.

As on a real server, a scheduler's series carry its rank; the tokenizer's carry none and cover all ranks.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import TypeVar

from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from local.simulator import families
from local.simulator.families import Value
from local.simulator.rank import Rank
from local.simulator.tally import Histogram

MODEL = {"engine_type": "unified", "model_name": "meta-llama/Llama-3.1-8B-Instruct"}
SCRAPE = ("/metrics", "GET")
CPU_SHARES = {"tokenizer": 0.05, "detokenizer": 0.02, "data_parallel_controller": 0.01}

Source = TypeVar("Source")
Labels = dict[str, str]


def scheduler_labels(rank: Rank) -> Labels:
    return {**MODEL, "dp_rank": str(rank.number), "moe_ep_rank": "0", "pp_rank": "0", "tp_rank": "0"}


def cache_labels(rank: Rank) -> Labels:
    return {"cache_type": "UnifiedRadixCache", "dp_rank": str(rank.number), "pp_rank": "0", "tp_rank": "0"}


class Page(Collector):
    """What `ranks` have done. `scrapes` counts the requests for the page, the one being answered included."""

    def __init__(self, ranks: Sequence[Rank]) -> None:
        self._ranks = ranks
        self.scrapes = 0

    def collect(self) -> Iterator[Metric]:
        schedulers = [(scheduler_labels(rank), rank) for rank in self._ranks]
        caches = [(cache_labels(rank), rank) for rank in self._ranks if rank.cache.evicted_total]
        tokenizer = [(MODEL, self._ranks)]
        yield from _metrics("counter", families.SCHEDULER_COUNTERS, schedulers)
        yield from _metrics("counter", families.CACHE_COUNTERS, caches)
        yield from _metrics("gauge", families.SCHEDULER_GAUGES, schedulers)
        yield from self._http()
        yield from _metrics("histogram", families.TOKENIZER_HISTOGRAMS, tokenizer)
        yield from _metrics("counter", families.TOKENIZER_COUNTERS, tokenizer)
        yield from _metrics("gauge", families.TOKENIZER_GAUGES, tokenizer)
        yield from _metrics("histogram", families.SCHEDULER_HISTOGRAMS, schedulers)
        yield from _metrics("histogram", families.CACHE_HISTOGRAMS, caches)

    def _http(self) -> Iterator[Metric]:
        requests, responses = Counter({SCRAPE: self.scrapes}), Counter({(SCRAPE, 200): self.scrapes - 1})
        for rank in self._ranks:
            requests.update({(route, "POST"): count for route, count in rank.tally.http_requests.items()})
            for (route, status), count in rank.tally.http_responses.items():
                responses[(route, "POST"), status] += count
        active = Counter(requests)
        for (call, _), count in responses.items():
            active[call] -= count
        answered = [
            ({**_call(call), "status_code": str(status)}, count) for (call, status), count in sorted(responses.items())
        ]
        cpu_seconds = [({"component": name}, share * self._ranks[0].now) for name, share in CPU_SHARES.items()]
        yield _metric("counter", "http_requests_total", "HTTP requests.", _by_call(requests))
        yield _metric("counter", "http_responses_total", "HTTP responses.", answered)
        yield _metric("gauge", "http_requests_active", "HTTP requests not yet answered.", _by_call(active))
        yield _metric("gauge", "routing_keys_active", families.UNUSED, [({}, 0)])
        yield _metric("counter", "process_cpu_seconds_total", "CPU time by process.", cpu_seconds)


def _call(call: tuple[str, str]) -> Labels:
    return {"endpoint": call[0], "method": call[1]}


def _by_call(counts: Counter[tuple[str, str]]) -> list[tuple[Labels, float]]:
    return [(_call(call), count) for call, count in sorted(counts.items())]


def _metrics(
    kind: str,
    table: dict[str, tuple[str, Callable[[Source], Value]]],
    sources: Sequence[tuple[Labels, Source]],
) -> Iterator[Metric]:
    for name, (text, value) in table.items():
        series: list[tuple[Labels, float | Histogram]] = []
        for labels, source in sources:
            values = value(source)
            series += (
                [({**labels, **more}, number) for more, number in values]
                if isinstance(values, list)
                else [(labels, values)]
            )
        if series:
            yield _metric(kind, name, text, series)


def _metric(kind: str, name: str, text: str, series: Iterable[tuple[Labels, float | Histogram]]) -> Metric:
    name = f"sglang:{name}"
    metric = Metric(name.removesuffix("_total") if kind == "counter" else name, text, kind)
    for labels, value in series:
        if isinstance(value, Histogram):
            bounds = [*map(floatToGoString, value.bounds), "+Inf"]
            for bound, count in zip(bounds, accumulate(value.counts), strict=True):
                metric.add_sample(f"{name}_bucket", {**labels, "le": bound}, count)
            metric.add_sample(f"{name}_sum", labels, value.sum)
            metric.add_sample(f"{name}_count", labels, value.count)
        else:
            metric.add_sample(name, labels, value)
    return metric
