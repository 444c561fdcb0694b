"""Histogram buckets as a distribution: count, mean, and quantiles with the bounds of the bucket they fall in."""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from collector.sections import Distribution, Quantile

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
        bounds, counts = self._edges
        rank = q * self.count
        at = bisect_left(counts, rank, lo=1)
        lower, upper = bounds[at - 1], bounds[at]
        if math.isinf(upper):
            return Quantile(value=_known(lower), lower_bound=_known(lower), upper_bound=None, in_last_bucket=True)
        if math.isinf(lower):
            return Quantile(value=upper, lower_bound=None, upper_bound=upper, in_last_bucket=False)
        below, upto = counts[at - 1], counts[at]
        value = lower + (upper - lower) * (rank - below) / (upto - below)
        return Quantile(value=min(max(value, lower), upper), lower_bound=lower, upper_bound=upper, in_last_bucket=False)

    @cached_property
    def _edges(self) -> tuple[Sequence[float], Sequence[float]]:
        """Bounds, and the observations up to each, rising in both, from below the first bucket to +Inf.

        A page is written while requests finish, so a bucket may be one ahead of the next: the larger count holds
        from there on.
        """
        bounds = sorted(self.cumulative)
        counts = accumulate(map(self.cumulative.__getitem__, bounds), max, initial=0.0)
        return [0.0 if bounds[0] > 0 else -math.inf, *bounds], list(counts)


def _known(bound: float) -> float | None:
    return bound if math.isfinite(bound) else None
