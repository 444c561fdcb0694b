"""The template declares what the code reads, serves and asks AWS for: all of it, and nothing else."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from cfnlint.api import lint_file

from collector import policy, registry, scrape, store
from handlers import api

ROOT = Path(__file__).parent.parent
# Read by the libraries and by the C library's resolver.
NOT_OUR_OWN = {
    "AWS_ENDPOINT_URL",
    "POWERTOOLS_LOG_LEVEL",
    "POWERTOOLS_METRICS_NAMESPACE",
    "POWERTOOLS_SERVICE_NAME",
    "RES_OPTIONS",
}
LAPTOP_ONLY = {"ENABLE_DOCS"}


class Template(yaml.SafeLoader):
    """CloudFormation's short forms: `!Ref Snapshots` is read as {"!Ref": "Snapshots"}."""


def short_form(loader, tag, node):
    construct = loader.construct_sequence if isinstance(node, yaml.SequenceNode) else loader.construct_scalar
    options = {"deep": True} if isinstance(node, yaml.SequenceNode) else {}
    return {f"!{tag}": construct(node, **options)}


Template.add_multi_constructor("!", short_form)
TEMPLATE = yaml.load((ROOT / "template.yaml").read_text(), Template)  # noqa: S506 - a SafeLoader of our own
PARAMETERS = TEMPLATE["Parameters"]
RESOURCES = {name: resource.get("Properties", {}) for name, resource in TEMPLATE["Resources"].items()}
API = RESOURCES["Api"]
FUNCTIONS = [name for name, made in TEMPLATE["Resources"].items() if made["Type"] == "AWS::Serverless::Function"]
VARIABLES = dict(TEMPLATE["Globals"]["Function"]["Environment"]["Variables"])
for name in FUNCTIONS:
    VARIABLES |= RESOURCES[name]["Environment"]["Variables"]


def granted(condition):
    """The statements of the function's role that a condition brings, or with None those that are always there."""
    policies = RESOURCES["ApiRole"]["Policies"]
    chosen = [entry["!If"][1] for entry in policies if "!If" in entry and entry["!If"][0] == condition]
    always = [entry for entry in policies if "!If" not in entry]
    return [
        (statement["Effect"], statement["Action"], statement["Resource"])
        for entry in (chosen if condition else always)
        for statement in entry["PolicyDocument"]["Statement"]
    ]


def test_the_linter_finds_nothing():
    assert lint_file(ROOT / "template.yaml") == []


def test_the_variables_declared_are_those_that_the_code_reads():
    sources = [path for name in ("handlers", "collector") for path in (ROOT / "functions" / name).rglob("*.py")]
    read = re.findall(r'environ(?:ment)?(?:\.get\(|\[|, )"([A-Z_]+)"', "\n".join(path.read_text() for path in sources))
    assert VARIABLES.keys() - NOT_OUR_OWN == set(read) - LAPTOP_ONLY
    assert VARIABLES.keys() >= NOT_OUR_OWN


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "ALLOW_LOOPBACK"])
def test_what_only_a_laptop_sets_is_declared_and_empty(name):
    assert VARIABLES[name] == ""


@pytest.mark.parametrize(
    ("parameter", "default"),
    [
        pytest.param("AllowedPorts", policy.DEFAULT_PORTS, id="ports"),
        pytest.param("MaxPageBytes", scrape.MAX_PAGE_BYTES, id="page-size"),
        pytest.param("RetentionDays", store.retention_days(), id="retention"),
    ],
)
def test_a_parameter_has_the_default_of_the_code(parameter, default):
    assert PARAMETERS[parameter]["Default"] == default


@pytest.mark.parametrize(
    ("allowed", "ports"),
    [
        pytest.param(True, policy.DEFAULT_PORTS, id="the-default"),
        pytest.param(True, "443", id="one-port"),
        pytest.param(False, "", id="none"),
        pytest.param(False, "30000, 30001", id="blank"),
        pytest.param(False, "http", id="word"),
    ],
)
def test_ports_that_the_code_could_not_read_are_refused_before_the_stack_is_made(allowed, ports):
    assert bool(re.fullmatch(PARAMETERS["AllowedPorts"]["AllowedPattern"], ports)) is allowed


def test_every_parameter_is_described_grouped_and_has_a_default():
    groups = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(PARAMETERS)
    assert all({"Description", "Default"} <= parameter.keys() for parameter in PARAMETERS.values())


def test_the_routes_are_those_of_the_handler():
    events = [event["Properties"] for event in API["Events"].values()]
    routes = {(event["Method"], event["Path"]) for event in events}
    served = api.app.get_openapi_schema().paths
    documented = {(method.upper(), path) for path, item in served.items() for method in item.model_fields_set}
    assert routes == documented | {("GET", "/openapi.json")}
    assert {event["PayloadFormatVersion"] for event in events} == {"2.0"}


