"""What holds for every engine, and between them."""

import json
import re
import textwrap

import pytest

from collector.engines import ENGINES
from collector.exposition import parse
from collector.response import render
from collector.snapshot import CollectionResponse, ScrapeFacts, TgiSnapshot, VllmSnapshot
from support import ASKED_AT, PAGES, ROOT, snapshot_of, target

PAGE_OF = {"sglang": "sglang-0.5.23-dp2-load", "vllm": "vllm-0.33.0-dp2", "tgi": "tgi-documented"}
OTHERS = [(engine, page) for engine in ENGINES for page in PAGE_OF if page != engine]


def page_of(engine):
    return PAGES / f"{PAGE_OF[engine]}.prom"


def answer_of(engine):
    return json.loads(render("a", ASKED_AT, snapshot_of(page_of(engine), engine)))


@pytest.mark.parametrize("engine", ENGINES)
def test_each_engine_reads_its_own_page(engine):
    snapshot = snapshot_of(page_of(engine), engine)
    assert snapshot.engine == engine
    assert snapshot.request_metrics.success_total > 0
    assert snapshot.request_metrics.request_duration.p99.value > 0
    assert snapshot.system_metrics.num_requests_running > 0
    assert sum(rank.num_requests_running for rank in snapshot.ranks) == snapshot.system_metrics.num_requests_running


@pytest.mark.parametrize(("engine", "page"), OTHERS)
def test_an_engine_says_nothing_of_anothers_page(engine, page):
    snapshot = snapshot_of(page_of(page), engine)
    sections = {
        "request_metrics": snapshot.request_metrics,
        "cache_metrics": snapshot.cache_metrics,
        "system_metrics": snapshot.system_metrics,
    }
    fields = {f"{name}.{field}" for name, section in sections.items() for field in type(section).model_fields}
    features = {f"cache_metrics.{name}" for name in ("hicache",)} | {
        f"system_metrics.{name}" for name in ("speculative", "disaggregation", "lora")
    }
    assert set(snapshot.missing) == fields - features
    assert not any(value for section in sections.values() for _, value in section)
    assert (snapshot.engine, snapshot.engine_type, snapshot.models, snapshot.ranks) == (engine, None, (), ())
    assert (snapshot.vllm, snapshot.tgi, snapshot.router) == (None, None, None)


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.prom")), ids=lambda path: path.stem)
@pytest.mark.parametrize("engine", ENGINES)
def test_whatever_is_not_missing_is_said(engine, page):
    snapshot = snapshot_of(page, engine)
    for name in ("request_metrics", "cache_metrics", "system_metrics"):
        section = getattr(snapshot, name)
        unsaid = {missing.removeprefix(f"{name}.") for missing in snapshot.missing if missing.startswith(name)}
        assert unsaid == set(section.missing())


def test_the_readmes_example_is_an_engine():
    [example] = re.findall(r"^ *```python\n(.*?)^ *```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    module = {}
    exec(textwrap.dedent(example), module)  # noqa: S102 it is our own
    page = """
example:active{replica="0"} 2
example:active{replica="1"} 3
example:hits_total{replica="0"} 1
example:queries_total{replica="0"} 4
example:ttft_seconds_sum 6
example:ttft_seconds_count 4
"""
    scrape = ScrapeFacts(duration_seconds=0.02, wire_bytes=1, page_bytes=1, samples=6, bad_lines=0)
    snapshot = module["ENGINE"].read_snapshot(parse(page), target(), ASKED_AT, scrape)
    assert snapshot.system_metrics.num_requests_running == 5
    assert snapshot.cache_metrics.cache_hit_rate == 0.25
    assert snapshot.request_metrics.time_to_first_token_seconds == 1.5
    assert [(rank.dp_rank, rank.num_requests_running) for rank in snapshot.ranks] == [(0, 2), (1, 3)]
    assert "cache_metrics.kv_usage_ratio" in snapshot.missing


def test_vllms_answer_has_the_original_designs_names_beside_ours():
    answer = answer_of("vllm")
    metrics = answer["metrics"]
    requests, cache, system = (metrics[f"{name}_metrics"] for name in ("request", "cache", "system"))
    assert requests["e2e_latency_seconds"] == requests["request_duration_seconds"] > 0
    assert (requests["prompt_tokens"], requests["generation_tokens"]) == (
        requests["input_tokens"],
        requests["output_tokens"],
    )
    assert metrics["gpu_metrics"] == {
        "cache_usage_perc": cache["kv_usage_ratio"],
        "memory_usage_bytes": None,
        "num_requests_running": system["num_requests_running"],
        "num_requests_waiting": system["num_requests_waiting"],
    }
    assert metrics["throughput_metrics"] == {
        "prompt_tokens_total": requests["prompt_tokens_total"],
        "generation_tokens_total": requests["generated_tokens_total"],
        "num_preemptions_total": requests["retracted_total"],
        "requests_per_second": None,
        "tokens_per_second": system["throughput_tokens_per_second"],
    }
    assert type(CollectionResponse.model_validate(answer).metrics) is VllmSnapshot


def test_tgis_answer_has_the_original_designs_names_beside_ours():
    answer = answer_of("tgi")
    metrics = answer["metrics"]
    requests, system, own = metrics["request_metrics"], metrics["system_metrics"], metrics["tgi"]
    assert requests["request_count"] == own["request_count_total"] > requests["success_total"] > 0
    assert requests["queue_size"] == system["num_requests_waiting"] > 0
    assert requests["mean_time_per_token_seconds"] == requests["time_per_output_token_seconds"] > 0
    assert requests["queue_duration_seconds"] == requests["queue_time_seconds"] > 0
    assert requests["validation_duration_seconds"] == own["validation_seconds"] > 0
    assert requests["inference_duration_seconds"] == own["inference_seconds"] > 0
    assert metrics["generation_metrics"] == {
        "input_length": requests["input_tokens"],
        "generated_tokens": requests["output_tokens"],
        "generated_tokens_total": requests["generated_tokens_total"],
        "max_new_tokens": own["max_new_tokens"],
        "batch_current_size": system["batch_size_current"],
        "batch_current_max_tokens": own["batch_max_tokens"],
    }
    assert type(CollectionResponse.model_validate(answer).metrics) is TgiSnapshot


@pytest.mark.parametrize("engine", ["vllm", "tgi"])
def test_the_original_designs_names_stand_on_an_empty_page_too(engine):
    answer = json.loads(render("a", ASKED_AT, snapshot_of("", engine)))
    CollectionResponse.model_validate(answer)
    assert answer["metrics"]["request_metrics"]["success_total"] is None


def test_sglangs_answer_has_none_of_them():
    assert not {"gpu_metrics", "throughput_metrics", "generation_metrics"} & set(answer_of("sglang")["metrics"])
