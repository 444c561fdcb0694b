"""The API as its callers see it: an event of `events/`, changed as a test wants it, and the answer."""

import json
from copy import deepcopy
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

from handlers import api
from support import ROOT

EVENTS = {path.stem: json.loads(path.read_text()) for path in (ROOT / "events").glob("*.json")}
CONTEXT = SimpleNamespace(
    function_name="api",
    memory_limit_in_mb=512,
    invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:api",
    aws_request_id="52fdfc07-2182-154f-163f-5f0f9a621d72",
)


def ask(name="health", *, method=None, path=None, query=None, body=None, headers=(), signed=True) -> dict[str, Any]:
    """What the function gives API Gateway. On a laptop requests are not signed."""
    event = deepcopy(EVENTS[name])
    http = event["requestContext"]["http"]
    http["method"] = method or http["method"]
    http["path"] = event["rawPath"] = path or event["rawPath"]
    if query is not None:
        event["queryStringParameters"] = {name: str(value) for name, value in query.items()}
        event["rawQueryString"] = urlencode(query)
    if body is not None:
        event["body"] = body if isinstance(body, str) else json.dumps(body)
    event["headers"] |= dict(headers)
    if not signed:
        del event["requestContext"]["authorizer"]
    return api.handler(event, CONTEXT)


def call(name="health", **changes) -> tuple[int, Any]:
    """The status, and the body's JSON."""
    answer = ask(name, **changes)
    return answer["statusCode"], json.loads(answer["body"])
