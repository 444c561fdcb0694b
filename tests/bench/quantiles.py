"""Quantiles out of buckets against the true ones, beside the straight line of Prometheus' `histogram_quantile`.

Observations are drawn, or those that were driven into the servers whose pages lie beside the repository. A drawn
sample is stretched many times, to fall anywhere in the buckets of each histogram; its median lies above the first
bucket, where the two estimates are one. An error is relative to the true quantile, the smallest observation with a
share q at or below it. Means are over p50, p90, p95 and p99, medians without p50; quantiles beyond the last bound are
left out.

Where a distribution ends on a bound, the straight line is right and no smooth curve can be: those rows have no ceiling.
"""

import json
import math
import random
import statistics
import time
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from tests.support import SHARED, snapshot_of

from collector.distributions import QUANTILES, Buckets
from collector.snapshot import Distribution, Quantile

# As the pages of SGLang 0.5.23 and vLLM 0.33.0 show them.
BOUNDS = {
    "sglang:time_to_first_token": "0.1 0.2 0.4 0.6 0.8 1 2 4 6 8 10 20 40 60 80 100 200 400",
    "sglang:inter_token_latency": "0.002 0.004 0.006 0.008 0.01 0.015 0.02 0.025 0.03 0.035 0.04 0.06 0.08 0.1 0.2 0.4"
    " 0.6 0.8 1 2 4 6 8",
    "sglang:e2e_request_latency": "0.1 0.2 0.4 0.6 0.8 1 2 4 6 8 10 20 40 60 80 100 200 400 600 1200 1800 2400",
    "sglang:queue_time": "0 0.001 0.005 0.01 0.05 0.1 0.2 0.5 1 2 3 4 5 10 15 20 30 40 50 60 70 80 90 100 200 300 400"
    " 500 600 700 800 900 1000 1200 1400 1600 1800 2000 2500 3000",
    "vllm:time_to_first_token": "0.001 0.005 0.01 0.02 0.04 0.06 0.08 0.1 0.25 0.5 0.75 1 2.5 5 7.5 10 20 40 80 160 640"
    " 2560",
    "vllm:inter_token_latency": "0.01 0.025 0.05 0.075 0.1 0.15 0.2 0.3 0.4 0.5 0.75 1 2.5 5 7.5 10 20 40 80",
    "vllm:e2e_request_latency": "0.3 0.5 0.8 1 1.5 2 2.5 5 10 15 20 30 40 50 60 120 240 480 960 1920 7680",
}
SMOOTH_CEILING, ANY_CEILING, TIME_CEILING = 0.5, 1.0, 2.5
ROUNDS, QUANTILES_PER_ROUND = 15, 4000

rng = random.Random(1982)
Draw = Callable[[], float]


class Error(NamedTuple):
    """The relative errors of both estimates of one quantile."""

    q: str
    straight: float
    ours: float


class Group(NamedTuple):
    """Distributions that are held to the same ceiling, each a function that makes one to draw from."""

    name: str
    ceiling: float
    sizes: Sequence[int]  # observations in each sample
    stretches: int  # of a sample, per histogram
    distributions: dict[str, Callable[[], Draw]]
    ends_on_a_bound: bool = False


def lognormal(sigma: float, median: float = 1) -> Draw:
    return lambda: rng.lognormvariate(math.log(median), sigma)


def mixture(share: float, one: Draw, other: Draw) -> Draw:
    return lambda: one() if rng.random() < share else other()


def two_peaks() -> Draw:
    return mixture(rng.uniform(0.2, 0.9), lognormal(0.15), lognormal(0.15, median=rng.uniform(3, 20)))


def uniform() -> Draw:
    start, width = rng.random(), rng.uniform(0.3, 3)
    return lambda: rng.uniform(start, start + width)


def spikes() -> Draw:
    values = [rng.lognormvariate(0, 1) for _ in range(rng.randint(2, 6))]
    weights = [rng.expovariate(1) for _ in values]
    return lambda: rng.choices(values, weights)[0]


def capped(sigma: float) -> Draw:
    draw = lognormal(sigma, median=rng.uniform(0.4, 1))
    return lambda: min(draw(), 1.0)


def constant() -> float:
    return 1.0


