"""The API as a function of API Gateway's events, against servers on loopback and a table."""

import base64
import json
import time
from copy import deepcopy
from datetime import UTC, datetime

import boto3
import pytest
from calls import CONTEXT, EVENTS, call

from collector import deployment, pipeline, registry, store
from collector.engines import ENGINES
from collector.snapshot import CollectionResponse
from collector.targets import Registration
from handlers import api
from past import spoil_findings
from servers import PAGE, Server, keeps_alive, sends, whole
from support import PAGES, target

RECORDED = (PAGES / "sglang-0.5.23-dp2-load-later.prom").read_bytes()


@pytest.fixture(autouse=True)
def _a_place_to_store_and_scrape(table, on_a_laptop):
    pass


def collect(endpoint, **changes):
    fields = {"instance_id": "sglang-001", "endpoint": endpoint, "timeout": 2} | changes
    return call("collect", body={name: value for name, value in fields.items() if value is not None})


def url(server, path="/metrics"):
    return f"http://127.0.0.1:{server.port}{path}"


def test_a_collection_answers_with_the_contract_and_is_stored(serve):
    status, answer = collect(url(serve(sends(whole(RECORDED)))))
    assert status == 200
    assert (answer["success"], answer["instance_id"], answer["error"]) == (True, "sglang-001", None)
    assert answer["metrics"]["system_metrics"]["num_requests_running"] == 6
    assert len(answer["metrics"]["raw_metrics"]) == answer["metrics"]["scrape"]["samples"] > 800
    CollectionResponse.model_validate(answer)
    assert store.read_newest("sglang-001").told.lines.page() == RECORDED


@pytest.mark.parametrize(
    ("engine", "page", "section", "field"),
    [
        ("vllm", "vllm-0.33.0-dp2", "gpu_metrics", "num_requests_running"),
        ("tgi", "tgi-documented", "generation_metrics", "batch_current_size"),
        ("sglang", "router-0.3.2-engine-metrics", "system_metrics", "num_requests_running"),
    ],
)
def test_another_engine_is_collected_and_read_back_alike(serve, engine, page, section, field):
    server = serve(sends(whole((PAGES / f"{page}.prom").read_bytes())))
    body = {"instance_id": "other-001", "endpoint": url(server), "timeout": 2}
    status, collected = call("collect", path=f"/api/v1/collect/{engine}", body=body)
    assert (status, collected["success"], collected["metrics"]["engine"]) == (200, True, engine)
    assert collected["metrics"][section][field] > 0
    CollectionResponse.model_validate(collected)
    assert call("metrics-newest", path=f"/api/v1/metrics/{engine}/other-001") == (200, collected)


def test_an_engine_that_nobody_knows_is_422_and_the_known_ones_are_named():
    status, answer = call(
        "collect", path="/api/v1/collect/llamafile", body={"instance_id": "a", "endpoint": "http://a"}
    )
    assert (status, [wrong["field"] for wrong in answer["fields"]]) == (422, ["path.engine"])
    assert all(f"'{engine}'" in answer["error"] for engine in ENGINES)


def test_raw_metrics_can_be_left_out(serve):
    server = serve(sends(whole()))
    status, answer = call(
        "collect", query={"raw": "false"}, body={"instance_id": "a", "endpoint": url(server), "timeout": 2}
    )
    assert (status, answer["metrics"]["raw_metrics"]) == (200, [])


def test_the_newest_stored_snapshot_is_the_collections_answer_again(serve):
    _, collected = collect(url(serve(sends(whole(RECORDED)))))
    status, read = call("metrics-newest")
    assert status == 200
    assert read == collected


