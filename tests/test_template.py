"""The template declares what the code reads, serves and asks AWS for: all of it, and nothing else."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from cfnlint.api import lint_file

from collector import item, pipeline, policy
from collector.thresholds import DEFAULT
from handlers import api, worker

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
KEY_OR_NONE = {"!If": ["HasKey", {"!Ref": "KmsKeyArn"}, {"!Ref": "AWS::NoValue"}]}
ENCRYPTION = {
    "!If": [
        "HasKey",
        {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": {"!Ref": "KmsKeyArn"}},
        {"SSEEnabled": False},
    ]
}


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
API, WORKER = RESOURCES["Api"], RESOURCES["Worker"]
FUNCTIONS = [name for name, made in TEMPLATE["Resources"].items() if made["Type"] == "AWS::Serverless::Function"]
IN_THE_VPC = ["Api", "Worker"]


def variables(function):
    return TEMPLATE["Globals"]["Function"]["Environment"]["Variables"] | function["Environment"]["Variables"]


[LONGEST_SCRAPE] = [bound.le for bound in api.TimeoutSeconds.__metadata__[0].metadata if hasattr(bound, "le")]


def granted(*policies):
    return [
        (statement["Effect"], statement["Action"], statement["Resource"])
        for policy in policies
        for statement in policy["PolicyDocument"]["Statement"]
    ]


def test_the_linter_finds_nothing():
    assert lint_file(ROOT / "template.yaml") == []


def loaded(name, found):
    """The sources of a module of ours and of all that it imports."""
    path = ROOT / "functions" / name.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if path.exists() and path not in found:
        found[path] = source = path.read_text()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    loaded(f"{node.module}.{alias.name}", found)
                loaded(node.module, found)
    return found


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_variables_declared_are_those_that_the_code_reads(name):
    sources = loaded(RESOURCES[name]["Handler"].removesuffix(".handler"), {}).values()
    read = re.findall(r'environ(?:ment)?(?:\.get\(|\[|, )"([A-Z_]+)"', "\n".join(sources))
    declared = variables(RESOURCES[name]).keys()
    assert declared - NOT_OUR_OWN == set(read) - LAPTOP_ONLY
    assert declared >= NOT_OUR_OWN


@pytest.mark.parametrize("function", ["Api", "Worker"])
@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "ALLOW_LOOPBACK"])
def test_what_only_a_laptop_sets_is_declared_and_empty(function, variable):
    assert variables(RESOURCES[function])[variable] == ""


@pytest.mark.parametrize(
    ("parameter", "default"),
    [
        pytest.param("AllowedPorts", policy.DEFAULT_PORTS, id="ports"),
        pytest.param("AllowedCidrs", policy.DEFAULT_CIDRS, id="networks"),
        pytest.param("RetentionDays", item.retention_days(), id="retention"),
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


@pytest.mark.parametrize(
    ("parameter", "allowed", "text"),
    [
        pytest.param("AllowedCidrs", True, policy.DEFAULT_CIDRS, id="the-default-networks"),
        pytest.param("AllowedCidrs", True, "FD12:3456::/48", id="one-network"),
        pytest.param("AllowedCidrs", False, "", id="no-network"),
        pytest.param("AllowedCidrs", False, "10.0.0.1", id="address"),
        pytest.param("AllowedCidrs", False, "10.0.0.0/8, fc00::/7", id="blank"),
        pytest.param("AllowedHostSuffixes", True, "", id="every-name"),
        pytest.param("AllowedHostSuffixes", True, "internal,.gpu.example.com", id="two-ends"),
        pytest.param("AllowedHostSuffixes", False, "*.internal", id="star"),
        pytest.param("AllowedHostSuffixes", False, "internal,", id="comma-at-the-end"),
    ],
)
def test_networks_and_names_that_the_code_could_not_read_are_refused_too(parameter, allowed, text):
    assert bool(re.fullmatch(PARAMETERS[parameter]["AllowedPattern"], text)) is allowed


@pytest.mark.parametrize(
    ("allowed", "thresholds"),
    [
        pytest.param(True, "", id="none"),
        pytest.param(True, "stalled_seconds=60", id="one"),
        pytest.param(True, ",".join(f"{name}={limit:.1f}" for name, limit in DEFAULT), id="all"),
        pytest.param(False, "stalled_seconds=60,", id="comma-at-the-end"),
        pytest.param(False, "stalled_seconds", id="no-number"),
        pytest.param(False, "stalled_seconds=-1", id="negative"),
        pytest.param(False, "stalled_seconds=1.2.3", id="no-figure"),
        pytest.param(False, "stalled_seconds=60, idle_ratio=0.5", id="blank"),
        pytest.param(False, "HEALTH_STALLED_SECONDS=60", id="capitals"),
    ],
)
def test_thresholds_that_the_code_could_not_read_are_refused_before_the_stack_is_made(allowed, thresholds):
    assert bool(re.fullmatch(PARAMETERS["HealthThresholds"]["AllowedPattern"], thresholds)) is allowed


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
    assert LONGEST_SCRAPE + api.BEFORE_THE_SCRAPE_SECONDS + pipeline.WRITE_SECONDS + 1 < API["Timeout"] < 30


@pytest.mark.parametrize("name", IN_THE_VPC)
def test_only_in_a_vpc_may_a_role_make_network_interfaces(name):
    managed = RESOURCES[f"{name}Role"]["ManagedPolicyArns"]
    assert managed == {"!If": ["InVpc", [{"!Ref": "NetworkInterfaces"}], {"!Ref": "AWS::NoValue"}]}
    assert RESOURCES[name]["VpcConfig"]["!If"][0] == "InVpc"


@pytest.mark.parametrize(
    ("allowed", "prefix"),
    [
        pytest.param(True, "", id="none"),
        pytest.param(True, "sglang-collector/", id="a-word"),
        pytest.param(True, "prod/gpu.fleet/", id="two-words"),
        pytest.param(False, "prod", id="part-of-a-word"),
        pytest.param(False, "/", id="slash"),
        pytest.param(False, "*/", id="star"),
        pytest.param(False, "${aws:username}/", id="variable"),
    ],
)
def test_a_prefix_ends_with_a_whole_word(allowed, prefix):
    assert bool(re.fullmatch(PARAMETERS["SecretsPrefix"]["AllowedPattern"], prefix)) is allowed


def test_network_interfaces_are_for_lambda_and_not_for_the_code():
    [allowed, denied] = granted(RESOURCES["NetworkInterfaces"])
    assert (allowed[0], {action.split(":")[0] for action in allowed[1]}) == ("Allow", {"ec2"})
    assert denied == ("Deny", "ec2:*", "*")


def test_the_queue_gives_the_worker_ten_messages_and_takes_back_those_that_it_names():
    [event] = WORKER["Events"].values()
    assert event["Properties"] == {
        "Queue": {"!GetAtt": "Queue.Arn"},
        "BatchSize": 10,
        "MaximumBatchingWindowInSeconds": 1,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "ScalingConfig": {"MaximumConcurrency": {"!Ref": "WorkerConcurrency"}},
    }


def test_a_message_stays_away_six_times_as_long_as_the_worker_may_take_and_comes_three_times():
    queue = RESOURCES["Queue"]
    assert queue["VisibilityTimeout"] == 6 * WORKER["Timeout"]
    assert queue["RedrivePolicy"]["maxReceiveCount"] == 3


def test_the_worker_has_time_for_the_longest_scrape_and_for_writing_it():
    assert WORKER["Timeout"] > LONGEST_SCRAPE + pipeline.WRITE_SECONDS + worker.REPORT_SECONDS + 3


def test_the_workers_concurrency_is_reserved_only_when_asked_for():
    assert PARAMETERS["WorkerReservedConcurrency"]["Default"] == 0
    assert WORKER["ReservedConcurrentExecutions"]["!If"][0] == "ReserveWorkers"


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
        "DeletionProtectionEnabled": {"!Ref": "DeletionProtection"},
        "SSESpecification": ENCRYPTION,
    }


@pytest.mark.parametrize("group", [f"{name}Logs" for name in ("Access", *FUNCTIONS)])
def test_logs_expire_and_are_encrypted_with_the_key_that_is_given(group):
    assert RESOURCES[group]["RetentionInDays"] == {"!Ref": "LogRetentionDays"}
    assert RESOURCES[group]["KmsKeyId"] == KEY_OR_NONE


@pytest.mark.parametrize(
    ("parameter", "default"),
    [
        pytest.param("DeletionProtection", "true", id="tables-are-protected"),
        pytest.param("KmsKeyArn", "", id="keys-are-those-of-aws"),
        pytest.param("AllowEndpointQuery", "false", id="who-may-read-may-not-scrape"),
        pytest.param("AllowPublicAddresses", "false", id="nothing-public-is-scraped"),
        pytest.param("TrustRegisteredTargets", "false", id="the-registry-opens-nothing"),
    ],
)
def test_what_is_not_said_is_the_safe_choice(parameter, default):
    assert PARAMETERS[parameter]["Default"] == default


@pytest.mark.parametrize(
    ("allowed", "key"),
    [
        pytest.param(True, "", id="none"),
        pytest.param(True, "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab", id="key"),
        pytest.param(True, "arn:aws-cn:kms:cn-north-1:123456789012:key/mrk-1234abcd12ab34cd56ef", id="of-many-regions"),
        pytest.param(False, "arn:aws:kms:eu-west-1:123456789012:alias/mine", id="alias"),
        pytest.param(False, "arn:aws:kms:eu-west-1:123456789012:key/*", id="every-key"),
        pytest.param(False, "1234abcd-12ab-34cd-56ef-1234567890ab", id="no-arn"),
    ],
)
def test_a_key_is_one_key(allowed, key):
    assert bool(re.fullmatch(PARAMETERS["KmsKeyArn"]["AllowedPattern"], key)) is allowed


def test_the_api_is_throttled_and_open_to_no_other_sites_pages():
    api_settings = RESOURCES["HttpApi"]
    assert api_settings["DefaultRouteSettings"] == {
        "ThrottlingRateLimit": {"!Ref": "ThrottleRate"},
        "ThrottlingBurstLimit": {"!Ref": "ThrottleBurst"},
    }
    assert "CorsConfiguration" not in api_settings


def test_no_text_of_a_caller_stands_in_the_access_log():
    told = set(re.findall(r"\$context[.]([A-Za-z.]+)", RESOURCES["HttpApi"]["AccessLogSettings"]["Format"]))
    assert told == {
        "requestId", "requestTime", "identity.userArn", "identity.sourceIp", "routeKey", "status", "responseLength",
        "responseLatency", "integrationErrorMessage",
    }  # fmt: skip


PUBLIC = {
    "AWS::Lambda::Permission",
    "AWS::Lambda::Url",
    "AWS::DynamoDB::ResourcePolicy",
    "AWS::Serverless::Api",
    "AWS::S3::Bucket",
}


def test_nothing_is_public():
    assert not PUBLIC & {made["Type"] for made in TEMPLATE["Resources"].values()}
    for name, properties in RESOURCES.items():
        assert "FunctionUrlConfig" not in properties
        assert "ResourcePolicy" not in properties
        if queues := properties.get("Queues"):
            effects = {statement["Effect"] for statement in properties["PolicyDocument"]["Statement"]}
            assert (len(queues), effects) == (1, {"Deny"}), name


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
