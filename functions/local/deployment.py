"""The whole template on the embedded AWS: deployed by SAM, its functions run as they were packed.

Nothing of the template is changed for it. The functions' variables that differ on a laptop are set when it has been
deployed, while the schedule is still off.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from local.aws import REGION, EmbeddedAws
from local.function import NETWORK
from local.gateway import Request, answer_of, event_of
from local.simulator.fleet import Member
from local.template import ROOT

STACK = "sglang-collector"
BUILT = ROOT / ".aws-sam" / "build" / "template.yaml"
SAM = ROOT / ".venv-tools" / "bin" / "sam"
SERVICES = ("apigateway", "cloudformation", "dynamodb", "iam", "lambda", "logs", "s3", "scheduler", "sqs", "sts")
ALL_IS_WELL = ('{"level":"INFO"', '{"_aws":', "START ", "END ", "REPORT ")
WORKERS_AT_ONCE = 4
KEPT_VARIABLES = ("PATH", "HOME", "TMPDIR", "LANG")


class DeploymentError(Exception):
    """The template could not be deployed, or what was deployed does not do what it is told."""


class StoredOutcome(NamedTuple):
    """What the `Snapshots` table says of one slot."""

    instance_id: str
    slot_ms: int
    code: str | None


class Deployment:
    """What `sam deploy` made of the built template. Raises DeploymentError."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self._aws = aws
        aws.wait()
        _sam_deploy(aws)
        stacks = aws.client("cloudformation")
        [stack] = stacks.describe_stacks(StackName=STACK)["Stacks"]
        self.outputs: dict[str, str] = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        self._resources = stacks.describe_stack_resources(StackName=STACK)["StackResources"]
        self._lambda = aws.client("lambda")
        self._move_in()

    def _move_in(self) -> None:
        """Tell the functions where they are."""
        laptop = {"AWS_ENDPOINT_URL": self._aws.endpoint_url, **NETWORK}
        for name in self._names("AWS::Lambda::Function").values():
            declared = self._lambda.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
            variables = declared | {variable: laptop[variable] for variable in declared.keys() & laptop.keys()}
            self._lambda.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
        for mapping in self._lambda.list_event_source_mappings()["EventSourceMappings"]:
            # Each is a process here. (And ministack keeps a parameter's number as the text that CloudFormation has.)
            self._lambda.update_event_source_mapping(
                UUID=mapping["UUID"], ScalingConfig={"MaximumConcurrency": WORKERS_AT_ONCE}
            )

    def invoke(self, function: str, event: dict[str, Any]) -> dict[str, Any]:
        """The answer of the function of that logical name. Raises DeploymentError where it has none but an error."""
        name = self._names("AWS::Lambda::Function")[function]
        called = self._lambda.invoke(FunctionName=name, Payload=json.dumps(event))
        answer: dict[str, Any] = json.loads(called["Payload"].read())
        if "FunctionError" in called:
            raise DeploymentError(f"{function} failed: {answer}")
        return answer

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The API's answer to a request, by the road of API Gateway. Raises DeploymentError for any but a 2xx."""
        headers = [("Host", "localhost"), ("Content-Type", "application/json")]
        request = Request(method, path, "HTTP/1.1", headers, json.dumps(body).encode() if body else b"", "127.0.0.1")
        answer = answer_of(self.invoke("Api", event_of(request)))
        if answer.status // 100 != 2:
            raise DeploymentError(f"{method} {path}: {answer.status} {answer.body.decode()}")
        return json.loads(answer.body)

    def register(self, members: Sequence[Member]) -> None:
        for member in members:
            self.ask("PUT", f"/api/v1/targets/{member.instance_id}", member.settings)

    def switch_schedule(self, state: str) -> None:
        """`ENABLED` or `DISABLED`, as an operator does it without a deployment."""
        scheduler = self._aws.client("scheduler")
        for name in self._names("AWS::Scheduler::Schedule").values():
            schedule = scheduler.get_schedule(Name=name)
            kept = ("Name", "GroupName", "ScheduleExpression", "FlexibleTimeWindow", "Target")
            scheduler.update_schedule(**{key: schedule[key] for key in kept}, State=state)

    def ticks(self) -> list[int]:
        """The ticks that the schedule has claimed, ms since 1970, in order."""
        items = self._items(
            self.outputs["TargetsTable"],
            FilterExpression="pk = :tick",
            ExpressionAttributeValues={":tick": {"S": "tick"}},
        )
        return sorted(round(datetime.fromisoformat(item["sk"]["S"]).timestamp() * 1000) for item in items)

    def outcomes(self) -> list[StoredOutcome]:
        """All that is stored, without the pages."""
        items = self._items(
            self.outputs["SnapshotsTable"],
            ProjectionExpression="instance_id, slot, #code",
            ExpressionAttributeNames={"#code": "code"},
        )
        return [
            StoredOutcome(item["instance_id"]["S"], int(item["slot"]["N"]), item.get("code", {}).get("S"))
            for item in items
        ]

    def messages(self, output: str) -> int:
        """How many a queue holds, those in flight and those not yet due included; `output` names its address."""
        counts = self._aws.client("sqs").get_queue_attributes(
            QueueUrl=self.outputs[output],
            AttributeNames=[
                "ApproximateNumberOfMessages",
                "ApproximateNumberOfMessagesNotVisible",
                "ApproximateNumberOfMessagesDelayed",
            ],
        )["Attributes"]
        return sum(map(int, counts.values()))

    def troubles(self) -> list[str]:
        """What the functions have logged, but for what they log when all is well."""
        logs = self._aws.client("logs")
        return [
            event["message"]
            for group in self._names("AWS::Logs::LogGroup").values()
            for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group)
            for event in page["events"]
            if not event["message"].startswith(ALL_IS_WELL)
        ]

    def _names(self, kind: str) -> dict[str, str]:
        """The physical names of the resources of a type, by the logical ones."""
        return {
            resource["LogicalResourceId"]: resource["PhysicalResourceId"]
            for resource in self._resources
            if resource["ResourceType"] == kind
        }

    def _items(self, table: str, **options: Any) -> Iterator[dict[str, dict[str, Any]]]:
        for page in self._aws.client().get_paginator("scan").paginate(TableName=table, ConsistentRead=True, **options):
            yield from page["Items"]


def _sam_deploy(aws: EmbeddedAws) -> None:
    command = [
        *(str(SAM), "deploy", "--template-file", str(BUILT), "--stack-name", STACK, "--region", REGION),
        # Not what `sam deploy --guided` has written down for the account of the user.
        *("--config-env", "laptop"),
        *("--resolve-s3", "--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset"),
        *("--parameter-overrides", "ScheduleState=DISABLED"),
    ]
    environment = {
        **{name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ},
        **aws.environment(),
        "SAM_CLI_TELEMETRY": "0",
        "SAM_CLI_POLL_DELAY": "1",  # seconds between two questions whether it is done
    }
    try:
        done = subprocess.run(  # noqa: S603 - our own command
            command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False
        )
    except OSError as exc:
        raise DeploymentError(f"sam did not start: {exc}") from exc
    if done.returncode:
        raise DeploymentError(f"sam deploy ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
