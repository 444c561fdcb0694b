"""Quantiles out of buckets against the true ones, beside the straight line of Prometheus' `histogram_quantile`.

Observations are drawn, or those that were driven into the servers whose pages lie beside the repository. A drawn
sample is stretched many times, to fall anywhere in the buckets of each histogram, its median above the first. An error
is relative to the true quantile, the smallest observation with a share q at or below it. Means are over p50, p90, p95
and p99, medians without p50; quantiles beyond the last bound are left out.

Where a distribution ends on a bound a straight line can be exact, which no smooth curve is: those rows have no ceiling.
"""

import json
import math
import statistics
import time
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from tests.bench.latencies import BOUNDS, ENDING_AT_ONE, NOT_SMOOTH, SMOOTH, Draw, rng
from tests.support import PAGES, SHARED, snapshot_of

from collector.distributions import QUANTILES, Buckets
from collector.exposition import parse
from collector.sections import Distribution, Quantile

SMOOTH_CEILING, ANY_CEILING, TIME_CEILING = 0.5, 1.0, 3.5
ROUNDS, PAGES_PER_ROUND = 15, 25


class Error(NamedTuple):
    """The relative errors of both estimates of one quantile."""

    q: str
    straight: float
    ours: float


class Group(NamedTuple):
    """Distributions that are drawn from, and held to a ceiling, in the same way."""

    name: str
    ceiling: float
    sizes: Sequence[int]  # observations in each sample
    stretches: int  # of a sample, per histogram
    distributions: dict[str, Callable[[], Draw]]
    sum_is_known: bool = True
    ends_on_a_bound: bool = False


GROUPS = [
    Group("smooth, 20,000 observations", SMOOTH_CEILING, [20_000] * 3, 40, SMOOTH),
    Group("smooth, 1,000 observations", SMOOTH_CEILING, [1000] * 10, 12, SMOOTH),
    Group("smooth, 1,000 observations, sum unknown", SMOOTH_CEILING, [1000] * 10, 12, SMOOTH, sum_is_known=False),
    Group("smooth, 5 to 50 observations", ANY_CEILING, [5, 10, 20, 50] * 25, 3, SMOOTH),
    Group("not smooth, 1,000 observations", ANY_CEILING, [1000] * 40, 4, NOT_SMOOTH),
    Group("not smooth, 1,000 observations, sum unknown", ANY_CEILING, [1000] * 40, 4, NOT_SMOOTH, sum_is_known=False),
    Group("ends on a bound, 1,000 observations", math.inf, [1000] * 40, 4, ENDING_AT_ONE, ends_on_a_bound=True),
]


def drawn_errors(group: Group, distribution: Callable[[], Draw]) -> Iterator[Error]:
    for size in group.sizes:
        draw = distribution()
        sample = sorted(draw() for _ in range(size))
        total = math.fsum(sample) if group.sum_is_known else math.nan
        for bounds in BOUNDS.values():
            edges = [bound for bound in bounds if bound > 0]
            for _ in range(group.stretches):
                if group.ends_on_a_bound:
                    unit = rng.choice(edges[1:])
                else:
                    unit = edges[1] * (bounds[-1] / 12 / edges[1]) ** rng.random() / statistics.median(sample)
                counts = {bound: bisect_right(sample, bound, key=lambda value: value * unit) for bound in bounds}
                buckets = Buckets({**counts, math.inf: size}, total * unit)
                yield from errors(buckets.summarise(), sample, unit)


def errors(distribution: Distribution, sample: Sequence[float], unit: float = 1) -> Iterator[Error]:
    for name, q in QUANTILES.items():
        quantile: Quantile = getattr(distribution, name)
        true = sample[math.ceil(q * len(sample) - 1e-9) - 1] * unit
        if not quantile.in_last_bucket:
            yield Error(name, abs(quantile.linear / true - 1), abs(quantile.value / true - 1))


DRIVEN = {  # a distribution of the snapshot → what was driven into the server
    "time_to_first_token": ("ttft", "samples"),
    "inter_token_latency": ("itl", "weighted"),
    "request_duration": ("e2e", "samples"),
    "time_per_output_token": ("request_tpot", "samples"),
    "prompt_length": ("prompt_len", None),
    "generated_length": ("gen_len", None),
}