@pytest.mark.parametrize(
    ("thresholds", "own", "is_stale"),
    [
        pytest.param("", {}, False, id="three"),
        pytest.param("stale_intervals=0.000001", {}, True, id="as-set-for-all-servers"),
        pytest.param("", {"stale_intervals": 0.000001}, True, id="as-set-for-the-target"),
        pytest.param("stale_intervals=0.000001", {"stale_intervals": 9}, False, id="the-targets-own-comes-first"),
        pytest.param("stale_intervals=0.000001", {"stalled_seconds": 90}, True, id="where-it-has-another-of-its-own"),
    ],
)
def test_the_newest_scrape_goes_stale_after_the_intervals_that_are_set(
    serve, set_thresholds, thresholds, own, is_stale
):
    set_thresholds(thresholds)
    one = target(
        endpoint=url(serve(sends(whole()))),
        slot_ms=time.time_ns() // 1_000_000,
        interval_seconds=60,
        thresholds=own,
    )
    [outcome] = pipeline.collect([one], time.monotonic() + 60)
    assert outcome.health.status != "stale"
    assert (call("metrics-newest")[1]["health"]["status"] == "stale") is is_stale


def test_the_newest_scrape_is_told_when_it_failed():
    with Server(sends(whole())) as server:
        collect(url(server))
    collect(url(server))
    status, answer = call("metrics-newest", query={"raw": "false"})
    assert (status, answer["success"], answer["error_code"]) == (200, False, "connection_refused")


def test_findings_that_are_spoilt_leave_the_rest_of_the_newest_scrape():
    for _ in range(2):
        collect("http://127.0.0.2:1/metrics")
    before = call("metrics-newest")[1]
    spoil_findings()
    status, answer = call("metrics-newest")
    assert (status, answer["error_code"]) == (200, "connection_refused")
    [finding] = answer["health"].pop("findings")
    assert (finding["code"], before["health"].pop("findings")[0]["code"]) == ("unreadable_findings", "unreachable")
    assert answer == before


@pytest.mark.parametrize("name", ["sglang-404", "a" * 128])
def test_a_server_of_which_nothing_is_stored_is_not_found(name):
    status, answer = call("metrics-newest", path=f"/api/v1/metrics/sglang/{name}")
    assert (status, answer["error_code"]) == (404, "not_found")
    assert name in answer["error"]


def test_the_url_bar_collects_too(serve):
    server = serve(keeps_alive(whole()))
    status, answer = call("metrics-endpoint", query={"endpoint": url(server), "raw": "false"})
    assert (status, answer["success"]) == (200, True)
    assert len(server.requests) == 1
    assert store.read_newest("sglang-001").told.lines.page() == PAGE


def test_the_url_bar_can_be_switched_off(serve, monkeypatch):
    monkeypatch.setenv("ALLOW_ENDPOINT_QUERY", "false")
    server = serve(sends(whole()))
    status, answer = call("metrics-endpoint", query={"endpoint": url(server)})
    assert (status, answer["error_code"]) == (403, "endpoint_query_off")
    assert server.connections == 0


def test_a_target_that_cannot_be_scraped_is_an_answer_and_a_stored_outcome(serve):
    status, answer = collect(url(serve(sends(whole(b"busy", status="503 Service Unavailable")))))
    assert (status, answer["success"], answer["metrics"]) == (200, False, None)
    assert answer["error_code"] == "http_status"
    assert "503" in answer["error"]
    assert store.read_newest("sglang-001").code == "http_status"


def test_a_page_that_is_no_exposition_is_refused_without_quoting_it(serve):
    status, answer = collect(url(serve(sends(whole(b"<title>Payroll</title>\n")))))
    assert (status, answer["error_code"], answer["error"]) == (200, "not_an_exposition", "line 1: not a metric name")
    assert "Payroll" not in store.read_newest("sglang-001").error


def test_an_empty_page_is_success_with_a_code_of_its_own(serve):
    status, answer = collect(url(serve(sends(whole(b"")))))
    assert (status, answer["success"], answer["error_code"]) == (200, True, "empty_page")
    assert answer["metrics"]["system_metrics"]["num_requests_running"] is None
    assert store.read_newest("sglang-001").code == "empty_page"


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://user:secret@10.0.0.1:30000/",
        "ftp://10.0.0.1/",
        "http://8.8.8.8:30000/",
    ],
    ids=["metadata", "credentials", "scheme", "public"],
)
def test_an_endpoint_that_policy_forbids_is_403(endpoint):
    status, answer = collect(endpoint)
    assert (status, answer["success"], answer["error_code"]) == (403, False, "endpoint_forbidden")
    assert "secret" not in answer["error"]