def test_every_route_asks_for_iam_credentials():
    assert RESOURCES["HttpApi"]["Auth"] == {"EnableIamAuthorizer": True, "DefaultAuthorizer": "AWS_IAM"}
    events = [event["Properties"] for event in API["Events"].values()]
    assert all(event["ApiId"] == {"!Ref": "HttpApi"} and "Auth" not in event for event in events)


def test_the_function_outlives_the_longest_scrape_and_answers_before_the_api_hangs_up():
    [longest] = [bound.le for bound in api.TimeoutSeconds.__metadata__[0].metadata if hasattr(bound, "le")]
    assert longest + 5 < API["Timeout"] < 30


def actions(module):
    """What a module asks of its table, as IAM calls it."""
    calls = set(re.findall(r"client\(\)\.(\w+)\(", Path(module.__file__).read_text()))
    return sorted("dynamodb:" + "".join(word.title() for word in call.split("_")) for call in calls)


def test_the_role_may_do_what_the_code_calls_on_its_tables_and_write_its_log():
    assert granted(None) == [
        ("Allow", ["logs:CreateLogStream", "logs:PutLogEvents"], {"!GetAtt": "ApiLogs.Arn"}),
        ("Allow", actions(store), {"!GetAtt": "Snapshots.Arn"}),
        ("Allow", actions(registry), {"!GetAtt": "Targets.Arn"}),
    ]


def test_the_role_may_touch_the_registered_targets_and_nothing_else_of_their_table():
    [statement] = next(policy for policy in RESOURCES["ApiRole"]["Policies"] if policy.get("PolicyName") == "targets")[
        "PolicyDocument"
    ]["Statement"]
    assert statement["Condition"] == {
        "ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [registry.PARTITION]},
    }


def test_only_in_a_vpc_may_the_role_make_network_interfaces_and_the_code_may_not():
    [allowed, denied] = granted("InVpc")
    assert (allowed[0], {action.split(":")[0] for action in allowed[1]}) == ("Allow", {"ec2"})
    assert denied == ("Deny", "ec2:*", "*")
    assert API["VpcConfig"]["!If"][0] == "InVpc"


@pytest.mark.parametrize(
    ("name", "keys", "more"),
    [
        pytest.param("Snapshots", {"instance_id": "S", "slot": "N"}, {}, id="snapshots"),
        pytest.param(
            "Targets",
            {"pk": "S", "sk": "S"},
            {"PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True}},
            id="targets-which-people-wrote",
        ),
    ],
)
def test_a_table_has_the_codes_keys_and_expiry_and_outlives_the_stack(name, keys, more):
    table = TEMPLATE["Resources"][name]
    assert (table["DeletionPolicy"], table["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert table["Properties"] == more | {
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": key, "AttributeType": kind} for key, kind in keys.items()],
        "KeySchema": [
            {"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=True)
        ],
        "TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": True},
        "SSESpecification": {"SSEEnabled": True},
    }


@pytest.mark.parametrize("group", [f"{name}Logs" for name in ("Access", *FUNCTIONS)])
def test_logs_expire(group):
    assert RESOURCES[group]["RetentionInDays"] == {"!Ref": "LogRetentionDays"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_writes_to_its_own_log_and_has_its_own_role(name):
    assert RESOURCES[name]["LoggingConfig"]["LogGroup"] == {"!Ref": f"{name}Logs"}
    assert RESOURCES[name]["Role"] == {"!GetAtt": f"{name}Role.Arn"}


def test_two_stacks_share_an_account():
    named = {name: [key for key in properties if key.endswith("Name")] for name, properties in RESOURCES.items()}
    assert {name: keys for name, keys in named.items() if keys} == {
        "AccessLogs": ["LogGroupName"],
        "DeadLettersAlarm": ["MetricName"],
        "DynamoDbEndpoint": ["ServiceName"],
    }
    assert "${AWS::StackName}" in RESOURCES["AccessLogs"]["LogGroupName"]["!Sub"]


def test_the_build_and_the_template_are_told_the_same_architecture():
    samconfig = tomllib.loads((ROOT / "samconfig.toml").read_text())
    told = samconfig["default"]["global"]["parameters"]["parameter_overrides"]
    assert told == f"Architecture={PARAMETERS['Architecture']['Default']}"
    assert TEMPLATE["Globals"]["Function"]["Architectures"] == [{"!Ref": "Architecture"}]


def test_the_version_answered_is_the_version_released():
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == api.VERSION
