import math
from itertools import accumulate, pairwise
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.distributions import Buckets

INF = math.inf
TTFT_BOUNDS = [0.1, 0.2, 0.4, 0.6, 0.8, 1, 2, 4, 6, 8, 10, 20, 40, 60, 80, 100, 200, 400]


@pytest.mark.parametrize(
    ("cumulative", "q", "value", "lower", "upper"),
    [
        pytest.param({1: 10, INF: 10}, 0.5, 0.5, 0, 1, id="first-bucket-begins-at-zero"),
        pytest.param({1: 10, 2: 20, INF: 20}, 0.25, 0.5, 0, 1, id="first-bucket-with-a-neighbour"),
        pytest.param({0: 0, 1: 10, 2: 20, INF: 20}, 0.25, 0.5, 0, 1, id="a-bound-at-zero"),
        pytest.param({-2: 0, -1: 5, 1: 10, INF: 10}, 0.75, 0, -1, 1, id="a-bucket-about-zero"),
        pytest.param({1: 0, 3: 10, INF: 10}, 0.5, 2, 1, 3, id="between-two-empty-buckets"),
        pytest.param({1: 5, 3: 10, INF: 10}, 0.5, 1, 0, 1, id="exact-at-an-edge"),
        pytest.param({1: 5, 2: 5, 4: 10, INF: 10}, 0.9, 3.6, 2, 4, id="an-empty-bucket-is-passed-over"),
        pytest.param({-1: 5, 1: 10, INF: 10}, 0.25, -1, None, -1, id="negative-first-bucket-has-no-beginning"),
        pytest.param({1: 5, 2: 4, 4: 10, INF: 10}, 0.99, 3.96, 2, 4, id="a-bucket-one-ahead-of-the-next"),
        pytest.param({1: 0, 3: 10, INF: 10}, 0, 1, 1, 3, id="none-below-where-the-first-begin"),
        pytest.param({1: 5, 3: 10}, 1, 3, 1, 3, id="no-bucket-without-end"),
        pytest.param({1e-200: 1, 1e200: 3, INF: 5}, 0.4, 5e199, 1e-200, 1e200, id="too-wide-for-a-ratio"),
    ],
)
def test_a_quantile_lies_on_a_straight_line_where_nothing_tells_the_shape(cumulative, q, value, lower, upper):
    quantile = Buckets(cumulative).quantile(q)
    assert (quantile.value, quantile.linear) == (pytest.approx(value), pytest.approx(value))
    assert (quantile.lower_bound, quantile.upper_bound) == (lower, upper)
    assert not quantile.in_last_bucket


@pytest.mark.parametrize(
    ("cumulative", "q", "value", "linear"),
    [
        pytest.param({1: 0, 2: 8, 4: 16, 8: 24, INF: 24}, 0.5, 2 * 2**0.5, 3, id="even-over-log-x"),
        pytest.param({1: 8, 2: 16, INF: 24}, 0.5, 2**0.5, 1.5, id="neighbours-of-unknown-density"),
        pytest.param({1: 0, 2: 1, 4: 5, 8: 6, INF: 6}, 0.5, 2 * 2**0.5, 3, id="the-same-on-either-side"),
        pytest.param({1: 0, 2: 1, 4: 5, 8: 6, INF: 6}, 1 - 1 / 24, 4 * 2**0.6, 7, id="thins-out-to-nothing"),
    ],
)
def test_a_quantile_lies_on_a_curve_that_its_neighbours_bend(cumulative, q, value, linear):
    quantile = Buckets(cumulative).quantile(q)
    assert (quantile.value, quantile.linear) == (pytest.approx(value), pytest.approx(linear))


@pytest.mark.parametrize(
    ("cumulative", "total", "q", "value"),
    [
        pytest.param({1: 0, 2: 10, INF: 10}, 18, 0.5, 1.8, id="all-in-one-bucket"),
        pytest.param({1: 10, INF: 10}, 2, 0.5, 0.2, id="all-in-the-first-bucket"),
        pytest.param({1: 0, 2: 10, INF: 10}, 18, 0.9, 1 + 3.6 / 3.7, id="four-times-the-odds"),
        pytest.param({1: 0, 2: 10, INF: 10}, 20, 0.5, 1.98, id="never-quite-at-an-end"),
        pytest.param({1: 10, 2: 10, 4: 20, INF: 20}, 40, 0.25, 0.6, id="a-bucket-takes-up-what-it-can"),
        pytest.param({1: 10, 2: 10, 4: 20, INF: 20}, 40, 0.75, 3.4, id="a-wider-one-takes-up-more"),
    ],
)
def test_the_sum_of_all_observations_leans_the_curve(cumulative, total, q, value):
    assert Buckets(cumulative, total).quantile(q).value == pytest.approx(value)


