"""A secret planted in the account goes to its server, and nowhere else: every place that we write to is searched."""

import base64
import json
import logging
import time
import traceback

import boto3
import pytest
from calls import ask

from collector import asking, deployment
from collector.targets import MESSAGE
from handlers import schedule, worker
from local import function
from queue_of_messages import Context, Message, event
from servers import PAGE, whole

FIRST, SECOND = "planted-4f1c9a77d2", "planted-again-b8e02"
PASSWORD = "planted-password-77"  # noqa: S105
CODES = [base64.b64encode(f"ops:{word}".encode()).decode() for word in (PASSWORD, FIRST, SECOND)]
PLANTED = [FIRST, SECOND, PASSWORD, *CODES]
AUTHS = {
    "bearer": {"type": "bearer", "secret": "fleet/token"},
    "header": {"type": "header", "header": "X-Api-Key", "secret": "fleet/token"},
    "parameter": {"type": "bearer", "secret": "ssm:/fleet/token"},
    "basic": {"type": "basic", "secret": "fleet/login"},
    "unfit": {"type": "bearer", "secret": "fleet/unfit"},
    "missing": {"type": "bearer", "secret": "fleet/missing"},
    "wrong": {"type": "bearer", "secret": "fleet/wrong"},
    "echo": {"type": "bearer", "secret": "fleet/token"},
}


@pytest.fixture
def planted(table, start_queue, on_a_laptop, monkeypatch, caplog):
    """The secrets in their services, names under a prefix, a queue, and every log at its most talkative."""
    monkeypatch.setenv("SECRETS_PREFIX", "fleet/")
    monkeypatch.setenv("ALLOW_SECRETS_OVER_HTTP", "true")
    deployment.rules.cache_clear()
    caplog.set_level(logging.DEBUG)
    for logger in ("botocore", "botocore.parsers", "urllib3", "urllib3.connectionpool", "sglang-collector"):
        caplog.set_level(logging.DEBUG, logger=logger)
    secrets = boto3.client("secretsmanager")
    secrets.create_secret(Name="fleet/token", SecretString=FIRST)
    # Of its own: a server that always refuses would have used up what a rotation's first moments need.
    secrets.create_secret(Name="fleet/wrong", SecretString=FIRST)
    secrets.create_secret(Name="fleet/login", SecretString=json.dumps({"username": "ops", "password": PASSWORD}))
    secrets.create_secret(Name="fleet/unfit", SecretString=f"{FIRST}\nX-More: 1")
    boto3.client("ssm").put_parameter(Name="/fleet/token", Value=FIRST, Type="SecureString")
    caplog.clear()  # that was us, not the collector
    return start_queue()


def gate(visit):
    """Lets in who knows a secret that is valid now; says back to others what they said, and to one all of it."""
    while asked := visit.request():
        if b"GET /echo" in asked:
            visit.send(whole(b"# " + asked.replace(b"\r\n", b" ") + b"\n" + PAGE))
        elif b"GET /wrong" not in asked and any(word.encode() in asked for word in visit.server.valid):
            visit.send(whole())
        else:
            visit.send(whole(asked, f"WWW-Authenticate: {asked[:40]!r}", status="401 Unauthorized"))


