"""An HTTP request as API Gateway's HTTP API hands it to a function (payload 2.0), and the function's answer as HTTP.

Format: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

import base64
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

ACCOUNT_ID = "000000000000"
API_ID = "laptop"


@dataclass(frozen=True)
class Request:
    """An HTTP request as it came in. `target` is its path and query, percent-encoded."""

    method: str
    target: str
    protocol: str
    headers: Iterable[tuple[str, str]]
    body: bytes
    source_ip: str


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


def event_of(request: Request) -> dict[str, Any]:
    """The event. Keys that API Gateway leaves out when they are empty are left out."""
    path, _, query = request.target.partition("?")
    path = unquote(path)  # despite its name, rawPath is decoded; rawQueryString is not
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for name, value in request.headers:
        name = name.lower()
        if name == "cookie":
            cookies += [cookie.strip() for cookie in value.split(";")]
        else:
            headers[name] = f"{headers[name]},{value}" if name in headers else value
    forwarded_for = f"{headers['x-forwarded-for']}, " if "x-forwarded-for" in headers else ""
    headers |= {"x-forwarded-for": forwarded_for + request.source_ip, "x-forwarded-proto": "http"}
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        parameters[name] = f"{parameters[name]},{value}" if name in parameters else value
    now = time.time()
    domain = headers.get("host", "")
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": ACCOUNT_ID,
            "apiId": API_ID,
            "domainName": domain,
            "domainPrefix": domain.partition(".")[0],
            "http": {
                "method": request.method,
                "path": path,
                "protocol": request.protocol,
                "sourceIp": request.source_ip,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": str(uuid.uuid4()),
            "routeKey": "$default",
            "stage": "$default",
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": False,
    }
    if cookies:
        event["cookies"] = cookies
    if parameters:
        event["queryStringParameters"] = parameters
    if request.body:
        try:
            event["body"] = request.body.decode()
        except UnicodeDecodeError:
            event |= {"body": base64.b64encode(request.body).decode(), "isBase64Encoded": True}
    return event


def answer_of(answer: dict[str, Any]) -> Answer:
    """The HTTP answer that a function's return value stands for."""
    body = answer.get("body") or ""
    headers = [(name, str(value)) for name, value in (answer.get("headers") or {}).items()]
    return Answer(
        status=int(answer["statusCode"]),
        headers=[*headers, *(("Set-Cookie", cookie) for cookie in answer.get("cookies") or ())],
        body=base64.b64decode(body) if answer.get("isBase64Encoded") else body.encode(),
    )
