"""Histogram buckets as a distribution: count, mean, and quantiles with the bounds of the bucket they fall in."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import NamedTuple

from collector.sections import Distribution, Quantile

QUANTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}
ROUNDING = 1e-9  # of a page's sum, against what its buckets allow
STEEPEST = 1e12  # density of a bucket over its neighbour's that still makes a difference
BESIDE_AN_EMPTY_BUCKET = 0.5  # of the mean density: between that and none
CLOSEST_MEAN = 0.02  # to an end of its bucket, as a part of it


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

    def summarise(self, quantiles: Iterable[str] = QUANTILES) -> Distribution:
        """The distribution with those quantiles; mean and quantiles are None while nothing was observed."""
        count = self.count
        known_total = self.total if math.isfinite(self.total) else None
        return Distribution(
            count=round(count) if math.isfinite(count) else None,
            sum=known_total,
            mean=known_total / count if count and known_total is not None else None,
            **{name: self.quantile(QUANTILES[name]) for name in quantiles},
        )

    def quantile(self, q: float) -> Quantile | None:
        """The value below which a share `q` of the observations lies, 0 ≤ q ≤ 1; None while nothing was observed.

        `value` lies on the bucket's curve, leaned until the histogram's sum comes out, `linear` on a straight line, as
        `histogram_quantile` has it. In the last bucket nothing but the lower bound is known, so that is both.
        Source: https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile
        """
        if not self.count:
            return None
        bounds, counts = self._edges
        rank = q * self.count
        at = bisect_left(counts, rank, lo=1) if rank else bisect_right(counts, 0.0)
        lower, upper = bounds[at - 1], bounds[at]
        if math.isinf(upper):
            last = _known(lower)
            linear = last if at > 1 else None
            return Quantile(value=last, linear=linear, lower_bound=last, upper_bound=None, in_last_bucket=True)
        if math.isinf(lower):
            return Quantile(value=upper, linear=upper, lower_bound=None, upper_bound=upper, in_last_bucket=False)
        below, upto = counts[at - 1], counts[at]
        share = (rank - below) / (upto - below)
        part, odds = self._curves[at].part(share), self._odds.get(at, 1.0)
        value = lower + (upper - lower) * part * odds / (1 - part + part * odds) if share < 1 else upper
        return Quantile(
            value=max(lower, min(upper, value)),
            linear=min(lower + (upper - lower) * share, upper),  # rounding may carry it beyond
            lower_bound=lower,
            upper_bound=upper,
            in_last_bucket=False,
        )

    @cached_property
    def _edges(self) -> tuple[Sequence[float], Sequence[float]]:
        """Bounds, and the observations up to each, rising in both, from below the first bucket to +Inf.

        A page is written while requests finish, so a bucket may be one ahead of the next: the larger count holds
        from there on.
        """
        bounds = sorted(self.cumulative)
        counts = list(accumulate(map(self.cumulative.__getitem__, bounds), max, initial=0.0))
        if bounds[-1] < math.inf:
            bounds, counts = [*bounds, math.inf], [*counts, counts[-1]]
        return [0.0 if bounds[0] > 0 else -math.inf, *bounds], counts

    @cached_property
    def _observed(self) -> Mapping[int, float]:
        """The observations in each bucket that has any, by the place of its upper bound."""
        _, counts = self._edges
        return {at: upto - below for at, (below, upto) in enumerate(pairwise(counts), start=1) if upto > below}

    @cached_property
    def _curves(self) -> Mapping[int, "Curve"]:
        """Each of those buckets' curve, as its neighbours bend it; between two empty ones nothing tells a shape.

        From the middle of a bucket to the middle of the next the density's logarithm is taken to run straight, over
        log x.
        """
        bounds, _ = self._edges
        observed = self._observed
        widths = {at: _width(bounds[at - 1], bounds[at]) for at in observed}
        first, last = dict.fromkeys(observed, BESIDE_AN_EMPTY_BUCKET), dict.fromkeys(observed, BESIDE_AN_EMPTY_BUCKET)
        for at, count in observed.items():
            if at + 1 in observed:
                width, next_width = widths[at], widths[at + 1]
                if width and next_width:
                    ratio = min(max(observed[at + 1] / next_width * width / count, 1 / STEEPEST), STEEPEST)
                    last[at] = math.pow(ratio, width / (width + next_width))
                    first[at + 1] = math.pow(ratio, -next_width / (width + next_width))
                else:
                    last[at] = first[at + 1] = 1.0
        return {
            at: Curve(widths[at] if at - 1 in observed or at + 1 in observed else None, first[at], last[at])
            for at in observed
        }

    @cached_property
    def _odds(self) -> Mapping[int, float]:
        """By how much each curve is leaned, as odds of part : rest, for all observations to add up to their sum.

        The buckets' means move by least squares, a mean being as uncertain as its bucket is wide. Empty where the sum
        tells nothing: a bucket without an end may hold any part of it, and one that the buckets do not allow is not
        theirs.
        """
        bounds, _ = self._edges
        spans = {at: count * (bounds[at] - bounds[at - 1]) for at, count in self._observed.items()}
        room = sum(spans.values())
        above = self.total - sum(count * bounds[at - 1] for at, count in self._observed.items())
        if not (0 < room < math.inf and -ROUNDING * room <= above <= (1 + ROUNDING) * room):
            return {}
        weights = {at: span / room for at, span in spans.items()}
        means = {at: curve.mean() for at, curve in self._curves.items()}
        missing = above / room - sum(weight * means[at] for at, weight in weights.items())
        each = missing / sum(weight * weight for weight in weights.values())
        return {at: _odds_to_move(means[at], by=each * weight) for at, weight in weights.items()}


class Curve(NamedTuple):
    """How the observations lie in a bucket.

    Over log x their cumulative count is a rational quadratic with these densities at its two ends, as multiples of the
    mean density: monotone whatever they are, and turned around by solving a quadratic equation. Without a width over
    log x it is a straight line.
    Source: Gregory and Delbourgo, Piecewise rational quadratic interpolation to monotonic data (1982),
    https://doi.org/10.1093/imanum/2.2.123
    """

    width: float | None = None
    first: float = 1.0
    last: float = 1.0

    def part(self, share: float) -> float:
        """Which part of the bucket, from its lower bound on, holds a share of its observations."""
        width, first, last = self
        if width is None:
            return share
        b = first - share * (first + last - 2)
        root = math.sqrt((b - 2 * share) ** 2 + 4 * share * (1 - share))
        # Of two forms of the solution, the one that does not subtract like from like.
        log_part = 2 * share / (b + root) if b > 0 else (root - b) / (2 - 2 * b)
        return math.expm1(width * log_part) / math.expm1(width)

    def mean(self) -> float:
        """Where the mean of the observations lies, as a part of the bucket, by Simpson's rule."""
        return (1 + 4 * self.part(0.5)) / 6


def _odds_to_move(mean: float, by: float) -> float:
    """The odds that lean a curve until its mean has moved so far, or nearly to an end of the bucket."""
    moved = min(max(mean + by, CLOSEST_MEAN), 1 - CLOSEST_MEAN)
    return moved / (1 - moved) * (1 - mean) / mean


def _width(lower: float, upper: float) -> float | None:
    """A bucket's width over log x; None if it begins at or below zero, has no end, or is too narrow or wide to tell."""
    ratio = upper / lower if lower > 0 else math.inf
    return math.log(ratio) if 1 < ratio < math.inf else None


def _known(bound: float) -> float | None:
    return bound if math.isfinite(bound) else None