def test_a_planted_secret_is_nowhere_but_in_the_request_to_its_server(planted, serve, caplog, capsys):
    server = serve(gate)
    server.valid = {FIRST, CODES[0]}
    answers = []

    def told(name, path, **changes):
        answer = ask(name, path=f"/api/v1/{path}", **changes)
        answers.append(answer)
        return answer

    for name, auth in AUTHS.items():
        body = {"engine": "sglang", "endpoint": f"http://127.0.0.1:{server.port}/{name}", "auth": auth}
        assert told("targets-put", f"targets/{name}", body=body)["statusCode"] == 201

    schedule.handler({}, function.Context(time.monotonic() + 60, 512))
    bodies = [entry["MessageBody"] for entry in planted.taken]
    sent = {one.instance_id: one for body in bodies for one in MESSAGE.validate_json(body)}
    assert sent.keys() == AUTHS.keys()

    def work(slot_ms):
        moved = tuple(one.model_copy(update={"slot_ms": slot_ms}) for one in sent.values())
        answers.append(worker.handler(event(Message(MESSAGE.dump_json(moved).decode())), Context()))

    now_ms = time.time_ns() // 1_000_000
    work(now_ms - 1000)
    logging.disable(logging.DEBUG)  # of this request, which is not the collector's
    boto3.client("secretsmanager").put_secret_value(SecretId="fleet/token", SecretString=SECOND)
    logging.disable(logging.NOTSET)
    server.valid = {SECOND, CODES[0]}
    work(now_ms)

    by_id = {}
    for name in AUTHS:
        by_id[name] = json.loads(told("metrics-newest", f"metrics/sglang/{name}")["body"]).get("error_code")
        told("metrics-raw", f"metrics/sglang/{name}/raw")
        told("metrics-history", f"metrics/sglang/{name}/history", query={"start": "-1h"})
        told("targets-read", f"targets/{name}")
        endpoint = f"http://127.0.0.1:{server.port}/{name}"
        told("collect", "collect/sglang", body={"instance_id": name, "endpoint": endpoint})
    told("targets-list", "targets")
    told("fleet", "fleet")
    assert by_id == {
        "bearer": None, "header": None, "basic": None, "parameter": "http_status", "wrong": "http_status",
        "unfit": "secret_unavailable", "missing": "secret_unavailable", "echo": "bad_content",
    }  # fmt: skip

    raised = [error for one in sent.values() if (error := asking.ask(one, time.monotonic() + 60).error)]
    asked = b"".join(server.requests).decode()
    assert all(word in asked for word in (FIRST, SECOND, CODES[0]))
    items = [boto3.client("dynamodb").scan(TableName=name)["Items"] for name in ("snapshots", "shapes", "targets")]
    records = [record for record in caplog.records if record.name != "test"]
    output = capsys.readouterr()
    assert '"_aws"' in output.out
    assert any(record.levelno == logging.DEBUG and record.name.startswith("botocore") for record in records)
    assert len(raised) == 5
    places = {
        "items": repr(items),
        "messages": repr(bodies),
        "answers": repr(answers),
        "logs": "".join(f"{record.getMessage()} {record.__dict__!r}" for record in records) + caplog.text,
        "standard output, with the metrics": output.out + output.err,
        "exceptions": "".join(
            repr([error, error.__cause__, error.__context__]) + "".join(traceback.format_exception(error))
            for error in raised
        ),
    }
    found = {place: word for place, text in places.items() for word in PLANTED if word in text}
    assert found == {}


def test_only_the_registered_endpoint_is_told_the_secret(planted, serve):
    server = serve(gate)
    server.valid = {FIRST}
    endpoint = f"http://127.0.0.1:{server.port}/bearer"
    body = {"engine": "sglang", "endpoint": endpoint, "auth": AUTHS["bearer"]}
    ask("targets-put", path="/api/v1/targets/bearer", body=body)
    for asked, success in ((endpoint, True), (endpoint + "?", False)):
        answer = ask("collect", path="/api/v1/collect/sglang", body={"instance_id": "bearer", "endpoint": asked})
        assert json.loads(answer["body"])["success"] is success
    assert [FIRST.encode() in request for request in server.requests] == [True, False]


def test_a_caller_cannot_name_a_secret(planted):
    body = {"instance_id": "a", "endpoint": "http://127.0.0.1:1/", "auth": AUTHS["bearer"]}
    answer = ask("collect", path="/api/v1/collect/sglang", body=body)
    assert (answer["statusCode"], "body.auth" in answer["body"]) == (422, True)


def test_a_registration_of_a_secret_outside_the_prefix_names_the_field_and_quotes_nothing(planted):
    body = {"engine": "sglang", "endpoint": "http://127.0.0.1:1/", "auth": {"type": "bearer", "secret": FIRST}}
    answer = ask("targets-put", path="/api/v1/targets/a", body=body)
    assert answer["statusCode"] == 422
    assert json.loads(answer["body"])["error_code"] == "secret_forbidden"
    assert "body.auth.secret" in answer["body"]
    assert FIRST not in answer["body"]
