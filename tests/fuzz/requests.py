"""What holds for any event of an HTTP API: an answer in JSON, and never a 500 for what a caller sent."""

import base64
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlencode

from hypothesis import strategies as st
from moto import mock_aws
from tests.tables import TABLES, create_tables

from local.function import Context

ROOT = Path(__file__).parents[2]
EVENTS = [
    event for path in sorted((ROOT / "events").glob("*.json")) if "routeKey" in (event := json.loads(path.read_text()))
]
CONTEXT = Context(time.monotonic() + 86_400, 512)
# Loopback and names are forbidden here: nothing is connected to and nothing looked up.
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "POWERTOOLS_SERVICE_NAME": "sglang-collector",
    "POWERTOOLS_METRICS_NAMESPACE": "SGLangCollector",
    "POWERTOOLS_METRICS_DISABLED": "true",
    "POWERTOOLS_LOG_LEVEL": "CRITICAL",
    **{variable: name for variable, (name, _) in TABLES.items()},
    "ALLOWED_CIDRS": "203.0.113.0/32",
    "ALLOWED_HOST_SUFFIXES": "nowhere",
}

TEXTS = st.text(max_size=20) | st.sampled_from(
    [
        "",
        "sglang",
        "vllm",
        "a",
        "sglang-001",
        "-1d",
        "2026-11-24T03:00:00Z",
        "1e999",
        "-1",
        "0",
        "9" * 40,
        "\x00",
        "é" * 9,
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    [
        "instance_id",
        "endpoint",
        "timeout",
        "engine",
        "interval_seconds",
        "timeout_seconds",
        "retention_days",
        "labels",
        "thresholds",
        "enabled",
    ]
)
ENDPOINTS = st.builds("http://{}:{}/{}".format, TEXTS, TEXTS, TEXTS) | st.sampled_from(
    ["http://10.0.0.1:30000/metrics", "http://[::1]:80/", "http://127.0.0.1:8000/metrics", "http://gpu:30000/metrics"]
)
BODIES = (
    st.none()
    | st.text(max_size=40)
    | st.dictionaries(FIELDS | TEXTS, ENDPOINTS | JSON, max_size=6).map(json.dumps)
    | JSON.map(json.dumps)
    | st.sampled_from(["[" * 5000, '{"a":' * 3000, "NaN", '"\\ud800"'])
)
NAMES = (
    st.sampled_from(
        [
            "start",
            "end",
            "step",
            "fields",
            "limit",
            "cursor",
            "at",
            "raw",
            "endpoint",
            "timeout",
            "health",
            "model",
            "format",
            "quantiles",
        ]
    )
    | TEXTS
)
QUERIES = st.none() | st.dictionaries(NAMES, TEXTS | ENDPOINTS, max_size=4)
PATHS = st.builds("/api/v1/{}/{}".format, st.sampled_from(["collect", "metrics", "targets", "fleet", ""]), TEXTS)
PATHS = PATHS | st.builds("{}/{}{}".format, PATHS, TEXTS, st.sampled_from(["", "/history", "/raw"])) | TEXTS
HEADERS = st.dictionaries(
    st.sampled_from(["content-type", "if-match", "accept", "accept-encoding", "origin", "x-forwarded-for"]) | TEXTS,
    st.sampled_from(["application/json", "*", '"1"', 'W/"x"', "text/csv", "gzip"]) | TEXTS,
    max_size=3,
)
METHODS = st.sampled_from(["GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS", "X"])
KEPT = st.just(...)  # as the event has it


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    """Events of `events/`, with parts of them changed."""
    event = deepcopy(draw(st.sampled_from(EVENTS)))
    http = event["requestContext"]["http"]
    if (method := draw(KEPT | METHODS)) is not ...:
        http["method"] = method
    if (path := draw(KEPT | PATHS)) is not ...:
        http["path"] = event["rawPath"] = path
    if (query := draw(KEPT | QUERIES)) is not ...:
        event.pop("queryStringParameters", None)
        if query:
            event["queryStringParameters"] = query
        event["rawQueryString"] = urlencode(query or {}, errors="surrogatepass")
    if (body := draw(KEPT | BODIES)) is not ...:
        event.pop("body", None)
        if body is not None:
            event["body"] = body
    if draw(st.integers(0, 5)) == 0:
        event["isBase64Encoded"] = True
        if draw(st.booleans()):
            event["body"] = base64.b64encode(draw(st.binary(max_size=40))).decode()
    event["headers"] |= draw(HEADERS)
    return event


@contextmanager
def tables() -> Iterator[None]:
    """An AWS in the process, with empty tables; what is remembered of it, and of its settings, ends with it."""
    from collector import batches, deployment, dynamodb

    remembered = (deployment.rules, batches.client, dynamodb.client)
    for one in remembered:
        one.cache_clear()
    with patch.dict(os.environ, ENVIRONMENT), mock_aws():
        create_tables()
        try:
            yield
        finally:
            for one in remembered:
                one.cache_clear()


def check(event: dict[str, Any]) -> int:
    """The status of its answer."""
    from handlers import api

    answer = api.handler(event, CONTEXT)
    status = answer["statusCode"]
    assert 200 <= status < 500, f"{status}: {answer.get('body')}"
    if answer.get("body") and "json" in str(answer.get("headers", {}).get("Content-Type", "json")):
        json.loads(answer["body"])
    return status