@pytest.mark.parametrize(
    ("cumulative", "total"),
    [
        pytest.param({1: 0, 2: 10, INF: 10}, math.nan, id="none-given"),
        pytest.param({1: 0, 2: 10, INF: 10}, 9, id="less-than-the-buckets-allow"),
        pytest.param({1: 0, 2: 10, INF: 10}, 21, id="more-than-the-buckets-allow"),
        pytest.param({1: 0, 2: 10, 4: 10, INF: 11}, 18, id="some-in-the-last-bucket"),
        pytest.param({-1: 2, 1: 2, 2: 12, INF: 12}, 18, id="some-in-a-bucket-without-a-beginning"),
    ],
)
def test_a_sum_that_tells_nothing_leans_nothing(cumulative, total):
    buckets = Buckets(cumulative, total)
    assert buckets.quantile(0.5) == Buckets(cumulative).quantile(0.5)


@pytest.mark.parametrize("total", [1e6, math.nan], ids=["with-a-sum", "without"])
@pytest.mark.parametrize("sigma", [0.4, 0.6, 1, 1.5])
@pytest.mark.parametrize("median", [0.3, 0.5, 0.9, 1.7, 3, 7])
def test_the_curve_is_nearer_to_smooth_latencies_than_the_straight_line(median, sigma, total):
    latencies = NormalDist(math.log(median), sigma)
    cumulative = {bound: 1e6 * latencies.cdf(math.log(bound)) for bound in TTFT_BOUNDS} | {INF: 1e6}
    buckets = Buckets(cumulative, total * median * math.exp(sigma**2 / 2))
    curved, straight = 0.0, 0.0
    for q in (0.5, 0.75, 0.9, 0.95, 0.99):
        true, quantile = math.exp(latencies.inv_cdf(q)), buckets.quantile(q)
        curved += abs(quantile.value / true - 1)
        straight += abs(quantile.linear / true - 1)
    assert curved < straight / 2


@pytest.mark.parametrize(
    ("cumulative", "lower", "linear"),
    [({1: 5, 400: 6, INF: 100}, 400, 400), ({INF: 100}, 0, None)],
    ids=["beyond-the-last-bound", "no-bound-at-all"],
)
def test_a_quantile_in_the_last_bucket_has_no_upper_bound_and_says_so(cumulative, lower, linear):
    quantile = Buckets(cumulative).quantile(0.99)
    assert quantile.in_last_bucket
    assert (quantile.value, quantile.lower_bound, quantile.upper_bound) == (lower, lower, None)
    assert quantile.linear == linear


def test_a_histogram_without_observations_has_no_mean_and_no_quantiles():
    distribution = Buckets({1: 0, INF: 0}, total=0).summarise()
    assert (distribution.count, distribution.sum) == (0, 0)
    assert (distribution.mean, distribution.p50, distribution.p99) == (None, None, None)


def test_a_histogram_without_a_sum_has_quantiles_and_no_mean():
    distribution = Buckets({1: 4, INF: 4}).summarise()
    assert (distribution.sum, distribution.mean) == (None, None)
    assert distribution.p50.value == 0.5


def test_counts_beyond_all_floats_are_no_count():
    distribution = Buckets({1: 1e308, INF: INF}, total=1).summarise()
    assert distribution.count is None
    assert distribution.p50.in_last_bucket


# Laws

observations = st.lists(st.floats(0.001, 1000), min_size=1, max_size=200)
bounds = st.lists(st.floats(0.01, 500), min_size=1, max_size=20, unique=True).map(sorted)
shares = st.floats(0.01, 1)