def driven_errors() -> dict[str, list[Error]]:
    """Per distribution, over all the servers whose pages count what was driven into them."""
    by_distribution: dict[str, list[Error]] = defaultdict(list)
    for truth_file in sorted((SHARED / "expositions" / "generated").glob("sglang-*.truth.json")):
        tokenizer = json.loads(truth_file.read_text())["tokenizer"]
        requests = snapshot_of(truth_file.with_name(truth_file.name.replace(".truth.json", ".prom"))).request_metrics
        for field, (name, part) in DRIVEN.items():
            observed = tokenizer[name][part] if part else tokenizer[name]
            if part == "weighted":
                observed = [value for value, weight in observed for _ in range(weight)]
            distribution = getattr(requests, field)
            if observed and distribution and distribution.count == len(observed):
                by_distribution[field] += errors(distribution, sorted(observed))
    return by_distribution


def times_as_long() -> float:
    """The quantiles of a page's histograms against those on straight lines alone: CPU time, the median of rounds."""
    found = list(histograms((PAGES / "sglang-0.5.23-dp2-load.prom").read_bytes()))

    def ours() -> None:
        for histogram in found:
            on_curves(Buckets(histogram.cumulative, histogram.total))

    def straight() -> None:
        for histogram in found:
            on_straight_lines(histogram.cumulative)

    return statistics.median(cpu_seconds(ours) / cpu_seconds(straight) for _ in range(ROUNDS))


def histograms(page: bytes) -> Iterator[Buckets]:
    """Those that observed something, each added up over all its series."""
    cumulative: dict[str, dict[float, float]] = defaultdict(lambda: defaultdict(float))
    totals: dict[str, float] = defaultdict(float)
    for sample in parse(page).samples:
        if sample.name.endswith("_bucket"):
            cumulative[sample.name.removesuffix("_bucket")][float(sample.labels["le"])] += sample.value
        elif sample.name.endswith("_sum"):
            totals[sample.name.removesuffix("_sum")] += sample.value
    return (Buckets(dict(buckets), totals[name]) for name, buckets in cumulative.items() if buckets[math.inf])


def on_curves(buckets: Buckets) -> list[Quantile | None]:
    return [buckets.quantile(q) for q in QUANTILES.values()]


def on_straight_lines(cumulative: Mapping[float, float]) -> list[Quantile]:
    bounds = [0.0, *sorted(cumulative)]
    counts = list(accumulate(map(cumulative.__getitem__, bounds[1:]), max, initial=0.0))
    quantiles = []
    for q in QUANTILES.values():
        rank = q * counts[-1]
        at = bisect_left(counts, rank, lo=1)
        lower, upper, below, upto = bounds[at - 1], bounds[at], counts[at - 1], counts[at]
        value = lower if upper == math.inf else lower + (upper - lower) * (rank - below) / (upto - below)
        quantiles.append(Quantile(value=value, lower_bound=lower, upper_bound=upper, in_last_bucket=upper == math.inf))
    return quantiles


def cpu_seconds(read: Callable[[], object]) -> float:
    start = time.process_time()
    for _ in range(PAGES_PER_ROUND):
        read()
    return time.process_time() - start


LINE = "{:38}{:>9}{:>9}{:>9} {:5}{:>12}{:>9}"


def row(name: str, ceiling: float, errors: Sequence[Error]) -> str:
    straight, ours = (statistics.fmean(side) for side in ([e.straight for e in errors], [e.ours for e in errors]))
    tail = [error for error in errors if error.q != "p50"]
    return LINE.format(
        f"  {name}",
        f"{straight:.1%}",
        f"{ours:.1%}",
        f"{ours / straight:.2f} ×",
        "" if ceiling == math.inf else "PASS" if ours <= straight * ceiling + 1e-12 else "above",
        f"{statistics.median(e.straight for e in tail):.1%}",
        f"{statistics.median(e.ours for e in tail):.1%}",
    ).rstrip()


def table() -> Iterator[str]:
    yield LINE.format("quantiles", "straight", "ours", "ratio", "", "p90 to p99", "ours")
    yield LINE.format("", "mean", "mean", "", "", "median", "median")
    for group in GROUPS:
        yield heading(group.name, group.ceiling)
        for name, distribution in group.distributions.items():
            yield row(name, group.ceiling, list(drawn_errors(group, distribution)))
    if driven := driven_errors():
        yield heading("driven into servers, 5 to 75 requests each", ANY_CEILING)
        for name, found in driven.items():
            yield row(name, ANY_CEILING, found)
    longer = times_as_long()
    yield f"time: {longer:.2f} × a straight line's (≤ {TIME_CEILING})  {'PASS' if longer <= TIME_CEILING else 'above'}"


def heading(name: str, ceiling: float) -> str:
    return name if ceiling == math.inf else f"{name} (≤ {ceiling})"


def main() -> None:
    for line in table():
        print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
