"""The OpenAPI document against what the routes answer: every status, type, header and body is one that it has."""

import json
import re

import boto3
import pytest
from calls import EVENTS, ask
from jsonschema import Draft202012Validator

from handlers import api
from handlers.document import document
from servers import sends, whole
from support import PAGES

DOCUMENT = document(api.app, api.VERSION)
OWN_HEADERS = {"etag", "x-next-cursor", "x-scraped-at", "content-encoding"}
TARGET = {"path": "/api/v1/targets/sglang-001"}
SETTINGS = {"engine": "sglang", "endpoint": "http://10.0.1.17:30000/metrics"}
STORED = "/api/v1/metrics/sglang/sglang-001"


@pytest.fixture(autouse=True)
def _a_place_to_store_and_scrape(table, on_a_laptop):
    pass


def operation_of(method, path):
    for template, item in DOCUMENT["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]*", template), path) and method in item:
            return item[method]
    raise AssertionError(f"{method} {path} is not in the document")


def answered(name, **changes):
    """The status of an answer, once it is one that the document has."""
    answer = ask(name, **changes)
    method, path = asked(name, changes)
    documented = operation_of(method, path)["responses"][str(int(answer["statusCode"]))]
    assert OWN_HEADERS & set(map(str.lower, answer["headers"])) <= set(map(str.lower, documented.get("headers", {})))
    content_type = answer["headers"].get("Content-Type")
    contents = documented.get("content", {})
    if content_type is None:
        assert (answer["body"], contents) == ("", {})
    else:
        schema = contents[content_type.partition(";")[0]]["schema"] | {"components": DOCUMENT["components"]}
        is_json = content_type == "application/json"
        Draft202012Validator(schema).validate(json.loads(answer["body"]) if is_json else answer["body"])
    return answer["statusCode"]


def asked(name, changes):
    http = EVENTS[name]["requestContext"]["http"]
    return (changes.get("method") or http["method"]).lower(), changes.get("path") or http["path"]


def collected(serve, engine="sglang", page="sglang-0.5.23-dp2-load-later", **changes):
    server = serve(sends(whole((PAGES / f"{page}.prom").read_bytes())))
    body = {"instance_id": "sglang-001", "endpoint": f"http://127.0.0.1:{server.port}/metrics", "timeout": 2}
    return answered("collect", path=f"/api/v1/collect/{engine}", body=body | changes)


@pytest.mark.parametrize(
    ("engine", "page"),
    [
        ("sglang", "sglang-0.5.23-dp2-load-later"),
        ("sglang", "router-0.3.2-engine-metrics"),
        ("vllm", "vllm-0.33.0-dp2"),
        ("tgi", "tgi-documented"),
    ],
)
def test_what_is_collected_and_read_back_is_as_documented(serve, engine, page):
    assert collected(serve, engine, page) == 200
    path = f"/api/v1/metrics/{engine}/sglang-001"
    assert answered("metrics-newest", path=path) == 200
    assert answered("metrics-history", path=f"{path}/history", query={}) == 200
    assert answered("metrics-history", path=f"{path}/history", query={}, headers={"accept": "text/csv"}) == 200
    assert answered("metrics-raw", path=f"{path}/raw", query={}) == 200


@pytest.mark.parametrize(
    ("name", "changes", "status"),
    [
        pytest.param("collect", {"body": {"instance_id": "a", "endpoint": "http://127.0.0.1:1/metrics"}}, 200, id="no"),
        pytest.param("collect", {"body": {"instance_id": "a", "endpoint": "http://169.254.169.254/"}}, 403, id="never"),
        pytest.param("collect", {"path": "/api/v1/collect/\N{SNOWMAN}"}, 404, id="no-route"),
        pytest.param("collect", {"headers": {"content-type": "multipart/form-data"}}, 415, id="a-form"),
        pytest.param("collect", {"body": "{"}, 422, id="no-json"),
        pytest.param("metrics-newest", {"path": STORED}, 404, id="nothing-stored"),
        pytest.param("metrics-newest", {"path": STORED, "query": {"timeout": 99}}, 422, id="too-long"),
        pytest.param("metrics-history", {"path": f"{STORED}/history", "query": {}}, 404, id="no-history"),
        pytest.param("metrics-history", {"path": f"{STORED}/history", "query": {"start": "soon"}}, 422, id="no-time"),
        pytest.param("metrics-raw", {"path": f"{STORED}/raw", "query": {}}, 404, id="no-page"),
        pytest.param("targets-list", {"query": {}}, 200, id="empty-list"),
        pytest.param("targets-list", {"query": {"cursor": "x"}}, 422, id="no-cursor"),
        pytest.param("targets-read", TARGET, 404, id="not-registered"),
        pytest.param("targets-read", TARGET | {"method": "DELETE"}, 428, id="whichever"),
        pytest.param("targets-delete", TARGET | {"headers": {"if-match": '"1"'}}, 404, id="nothing-to-delete"),
        pytest.param("fleet", {"query": {}}, 200, id="empty-fleet"),
        pytest.param("fleet", {"query": {"health": "well"}}, 422, id="no-status"),
        pytest.param("health", {}, 200, id="health"),
    ],
)
def test_what_is_refused_or_empty_is_as_documented(name, changes, status):
    assert answered(name, **changes) == status


def test_a_targets_life_is_as_documented():
    put = TARGET | {"body": SETTINGS}
    assert answered("targets-put", **put) == 201
    assert answered("targets-put", **put) == 200
    assert answered("targets-put", **put | {"body": SETTINGS | {"interval_seconds": 30}}) == 412
    assert answered("targets-put", **put | {"body": SETTINGS | {"interval_seconds": 1}}) == 422
    assert answered("targets-read", **TARGET) == 200
    assert answered("targets-list", query={}) == 200
    assert answered("targets-delete", **TARGET, headers={"if-match": '"7"'}) == 412
    assert answered("targets-delete", **TARGET, headers={"if-match": '"1"'}) == 204


def test_our_own_fault_is_as_documented():
    boto3.client("dynamodb").delete_table(TableName="targets")
    assert answered("targets-read", **TARGET) == 500


def test_no_parameter_may_be_null_and_each_route_has_its_own_name():
    operations = [operation for item in DOCUMENT["paths"].values() for operation in item.values()]
    schemas = [parameter["schema"] for operation in operations for parameter in operation.get("parameters", ())]
    assert schemas
    assert not any({"type": "null"} in schema.get("anyOf", ()) for schema in schemas)
    assert len({operation["operationId"] for operation in operations}) == len(operations)


def test_nothing_is_described_that_nothing_answers():
    referred = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(DOCUMENT)))
    assert set(DOCUMENT["components"]["schemas"]) == referred


def test_requests_are_signed_but_on_a_laptop():
    assert DOCUMENT["security"] == [{"sigv4": []}]
    assert "security" not in document(api.app, api.VERSION, signed=False)