@pytest.fixture
def trusting(monkeypatch):
    """A stack whose parameters let one port through, and all that is registered."""
    monkeypatch.setenv("ALLOWED_PORTS", "80")
    monkeypatch.setenv("TRUST_REGISTERED_TARGETS", "true")
    deployment.rules.cache_clear()


def register(instance_id, endpoint):
    settings = Registration(instance_id=instance_id, engine="sglang", endpoint=endpoint)
    return registry.put(settings, None, None, datetime.now(UTC))


def test_a_registered_target_is_collected_on_demand_by_the_registrys_rules(serve, trusting):
    server = serve(keeps_alive(whole()))
    register("sglang-001", url(server))
    status, answer = collect(url(server))
    assert (status, answer["success"]) == (200, True)
    status, answer = call("metrics-endpoint", query={"endpoint": url(server), "raw": "false"})
    assert (status, answer["success"]) == (200, True)


@pytest.mark.parametrize(
    ("instance_id", "path"),
    [
        pytest.param("sglang-002", "/metrics", id="another-target"),
        pytest.param("sglang-404", "/metrics", id="no-target"),
        pytest.param("sglang-001", "/metrics?x", id="another-endpoint"),
    ],
)
def test_its_rules_are_for_its_own_name_and_endpoint(serve, trusting, instance_id, path):
    server = serve(sends(whole()))
    register("sglang-001", url(server))
    register("sglang-002", "http://10.0.0.1:30000/metrics")
    status, answer = collect(url(server, path), instance_id=instance_id)
    assert (status, answer["error_code"]) == (403, "endpoint_forbidden")
    assert "ALLOWED_PORTS" in answer["error"]
    assert server.connections == 0


def test_where_the_registry_is_not_trusted_a_registered_target_is_like_any_other(serve, monkeypatch):
    monkeypatch.setenv("ALLOWED_PORTS", "80")
    deployment.rules.cache_clear()
    server = serve(sends(whole()))
    register("sglang-001", url(server))
    assert collect(url(server))[0] == 403
    assert server.connections == 0


def test_a_line_that_cannot_be_read_is_numbered_and_not_quoted(serve):
    _, answer = collect(url(serve(sends(whole(b"up 1\nhidden password\n")))))
    assert answer["metrics"]["scrape"]["first_bad_lines"] == ["line 2: value is not a number"]
    assert "hidden" not in json.dumps(answer)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"instance_id": "a b"}, "body.instance_id", id="id-with-a-space"),
        pytest.param({"instance_id": "a" * 129}, "body.instance_id", id="id-too-long"),
        pytest.param({"instance_id": ""}, "body.instance_id", id="id-empty"),
        pytest.param({"instance_id": "a\n"}, "body.instance_id", id="id-with-a-newline"),
        pytest.param({"instance_id": None}, "body.instance_id", id="id-absent"),
        pytest.param({"endpoint": None}, "body.endpoint", id="endpoint-absent"),
        pytest.param({"endpoint": "http://a b/"}, "body.endpoint", id="endpoint-with-a-space"),
        pytest.param({"timeout": 0.5}, "body.timeout", id="timeout-too-short"),
        pytest.param({"timeout": 21}, "body.timeout", id="timeout-too-long"),
        pytest.param({"timeout": "soon"}, "body.timeout", id="timeout-in-words"),
        pytest.param({"interval": 1}, "body.interval", id="unknown-field"),
    ],
)
def test_a_wrong_field_is_422_and_named(changes, field):
    status, answer = collect(**{"endpoint": "http://127.0.0.1:1/metrics"} | changes)
    assert (status, answer["error_code"]) == (422, "invalid_request")
    assert [wrong["field"] for wrong in answer["fields"]] == [field]
    assert field in answer["error"]


