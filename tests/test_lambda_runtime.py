"""The handler where it will live: behind AWS's own runtime client and runtime emulator, with a real table over HTTP."""

import json
import time

import pytest
import urllib3

from emulated_lambda import emulated, needs_emulator
from faulty_dynamodb import FaultyDynamoDb
from queue_of_messages import event as queue_event
from queue_of_messages import message
from servers import Server, keeps_alive, whole
from support import ROOT, target

EVENTS_SERVER = "host.docker.internal:30000"  # the one that events/ names

pytestmark = needs_emulator

PAGE = b"""\
# HELP sglang:num_running_reqs The number of running requests.
# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{dp_rank="0",engine_type="unified",model_name="m",moe_ep_rank="0",pp_rank="0",tp_rank="0"} 3.0
sglang:num_running_reqs{dp_rank="1",engine_type="unified",model_name="m",moe_ep_rank="0",pp_rank="0",tp_rank="0"} 4.0
# HELP sglang:num_requests_total Number of requests processed.
# TYPE sglang:num_requests_total counter
sglang:num_requests_total{engine_type="unified",model_name="m"} 41.0
"""

# The names that callers rely on.
RESPONSE = {"success", "instance_id", "timestamp", "error", "metrics"}
METRICS = {
    "request_metrics": {
        "success_total",
        "failure_total",
        "request_duration_seconds",
        "time_to_first_token_seconds",
        "time_per_output_token_seconds",
        "input_tokens",
        "output_tokens",
    },
    "cache_metrics": {"cache_hit_rate", "cache_memory_usage_bytes", "radix_cache_size", "prefix_cache_hit_total"},
    "system_metrics": {
        "num_requests_running",
        "num_requests_waiting",
        "batch_size_current",
        "throughput_tokens_per_second",
    },
}


@pytest.fixture(scope="module")
def page_server():
    """host:port of a server whose metrics page is PAGE."""
    with Server(keeps_alive(whole(PAGE))) as server:
        yield f"127.0.0.1:{server.port}"


@pytest.fixture(scope="module")
def variables(aws, page_server):
    """What a laptop changes in the variables that the template declares."""
    opened = {"ALLOW_LOOPBACK": "true", "ALLOW_ENDPOINT_QUERY": "true", "ALLOWED_PORTS": page_server.partition(":")[2]}
    return aws.environment() | opened


@pytest.fixture(scope="module")
def api(variables, tmp_path_factory):
    with emulated("Api", tmp_path_factory.mktemp("api"), **variables) as function:
        yield function


@pytest.fixture
def invoke(api):
    """Have an event answered: a function that returns the status and the JSON of the body."""

    def post(event):
        answer = api.invoke(event)
        assert answer.get("statusCode", 500) < 500, f"{answer}\n{api.log.read_text()}"
        return answer["statusCode"], json.loads(answer["body"] or "null")

    return post


@pytest.fixture
def event(page_server):
    """An event of events/, by name, about the page server and, if given, about another instance than sglang-001."""

    def read(name, instance_id="sglang-001", server=page_server):
        text = (ROOT / f"events/{name}.json").read_text()
        for old, new in ((EVENTS_SERVER, server), ("sglang-001", instance_id)):
            text = text.replace(old, new).replace(old.replace(":", "%3A"), new.replace(":", "%3A"))
        return json.loads(text)

    return read


@pytest.fixture
def stored(aws):
    """A function that gives every item of an instance."""

    def read(instance_id):
        return aws.client().query(
            TableName="Snapshots",
            KeyConditionExpression="instance_id = :id",
            ExpressionAttributeValues={":id": {"S": instance_id}},
        )["Items"]

    return read


