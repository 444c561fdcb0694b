"""The real `Api` function in this process, with the environment that the template declares and the embedded AWS."""

import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from local.aws import REGION, EmbeddedAws
from local.template import ROOT, Template

# What differs on a laptop. The scraper may go wherever its user could go with curl.
NETWORK = {"ALLOW_LOOPBACK": "true", "ALLOW_PUBLIC_ADDRESSES": "true", "ALLOWED_PORTS": "1-65535"}
LAPTOP = {
    "ALLOW_ENDPOINT_QUERY": "true",  # nobody signs here, so there is no policy that it could get around
    "ENABLE_DOCS": "true",
    "POWERTOOLS_LOG_LEVEL": "ERROR",
    "POWERTOOLS_METRICS_DISABLED": "true",
}
ACCOUNT_ID = "000000000000"
EVENT = ROOT / "events" / "collect.json"

Invoke = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class Context:
    """What Lambda hands a function beside the event."""

    deadline: float
    """On the monotonic clock."""
    memory_limit_in_mb: int
    function_name: str = "Api"
    function_version: str = "$LATEST"
    invoked_function_arn: str = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:Api"
    log_group_name: str = "/aws/lambda/Api"
    log_stream_name: str = "laptop"
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    identity: None = None
    client_context: None = None

    def get_remaining_time_in_millis(self) -> int:
        return max(0, round((self.deadline - time.monotonic()) * 1000))


@contextmanager
def api_function(network: Mapping[str, str] = NETWORK) -> Iterator[tuple[Invoke, EmbeddedAws]]:
    """The function, and the AWS that it stores in, for as long as the `with` block lasts.

    `network` are the variables that say where it may go; they take the place of the template's.
    Changes this process's environment for good: what the handler reads it reads once. Raises EmbeddedAwsError.
    """
    template = Template()
    properties = template.function("Api")
    with EmbeddedAws() as aws:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        variables = properties["Environment"]["Variables"]
        for name, value in {**variables, **aws.environment(), **LAPTOP, **network}.items():
            os.environ[name] = str(value)

        from handlers.api import handler  # while the embedded AWS starts

        aws.create_tables(template)
        one_at_a_time = threading.Lock()

        def invoke(event: dict[str, Any]) -> dict[str, Any]:
            """One event's answer. As in Lambda, one at a time: the handler's resolver counts on it."""
            with one_at_a_time:
                context = Context(time.monotonic() + properties["Timeout"], properties["MemorySize"])
                answer: dict[str, Any] = handler(event, context)
                return answer

        yield invoke, aws


def collect_event(endpoint: str, instance_id: str | None = None, engine: str = "sglang") -> dict[str, Any]:
    """The event file's request to collect, for another page."""
    event: dict[str, Any] = json.loads(EVENT.read_text(encoding="utf-8"))
    request = json.loads(event["body"]) | {"endpoint": endpoint}
    event["body"] = json.dumps(request | ({"instance_id": instance_id} if instance_id else {}))
    path = event["rawPath"].rpartition("/")[0] + f"/{engine}"
    event["rawPath"] = event["requestContext"]["http"]["path"] = path
    return event
