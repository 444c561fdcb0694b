"""Each function does all its work under exactly its template's policy: nothing it calls is denied, nothing is spare.

The handlers' whole repertoire is run against a DynamoDB and an SQS, and what boto3 is asked for is judged by the
template's statements, in each kind of deployment. What AWS itself does with a role is in `by_aws`.
"""

import ast
import re
import time
from itertools import chain

import boto3
import pytest
from calls import EVENTS, ask

from collector import members, pages, secrets, slots, ticks
from faulty_dynamodb import THROTTLED, answer_lost, half
from handlers import schedule, worker
from iam import ACCOUNT, REGION, Deployment, Request, allows, arn
from local.function import Context
from queue_of_messages import Context as WorkerContext
from queue_of_messages import Message, event, message
from recorder import Recorder
from servers import Server, keeps_alive, whole
from support import PAGES, target
from test_template import API, FUNCTIONS, IN_THE_VPC, RESOURCES, loaded

KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
SECRETS = {"SecretsPrefix": "fleet/"}
SECRETS_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/4321abcd-12ab-34cd-56ef-1234567890ab"
DEPLOYMENTS = [
    pytest.param({}, id="as-by-default"),
    pytest.param({"KmsKeyArn": KEY}, id="with-a-key"),
    pytest.param({"SubnetIds": "subnet-1", "SecurityGroupIds": "sg-1"}, id="in-a-vpc"),
    pytest.param({"KmsKeyArn": KEY, "SubnetIds": "subnet-1", "SecurityGroupIds": "sg-1"}, id="with-a-key-in-a-vpc"),
    pytest.param(SECRETS, id="with-secrets"),
    pytest.param(SECRETS | {"SecretsKeyArn": SECRETS_KEY, "KmsKeyArn": KEY}, id="with-secrets-and-keys"),
]
LOADED = (PAGES / "sglang-0.5.23-load.prom").read_bytes()
OTHER = (PAGES / "vllm-0.33.0-dp2.prom").read_bytes()
ID = "sglang-001"
AUTHS = {
    "asks-for-a-secret": {"type": "bearer", "secret": "fleet/token"},
    "asks-for-a-parameter": {"type": "bearer", "secret": "ssm:/fleet/token"},
}


@pytest.fixture(scope="module")
def repertoire():
    """Filled by the first test that needs it; the fixtures that it is run with last no longer than that."""
    return {}


@pytest.fixture
def calls(repertoire, request):
    """What each function was seen to ask of AWS."""
    if not repertoire:
        repertoire |= request.getfixturevalue("seen")
    return repertoire


@pytest.fixture
def seen(aws, start_queue, dynamodb, on_a_laptop, monkeypatch):
    queue = start_queue()
    plant(aws, monkeypatch)
    with (
        Recorder() as recorder,
        Server(keeps_alive(whole(LOADED))) as server,
        Server(keeps_alive(whole(OTHER))) as other,
    ):
        request_everything(recorder, server, monkeypatch)
        tick_and_collect(recorder, queue, server, other, dynamodb)
        return recorder.calls


