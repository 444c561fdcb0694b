"""`make targets` as a person runs it, against an AWS on this machine with a stack in it."""

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import boto3
import pytest

from local.aws import ACCESS_KEY, REGION, EmbeddedAws
from local.template import Template

FUNCTIONS = Path(__file__).parents[2] / "functions"
PATIENCE_SECONDS = 60
CONNECTION = {"region_name": REGION, "aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": ACCESS_KEY}
PORTS = "30000-30010"
# As much of our own template as this command looks at.
STACK = {
    "Parameters": {
        "AllowPublicAddresses": {"Type": "String", "Default": "false"},
        "AllowedPorts": {"Type": "String", "Default": PORTS},
    },
    "Resources": {
        "Targets": {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                key: Template().tables()["Targets"][key] for key in ("AttributeDefinitions", "KeySchema", "BillingMode")
            },
        }
    },
    "Outputs": {"TargetsTable": {"Value": {"Ref": "Targets"}}},
}
FLEET = """
defaults: {engine: sglang, labels: {team: search}}
targets:
  - {instance_id: a, endpoint: "http://10.0.1.17:30000/metrics"}
  - {instance_id: b, endpoint: "http://10.0.1.18:30000/metrics", interval_seconds: 30}
"""


@pytest.fixture(scope="module")
def aws():
    with EmbeddedAws(["dynamodb", "cloudformation", "sts"]) as running:
        running.create_tables(Template())
        yield running


@pytest.fixture
def client(aws):
    """A function that makes a client of a service."""
    opened = []

    def of(service):
        client = boto3.client(service, **CONNECTION, endpoint_url=aws.endpoint_url)
        opened.append(client)
        return client

    yield of
    for client in opened:
        client.close()


@pytest.fixture
def stack(client):
    """The name of a new stack."""
    cloudformation, name = client("cloudformation"), f"fleet-{uuid.uuid4()}"
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(STACK))
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    return name


@pytest.fixture
def registered(client, stack):
    """A function that gives the items of the stack's table, by their ids."""
    [found] = client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    table = found["Outputs"][0]["OutputValue"]

    def read():
        items = client("dynamodb").scan(TableName=table)["Items"]
        return {item["sk"]["S"]: item for item in items}

    read.table = table
    return read


