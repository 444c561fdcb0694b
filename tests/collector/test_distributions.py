import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.distributions import Buckets

INF = math.inf


@pytest.mark.parametrize(
    ("cumulative", "q", "value", "lower", "upper"),
    [
        pytest.param({1: 10, INF: 10}, 0.5, 0.5, 0, 1, id="first-bucket-begins-at-zero"),
        pytest.param({1: 0, 3: 10, INF: 10}, 0.5, 2, 1, 3, id="on-a-straight-line"),
        pytest.param({1: 5, 3: 10, INF: 10}, 0.5, 1, 0, 1, id="exact-at-an-edge"),
        pytest.param({1: 5, 2: 5, 4: 10, INF: 10}, 0.9, 3.6, 2, 4, id="an-empty-bucket-is-passed-over"),
        pytest.param({-1: 5, 1: 10, INF: 10}, 0.25, -1, None, -1, id="negative-first-bucket-has-no-beginning"),
        pytest.param({1: 5, 2: 4, 4: 10, INF: 10}, 0.99, 3.96, 2, 4, id="a-bucket-one-ahead-of-the-next"),
    ],
)
def test_a_quantile_lies_on_a_line_through_its_bucket(cumulative, q, value, lower, upper):
    quantile = Buckets(cumulative).quantile(q)
    assert quantile.value == pytest.approx(value)
    assert (quantile.lower_bound, quantile.upper_bound) == (lower, upper)
    assert not quantile.in_last_bucket


@pytest.mark.parametrize(
    ("cumulative", "lower"),
    [({1: 5, 400: 6, INF: 100}, 400), ({INF: 100}, 0)],
    ids=["beyond-the-last-bound", "no-bound-at-all"],
)
def test_a_quantile_in_the_last_bucket_has_no_upper_bound_and_says_so(cumulative, lower):
    quantile = Buckets(cumulative).quantile(0.99)
    assert quantile.in_last_bucket
    assert (quantile.value, quantile.lower_bound, quantile.upper_bound) == (lower, lower, None)


def test_a_histogram_without_observations_has_no_mean_and_no_quantiles():
    distribution = Buckets({1: 0, INF: 0}, total=0).summarise()
    assert (distribution.count, distribution.sum) == (0, 0)
    assert (distribution.mean, distribution.p50, distribution.p99) == (None, None, None)


def test_a_histogram_without_a_sum_has_quantiles_and_no_mean():
    distribution = Buckets({1: 4, INF: 4}).summarise()
    assert (distribution.sum, distribution.mean) == (None, None)
    assert distribution.p50.value == 0.5


observations = st.lists(st.floats(0.001, 1000), min_size=1, max_size=200)
bounds = st.lists(st.floats(0.01, 500), min_size=1, max_size=20, unique=True).map(sorted)


@given(observations, bounds, st.floats(0.01, 0.999))
def test_a_quantiles_bounds_hold_the_true_one(values, upper_bounds, q):
    cumulative = {bound: sum(value <= bound for value in values) for bound in [*upper_bounds, INF]}
    quantile = Buckets(cumulative).quantile(q)
    true = sorted(values)[max(math.ceil(q * len(values)) - 1, 0)]
    assert quantile.lower_bound <= true
    assert true <= (INF if quantile.upper_bound is None else quantile.upper_bound)
    assert quantile.lower_bound <= quantile.value <= (quantile.upper_bound or quantile.value)


@given(observations, bounds)
def test_quantiles_rise(values, upper_bounds):
    buckets = Buckets({bound: sum(value <= bound for value in values) for bound in [*upper_bounds, INF]})
    quantiles = [buckets.quantile(q / 100).value for q in range(1, 100)]
    assert quantiles == sorted(quantiles)
