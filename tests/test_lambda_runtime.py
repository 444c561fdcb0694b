"""The handler where it will live: behind AWS's own runtime client and runtime emulator, with a real table over HTTP.

The emulator is a process of its own and takes one request at a time.
"""

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import urllib3

from local.aws import EmbeddedAws
from local.template import Template
from servers import Server, keeps_alive, whole

ROOT = Path(__file__).parent.parent
PROCESSOR = {"x86_64": "x86_64", "aarch64": "arm64"}.get(platform.machine())
EMULATOR = Path(sys.prefix) / f"emulator/samcli/local/rapid/aws-lambda-rie-{PROCESSOR}"
EVENTS_SERVER = "host.docker.internal:30000"  # the one that events/ names
START_SECONDS = 30

pytestmark = [
    pytest.mark.skipif(platform.system() != "Linux", reason="the Lambda runtime is for Linux"),
    pytest.mark.skipif(not EMULATOR.exists(), reason="no runtime emulator here: `make test` installs it"),
]

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


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def page_server():
    """host:port of a server whose metrics page is PAGE."""
    with Server(keeps_alive(whole(PAGE))) as server:
        yield f"127.0.0.1:{server.port}"


@pytest.fixture(scope="module")
def aws():
    """An embedded AWS with the template's tables."""
    with EmbeddedAws() as embedded:
        embedded.create_tables(Template())
        yield embedded


@pytest.fixture(scope="module")
def function_log(tmp_path_factory):
    return tmp_path_factory.mktemp("lambda") / "log"


@pytest.fixture(scope="module")
def function_url(aws, page_server, function_log):
    """Where the emulated Lambda takes events. It gets the template's variables, and those that a laptop changes."""
    port, runtime_port = free_port(), free_port()
    command = [
        *(EMULATOR, f"--runtime-interface-emulator-address=127.0.0.1:{port}"),
        f"--runtime-api-address=127.0.0.1:{runtime_port}",
        *(sys.executable, "-m", "awslambdaric", "handlers.api.handler"),
    ]
    declared = Template().function("Api")["Environment"]["Variables"]
    on_a_laptop = {"ALLOW_LOOPBACK": "true", "ALLOWED_PORTS": page_server.partition(":")[2]}
    environment = {name: str(value) for name, value in (declared | aws.environment() | on_a_laptop).items()}
    with function_log.open("wb") as log:
        emulator = subprocess.Popen(
            command,
            env=environment | {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "functions")},
            cwd=function_log.parent,
            stdout=log,
            stderr=log,
            start_new_session=True,  # the runtime that it starts ends with it
        )
    try:
        await_listener(port, emulator)
        yield f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
    finally:
        os.killpg(emulator.pid, signal.SIGKILL)
        emulator.wait()


def await_listener(port, process):
    until = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
    return pytest.fail("the runtime emulator did not start")


@pytest.fixture
def invoke(function_url, function_log):
    """Have an event answered: a function that returns the status and the JSON of the body."""

    def post(event):
        answer = urllib3.request("POST", function_url, json=event, timeout=60, retries=False).json()
        assert answer.get("statusCode", 500) < 500, f"{answer}\n{function_log.read_text()}"
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
    ],
)
def test_the_other_events_are_answered(name, part, invoke, event):
    status, answer = invoke(event(name))
    assert status == 200
    assert answer.items() >= part.items()


def test_no_event_file_is_left_out():
    assert {path.stem for path in (ROOT / "events").glob("*.json")} == {
        "collect",
        "health",
        "metrics-endpoint",
        "metrics-newest",
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