@pytest.fixture
def command(aws, tmp_path):
    """Start the command for a fleet's text, with STACK= and the like."""
    path = tmp_path / "fleet.yaml"

    def start(text=FLEET, **variables):
        path.write_text(text)
        return subprocess.Popen(
            [sys.executable, "-m", "local.targets", path],
            env={name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
            | aws.environment()
            | {"PYTHONPATH": str(FUNCTIONS)}
            | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def targets(command):
    """Run the command to its end, a person typing `typed`: exit status, standard output, standard error."""

    def run(text=FLEET, typed="", **variables):
        process = command(text, **variables)
        output, errors = process.communicate(typed, timeout=PATIENCE_SECONDS)
        return process.returncode, output, errors

    return run


def test_a_fleet_is_registered_and_the_second_time_nothing_is_left_to_do(targets, stack, registered):
    status, output, errors = targets(STACK=stack, YES="1")
    assert (status, errors) == (0, "")
    assert output.splitlines() == [
        "+ a  http://10.0.1.17:30000/metrics",
        "+ b  http://10.0.1.18:30000/metrics",
        "2 to add, 0 to change, 0 to remove, 0 not in the file, 0 unchanged",
        f"2 of 2 changes made in {registered.table}",
    ]
    items = registered()
    assert items["b"]["interval_seconds"] == {"N": "30"}
    assert items["b"]["changed_by"] == {"S": "arn:aws:iam::000000000000:root"}
    assert targets(STACK=stack) == (0, "0 to add, 0 to change, 0 to remove, 0 not in the file, 2 unchanged\n", "")
    assert registered() == items


@pytest.mark.parametrize("typed", ["", "\n", "n\n", "yep\n"], ids=["nobody-there", "enter", "no", "something-else"])
def test_nothing_is_done_without_a_yes(targets, stack, registered, typed):
    status, output, errors = targets(STACK=stack, typed=typed)
    assert (status, errors) == (1, "make targets: nothing was changed\n")
    assert "Make 2 changes? [y/N]" in output
    assert registered() == {}


def test_a_yes_is_enough(targets, stack, registered):
    assert targets(STACK=stack, typed="y\n")[0] == 0
    assert registered().keys() == {"a", "b"}


def test_a_change_is_shown_field_by_field(targets, stack, registered):
    targets(STACK=stack, YES="1")
    text = FLEET.replace(
        "interval_seconds: 30",
        "timeout_seconds: 2.5, retention_days: 7, "
        "thresholds: {token_seconds: 0.5, stalled_seconds: 60}, enabled: false",
    ).replace("{team: search}", "{team: search, zone: a}")
    _, output, _ = targets(text.replace("instance_id: a,", "instance_id: a, labels: {zone: b},"), STACK=stack, YES="1")
    assert output.splitlines()[:-1] == [
        "~ a",
        "    labels: team=search → team=search, zone=b",
        "~ b",
        "    interval_seconds: 30 → 60",
        "    timeout_seconds: 10 → 2.5",
        "    retention_days: none → 7",
        "    labels: team=search → team=search, zone=a",
        "    thresholds: none → stalled_seconds=60, token_seconds=0.5",
        "    enabled: true → false",
        "0 to add, 2 to change, 0 to remove, 0 not in the file, 0 unchanged",
    ]
    assert {name: item["version"] for name, item in registered().items()} == {"a": {"N": "2"}, "b": {"N": "2"}}


def test_what_is_not_in_the_file_stays_unless_it_is_pruned(targets, stack, registered):
    targets(STACK=stack, YES="1")
    less = FLEET.rpartition("  - ")[0]
    status, output, _ = targets(less, STACK=stack, YES="1")
    assert (status, output.splitlines()[0]) == (
        0, "  b  http://10.0.1.18:30000/metrics  (not in the file; PRUNE=1 removes it)"
    )  # fmt: skip
    assert registered().keys() == {"a", "b"}
    status, output, _ = targets(less, STACK=stack, YES="1", PRUNE="1")
    assert (status, output.splitlines()[0]) == (0, "- b  http://10.0.1.18:30000/metrics")
    assert registered().keys() == {"a"}


def test_what_changed_since_it_was_shown_is_left_and_said(command, targets, client, stack, registered):
    targets(STACK=stack, YES="1")
    process = command(FLEET.replace("search", "chat"), STACK=stack)
    while not process.stdout.readline().endswith("unchanged\n"):
        pass
    theirs = registered()["a"] | {"version": {"N": "5"}, "interval_seconds": {"N": "45"}}
    client("dynamodb").put_item(TableName=registered.table, Item=theirs)
    output, errors = process.communicate("y\n", timeout=PATIENCE_SECONDS)
    assert process.returncode == 1
    assert f"1 of 2 changes made in {registered.table}" in output
    assert errors == "make targets: left as it is, because it changed meanwhile: a is at version 5\n"
    assert registered()["a"] == theirs
    assert registered()["b"]["labels"] == {"M": {"team": {"S": "chat"}}}


def test_a_table_can_be_named_itself(targets, registered):
    assert targets(TABLE=registered.table, YES="1")[0] == 0
    assert registered().keys() == {"a", "b"}


def test_the_embedded_aws_of_make_serve_will_do_although_it_does_not_know_who_asks(targets):
    with EmbeddedAws() as of_serve:
        of_serve.create_tables(Template())
        status, _, errors = targets(TABLE="Targets", YES="1", AWS_ENDPOINT_URL=of_serve.endpoint_url)
        items = of_serve.client().scan(TableName="Targets")["Items"]
    assert (status, errors) == (0, "")
    assert {item["sk"]["S"] for item in items} == {"a", "b"}
    assert not any("changed_by" in item for item in items)


def test_an_endpoint_that_the_stack_may_not_scrape_is_refused_before_anything_is_done(targets, stack, registered):
    wrong = FLEET.replace("10.0.1.17:30000", "10.0.1.17:8000").replace("10.0.1.18", "8.8.8.8")
    status, output, errors = targets(wrong, STACK=stack, YES="1")
    assert (status, output) == (1, "")
    assert [line.partition("fleet.yaml: ")[2] for line in errors.splitlines()] == [
        "target 1 (a): endpoint: port 8000 is not one that ALLOWED_PORTS lists",
        "target 2 (b): endpoint: 8.8.8.8 is public: allowed with ALLOW_PUBLIC_ADDRESSES=true only, or where "
        "ALLOWED_CIDRS lists it",
    ]
    assert registered() == {}


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        pytest.param({"STACK": "no-such-stack"}, "Stack with id no-such-stack does not exist", id="no-stack"),
        pytest.param({"TABLE": "no-such-table"}, "ResourceNotFoundException", id="no-table"),
        pytest.param({"TABLE": "Targets", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "Could not connect", id="no-aws"),
        pytest.param({"STACK": ""}, "STACK= or TABLE=", id="neither"),
        pytest.param({"STACK": "one", "TABLE": "two"}, "STACK= or TABLE=", id="both"),
    ],
)
def test_what_cannot_be_reached_is_said_in_a_sentence(targets, variables, words):
    status, output, errors = targets(**variables)
    assert (status in (1, 2), output) == (True, "")
    assert words in errors
    assert "Traceback" not in errors


def test_a_stack_of_another_kind_is_said(client, targets):
    other = {key: value for key, value in STACK.items() if key != "Outputs"}
    client("cloudformation").create_stack(StackName="other", TemplateBody=json.dumps(other))
    client("cloudformation").get_waiter("stack_create_complete").wait(StackName="other", WaiterConfig={"Delay": 1})
    status, _, errors = targets(STACK="other")
    assert (status, "stack other has no output TargetsTable" in errors) == (1, True)


def test_a_file_that_is_not_there_is_said(run):
    status, _, errors = run("targets", "no-such-file.yaml", TABLE="Targets")
    assert (status, "No such file" in errors) == (1, True)
