"""What the same series cost elsewhere, by list prices: for `make cost` to stand beside.

Each series of a page is counted as these services do: every bucket of a histogram is one. Queries, dashboards and the
agents that would scrape are left out, and so are free tiers and what a host's price includes.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from collector.slots import TICK_MS

MONTH_MINUTES = 730 * 60
# A sample takes 1 or 2 bytes; the series' names come on top. https://aws.amazon.com/prometheus/pricing/
SAMPLE_BYTES = 1.5
GIB = 2**30


class Tier(NamedTuple):
    """So many at most, each at a price."""

    at_most: float
    dollars: float


class Fee(NamedTuple):
    """What a service charges for, and by which steps: the first at most so many at one price, the next at another."""

    service: str
    what: str
    quantity: Callable[[float, float], float]
    """Of so many series, and so many samples a month."""
    tiers: Sequence[Tier]
    source: str
    seen: str
    """When, and where else than at the source, if it was not read there."""


class Cost(NamedTuple):
    service: str
    what: str
    quantity: float
    dollars: float


# A request has 1,000 metrics at most: with one a server, and 596 series, nothing is gained.
FEES = [
    Fee(
        "CloudWatch, custom metrics",
        "metrics",
        lambda series, _: series,
        [Tier(10_000, 0.30), Tier(240_000, 0.10), Tier(750_000, 0.05), Tier(math.inf, 0.02)],
        "https://aws.amazon.com/cloudwatch/pricing/",
        "in public copies, 2026",
    ),
    Fee(
        "Managed Service for Prometheus, taken in",
        "samples",
        lambda _, samples: samples,
        [Tier(2e9, 0.90 / 1e7), Tier(250e9, 0.35 / 1e7), Tier(math.inf, 0.16 / 1e7)],
        "https://aws.amazon.com/prometheus/pricing/",
        "in https://github.com/infracost/infracost/issues/2477, May 2023",
    ),
    Fee(
        "Managed Service for Prometheus, a month kept",
        "GB-months",
        lambda _, samples: samples * SAMPLE_BYTES / GIB,
        [Tier(math.inf, 0.03)],
        "https://aws.amazon.com/prometheus/pricing/",
        "in https://github.com/infracost/infracost/issues/2477, May 2023",
    ),
    Fee(
        "Datadog, custom metrics",
        "metrics",
        lambda series, _: series,
        [Tier(math.inf, 5 / 100)],
        "https://www.datadoghq.com/pricing/list/",
        "in public copies, October 2026",
    ),
]


def elsewhere(targets: int, interval_seconds: int, series: int) -> Iterator[Cost]:
    """A month of servers with so many series each."""
    samples = targets * series * MONTH_MINUTES * TICK_MS / 1000 / interval_seconds
    for fee in FEES:
        quantity = fee.quantity(targets * series, samples)
        yield Cost(fee.service, fee.what, quantity, _charged(quantity, fee.tiers))


def _charged(quantity: float, tiers: Sequence[Tier]) -> float:
    dollars = 0.0
    for tier in tiers:
        charged = min(quantity, tier.at_most)
        dollars += charged * tier.dollars
        quantity -= charged
    return dollars
