"""Histogram buckets as a distribution: count, mean, and quantiles with the bounds of the bucket they fall in."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from collector.snapshot import Distribution, Quantile

QUANTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True)
class Buckets:
    """A histogram as its page gives it.

    `cumulative` maps each upper bound, +Inf included, to the observations at or below it; `total` is the sum of all
    observed values, NaN where the page has none.
    """

    cumulative: Mapping[float, float]
    total: float = math.nan

    @property
    def count(self) -> float:
        return max(self.cumulative.values(), default=0.0)

    def summarise(self) -> Distribution:
        """The distribution; mean and quantiles are None while nothing was observed."""
        count = self.count
        known_total = self.total if math.isfinite(self.total) else None
        return Distribution(
            count=round(count),
            sum=known_total,
            mean=known_total / count if count and known_total is not None else None,
            **{name: self.quantile(q) for name, q in QUANTILES.items()},
        )

    def quantile(self, q: float) -> Quantile | None:
        """The value below which a share `q` of the observations lies; None while nothing was observed.

        On a straight line through its bucket, as `histogram_quantile` does. In the last bucket nothing but the lower
        bound is known, so that is the value.
        Source: https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile
        """
        if not self.count:
            return None
        rank = q * self.count
        (lower, below), (upper, upto) = next(
            bucket for bucket in pairwise(self._edges) if bucket[1][1] >= rank and bucket[1][1] > bucket[0][1]
        )
        if math.isinf(upper):
            return Quantile(value=_known(lower), lower_bound=_known(lower), upper_bound=None, in_last_bucket=True)
        if math.isinf(lower):
            return Quantile(value=upper, lower_bound=None, upper_bound=upper, in_last_bucket=False)
        value = lower + (upper - lower) * (rank - below) / (upto - below)
        return Quantile(value=min(max(value, lower), upper), lower_bound=lower, upper_bound=upper, in_last_bucket=False)

    @cached_property
    def _edges(self) -> list[tuple[float, float]]:
        """(bound, observations up to it), rising in both, from below the first bucket to +Inf.

        A page is written while requests finish, so a bucket may be one ahead of the next: the larger count holds
        from there on.
        """
        bounds = sorted(self.cumulative)
        edges = [(0.0 if bounds[0] > 0 else -math.inf, 0.0)]
        for bound in bounds:
            edges.append((bound, max(self.cumulative[bound], edges[-1][1])))
        return edges


def _known(bound: float) -> float | None:
    return bound if math.isfinite(bound) else None