def plant(aws, monkeypatch):
    """What targets may name, in the two services that keep it."""
    for service in ("SECRETS_MANAGER", "SSM"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", aws.endpoint_url)
    monkeypatch.setenv("SECRETS_PREFIX", SECRETS["SecretsPrefix"])
    monkeypatch.setenv("ALLOW_SECRETS_OVER_HTTP", "true")
    boto3.client("secretsmanager").create_secret(Name="fleet/token", SecretString="of-the-fleet")
    boto3.client("ssm").put_parameter(Name="/fleet/token", Value="of-the-fleet", Type="SecureString")


def request_everything(recorder, server, monkeypatch):
    """Every route, in each of the ways that it answers; and every event that is kept for it."""
    url = f"http://127.0.0.1:{server.port}/metrics"
    body = {"instance_id": ID, "endpoint": url, "timeout": 2}
    registration = {"engine": "sglang", "endpoint": url, "timeout_seconds": 2}
    one, metrics = f"/api/v1/targets/{ID}", f"/api/v1/metrics/sglang/{ID}"
    monkeypatch.setenv("TRUST_REGISTERED_TARGETS", "true")
    with recorder.by("Api"):
        for name in sorted(EVENTS.keys() - {each for each in EVENTS if each.startswith(("worker", "schedule"))}):
            if name not in ("collect", "metrics-endpoint"):
                assert ask(name)["statusCode"] < 500, name
        assert ask("collect", body=body)["statusCode"] == 200
        assert ask("collect", body=body)["statusCode"] == 200
        assert ask("collect", body=body | {"endpoint": "http://127.0.0.2:1/metrics"})["statusCode"] == 200
        assert ask("metrics-endpoint", query={"endpoint": url})["statusCode"] == 200
        # Lines that others share, which are to be kept for longer than they would be.
        monkeypatch.setenv("RETENTION_DAYS", "90")
        pages.forget()
        assert ask("collect", body=body | {"instance_id": "sglang-002"})["statusCode"] == 200
        for query in ({}, {"step": "5m"}, {"fields": "sglang:num_running_reqs"}, {"limit": 1}):
            assert ask("metrics-history", query=query)["statusCode"] == 200
        assert ask("metrics-raw", path=f"{metrics}/raw", query={})["statusCode"] == 200
        assert ask("metrics-newest")["statusCode"] == 200
        assert ask("targets-delete", path=one, headers={"if-match": "*"})["statusCode"] in (204, 404)
        assert ask("targets-put", path=one, body=registration)["statusCode"] == 201
        changed = registration | {"interval_seconds": 30}
        assert ask("targets-put", path=one, body=changed)["statusCode"] == 412
        assert ask("targets-put", path=one, body=changed, headers={"if-match": '"1"'})["statusCode"] == 200
        assert ask("targets-list", query={"limit": 1})["statusCode"] == 200
        for name, auth in AUTHS.items():
            assert ask("targets-put", path=f"/api/v1/targets/{name}", body=registration | {"auth": auth})
            assert ask("collect", body=body | {"instance_id": name})["statusCode"] == 200
        assert ask("targets-read", path=one)["statusCode"] == 200
        assert ask("fleet", query={})["statusCode"] == 200


def tick_and_collect(recorder, queue, server, other, dynamodb):
    """A tick, and one that comes twice; its messages once, again, late, and while DynamoDB fails."""
    now_ms = time.time_ns() // 1_000_000
    told = {"scheduled_time": ticks.name(slots.tick(now_ms))}
    members.forget()
    with recorder.by("Schedule"):
        for each in (told, told):
            schedule.handler(each, Context(time.monotonic() + 60, 1024))
    sent = [Message(entry["MessageBody"]) for entry in queue.taken]
    assert sent
    url = f"http://127.0.0.1:{server.port}/metrics"
    pages.forget()
    fields = {"endpoint": url, "interval_seconds": 60, "shards": 1, "timeout_seconds": 2}
    fleet = [target(instance_id=f"fleet-{number}", slot_ms=now_ms, **fields) for number in range(30)]
    next_slot = [one.model_copy(update={"slot_ms": now_ms + 60_000, "retention_days": 365}) for one in fleet]
    late = target(instance_id="late", slot_ms=now_ms - 120_000, **fields)
    down = target(instance_id="down", slot_ms=now_ms, **fields | {"endpoint": "http://127.0.0.2:1/metrics"})
    new = target(**fields | {"instance_id": "new", "slot_ms": now_ms, "endpoint": f"{url}?new", "retention_days": 3650})
    # Of another engine: its lines are nobody's yet.
    first = target(
        instance_id="first", slot_ms=now_ms, **fields | {"endpoint": f"http://127.0.0.1:{other.port}/metrics"}
    )
    once = target(instance_id="once", slot_ms=now_ms, **fields | {"interval_seconds": None, "shards": None})
    let_in = [target(instance_id=name, slot_ms=now_ms, **fields | {"auth": auth}) for name, auth in AUTHS.items()]
    secrets.forget()
    with recorder.by("Worker"):
        others = message(once, first, *let_in)
        for batch in (sent, [message(*fleet), message(late, down)], [message(*next_slot)], [others]):
            assert worker.handler(event(*batch), WorkerContext()) == {"batchItemFailures": []}
        pages.forget()
        assert worker.handler(event(message(new)), WorkerContext()) == {"batchItemFailures": []}
        dynamodb.faults.extend([half, THROTTLED, half, answer_lost])
        again = message(*(one.model_copy(update={"slot_ms": now_ms + 1}) for one in fleet))
        again.received = 1
        worker.handler(event(again), WorkerContext())
        dynamodb.faults.clear()
        for name in ("worker-late", "worker-again"):
            worker.handler(EVENTS[name], WorkerContext())


def by_aws(function, *, vpc=False):
    """What AWS does with a function's role, beside what its code calls.

    Logs: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html
    Queue: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
    Network: https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html
    """
    stream = f"{arn(f'{function}Logs').removesuffix(':*')}:log-stream:2026/11/24/[$LATEST]1"
    yield from (Request.of(f"logs:{action}", stream) for action in ("CreateLogStream", "PutLogEvents"))
    if function == "Worker":
        queue = ("DeleteMessage", "GetQueueAttributes", "ReceiveMessage")
        yield from (Request.of(f"sqs:{action}", arn("Queue")) for action in queue)
    if vpc and function in IN_THE_VPC:
        yield from (Request.of(f"ec2:{action}", "*") for action in INTERFACES)


BY_POWERTOOLS = ("secretsmanager:", "ssm:")
INTERFACES = (
    "AssignPrivateIpAddresses",
    "CreateNetworkInterface",
    "DeleteNetworkInterface",
    "DescribeNetworkInterfaces",
    "DescribeSubnets",
    "UnassignPrivateIpAddresses",
)
# What a service does with a key, on behalf of who calls it, and the parameter that names the key.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
# https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
# https://docs.aws.amazon.com/systems-manager/latest/userguide/secure-string-parameter-kms-encryption.html
WITH_A_KEY = {
    "dynamodb:": ("KmsKeyArn", "kms:Decrypt"),
    "sqs:": ("KmsKeyArn", "kms:Decrypt"),
    "sqs:SendMessage": ("KmsKeyArn", "kms:GenerateDataKey"),
    "secretsmanager:": ("SecretsKeyArn", "kms:Decrypt"),
    "ssm:": ("SecretsKeyArn", "kms:Decrypt"),
}


def with_keys(requests, parameters):
    for request in requests:
        for begins, (parameter, action) in WITH_A_KEY.items():
            if request.action.startswith(begins) and parameter in parameters:
                via = f"{request.action.partition(':')[0]}.{REGION}.amazonaws.com"
                yield Request.of(action, parameters[parameter], kms__ViaService=via)


def needed(function, calls, parameters):
    """Without a prefix no target may name a secret, so none is asked for."""
    own = {one for one in calls[function] if "SecretsPrefix" in parameters or not one.action.startswith(BY_POWERTOOLS)}
    requests = {*own, *by_aws(function, vpc="SubnetIds" in parameters)}
    return requests | {*with_keys(requests, parameters)}


@pytest.mark.parametrize("parameters", DEPLOYMENTS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_nothing_that_a_function_does_is_denied(calls, function, parameters):
    statements = Deployment(**parameters).of_role(f"{function}Role")
    denied = {request for request in needed(function, calls, parameters) if not allows(statements, request)}
    assert denied == set()


@pytest.mark.parametrize("parameters", DEPLOYMENTS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_may_do_nothing_that_it_does_not(calls, function, parameters):
    """Each action on each resource, for each value of its conditions, is one that was asked for."""
    statements = Deployment(**parameters).of_role(f"{function}Role")
    requests = needed(function, calls, parameters)
    grants = chain.from_iterable(statement.grants() for statement in statements if statement.effect == "Allow")
    assert [grant for grant in grants if not any(grant.matches(request) for request in requests)] == []


@pytest.mark.parametrize("parameters", DEPLOYMENTS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_statement_names_more_than_it_says(function, parameters):
    """No action has a star, and no resource but what has no name beforehand: log streams, interfaces and secrets."""
    for statement in Deployment(**parameters).of_role(f"{function}Role"):
        if statement.effect == "Allow":
            assert not any("*" in action for action in statement.actions)
            starred = {resource for resource in statement.resources if "*" in resource}
            of_interfaces = all(action.startswith("ec2:") for action in statement.actions)
            secret = {one for one in starred if one.endswith((":secret:fleet/*", ":parameter/fleet/*"))}
            assert starred - secret <= ({"*"} if of_interfaces else {arn(f"{function}Logs")})


def test_every_call_that_the_code_makes_is_in_the_repertoire(calls):
    """A call that is added to the code, and that no test of these asks for, is found by its name."""
    found = set()
    for function in FUNCTIONS:
        for source in loaded(RESOURCES[function]["Handler"].removesuffix(".handler"), {}).values():
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Call):
                    called = node.value.func
                    if (called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")) == "client":
                        found.add("".join(word.title() for word in node.attr.split("_")))
    requests = [one for one in chain.from_iterable(calls.values()) if not one.action.startswith(BY_POWERTOOLS)]
    seen = {request.action.partition(":")[2] for request in requests}
    assert found - {"Exceptions", "Meta"} == (seen - {"SendMessage"}) | {"SendMessageBatch"}


def test_the_scheduler_may_call_its_function_and_nothing_else():
    [statement] = Deployment().of_role("SchedulerRole")
    assert (statement.effect, statement.actions) == ("Allow", ("lambda:InvokeFunction",))
    assert statement.resources == (arn("Schedule"),)


@pytest.mark.parametrize("function", IN_THE_VPC)
def test_the_code_in_a_vpc_may_not_touch_network_interfaces(function):
    statements = Deployment(SubnetIds="subnet-1").of_role(f"{function}Role")
    for action in INTERFACES:
        inside = Request.of(f"ec2:{action}", "*", lambda__SourceFunctionArn=arn(function))
        assert not allows(statements, inside)


SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{{}}token-1a2B3c"


@pytest.mark.parametrize(
    ("function", "request_"),
    [
        pytest.param(
            "Worker", Request.of("dynamodb:PutItem", arn("Targets"), dynamodb__LeadingKeys="target"), id="register"
        ),
        pytest.param(
            "Schedule", Request.of("dynamodb:PutItem", arn("Targets"), dynamodb__LeadingKeys="target"), id="tick"
        ),
        pytest.param("Api", Request.of("dynamodb:Scan", arn("Snapshots")), id="scan"),
        pytest.param("Api", Request.of("sqs:SendMessage", arn("Queue")), id="send"),
        pytest.param("Schedule", Request.of("dynamodb:BatchGetItem", arn("Snapshots")), id="read-scrapes"),
        pytest.param("Api", Request.of("kms:Decrypt", KEY), id="use-the-key-by-itself"),
        pytest.param("Schedule", Request.of("secretsmanager:GetSecretValue", SECRET.format("fleet/")), id="know"),
        pytest.param("Worker", Request.of("secretsmanager:GetSecretValue", SECRET.format("")), id="know-others"),
    ],
)
def test_what_a_function_may_not(function, request_):
    assert not allows(Deployment(KmsKeyArn=KEY, **SECRETS).of_role(f"{function}Role"), request_)


# Who calls


ROUTES = {(each["Properties"]["Method"], each["Properties"]["Path"]) for each in API["Events"].values()}
WRITE = {
    ("POST", "/api/v1/collect/{engine}"),
    ("PUT", "/api/v1/targets/{instance_id}"),
    ("DELETE", "/api/v1/targets/{instance_id}"),
}


def invoke(method, path):
    path = re.sub(r"\{\w+\}", "sglang-001", path)
    resource = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:HttpApi/$default/{method}{path}"
    return Request.of("execute-api:Invoke", resource)


@pytest.mark.parametrize(("policy", "routes"), [("Reader", ROUTES - WRITE), ("Operator", ROUTES)])
def test_a_callers_policy_opens_its_routes_and_no_other(policy, routes):
    statements = Deployment().of_managed(policy)
    assert {route for route in ROUTES if allows(statements, invoke(*route))} == routes
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        for _, path in ROUTES - WRITE:
            assert (method, path) in ROUTES or not allows(statements, invoke(method, path))


@pytest.mark.parametrize("policy", ["Reader", "Operator"])
def test_each_part_of_a_callers_policy_opens_a_route(policy):
    for grant in chain.from_iterable(one.grants() for one in Deployment().of_managed(policy)):
        assert any(grant.matches(invoke(*route)) for route in ROUTES), grant