@pytest.mark.parametrize("name", ["collect", "metrics-endpoint"])
def test_a_server_is_scraped_and_kept_and_the_answer_has_the_names_that_callers_rely_on(name, invoke, event, stored):
    status, answer = invoke(event(name, instance_id=name))
    assert (status, answer["success"], answer["error"], answer["instance_id"]) == (200, True, None, name)
    assert answer.keys() >= RESPONSE
    assert {group: answer["metrics"][group].keys() >= names for group, names in METRICS.items()} == dict.fromkeys(
        METRICS, True
    )
    assert answer["metrics"]["system_metrics"]["num_requests_running"] == 3 + 4
    assert len(stored(name)) == 1


def test_what_was_collected_is_read_back(invoke, event):
    before, _ = invoke(event("metrics-newest", instance_id="read-back"))
    _, collected = invoke(event("collect", instance_id="read-back"))
    after, newest = invoke(event("metrics-newest", instance_id="read-back"))
    assert (before, after) == (404, 200)
    assert newest == collected


def test_the_past_is_read_back_as_rows_and_as_pages(api, invoke, event):
    _, collected = invoke(event("collect", instance_id="past"))
    status, history = invoke(event("metrics-history", instance_id="past"))
    running = collected["metrics"]["system_metrics"]["num_requests_running"]
    assert (status, history["rows"][-1]["system_metrics.num_requests_running"]) == (200, running)
    # The event asks for what was an hour ago, when nothing was.
    assert invoke(event("metrics-raw", instance_id="past"))[0] == 404
    now = event("metrics-raw", instance_id="past") | {"rawQueryString": "", "queryStringParameters": {}}
    raw = api.invoke(now)
    assert (raw["statusCode"], raw["headers"]["Content-Type"][:10]) == (200, "text/plain")
    assert len(raw["body"].splitlines()) >= collected["metrics"]["scrape"]["samples"]


def test_samples_are_in_the_answer_unless_they_are_not_wanted(invoke, event):
    _, collected = invoke(event("collect", instance_id="samples"))
    _, scraped = invoke(event("metrics-endpoint", instance_id="samples"))
    assert [sample["value"] for sample in collected["metrics"]["raw_metrics"]] == [3, 4, 41]
    assert not scraped["metrics"]["raw_metrics"]


def test_a_server_that_is_down_is_an_answer_and_is_kept(invoke, event, stored, page_server):
    nobody = {"instance_id": "down", "endpoint": f"http://127.0.0.2:{page_server.partition(':')[2]}/metrics"}
    status, answer = invoke(event("collect") | {"body": json.dumps(nobody)})
    assert (status, answer["success"], answer["metrics"]) == (200, False, None)
    assert answer["error_code"] == "connection_refused"
    [item] = stored("down")
    assert item["code"] == {"S": "connection_refused"}


def test_the_runtimes_own_api_cannot_be_scraped(invoke, event):
    body = json.dumps({"instance_id": "x", "endpoint": "http://127.0.0.1:9001/2018-06-01/runtime/invocation/next"})
    status, answer = invoke(event("collect") | {"body": body})
    assert (status, answer["error_code"]) == (403, "endpoint_forbidden")


def test_a_target_is_registered_listed_read_and_deleted(invoke, event, aws):
    status, put = invoke(event("targets-put"))
    assert (status, put["version"]) == (201, 1)
    assert put["changed_by"] == "arn:aws:iam::123456789012:user/operator"
    assert invoke(event("targets-put")) == (200, put)
    assert invoke(event("targets-read")) == (200, put)
    assert invoke(event("targets-list")) == (200, {"targets": [put], "cursor": None})
    assert aws.client().scan(TableName="Targets")["Items"][0]["sk"] == {"S": "sglang-001"}
    assert invoke(event("targets-delete"))[0] == 204
    assert invoke(event("targets-read"))[0] == 404


def test_a_wrong_field_is_named(invoke, event):
    body = json.dumps({"instance_id": "x", "endpoint": "http://10.0.0.1/metrics", "timeout": 21})
    status, answer = invoke(event("collect") | {"body": body})
    assert status == 422
    assert [wrong["field"] for wrong in answer["fields"]] == ["body.timeout"]


