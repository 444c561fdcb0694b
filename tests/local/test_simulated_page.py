"""The simulated server's page beside one that a real server with two ranks gave."""

from collections import defaultdict
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from local.simulator.simulation import Simulation

RECORDED = Path(__file__).parents[1] / "expositions" / "sglang-0.5.23-dp2-load-later.prom"
# Born with the first eviction, which the recorded server had not had yet.
NOT_RECORDED = {"sglang:evicted_tokens", "sglang:eviction_duration_seconds"}
# On a GPU the passes have other modes.
VARYING = {"model_name", "pid", "endpoint", "method", "status_code", "mode"}


def families(page: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(page)}


@pytest.fixture(scope="module")
def simulated() -> dict[str, Metric]:
    return families(Simulation().page()[0].decode())


@pytest.fixture(scope="module")
def recorded() -> dict[str, Metric]:
    return families(RECORDED.read_text(encoding="utf-8"))


def test_it_has_the_families_of_the_real_page(simulated, recorded):
    assert simulated.keys() - NOT_RECORDED == recorded.keys() - NOT_RECORDED


def test_its_families_have_the_real_types(simulated, recorded):
    assert {name: simulated[name].type for name in recorded} == {name: family.type for name, family in recorded.items()}


def test_its_series_have_the_real_names_and_label_names(simulated, recorded):
    def shapes(family):
        return {(sample.name, *sorted(sample.labels)) for sample in family.samples}

    assert {name: shapes(simulated[name]) for name in recorded} == {
        name: shapes(family) for name, family in recorded.items()
    }


def test_its_label_values_are_the_real_ones_buckets_included(simulated, recorded):
    def values(family):
        found = defaultdict(set)
        for sample in family.samples:
            for label in sample.labels.keys() - VARYING:
                found[label].add(sample.labels[label])
        return found

    assert {name: values(simulated[name]) for name in recorded} == {
        name: values(family) for name, family in recorded.items()
    }


def test_it_is_born_warm(simulated):
    def total(name):
        return sum(sample.value for sample in simulated[name].samples)

    assert total("sglang:num_requests") > 100
    assert total("sglang:num_running_reqs") > 0
    assert total("sglang:gen_throughput") > 0
    assert total("sglang:evicted_tokens") > 0
