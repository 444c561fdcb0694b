"""Histogram buckets as a distribution: count, mean, and quantiles with the bounds of the bucket they fall in."""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

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

    @cached_property
    def count(self) -> float:
        return max(self.cumulative.values(), default=0.0)

    def since(self, earlier: "Buckets") -> "Buckets":
        """What was observed after `earlier`, an older reading of the same histogram, at the bounds that both have.

        Nothing comes out negative. A server that restarted in between is the caller's to notice.
        """
        return Buckets(
            {
                bound: max(count - earlier.cumulative[bound], 0.0)
                for bound, count in self.cumulative.items()
                if bound in earlier.cumulative
            },
            total=max(self.total - earlier.total, 0.0),  # NaN stays: max keeps its first unless another is larger
        )

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
        """The value below which a share `q` of the observations lies, 0 < q ≤ 1; None while nothing was observed.

        Inside its bucket the value lies on a curve whose density at either end is between this bucket's and the
        neighbour's. `linear` lies on a straight line, as `histogram_quantile` has it. In the last bucket nothing but
        the lower bound is known, so that is both.
        Source: https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile
        """
        if not self.count:
            return None
        bounds, counts = self._edges
        rank = q * self.count
        at = bisect_left(counts, rank, lo=1)
        lower, upper = bounds[at - 1], bounds[at]
        if math.isinf(upper):
            last = _known(lower)
            return Quantile(
                value=last,
                linear=last if at > 1 else None,
                lower_bound=last,
                upper_bound=None,
                in_last_bucket=True,
            )
        if math.isinf(lower):
            return Quantile(value=upper, linear=upper, lower_bound=None, upper_bound=upper, in_last_bucket=False)
        below, upto = counts[at - 1], counts[at]
        share = (rank - below) / (upto - below)
        linear = lower + (upper - lower) * share
        curved = self._curved(at, share)
        return Quantile(
            value=max(lower, min(upper, linear if curved is None else curved)),
            linear=linear,
            lower_bound=lower,
            upper_bound=upper,
            in_last_bucket=False,
        )

    def _curved(self, at: int, share: float) -> float | None:
        """Where a share of a bucket's observations lies below; None where no curve is better than a straight line.

        That is in a bucket that begins at zero, where there is no logarithm to work with, and in one between two
        empty ones, where nothing tells the shape.
        """
        bounds, _ = self._edges
        width = _width(bounds[at - 1], bounds[at])
        if width is None:
            return None
        rise, fall = self._edge_density(at, at - 1, width), self._edge_density(at, at + 1, width)
        if not rise and not fall:
            return None
        return bounds[at - 1] * math.exp(width * _inverse(share, rise, fall)) if share < 1 else bounds[at]

    def _edge_density(self, at: int, neighbour: int, width: float) -> float:
        """The density where a bucket meets its neighbour, as a multiple of its own mean density, over log x.

        The density's logarithm is taken to run straight from the middle of one bucket to the middle of the other.
        An empty neighbour makes it 0, one without a width makes it 1.
        """
        bounds, counts = self._edges
        theirs = counts[neighbour] - counts[neighbour - 1]
        if not theirs:
            return 0.0
        their_width = _width(bounds[neighbour - 1], bounds[neighbour])
        if their_width is None:
            return 1.0
        ratio = theirs / their_width * width / (counts[at] - counts[at - 1])
        return math.pow(ratio, width / (width + their_width))

    @cached_property
    def _edges(self) -> tuple[Sequence[float], Sequence[float]]:
        """Bounds, and the observations up to each, rising in both, from below the first bucket to +Inf.

        A page is written while requests finish, so a bucket may be one ahead of the next: the larger count holds
        from there on.
        """
        bounds = sorted({*self.cumulative, math.inf})
        counts = accumulate((self.cumulative.get(bound, 0.0) for bound in bounds), max, initial=0.0)
        return [0.0 if bounds[0] > 0 else -math.inf, *bounds], list(counts)


def _width(lower: float, upper: float) -> float | None:
    """A bucket's width over log x; None if it begins at or below zero, has no end, or is too narrow or wide to tell."""
    ratio = upper / lower if lower > 0 else math.inf
    return math.log(ratio) if 1 < ratio < math.inf else None


def _inverse(share: float, rise: float, fall: float) -> float:
    """Where a cumulative curve from (0, 0) to (1, 1), with these slopes at its two ends, reaches `share`.

    The curve is a rational quadratic: monotone whatever the slopes, and turned around by solving a quadratic equation.
    Source: Gregory and Delbourgo, Piecewise rational quadratic interpolation to monotonic data (1982),
    https://doi.org/10.1093/imanum/2.2.123
    """
    b = rise - share * (rise + fall - 2)
    root = math.hypot(b - 2 * share, 2 * math.sqrt(share * (1 - share)))
    return 2 * share / (b + root) if b > 0 else (root - b) / (2 - 2 * b)  # neither subtracts like from like


def _known(bound: float) -> float | None:
    return bound if math.isfinite(bound) else None