@pytest.mark.parametrize(
    ("name", "part"),
    [
        pytest.param("health", {"status": "ok"}, id="health"),
        pytest.param("openapi", {"openapi": "3.1.0"}, id="openapi"),
        pytest.param("fleet", {"targets": [], "complete": True}, id="fleet"),
    ],
)
def test_the_other_events_are_answered(name, part, invoke, event):
    status, answer = invoke(event(name))
    assert status == 200
    assert answer.items() >= part.items()


@pytest.fixture
def start_worker(variables, tmp_path):
    """Start the worker; a DynamoDB of its own and other variables may be named."""
    return lambda **changes: emulated("Worker", tmp_path, **variables | changes)


def test_the_worker_collects_the_targets_of_an_event_file(start_worker, page_server, stored):
    text = (ROOT / "events/worker.json").read_text().replace(EVENTS_SERVER, page_server).replace("sglang-00", "worker-")
    with start_worker() as function:
        assert function.invoke(json.loads(text)) == {"batchItemFailures": []}, function.log.read_text()
    assert [len(stored(f"worker-{number}")) for number in (1, 2, 3)] == [1, 1, 1]


def test_a_worker_that_is_killed_in_the_middle_leaves_nothing_out_and_nothing_twice(aws, start_worker, stored, serve):
    pages, hanging = serve(keeps_alive(whole(PAGE))), serve(lambda visit: visit.request() and visit.wait())
    due_ms = time.time_ns() // 1_000_000
    fleet = [
        target(
            instance_id=f"killed-{number:02}",
            endpoint=f"http://127.0.0.1:{(hanging if number == 0 else pages).port}/metrics",
            slot_ms=due_ms,
            interval_seconds=60,
            timeout_seconds=3,
        )
        for number in range(60)
    ]
    sent = [message(*fleet[:30]), message(*fleet[30:])]
    with FaultyDynamoDb(aws.endpoint_url) as dynamodb:
        on_its_way = {"AWS_ENDPOINT_URL": dynamodb.url, "ALLOWED_PORTS": "1-65535"}
        with start_worker(**on_its_way) as function:
            dynamodb.on_write = lambda: dynamodb.operations["BatchWriteItem"] == 2 and function.kill()
            with pytest.raises(urllib3.exceptions.ProtocolError):
                function.invoke(queue_event(*sent))
        dynamodb.on_write = lambda: None
        written = set(dynamodb.writes)
        assert len(written) == 50
        with start_worker(**on_its_way) as function:
            assert function.invoke(queue_event(*sent)) == {"batchItemFailures": []}, function.log.read_text()
        assert dict(dynamodb.writes) == {one.key: 1 for one in fleet}
    assert [len(stored(one.instance_id)) for one in fleet] == [1] * 60
    assert len(pages.requests) <= 59 + 9


@pytest.mark.parametrize(("name", "event_file"), [("Api", "health"), ("Worker", "worker")])
def test_a_function_with_a_threshold_that_cannot_be_says_so_and_does_nothing(
    name, event_file, variables, tmp_path, event
):
    with emulated(name, tmp_path, **variables | {"HEALTH_THRESHOLDS": "stalled=60"}) as function:
        answer = function.invoke(event(event_file))
    assert answer["errorMessage"].startswith("HEALTH_THRESHOLDS: stalled is no threshold; they are failures_in_a_row, ")


def test_no_event_file_is_left_out():
    assert {path.stem for path in (ROOT / "events").glob("*.json")} == {
        "collect",
        "fleet",
        "health",
        "metrics-endpoint",
        "metrics-history",
        "metrics-newest",
        "metrics-raw",
        "openapi",
        "schedule",
        "schedule-at",
        "targets-delete",
        "targets-list",
        "targets-put",
        "targets-read",
        "worker",
        "worker-again",
        "worker-late",
    }
