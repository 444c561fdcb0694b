import json

import pytest

from collector.exposition import parse
from collector.response import ANSWER_BYTES_AT_MOST, render
from collector.snapshot import CollectionResponse
from support import ASKED_AT, PAGES, snapshot_of

PAGE = (PAGES / "sglang-0.5.23-load.prom").read_bytes()


def rendered(page, **changes):
    arguments = {"snapshot": snapshot_of(page), "samples": parse(page).samples} | changes
    return render("sglang-001", ASKED_AT, **arguments)


def test_an_answer_is_the_contracts_json():
    answer = json.loads(rendered(PAGE))
    assert list(answer) == ["success", "instance_id", "timestamp", "error", "error_code", "metrics", "health"]
    assert (answer["success"], answer["timestamp"]) == (True, "2026-11-24T03:00:00Z")
    assert answer["metrics"]["system_metrics"]["num_requests_running"] == 6
    CollectionResponse.model_validate(answer)


def test_raw_metrics_are_every_sample_in_page_order():
    raw = json.loads(rendered(PAGE))["metrics"]["raw_metrics"]
    assert [(sample["name"], sample["labels"]) for sample in raw] == [(s.name, s.labels) for s in parse(PAGE).samples]
    assert {"name", "type", "value", "labels"} == set(raw[0])


def test_a_failure_is_an_answer_without_metrics():
    answer = json.loads(render("sglang-001", ASKED_AT, None, error="nothing listens there", code="connection_refused"))
    assert (answer["success"], answer["metrics"]) == (False, None)
    assert (answer["error"], answer["error_code"]) == ("nothing listens there", "connection_refused")


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf"])
def test_what_json_has_no_number_for_is_a_string(value):
    [sample] = json.loads(rendered(f"x {value}\n"), parse_constant=pytest.fail)["metrics"]["raw_metrics"]
    assert sample["value"] == value


@pytest.mark.parametrize(
    "label", ["a" * 20, '"' * 20, "é" * 20, "\\n" * 20], ids=["plain", "quotes", "accents", "newlines"]
)
def test_an_answer_never_outgrows_lambda_and_says_what_it_left_out(label):
    label = label.replace('"', '\\"')
    page = "".join(f'sglang:num_running_reqs{{tp_rank="0",label="{label}{n}"}} 1\n' for n in range(60_000))
    text = rendered(page)
    assert len(json.dumps(text)) <= ANSWER_BYTES_AT_MOST
    metrics = json.loads(text)["metrics"]
    assert metrics["raw_metrics_omitted"] > 0
    assert len(metrics["raw_metrics"]) + metrics["raw_metrics_omitted"] == 60_000
    assert len(json.dumps(text)) > ANSWER_BYTES_AT_MOST * 0.9


def test_a_page_that_fits_leaves_nothing_out():
    assert json.loads(rendered(PAGE))["metrics"]["raw_metrics_omitted"] == 0