@st.composite
def histograms(draw, counts, bounds=bounds):
    """Some observations in some buckets, often none in the last, and a sum that fits or is not known."""
    bounds = draw(bounds)
    observed = draw(st.lists(counts, min_size=len(bounds), max_size=len(bounds)).filter(any))
    cumulative = dict(zip([*bounds, INF], accumulate([*observed, draw(st.sampled_from([0, 7]))]), strict=True))
    mean_part = draw(st.floats(0, 1) | st.just(math.nan))
    total = sum(n * (a + (b - a) * mean_part) for n, (a, b) in zip(observed, pairwise([0, *bounds]), strict=True))
    return Buckets(cumulative, total)


fractional = histograms(st.one_of(st.just(0), st.floats(0.01, 1e9)))
whole = histograms(st.one_of(st.just(0), st.integers(0, 1000)))


@given(observations, bounds, st.floats(0.01, 0.999))
def test_a_quantiles_bounds_hold_the_true_one(values, upper_bounds, q):
    cumulative = {bound: sum(value <= bound for value in values) for bound in [*upper_bounds, INF]}
    quantile = Buckets(cumulative).quantile(q)
    true = sorted(values)[max(math.ceil(q * len(values)) - 1, 0)]
    assert quantile.lower_bound <= true
    assert true <= (INF if quantile.upper_bound is None else quantile.upper_bound)


wild = histograms(
    st.just(0) | st.floats(0, 1e300),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, unique=True).map(sorted),
)


@given(fractional | wild, shares)
def test_a_quantile_stays_in_its_bucket(buckets, q):
    quantile = buckets.quantile(q)
    assert quantile.lower_bound is None or quantile.lower_bound <= quantile.value
    assert quantile.upper_bound is None or quantile.value <= quantile.upper_bound
    assert quantile.linear is None or quantile.lower_bound is None or quantile.lower_bound <= quantile.linear
    assert quantile.linear is None or quantile.upper_bound is None or quantile.linear <= quantile.upper_bound


def test_no_rounding_carries_a_quantile_out_of_its_bucket():
    lower, upper = 1.6834112196028232, 3.7876752441063526
    assert lower + (upper - lower) > upper
    quantile = Buckets({lower: 0, upper: 10, INF: 10}).quantile(1)
    assert (quantile.value, quantile.linear) == (upper, upper)


@given(fractional, shares, shares)
def test_quantiles_rise(buckets, q, other):
    lower, upper = (buckets.quantile(q).value for q in sorted((q, other)))
    assert lower <= upper * (1 + 1e-12)


@given(st.data(), bounds)
def test_a_quantile_is_exact_at_a_buckets_edge(data, bounds):
    upto = sorted(data.draw(st.lists(st.integers(0, 1024), min_size=len(bounds), max_size=len(bounds))))
    buckets = Buckets({**dict(zip(bounds, upto, strict=True)), INF: 1024})
    for bound, count in zip(reversed(bounds), reversed(upto), strict=True):
        first = bounds[upto.index(count)]  # of some buckets' edges with nothing between them, the first
        assert count == 0 or buckets.quantile(count / 1024).value == first, bound


@given(histograms(st.integers(1, 1000), st.just(TTFT_BOUNDS)), shares)
def test_a_quantile_moves_little_when_its_share_does(buckets, q):
    here, there = buckets.quantile(q), buckets.quantile(q - 1e-9)
    assert there.value == pytest.approx(here.value, rel=1e-3)
    assert there.linear == pytest.approx(here.linear, rel=1e-3)


@given(fractional, shares)
def test_the_linear_estimate_is_that_of_histogram_quantile(buckets, q):
    assert buckets.quantile(q).linear == pytest.approx(histogram_quantile(q, buckets.cumulative))


def histogram_quantile(q, cumulative):
    """As Prometheus describes it, for bounds above zero.

    Source: https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile
    """
    start, below = 0.0, 0.0
    for end, count in cumulative.items():
        if count >= q * cumulative[INF]:
            return start if end == INF else start + (end - start) * (q * cumulative[INF] - below) / (count - below)
        start, below = end, count
    raise AssertionError("the last bucket holds everything")


@given(whole, shares, st.sampled_from([0.001, 0.25, 1000]), st.sampled_from([0.125, 4]))
def test_neither_the_unit_nor_the_number_of_observations_bends_the_curve(buckets, q, unit, times):
    cumulative = {bound * unit: count * times for bound, count in buckets.cumulative.items()}
    other = Buckets(cumulative, buckets.total * unit * times)
    assert other.quantile(q).value == pytest.approx(buckets.quantile(q).value * unit)