SMOOTH: dict[str, Callable[[], Draw]] = {
    "lognormal, sigma 0.3": lambda: lognormal(0.3),
    "lognormal, sigma 0.6": lambda: lognormal(0.6),
    "lognormal, sigma 1": lambda: lognormal(1),
    "lognormal, sigma 1.5": lambda: lognormal(1.5),
    "exponential": lambda: lambda: rng.expovariate(1),
    "gamma, shape 2": lambda: lambda: rng.gammavariate(2, 1),
    "gamma, shape 4": lambda: lambda: rng.gammavariate(4, 1),
    "Weibull, shape 1.5": lambda: lambda: rng.weibullvariate(1, 1.5),
    "Pareto, exponent 1.5": lambda: lambda: rng.paretovariate(1.5),
    "Pareto, exponent 2.5": lambda: lambda: rng.paretovariate(2.5),
    "cache hits and misses": lambda: mixture(0.6, lognormal(0.3, median=0.15), lognormal(0.6, median=1.2)),
}
GROUPS = [
    Group("smooth, 20,000 observations", SMOOTH_CEILING, [20_000] * 3, 40, SMOOTH),
    Group("smooth, 1,000 observations", SMOOTH_CEILING, [1000] * 10, 12, SMOOTH),
    Group("smooth, 5 to 50 observations", ANY_CEILING, [5, 10, 20, 50] * 25, 3, SMOOTH),
    Group(
        "not smooth, 1,000 observations",
        ANY_CEILING,
        [1000] * 40,
        4,
        {
            "two narrow peaks": two_peaks,
            "uniform": uniform,
            "two to six spikes": spikes,
            "constant": lambda: constant,
            "constant, and 10 % later": lambda: mixture(0.9, constant, lognormal(0.8, median=2)),
            "constant and a jitter": lambda: lambda: 1 + 0.05 * rng.expovariate(1),
            "lognormal, sigma 0.05": lambda: lognormal(0.05),
            "capped lognormal": lambda: capped(0.5),
        },
    ),
    Group(
        "ends on a bound, 1,000 observations",
        math.inf,
        [1000] * 40,
        4,
        {
            "uniform from 0": lambda: lambda: 1 - rng.random(),
            "capped lognormal": lambda: capped(0.5),
            "constant": lambda: constant,
        },
        ends_on_a_bound=True,
    ),
]


def drawn_errors(group: Group, distribution: Callable[[], Draw]) -> Iterator[Error]:
    for size in group.sizes:
        draw = distribution()
        sample = sorted(draw() for _ in range(size))
        for bounds in (list(map(float, text.split())) for text in BOUNDS.values()):
            edges = [bound for bound in bounds if bound > 0]
            for _ in range(group.stretches):
                if group.ends_on_a_bound:
                    unit = rng.choice(edges[1:])
                else:
                    unit = edges[1] * (bounds[-1] / 12 / edges[1]) ** rng.random() / statistics.median(sample)
                yield from errors(bucketed(sample, unit, bounds).summarise(), sample, unit)


def bucketed(sample: Sequence[float], unit: float, bounds: Iterable[float]) -> Buckets:
    counts = {bound: float(bisect_right(sample, bound, key=lambda value: value * unit)) for bound in bounds}
    return Buckets({**counts, math.inf: float(len(sample))})


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
    """A quantile against one on a straight line alone, each in the answer's model: CPU time, the median of rounds."""
    sample = sorted(rng.lognormvariate(0, 1) for _ in range(1000))
    buckets = bucketed(sample, 1, map(float, BOUNDS["sglang:time_to_first_token"].split()))
    shares = list(QUANTILES.values()) * (QUANTILES_PER_ROUND // len(QUANTILES))
    rounds = [
        cpu_seconds(buckets.quantile, shares) / cpu_seconds(straight_line(buckets), shares) for _ in range(ROUNDS)
    ]
    return statistics.median(rounds)


def straight_line(buckets: Buckets) -> Callable[[float], Quantile]:
    bounds, counts = [0.0, *buckets.cumulative], [0.0, *buckets.cumulative.values()]

    def quantile(q: float) -> Quantile:
        rank = q * counts[-1]
        at = bisect_left(counts, rank, lo=1)
        lower, upper, below, upto = bounds[at - 1], bounds[at], counts[at - 1], counts[at]
        value = lower + (upper - lower) * (rank - below) / (upto - below)
        return Quantile(value=value, lower_bound=lower, upper_bound=upper, in_last_bucket=False)

    return quantile


def cpu_seconds(quantile: Callable[[float], object], shares: Iterable[float]) -> float:
    start = time.process_time()
    for q in shares:
        quantile(q)
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
