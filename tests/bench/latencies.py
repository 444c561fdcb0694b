"""Latencies to draw, and the buckets that servers sort them into.

Each distribution is a function that makes one to draw from: some have a shape of their own each time.
"""

import math
import random
from collections.abc import Callable

# As the pages of SGLang 0.5.23 and vLLM 0.33.0 show them.
_BOUNDS = {
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
BOUNDS = {histogram: [float(bound) for bound in bounds.split()] for histogram, bounds in _BOUNDS.items()}

rng = random.Random(1982)
Draw = Callable[[], float]


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
NOT_SMOOTH: dict[str, Callable[[], Draw]] = {
    "two narrow peaks": two_peaks,
    "uniform": uniform,
    "two to six spikes": spikes,
    "constant": lambda: constant,
    "constant, and 10 % later": lambda: mixture(0.9, constant, lognormal(0.8, median=2)),
    "constant and a jitter": lambda: lambda: 1 + 0.05 * rng.expovariate(1),
    "lognormal, sigma 0.05": lambda: lognormal(0.05),
    "capped lognormal": lambda: capped(0.5),
}
ENDING_AT_ONE: dict[str, Callable[[], Draw]] = {
    "uniform from 0": lambda: lambda: 1 - rng.random(),
    "capped lognormal": lambda: capped(0.5),
    "constant": lambda: constant,
}
