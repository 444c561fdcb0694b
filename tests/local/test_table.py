"""A collection response as a person sees it."""

import json
import re
from datetime import UTC, datetime

import pytest

from collector.sections import CacheMetrics, Distribution, Quantile, RequestMetrics, SystemMetrics
from collector.snapshot import CollectionResponse, RankMetrics, Snapshot
from local.table import describe

AT = datetime(2026, 11, 24, tzinfo=UTC)


def quantile(value, lower, upper):
    return Quantile(value=value, lower_bound=lower, upper_bound=upper, in_last_bucket=upper is None)


def lines(requests=None, cache=None, system=None, ranks=(), **answer):
    snapshot = Snapshot(
        timestamp=AT,
        instance_id="sglang-001",
        endpoint="http://10.0.0.1:30000/metrics",
        request_metrics=requests or RequestMetrics(),
        cache_metrics=cache or CacheMetrics(),
        system_metrics=system or SystemMetrics(),
        models=("tiny-llama",),
        ranks=ranks,
    )
    return shown(CollectionResponse(success=True, instance_id="sglang-001", timestamp=AT, metrics=snapshot, **answer))


def shown(response):
    return list(describe(json.loads(response.model_dump_json())))


def row(lines, name):
    """The last figure of the row with that name."""
    [line] = [line for line in lines if line.strip().startswith(name)]
    return re.split(r"\s{2,}", line)[-1]


def test_what_the_server_does_not_say_is_a_dash():
    found = lines()
    for name in ("running", "waiting", "to first token", "hit rate", "KV pool in use", "out, per second"):
        assert row(found, name) == "-"


def test_what_is_zero_is_a_zero():
    assert row(lines(system=SystemMetrics(num_requests_running=0)), "running") == "0"


@pytest.mark.parametrize(
    ("quantile", "text"),
    [
        pytest.param(quantile(0.35, 0.2, 0.4), "350 ms", id="inside-a-bucket"),
        pytest.param(quantile(0.05, 0.0, 0.1), "< 100 ms", id="in-the-first"),
        pytest.param(quantile(400, 400, None), "> 400 s", id="in-the-last"),
    ],
)
def test_a_quantile_says_no_more_than_its_histogram(quantile, text):
    distribution = Distribution(count=1, mean=0.3, p50=quantile, p95=quantile, p99=quantile)
    assert row(lines(RequestMetrics(time_to_first_token=distribution)), "to first token") == text


def test_each_rank_has_a_row_and_all_of_them_one():
    ranks = tuple(RankMetrics(dp_rank=number, num_requests_running=number + 3) for number in (0, 1))
    found = lines(system=SystemMetrics(num_requests_running=7), ranks=ranks)
    assert [line.split()[:3] for line in found[-3:-1]] == [["dp", "0", "3"], ["dp", "1", "4"]]
    assert found[-1].split()[:2] == ["all", "7"]


def test_columns_are_as_wide_as_their_widest_cell():
    wide = RankMetrics(dp_rank=0, num_requests_running=3, kv_capacity_tokens=12_345_678_901)
    header, rank, everything = lines(ranks=(wide,))[-3:]
    assert header.endswith("of")
    assert len(header) == len(rank) == len(everything)


def test_a_failure_is_its_code_and_reason():
    failed = CollectionResponse(
        success=False, instance_id="sglang-001", timestamp=AT, error="nothing listens", error_code="connection_refused"
    )
    assert shown(failed) == ["sglang-001  connection_refused: nothing listens"]


def test_an_empty_page_is_said():
    assert any("empty_page" in line for line in lines(error_code="empty_page"))


def test_there_is_no_colour_where_nobody_looks():
    assert not any("\033" in line for line in lines())