@pytest.mark.parametrize("body", ["", "{", "[]", '"text"', "null", "7"])
def test_a_body_that_is_no_json_object_is_422(body):
    status, answer = call("collect", body=body)
    assert (status, answer["error_code"]) == (422, "invalid_request")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data",  # without a boundary: Powertools fails over it
        "Multipart/Form-Data; boundary=x",
    ],
)
def test_a_body_of_another_type_is_415(content_type):
    status, answer = call("collect", body="<x/>", headers={"content-type": content_type})
    assert (status, answer["error_code"]) == (415, "unsupported_content_type")


@pytest.mark.parametrize(
    ("path", "field"),
    [("/api/v1/metrics/llamafile/sglang-001", "path.engine"), ("/api/v1/metrics/sglang/a@b", "path.instance_id")],
    ids=["engine", "instance-id"],
)
def test_a_wrong_part_of_the_path_is_422_and_named(path, field):
    status, answer = call("metrics-newest", path=path)
    assert (status, [wrong["field"] for wrong in answer["fields"]]) == (422, [field])


@pytest.mark.parametrize("path", ["/", "/api/v1", "/api/v1/nothing", "/api/v1/collect/sglang"])
def test_another_route_is_404(path):
    status, answer = call("health", path=path)
    assert (status, answer["error_code"]) == (404, "no_such_route")


def test_a_body_that_is_not_text_is_422():
    event = deepcopy(EVENTS["collect"]) | {"body": base64.b64encode(b'{"\xff').decode(), "isBase64Encoded": True}
    answer = api.handler(event, CONTEXT)
    assert (answer["statusCode"], json.loads(answer["body"])["fields"][0]["field"]) == (422, "body")


def test_our_own_fault_is_500_with_a_correlation_id_and_no_internals(serve):
    boto3.client("dynamodb").delete_table(TableName="snapshots")
    status, answer = collect(url(serve(sends(whole()))))
    assert (status, answer["error_code"]) == (500, "internal_error")
    assert answer["correlation_id"] == EVENTS["collect"]["requestContext"]["requestId"]
    assert "ResourceNotFound" not in json.dumps(answer)


def test_health_is_the_collectors_own():
    assert call("health") == (200, {"status": "ok", "version": api.VERSION})


def test_the_openapi_document_describes_the_contract():
    status, document = call("openapi")
    assert status == 200
    assert {"/api/v1/collect/{engine}", "/api/v1/metrics/{engine}/{instance_id}", "/api/v1/health"} <= set(
        document["paths"]
    )
    [engine, *_] = document["paths"]["/api/v1/collect/{engine}"]["post"]["parameters"]
    assert (engine["name"], tuple(engine["schema"]["enum"])) == ("engine", ENGINES)
    assert {"VllmSnapshot", "TgiSnapshot", "Vllm", "Tgi", "Router"} <= set(document["components"]["schemas"])
    response = document["components"]["schemas"]["CollectionResponse"]
    assert {"success", "instance_id", "timestamp", "error", "error_code", "metrics", "health"} == set(
        response["properties"]
    )


def test_one_log_line_says_what_came_of_a_collection(serve, caplog):
    collect(url(serve(sends(whole()))))
    [line] = [record for record in caplog.records if record.message == "collected"]
    assert (line.instance_id, line.code, line.samples, line.page_bytes) == ("sglang-001", None, 1, len(PAGE))


def test_requests_scrapes_and_failures_are_metrics(serve, capsys):
    collect(url(serve(sends(whole(b"busy", status="503 Service Unavailable")))))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    [emf] = [line for line in lines if "_aws" in line]
    assert (emf["Requests"], emf["Scrapes"], emf["FailedScrapes"]) == ([1.0], [1.0], [1.0])
